"""MAF: masked autoregressive flow (Papamakarios, Pavlakou & Murray 2017, arXiv:1705.07057).

Every layer shifts and scales each number by what MADE reads off those before it; the order is reversed between layers.
"""

import math
from collections.abc import Callable

import flax.linen as nn

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.math import Elementwise, affine
from genjax_zoo.models.flow.flow import Shape, flattened, flow
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

    Args:
        shape: of x.
        layers: autoregressive ones.
        hidden: widths of each layer's MADE.
        activation: in it.
        norm: after every layer, `BatchNorm`, `ActNorm` or None.
        classes: of a label that the density is given, or 0.
        conditions: other things that it is given, of any kind; see `nn.conditions`.
        unroll: layers compiled out at a time.
    """
    layer = masked_layer(math.prod(shape), affine(), hidden, activation, norm)
    return flow(shape, flattened(shape, Stack(layer, layers, unroll)), classes=classes, conditions=conditions)


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
