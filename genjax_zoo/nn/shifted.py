"""Convolutions whose last row, or last number, is the place's own, and how two streams change their scale.

PixelCNN++'s vertical stream sees rows down to its own, the horizontal one the places up to its own; both see only what
comes before since the first layer shifts them (Salimans et al. 2017, arXiv:1701.05517). At half the size, place (R, C)
sees the places (2 R, 2 C) and before; the four places from (2 R, 2 C) to (2 R + 1, 2 C + 1) see it.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.math.convolve import convolve
from genjax_zoo.nn.image import Conv
from genjax_zoo.nn.pixels import move

Array = jax.Array
Pair = tuple[Array, Array]  # the vertical and the horizontal stream, each [B, H, W, F]
Seen = tuple[np.ndarray, np.ndarray]  # which pixels each place of both depends on, bool [H, W, pixels]


def concat_elu(x: Array) -> Array:
    """ELU of x and of -x, side by side: [..., C] -> [..., 2 C]."""
    return nn.elu(jnp.concatenate([x, -x], axis=-1))


def pad_columns(x: Array) -> Array:
    """A column of zeros on each side: [B, H, W, C] -> [B, H, W + 2, C]."""
    return jnp.pad(x, ((0, 0), (0, 0), (1, 1), (0, 0)))


def down_shifted(seen: np.ndarray) -> np.ndarray:
    """What a 2x3 convolution sees, given what its inputs see, [H, W, numbers]."""
    rows = seen | move(seen, 1, 0)
    return rows | move(rows, 0, 1) | move(rows, 0, -1)


def down_right_shifted(seen: np.ndarray) -> np.ndarray:
    """What a 2x2 convolution sees, given what its inputs see, [H, W, numbers]."""
    rows = seen | move(seen, 1, 0)
    return rows | move(rows, 0, 1)


class DownShifted(nn.Module):
    """A 2x3 convolution whose last row is the place's own; what is above the first row is given."""

    features: int
    stride: int = 1
    kernel_init: Any = nn.linear.default_kernel_init

    def setup(self):
        self.conv = Conv(self.features, (2, 3), ((0, 0), (0, 0)), self.kernel_init, stride=self.stride)

    def __call__(self, above: Array, x: Array) -> Array:
        """The row above [B, 1, W, C] and [B, H, W, C] -> [B, H / stride, W / stride, F]."""
        return self.conv(pad_columns(jnp.concatenate([above, x], axis=1)))


class DownRightShifted(nn.Module):
    """A 2x2 convolution whose last number is the place's own."""

    inputs: int
    features: int
    stride: int = 1
    kernel_init: Any = nn.linear.default_kernel_init

    def setup(self):
        def half(key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
            return self.kernel_init(key, shape, dtype) / 2**0.5  # a kernel's variance is that of the whole

        shape = (1, 2, self.inputs, self.features)
        self.above = self.param("above", half, shape, jnp.float32)
        self.here = self.param("here", half, shape, jnp.float32)
        self.bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)

    def __call__(self, x: Array) -> Array:
        """[B, H, W, C] -> [B, H / stride, W / stride, F]."""
        kernel = jnp.concatenate([self.above, self.here])
        return convolve(x, kernel.astype(x.dtype), ((1, 0), (1, 0)), self.stride) + self.bias

    def begin_row(self, above: Array) -> Array:
        """What the row above [W, n, C] and the bias give to each place of a row, [W / stride, n, F]."""
        before = jnp.pad(above, ((1, 0), (0, 0), (0, 0)))[:-1]
        return self._product(before[:: self.stride], above[:: self.stride], self.above) + self.bias

    def step(self, left: Array, here: Array) -> Array:
        """What the place to the left and the place itself give, both [n, C] -> [n, F]."""
        return self._product(left, here, self.here)

    def _product(self, left: Array, right: Array, kernel: Array) -> Array:
        return jnp.concatenate([left, right], axis=-1) @ kernel.reshape(-1, self.features)


class Halve(nn.Module):
    """Both streams at half the rows and columns."""

    features: int

    def setup(self):
        self.vertical = DownShifted(self.features, stride=2)
        self.horizontal = DownRightShifted(self.features, self.features, stride=2)

    def __call__(self, x: Pair) -> Pair:
        """[B, H, W, F] each -> [B, H / 2, W / 2, F]."""
        return self.vertical(jnp.zeros_like(x[0][:, :1]), x[0]), self.horizontal(x[1])

    @nn.nowrap
    def reach(self, x: Seen) -> Seen:
        """What the halves see."""
        return down_shifted(x[0])[::2, ::2], down_right_shifted(x[1])[::2, ::2]


class Double(nn.Module):
    """Transposed convolutions, 2x3 and 2x2 with stride 2, with a bias for each of the four places that one becomes."""

    features: int

    def setup(self):
        self.even = nn.Dense(2 * self.features)  # columns that see one coarse column
        self.odd = Conv(2 * self.features, (1, 2), ((0, 0), (0, 1)))  # and those between two
        self.places = nn.Dense(4 * self.features)

    def __call__(self, x: Pair) -> Pair:
        """[B, h, w, F] each -> [B, 2 h, 2 w, F]."""
        b, h, w, _ = x[1].shape
        places = self.horizontal(x[1]).reshape(b, h, w, 2, 2, self.features)
        return self.vertical(x[0]), places.swapaxes(2, 3).reshape(b, 2 * h, 2 * w, self.features)

    def vertical(self, x: Array) -> Array:
        """[B, h, w, F] -> [B, 2 h, 2 w, F]."""
        b, h, w, _ = x.shape
        places = jnp.stack([self.even(x), self.odd(x)], axis=3).reshape(b, h, w, 2, 2, self.features)
        return places.transpose(0, 1, 4, 2, 3, 5).reshape(b, 2 * h, 2 * w, self.features)  # from [..., column, row, F]

    def horizontal(self, x: Array) -> Array:
        """Of each place [..., F] its four, [..., 4 F]: rows, then columns."""
        return self.places(x)

    @nn.nowrap
    def reach(self, x: Seen) -> Seen:
        """What the doubles see."""
        columns = np.stack([x[0], x[0] | move(x[0], 0, -1)], axis=2).reshape(x[0].shape[0], -1, x[0].shape[2])
        return columns.repeat(2, axis=0), x[1].repeat(2, axis=0).repeat(2, axis=1)
