"""IAF: inverse autoregressive flow (Kingma et al. 2016, arXiv:1606.04934).

MAF turned round: a sample takes one pass over every layer, and a density goes through the numbers one at a time.
"""

import math
from collections.abc import Callable

import flax.linen as nn

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.math import affine
from genjax_zoo.models.flow.flow import Shape, flattened, flow
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

    Args:
        shape: of x.
        layers: autoregressive ones.
        hidden: widths of each layer's MADE.
        activation: in it.
        classes: of a label that the density is given, or 0.
        conditions: other things that it is given, of any kind; see `nn.conditions`.
        unroll: layers compiled out at a time.
    """
    layer = masked_layer(math.prod(shape), affine(), hidden, activation)
    return flow(shape, flattened(shape, Inverse(Stack(layer, layers, unroll))), classes=classes, conditions=conditions)
