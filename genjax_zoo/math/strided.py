"""The 4x4, stride 2 convolution and its transpose, lowered as what each platform does best.

XLA's CPU convolution is slow for small images, and slower still inside a scan; there both become shifted slices and one
matrix product, exactly the same sums in another order. Everywhere else `lax.conv` is right. Each shape is traced once.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
DIMENSIONS = ("NHWC", "HWIO", "NHWC")


@functools.partial(jax.jit, inline=True)
def halve(x: Array, kernel: Array) -> Array:
    """Convolution with stride 2 and SAME padding: x [B, H, W, C], kernel [4, 4, C, F] -> [B, H / 2, W / 2, F]."""
    return lax.platform_dependent(x, kernel, cpu=halve_by_matmul, default=halve_by_conv)


@functools.partial(jax.jit, inline=True)
def double(x: Array, kernel: Array) -> Array:
    """Its transpose, with stride 2 and SAME padding: x [B, H, W, C], kernel [4, 4, C, F] -> [B, 2 H, 2 W, F]."""
    return lax.platform_dependent(x, kernel, cpu=double_by_matmul, default=double_by_conv)


def halve_by_conv(x: Array, kernel: Array) -> Array:
    """`halve` by `lax.conv`."""
    return lax.conv_general_dilated(x, kernel, (2, 2), "SAME", dimension_numbers=DIMENSIONS)


def double_by_conv(x: Array, kernel: Array) -> Array:
    """`double` by `lax.conv`."""
    return lax.conv_transpose(x, kernel, (2, 2), "SAME", dimension_numbers=DIMENSIONS)


def halve_by_matmul(x: Array, kernel: Array) -> Array:
    """`halve` as one matrix product over 2x2 blocks: the kernel covers four blocks, shifted by one."""
    b, h, w, c = x.shape
    blocks = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))).reshape(b, h // 2 + 1, 2, w // 2 + 1, 2, c)
    blocks = blocks.swapaxes(2, 3).reshape(b, h // 2 + 1, w // 2 + 1, 4 * c)
    taps = kernel.reshape(2, 2, 2, 2, c, -1).swapaxes(1, 2).reshape(16 * c, -1)
    return _corners(blocks) @ taps


def double_by_matmul(x: Array, kernel: Array) -> Array:
    """`double` as one matrix product: each 2x2 neighbourhood of x makes the 2x2 pixels between its centres."""
    b, h, w, c = x.shape
    near = _corners(jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))))  # [B, H + 1, W + 1, 4 C]
    parity = kernel.reshape(2, 2, 2, 2, c, -1)[:, ::-1, :, ::-1]  # a pixel's odd taps come first
    taps = parity.transpose(0, 2, 4, 1, 3, 5).reshape(4 * c, -1)
    pixels = (near @ taps).reshape(b, h + 1, w + 1, 2, 2, -1).swapaxes(2, 3)
    return pixels.reshape(b, 2 * h + 2, 2 * w + 2, -1)[:, 1:-1, 1:-1]


def _corners(x: Array) -> Array:
    """Each 2x2 neighbourhood as channels: [B, H + 1, W + 1, C] -> [B, H, W, 4 C]."""
    return jnp.concatenate([x[:, :-1, :-1], x[:, :-1, 1:], x[:, 1:, :-1], x[:, 1:, 1:]], axis=-1)
