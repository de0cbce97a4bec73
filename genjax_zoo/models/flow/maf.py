"""MAF: masked autoregressive flow (Papamakarios, Pavlakou & Murray 2017, arXiv:1705.07057).

Every layer shifts and scales each number by what MADE reads off those before it; the order is reversed between layers.
"""

import math
from collections.abc import Callable

import flax.linen as nn

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.math import Elementwise, Shape, affine
from genjax_zoo.models.flow.flow import flat_chain, flow
from genjax_zoo.nn import BatchNorm, Bijection, Chain, MaskedAutoregressive, MaskedMLP, Reverse, Stack
from genjax_zoo.nn.conditions import NO_CONDITIONS, Conditions


@factory("Papamakarios, Pavlakou & Murray 2017, arXiv:1705.07057")
def maf(
    *,
    shape: Shape,
    layers: int = 5,
    hidden: tuple[int, ...] = (1_024, 1_024),
    activation: Callable[[Array], Array] = nn.relu,
    norm: Callable[[], Bijection] | None = BatchNorm,
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
        norm: the normalisation after every layer, `BatchNorm`, `ActNorm` or None.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.
        unroll: layers compiled out at a time.
    """
    layer = masked_layer(math.prod(shape), affine(), hidden, activation, norm)
    return flow(shape, flat_chain(shape, Stack(layer, layers, unroll)), classes=classes, conditions=conditions)


def masked_layer(
    dimensions: int,
    map: Elementwise,
    hidden: tuple[int, ...],
    activation: Callable[[Array], Array] = nn.relu,
    norm: Callable[[], Bijection] | None = None,
) -> Bijection:
    """An autoregressive layer over [B, D], and the order reversed."""
    network = MaskedMLP(dimensions, map.parameters, hidden, activation)
    layers: tuple[Bijection, ...] = (MaskedAutoregressive(map, network), Reverse())
    return Chain(layers if norm is None else (*layers, norm()))
