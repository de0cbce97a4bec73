"""Real NVP: density estimation using real-valued non-volume preserving transformations (Dinh et al. 2016).

arXiv:1605.08803. Affine couplings with batch norm as a bijection; for images at several scales, with checkerboard and
channel couplings. The log-scale is bounded by a tanh.
"""

import math
from collections.abc import Callable

import flax.linen as nn

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.errors import UserError
from genjax_zoo.math import Elementwise, affine
from genjax_zoo.models.flow.flow import Shape, flattened, flow
from genjax_zoo.nn import (
    MLP,
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
)
from genjax_zoo.nn.conditions import NO_CONDITIONS, Conditions
from genjax_zoo.nn.multiscale import Shape as ImageShape


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

    Args:
        shape: of x; two numbers or more.
        layers: couplings.
        hidden: widths of each coupling's network.
        activation: in the networks.
        norm: after every coupling: `BatchNorm`, `ActNorm` or None.
        classes: of a label that the density is given, or 0.
        conditions: other things that it is given, of any kind; see `nn.conditions`.
        unroll: layers compiled out at a time.

    Raises:
        UserError: x is one number.
    """
    check_dimensions(shape)
    map = affine()
    coupling: Bijection = Coupling(map, conditioner(math.prod(shape), map, hidden, activation))
    layer = coupling if norm is None else Chain((coupling, norm()))
    return flow(
        shape, flattened(shape, EvenOdd(), Stack(layer, layers, unroll)), classes=classes, conditions=conditions
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

    Args:
        shape: an image's [H, W, C]; H and W divisible by 2 ** (scales - 1).
        scales: how many.
        width: of the residual networks at the first scale; doubled at each later one.
        blocks: residual blocks in each.
        norm: after every coupling, `BatchNorm` or `ActNorm`.
        classes: of a label that the density is given, or 0.
        conditions: other things that it is given, of any kind; see `nn.conditions`.

    Raises:
        UserError: more scales than the size allows.
    """
    shapes = scale_shapes(shape, scales, last_squeezes=False)
    map = affine()

    def colours(channels: int, level: int, count: int) -> list[Bijection]:
        network = [ResidualNet(width * 2**level, blocks, map.parameters * channels) for _ in range(count)]
        return [layer for i in range(count) for layer in (Checkerboard(map, network[i], odd=i % 2 == 1), norm())]

    levels, channels = [], shape[2]
    for level, (_, _, squeezed) in enumerate(shapes[:-1]):
        half = map.parameters * (squeezed - squeezed // 2)
        changed = Chain((Coupling(map, ResidualNet(width * 2 ** (level + 1), blocks, half)), norm()))
        levels.append(Chain((*colours(channels, level, 3), Squeeze(), Stack(changed, 3))))
        channels = squeezed // 2
    levels.append(Chain(tuple(colours(channels, scales - 1, 4))))
    identity = tuple(Chain(()) for _ in levels[1:])
    return flow(shape, Multiscale(shapes, tuple(levels), identity), classes=classes, conditions=conditions)


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


def conditioner(
    dimensions: int, map: Elementwise, hidden: tuple[int, ...], activation: Callable[[Array], Array] = nn.relu
) -> MLP:
    """The network of a coupling over [B, D], which starts at zero."""
    changed = dimensions - dimensions // 2
    return MLP(hidden, map.parameters * changed, activation, out_init=nn.initializers.zeros)


def check_dimensions(shape: Shape) -> None:
    """Checks that there is something to keep and something to change.

    Raises:
        UserError: x is one number.
    """
    if math.prod(shape) < 2:
        raise UserError("A coupling keeps some numbers and changes others: x needs two numbers or more, not one.")


def scale_shapes(shape: ImageShape, scales: int, *, last_squeezes: bool) -> tuple[ImageShape, ...]:
    """What comes out of every scale of a multi-scale flow, before half of the channels leave.

    Raises:
        UserError: fewer than one scale, or more than the size allows.
    """
    height, width, channels = shape
    squeezes = scales if last_squeezes else scales - 1
    possible = min((size & -size).bit_length() - 1 for size in (height, width)) + (0 if last_squeezes else 1)
    if not 1 <= scales <= possible:
        raise UserError(
            f"An image of {height}x{width} allows 1 ... {possible} scales, not {scales}; pad it, or use fewer."
        )
    shapes = [(height >> s, width >> s, channels * 2 ** (s + 1)) for s in range(1, squeezes + 1)]
    if not last_squeezes:
        shapes.append((height >> squeezes, width >> squeezes, channels * 2**squeezes))
    return tuple(shapes)
