"""Convolutions that see only what comes before, in raster order: the gated PixelCNN's two stacks.

A vertical stack sees all rows above, a horizontal one the pixels to the left; together they see every pixel before, and
no later one (van den Oord et al. 2016, arXiv:1606.05328). Causality comes from padding and shifting, not from masks.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.nn.image import Conv

Array = jax.Array


def shift_down(x: Array) -> Array:
    """Row i becomes row i + 1, the first row zero: [B, H, W, C]."""
    return jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]


def shift_right(x: Array) -> Array:
    """Column j becomes column j + 1, the first column zero: [B, H, W, C]."""
    return jnp.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]


class GatedLayer(nn.Module):
    """One layer of both stacks; tanh(a) * sigmoid(b) in each, and the vertical feeds the horizontal."""

    features: int
    size: int = 3  # of the kernel, odd
    residual: bool = True

    @nn.compact
    def __call__(self, vertical: Array, horizontal: Array) -> tuple[Array, Array]:
        """Both [B, H, W, C], seeing rows <= i and columns <= j of what they are given -> the same, with `features`."""
        reach, double = self.size // 2, 2 * self.features
        above = ((reach, 0), (reach, reach))
        down = Conv(double, (reach + 1, self.size), above, name="vertical")(vertical)
        left = Conv(double, (1, reach + 1), ((0, 0), (reach, 0)), name="horizontal")(horizontal)
        across = nn.Dense(double, name="across")(shift_down(down))
        seen = nn.Dense(self.features, name="out")(_gated(left + across))
        return _gated(down), (horizontal + seen) if self.residual else seen


class GatedPixelCNN(nn.Module):
    """Logits of every code given those before it."""

    codes: int  # K
    features: int = 64
    layers: int = 6
    size: int = 5  # of the first layer's kernel

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """Int [B, H, W] -> [B, H, W, K]."""
        seen = nn.Embed(self.codes, self.features, name="embed")(x)
        layer = GatedLayer(self.features, self.size, residual=False, name="first")
        vertical, horizontal = layer(seen, shift_right(seen))
        for index in range(self.layers - 1):
            vertical, horizontal = GatedLayer(self.features, name=f"layer_{index}")(vertical, horizontal)
        hidden = nn.relu(nn.Dense(self.features, name="hidden")(nn.relu(horizontal)))
        return nn.Dense(self.codes, name="logits")(hidden)


def _gated(x: Array) -> Array:
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.tanh(a) * nn.sigmoid(b)
