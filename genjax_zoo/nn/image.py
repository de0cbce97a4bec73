"""Strided convolutions from image to vector and back: the DCGAN pyramid (Radford et al. 2015, arXiv:1511.06434)."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype

from genjax_zoo.math.convolve import Padding, convolve, double, halve
from genjax_zoo.nn.norm import Norm, no_norm

INIT = nn.initializers.normal(0.02)  # Radford et al. 2015


def leaky_relu(x: jax.Array) -> jax.Array:
    """Leaky ReLU with the slope 0.2 of Radford et al. 2015."""
    return nn.leaky_relu(x, 0.2)


class Pyramid(nn.Module):
    """Halves the image once per entry of `widths`; odd sizes round up."""

    widths: tuple[int, ...]
    norm: Norm = no_norm
    first_norm: Norm = no_norm
    activation: Callable[[jax.Array], jax.Array] = leaky_relu
    kernel_init: Any = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, h, w, widths[-1]]."""
        for index, width in enumerate(self.widths):
            x = jnp.pad(x, ((0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2), (0, 0)))
            make = partial(Strided, halve, width, kernel_init=self.kernel_init, name=f"down_{index}")
            norm = self.norm if index else self.first_norm
            x = norm(make, x, train)
            x = self.activation(x)
        return x


class ImageEncoder(nn.Module):
    """A Pyramid and a dense layer to `features` numbers."""

    widths: tuple[int, ...]
    features: int
    norm: Norm = no_norm  # on every layer but the first and the last
    edge_norm: Norm = no_norm  # on those two
    kernel_init: Any = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """[B, H, W, C] -> [B, features]."""
        x = Pyramid(self.widths, self.norm, self.edge_norm, kernel_init=self.kernel_init, name="pyramid")(x, train)
        flat = x.reshape(x.shape[0], -1)
        make = partial(nn.Dense, self.features, kernel_init=self.kernel_init, name="out")
        return self.edge_norm(make, flat, train)


class ImageDecoder(nn.Module):
    """Maps a vector to a small image and doubles it once per entry of `widths`; odd sizes are cut."""

    shape: tuple[int, int, int]
    widths: tuple[int, ...]
    norm: Norm = no_norm  # on every layer but the last
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    kernel_init: Any = nn.linear.default_kernel_init

    @nn.compact
    def __call__(self, z: jax.Array, train: bool = False) -> jax.Array:
        """[B, Z] -> [B, H, W, C], without a final nonlinearity."""
        *size, channels = self.shape
        sizes = [[-(-side // 2**level) for side in size] for level in range(len(self.widths), -1, -1)]
        make = partial(_Project, (*sizes[0], self.widths[0]), self.kernel_init, name="project")
        x = self.activation(self.norm(make, z, train))
        for index, (features, (height, width)) in enumerate(zip(self.widths[1:], sizes[1:])):
            make = partial(Strided, double, features, kernel_init=self.kernel_init, name=f"up_{index}")
            x = self.activation(self.norm(make, x, train)[:, :height, :width])
        x = Strided(double, channels, kernel_init=self.kernel_init, name="out")(x)
        return x[:, : size[0], : size[1]]


class Strided(nn.Module):
    """`halve` or `double` with a 4x4 kernel and a bias."""

    change: Callable[[jax.Array, jax.Array], jax.Array]
    features: int
    kernel_init: Any = nn.linear.default_kernel_init
    use_bias: bool = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H / 2, W / 2, features], or [B, 2 H, 2 W, features]."""
        kernel = self.param("kernel", self.kernel_init, (4, 4, x.shape[-1], self.features), jnp.float32)
        x, kernel = promote_dtype(x, kernel)
        y = self.change(x, kernel)
        if not self.use_bias:
            return y
        return y + self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(y.dtype)


class Conv(nn.Module):
    """A convolution with a bias; zeros keep the size unless `padding` or `stride` says otherwise."""

    features: int
    size: tuple[int, int] = (3, 3)
    padding: Padding | None = None
    kernel_init: Any = nn.linear.default_kernel_init
    use_bias: bool = True
    stride: int = 1
    groups: int = 1

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """[B, H, W, C] -> [B, H, W, features]."""
        shape = (*self.size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        x, kernel = promote_dtype(x, kernel)
        (h, w), even = self.size, ((self.size[0] - 1) // 2, (self.size[1] - 1) // 2)
        same = ((even[0], h - 1 - even[0]), (even[1], w - 1 - even[1]))
        y = convolve(x, kernel, self.padding or same, self.stride, self.groups)
        if not self.use_bias:
            return y
        return y + self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32).astype(y.dtype)


class _Project(nn.Module):
    shape: tuple[int, int, int]
    kernel_init: Any
    use_bias: bool = True

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        x = nn.Dense(math.prod(self.shape), use_bias=self.use_bias, kernel_init=self.kernel_init, name="dense")(z)
        return x.reshape(-1, *self.shape)
