"""Convolutions, lowered as what each platform does best.

XLA's CPU convolution is many times slower inside a scan, where training steps run; there it becomes one matrix product
of shifted slices, exactly the same sums in another order. Everywhere else `lax.conv` is right. Both are traced, for
whichever platform comes; under a jit of its own, only once for all layers of one shape. That jit is inlined: as calls
of one function, the layers made XLA's CPU programs end the process once they came from the compilation cache.
"""

import functools

import jax
import jax.numpy as jnp
from jax import lax

Array = jax.Array
Padding = tuple[tuple[int, int], tuple[int, int]]


@functools.partial(jax.jit, static_argnames=("padding", "stride", "groups"), inline=True)
def convolve(x: Array, kernel: Array, padding: Padding, stride: int = 1, groups: int = 1) -> Array:
    """X [B, H, W, C], kernel [h, w, C / groups, F], zeros added around rows and columns -> [B, H', W', F]."""

    def by_matmul(x: Array, kernel: Array) -> Array:
        return convolve_by_matmul(x, kernel, padding, stride, groups)

    def by_conv(x: Array, kernel: Array) -> Array:
        names, strides = ("NHWC", "HWIO", "NHWC"), (stride, stride)
        return lax.conv_general_dilated(
            x, kernel, strides, padding, dimension_numbers=names, feature_group_count=groups
        )

    return lax.platform_dependent(x, kernel, cpu=by_matmul, default=by_conv)


def convolve_by_matmul(x: Array, kernel: Array, padding: Padding, stride: int = 1, groups: int = 1) -> Array:
    """`convolve` as one matrix product per group: each output's window of x, as channels, times the flat kernel."""
    height, width, channels, features = kernel.shape
    x = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    rows, columns = x.shape[1] - height + 1, x.shape[2] - width + 1  # of the windows of stride 1
    windows = [x[:, i : i + rows : stride, j : j + columns : stride] for i in range(height) for j in range(width)]
    if groups == 1:
        return jnp.concatenate(windows, axis=-1) @ kernel.reshape(height * width * channels, features)
    grouped = jnp.concatenate([w.reshape(*w.shape[:3], groups, channels) for w in windows], axis=-1)
    flat = kernel.reshape(height * width * channels, groups, features // groups)
    out = jnp.einsum("bhwgk,kgf->bhwgf", grouped, flat)
    return out.reshape(*out.shape[:3], features)


@functools.partial(jax.jit, static_argnames="dilation", inline=True)
def convolve_causal(x: Array, kernel: Array, dilation: int) -> Array:
    """X [B, T, C] and its own past, `dilation` steps apart, times kernel [size, C, F], the latest last -> [B, T, F]."""
    size, channels, features = kernel.shape

    def by_matmul(x: Array, kernel: Array) -> Array:
        past = [jnp.pad(x, ((0, 0), (back * dilation, 0), (0, 0)))[:, : x.shape[1]] for back in range(size)]
        return jnp.concatenate(past[::-1], axis=-1) @ kernel.reshape(size * channels, features)

    def by_conv(x: Array, kernel: Array) -> Array:
        before = (((size - 1) * dilation, 0),)
        names = ("NWC", "WIO", "NWC")
        return lax.conv_general_dilated(x, kernel, (1,), before, rhs_dilation=(dilation,), dimension_numbers=names)

    return lax.platform_dependent(x, kernel, cpu=by_matmul, default=by_conv)
