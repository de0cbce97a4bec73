"""Real NVP: density estimation using real-valued non-volume preserving transformations (Dinh et al. 2016).

arXiv:1605.08803. Affine couplings with batch norm as a bijection; for images at several scales, with checkerboard and
channel couplings. The log-scale is bounded by a tanh.
"""

import math
from collections.abc import Callable

import flax.linen as nn

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.math import ImageShape, Shape, affine
from genjax_zoo.models.flow.flow import flat_chain, flow
from genjax_zoo.nn import (
    BatchNorm,
    Bijection,
    Chain,
    Checkerboard,
    Conv,
    Coupling,
    EvenOdd,
    Multiscale,
    ResidualBlock,
    Squeeze,
    Stack,
    check_dimensions,
    conditioner,
    scale_shapes,
)
from genjax_zoo.nn.conditions import NO_CONDITIONS, Conditions


@factory("Dinh et al. 2016, arXiv:1605.08803")
def real_nvp(
    *,
    shape: Shape,
    layers: int = 8,
    hidden: tuple[int, ...] = (256, 256),
    activation: Callable[[Array], Array] = nn.relu,
    norm: Callable[[], Bijection] | None = BatchNorm,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
    unroll: int = 1,
) -> Model:
    """The model of x as a flat vector; even and odd numbers change in turn.

    Terms: "prior" (nats), "log_det" (nats). Network: "bijection".

    Args:
        shape: the shape of x; two numbers or more.
        layers: couplings.
        hidden: widths of each coupling's network.
        activation: the function between their layers.
        norm: the normalisation after every coupling: `BatchNorm`, `ActNorm` or None.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.
        unroll: layers compiled out at a time.

    Raises:
        UserError: x is one number.
    """
    check_dimensions(shape)
    map = affine()
    coupling: Bijection = Coupling(map, conditioner(math.prod(shape), map, hidden, activation))
    layer = coupling if norm is None else Chain((coupling, norm()))
    return flow(
        shape, flat_chain(shape, EvenOdd(), Stack(layer, layers, unroll)), classes=classes, conditions=conditions
    )


@factory("Dinh et al. 2016, arXiv:1605.08803")
def multiscale_real_nvp(
    *,
    shape: ImageShape,
    scales: int = 3,
    width: int = 64,
    blocks: int = 4,
    norm: Callable[[], Bijection] = BatchNorm,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
) -> Model:
    """The model of images: a scale is three checkerboard couplings, a squeeze and three channel couplings.

    Then half of the channels leave; the last scale has four checkerboard couplings.

    Terms: "prior" (nats), "log_det" (nats). Network: "bijection".

    Args:
        shape: an image's [H, W, C]; H and W divisible by 2 ** (scales - 1).
        scales: how many; half of the channels leave after each but the last.
        width: channels of the residual networks at the first scale; doubled at each later one.
        blocks: residual blocks in each.
        norm: the normalisation after every coupling, `BatchNorm` or `ActNorm`.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.

    Raises:
        UserError: more scales than the size allows.
    """
    shapes = scale_shapes(shape, scales, last_squeezes=False)
    map = affine()

    def colours(channels: int, scale: int, count: int) -> list[Bijection]:
        network = [ResidualNet(width * 2**scale, blocks, map.parameters * channels) for _ in range(count)]
        return [layer for i in range(count) for layer in (Checkerboard(map, network[i], odd=i % 2 == 1), norm())]

    each, channels = [], shape[2]
    for scale, (_, _, squeezed) in enumerate(shapes[:-1]):
        half = map.parameters * (squeezed - squeezed // 2)
        changed = Chain((Coupling(map, ResidualNet(width * 2 ** (scale + 1), blocks, half)), norm()))
        each.append(Chain((*colours(channels, scale, 3), Squeeze(), Stack(changed, 3))))
        channels = squeezed // 2
    each.append(Chain(tuple(colours(channels, scales - 1, 4))))
    identity = tuple(Chain(()) for _ in each[1:])
    return flow(shape, Multiscale(shapes, tuple(each), identity), classes=classes, conditions=conditions)


class ResidualNet(nn.Module):
    """A convolution, residual blocks, and a convolution that starts at zero, so that a coupling starts as identity."""

    width: int
    blocks: int
    features: int

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """[B, H, W, C] -> [B, H, W, features]."""
        x = Conv(self.width, name="in")(x)
        for index in range(self.blocks):
            x = ResidualBlock(self.width, name=f"block_{index}")(x)
        return Conv(self.features, kernel_init=nn.initializers.zeros, name="out")(nn.relu(x))
