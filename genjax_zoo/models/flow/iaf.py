"""IAF: inverse autoregressive flow (Kingma et al. 2016, arXiv:1606.04934).

MAF turned round: a sample takes one pass over every layer, and a density goes through the numbers one at a time.
"""

import math
from collections.abc import Callable

import flax.linen as nn

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.math import Shape, affine
from genjax_zoo.models.flow.flow import flat_chain, flow
from genjax_zoo.models.flow.maf import masked_layer
from genjax_zoo.nn import Inverse, Stack
from genjax_zoo.nn.conditions import NO_CONDITIONS, Conditions


@factory("Kingma et al. 2016, arXiv:1606.04934")
def iaf(
    *,
    shape: Shape,
    layers: int = 5,
    hidden: tuple[int, ...] = (256, 256),
    activation: Callable[[Array], Array] = nn.relu,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
    unroll: int = 1,
) -> Model:
    """The model of x as a flat vector.

    Terms: "prior" (nats), "log_det" (nats). Network: "bijection".

    Args:
        shape: the shape of x.
        layers: autoregressive layers.
        hidden: widths of each layer's MADE.
        activation: the function between its layers.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.
        unroll: layers compiled out at a time.
    """
    layer = masked_layer(math.prod(shape), affine(), hidden, activation)
    return flow(shape, flat_chain(shape, Inverse(Stack(layer, layers, unroll))), classes=classes, conditions=conditions)
