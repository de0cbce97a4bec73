"""Residual blocks of GANs that double or halve an image."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.errors import UserError
from genjax_zoo.nn.image import Conv, leaky_relu
from genjax_zoo.nn.norm import Norm, batch_normalised, spectral_norm

XAVIER = nn.initializers.xavier_uniform()


def nearest_double(x: jax.Array) -> jax.Array:
    """[B, H, W, C] -> [B, 2 H, 2 W, C], each pixel four times."""
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)


def mean_halve(x: jax.Array) -> jax.Array:
    """[B, H, W, C] -> [B, H / 2, W / 2, C], means of 2x2 pixels."""
    b, h, w, c = x.shape
    return jnp.mean(x.reshape(b, h // 2, 2, w // 2, 2, c), axis=(2, 4))


def linear_resize(x: jax.Array, factor: float) -> jax.Array:
    """[B, H, W, C] -> [B, factor H, factor W, C], interpolated, and smoothed first where it shrinks."""
    size = (x.shape[0], int(x.shape[1] * factor), int(x.shape[2] * factor), x.shape[3])
    return jax.image.resize(x, size, "linear")


class UpBlock(nn.Module):
    """Twice normalise, ReLU, 3x3; doubled before the first convolution (Miyato et al. 2018, fig. 2b).

    No biases: batch norm, the next block's or the last, takes them away again.
    """

    features: int
    classes: int = 0  # with classes, normalised by the label's own scale and shift

    @nn.compact
    def __call__(self, x: jax.Array, label: jax.Array | None, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, 2 H, 2 W, features]."""
        hidden = x
        for index in range(2):
            hidden = nn.relu(Normalised(self.classes, name=f"norm_{index}")(hidden, label, train))
            hidden = hidden if index else nearest_double(hidden)
            hidden = Conv(self.features, kernel_init=XAVIER, use_bias=False, name=f"conv_{index}")(hidden)
        straight = nn.Dense(self.features, use_bias=False, kernel_init=XAVIER, name="straight")(x)
        return nearest_double(straight) + hidden


class Normalised(nn.Module):
    """Batch norm with its parameters, or with those of each label."""

    classes: int = 0

    @nn.compact
    def __call__(self, x: jax.Array, label: jax.Array | None, train: bool) -> jax.Array:
        """[B, ..., C] -> the same."""
        return batch_normalised(x, train, label, self.classes)


class DownBlock(nn.Module):
    """Twice ReLU, 3x3; halved at the end, unless told not to (Miyato et al. 2018, fig. 2a)."""

    features: int
    halves: bool = True
    first: bool = False  # sees the image itself: no ReLU before it, and a shortcut that is halved first
    norm: Norm = spectral_norm

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """[B, H, W, C] -> [B, H / 2, W / 2, features]."""
        shrink = mean_halve if self.halves else lambda x: x
        hidden = x
        for index in range(2):
            hidden = hidden if self.first and not index else nn.relu(hidden)
            make = partial(Conv, self.features, kernel_init=XAVIER, name=f"conv_{index}")
            hidden = self.norm(make, hidden, train)
        if not self.halves and x.shape[-1] == self.features:
            return x + hidden
        make = partial(nn.Dense, self.features, kernel_init=XAVIER, name="straight")
        straight = self.norm(make, shrink(x), train)  # means and 1x1 convolutions commute
        return straight + shrink(hidden)


class BottleneckBlock(nn.Module):
    """x + 1x1, leaky ReLU, grouped 3x3, leaky ReLU, 1x1; no normalisation (Huang et al. 2024, sec. 3.3).

    The last layer starts at zero and the others are scaled for `depth` blocks (Zhang et al. 2019, arXiv:1901.09321).
    """

    width: int  # inside
    groups: int
    depth: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> the same."""
        init = leaky_init(self.depth**-0.25)
        hidden = leaky_relu(nn.Dense(self.width, kernel_init=init, name="widen")(x))
        hidden = Conv(self.width, kernel_init=init, groups=self.groups, name="conv")(hidden)
        zeros = nn.initializers.zeros
        return x + nn.Dense(x.shape[-1], use_bias=False, kernel_init=zeros, name="out")(leaky_relu(hidden))


def leaky_init(gain: float) -> nn.initializers.Initializer:
    """Keeps the variance through leaky ReLUs of slope 0.2, times gain squared (He et al. 2015)."""
    return nn.initializers.variance_scaling(gain**2 * 2 / (1 + 0.2**2), "fan_in", "normal")


def halvings(shape: tuple[int, ...], smallest: int = 4) -> int:
    """How often an image [H, W, C] halves before it has fewer than `smallest` rows or columns.

    Raises:
        UserError: not even once.
    """
    count = 0
    while all(size % 2 ** (count + 1) == 0 and size // 2 ** (count + 1) >= smallest for size in shape[:2]):
        count += 1
    if not count:
        raise UserError(f"An image of {shape[0]}x{shape[1]} does not halve down to {smallest} rows or columns.")
    return count
