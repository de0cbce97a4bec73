"""Convolutions, lowered as what each platform does best.

Everywhere but on CPU that is `lax.conv`. XLA's CPU convolution is as fast as a matrix product of that size, but only
in one form; it brings the convolutions of gradients into that form outside of loops, and not inside, where training
steps run: there they take three to a hundred times as long. So here a convolution, its transpose and its gradients are
written in that form, or as products where these are faster still, as a primitive that knows its derivatives: strides
by blocks, a transpose by adding up what overlaps, a kernel's gradient as one product per place.

Both are traced, for whichever platform comes; under a jit of its own, only once for all layers of one shape. That jit
is inlined: as calls of one function, the layers made XLA's CPU programs end the process once they came from the
compilation cache.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from genjax_zoo.math.shapes import Shape

Array = jax.Array
Pair = tuple[int, int]  # of rows and columns
Padding = tuple[Pair, Pair]  # before and after the rows, and the columns
ONE = (1, 1)
FEW = 16  # channels: below, one matrix product of all places side by side is faster than one each


class Places(NamedTuple):
    """Which places of x, over which `apart` - 1 zeros were put between two and `padding` around, a kernel meets."""

    padding: Padding
    strides: Pair = ONE
    apart: Pair = ONE
    dilation: Pair = ONE  # of the kernel


@functools.partial(jax.jit, static_argnames=("padding", "stride", "groups"), inline=True)
def convolve(x: Array, kernel: Array, padding: Padding, stride: int = 1, groups: int = 1) -> Array:
    """X [B, H, W, C], kernel [h, w, C / groups, F], zeros added around rows and columns -> [B, H', W', F]."""
    return _convolve(x, kernel, Places(padding, (stride, stride)), groups)


@functools.partial(jax.jit, static_argnames="dilation", inline=True)
def convolve_causal(x: Array, kernel: Array, dilation: int) -> Array:
    """X [B, T, C] and its own past, `dilation` steps apart, times kernel [size, C, F], the latest last -> [B, T, F]."""
    places = Places(((0, 0), ((len(kernel) - 1) * dilation, 0)), dilation=(1, dilation))
    return _convolve(x[:, None], kernel[None], places)[:, 0]


@functools.partial(jax.jit, inline=True)
def halve(x: Array, kernel: Array) -> Array:
    """Convolution with stride 2 and SAME padding: x [B, H, W, C], kernel [4, 4, C, F] -> [B, H / 2, W / 2, F]."""
    return _convolve(x, kernel, Places(((1, 1), (1, 1)), strides=(2, 2)))


@functools.partial(jax.jit, inline=True)
def double(x: Array, kernel: Array) -> Array:
    """Its transpose, with stride 2 and SAME padding: x [B, H, W, C], kernel [4, 4, C, F] -> [B, 2 H, 2 W, F]."""
    return _convolve(x, kernel, Places(((2, 2), (2, 2)), apart=(2, 2)))


def _convolve(x: Array, kernel: Array, places: Places, groups: int = 1) -> Array:
    on_cpu = functools.partial(_on_cpu if groups == 1 else _by_groups, places=places)
    by_conv = functools.partial(_by_conv, places=places, groups=groups)
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=by_conv)


def _by_conv(x: Array, kernel: Array, places: Places, groups: int = 1) -> Array:
    padding, strides, apart, dilation = places
    names = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, kernel, strides, padding, apart, dilation, names, groups)


def _by_groups(x: Array, kernel: Array, places: Places) -> Array:
    """One matrix product per group: each output's window of x, as channels, times the flat kernel."""
    height, width, channels, features = kernel.shape
    groups = x.shape[-1] // channels
    windows = [w.reshape(*w.shape[:3], groups, channels) for w in _windows(x, (height, width), places)]
    flat = kernel.reshape(height * width * channels, groups, features // groups)
    out = jnp.einsum("bhwgk,kgf->bhwgf", jnp.concatenate(windows, axis=-1), flat)
    return out.reshape(*out.shape[:3], features)


def _windows(x: Array, size: Shape, places: Places) -> list[Array]:
    """What each place of the kernel meets, [B, H', W', C] each; `apart` is 1."""
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((*pair, 0) for pair in places.padding), (0, 0, 0)))
    ends = [side - (n - 1) * d for side, n, d in zip(x.shape[1:3], size, places.dilation)]
    (rows, columns), (row, column), (down, right) = ends, places.strides, places.dilation
    return [
        x[:, i * down : i * down + rows : row, j * right : j * right + columns : column]
        for i in range(size[0])
        for j in range(size[1])
    ]


# The CPU's primitive: bilinear, so that its transposes are all that differentiation needs


def _on_cpu(x: Array, kernel: Array, places: Places) -> Array:
    kernel = kernel + jnp.zeros_like(x, shape=kernel.shape)  # varies over the devices that x does
    return _convolution.bind(x, kernel, places=places)


def _by_form(x: Array, kernel: Array, *, places: Places) -> Array:
    if places.strides == places.dilation == ONE != places.apart:
        return _by_overlap(x, kernel, places)
    return (_by_blocks if _has_blocks(kernel.shape, places) else _by_conv)(x, kernel, places)


def _by_overlap(x: Array, kernel: Array, places: Places) -> Array:
    """A transpose: each place of x times the whole kernel, and what falls on one place of the result is added up."""
    height, width, channels, features = kernel.shape
    flat = x.reshape(-1, channels) @ kernel.transpose(2, 0, 1, 3).reshape(channels, -1)
    products = flat.reshape(*x.shape[:3], height, width, features)
    ends = _results(x.shape, kernel.shape, places)
    lengths = [-(-end // apart) for end, apart in zip(ends, places.apart)]

    def meet(axis: int) -> list[list[tuple[int, int]]]:
        """For results that lie `apart` from each other: places of the kernel, and how far off the x they meet is."""
        apart, before = places.apart[axis], places.padding[axis][0]
        reach = [[(k, *divmod(first + k - before, apart)) for k in range(kernel.shape[axis])] for first in range(apart)]
        return [[(k, off) for k, off, rest in ks if not rest] for ks in reach]

    def moved(product: Array, *offs: int) -> Array:
        pads = [(-off, length - side + off, 0) for off, length, side in zip(offs, lengths, x.shape[1:3])]
        return lax.pad(product, jnp.zeros((), x.dtype), ((0, 0, 0), *pads, (0, 0, 0)))

    def added(rows: list[tuple[int, int]], columns: list[tuple[int, int]]) -> Array:
        parts = [moved(products[:, :, :, i, j], down, right) for i, down in rows for j, right in columns]
        return functools.reduce(jnp.add, parts or [jnp.zeros((len(x), *lengths, features), x.dtype)])

    y = jnp.stack([jnp.stack([added(rows, columns) for columns in meet(1)], axis=3) for rows in meet(0)], axis=2)
    rows, columns = (length * apart for length, apart in zip(lengths, places.apart))
    return y.reshape(len(x), rows, columns, features)[:, : ends[0], : ends[1]]


def _has_blocks(kernel: Shape, places: Places) -> bool:
    _, strides, apart, dilation = places
    return apart == dilation == ONE != strides and not any(n % stride for n, stride in zip(kernel, strides))


def _by_blocks(x: Array, kernel: Array, places: Places) -> Array:
    """Strides: blocks of x, as many places as a stride is wide and high, are the channels of a smaller convolution."""
    met = _together(_blocks(x, kernel.shape, places))
    (rows, columns), (row, column) = kernel.shape[:2], places.strides
    kernel = kernel.reshape(rows // row, row, columns // column, column, *kernel.shape[2:]).swapaxes(1, 2)
    products = [_flat(w) @ k for w, k in zip(met, kernel.reshape(len(met), -1, kernel.shape[-1]))]
    return functools.reduce(jnp.add, products).reshape(*met[0].shape[:3], -1)


def _blocks(x: Array, kernel: Shape, places: Places) -> list[Array]:
    """What each block of the kernel meets, [B, H', W', places of a block * C] each."""
    size, strides = [n // stride for n, stride in zip(kernel, places.strides)], places.strides
    counts = [n + k - 1 for n, k in zip(_results(x.shape, kernel, places), size)]
    ends = zip(places.padding, counts, strides, x.shape[1:3])
    pads = [(before, count * stride - side - before, 0) for (before, _), count, stride, side in ends]
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *pads, (0, 0, 0)))
    x = x.reshape(len(x), counts[0], strides[0], counts[1], strides[1], x.shape[3]).swapaxes(2, 3)
    return _windows(x.reshape(*x.shape[:3], -1), (size[0], size[1]), Places(((0, 0), (0, 0))))


def _together(met: list[Array]) -> list[Array]:
    """Side by side where few channels are met, for one product instead of one each."""
    return [jnp.concatenate(met, axis=-1)] if met[0].shape[-1] < FEW else met


def _flat(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1])


def _results(x: Shape, kernel: Shape, places: Places) -> list[int]:
    """How many rows and columns come out."""
    spread = [(side - 1) * apart + 1 + sum(pair) for side, apart, pair in zip(x[1:3], places.apart, places.padding)]
    kernel_spread = [(side - 1) * dilation for side, dilation in zip(kernel, places.dilation)]
    return [(a - b - 1) // stride + 1 for a, b, stride in zip(spread, kernel_spread, places.strides)]


def _shape(x: Any, kernel: Any, *, places: Places) -> Any:
    return jax.make_jaxpr(functools.partial(_by_conv, places=places))(x, kernel).out_avals[0]


def _reverse(x_shape: Shape, kernel_shape: Shape, y_shape: Shape, places: Places) -> Places:
    """Where a flipped kernel meets the cotangent of y, for that of x."""
    spread_x = [(side - 1) * apart + 1 for side, apart in zip(x_shape[1:3], places.apart)]
    spread_y = [(side - 1) * stride + 1 for side, stride in zip(y_shape[1:3], places.strides)]
    reach = [(side - 1) * dilation for side, dilation in zip(kernel_shape, places.dilation)]
    rows, columns = (
        (r - before, x - y + before) for r, (before, _), x, y in zip(reach, places.padding, spread_x, spread_y)
    )
    return Places((rows, columns), places.apart, places.strides, places.dilation)


def _flipped(kernel: Array) -> Array:
    return kernel[::-1, ::-1].swapaxes(2, 3)


def _gradient_of_x(ct: Array, x: Any, kernel: Array, *, places: Places) -> Array:
    return _convolution.bind(ct, _flipped(kernel), places=_reverse(x.aval.shape, kernel.shape, ct.shape, places))


def _gradient_of_kernel(ct: Array, x: Array, kernel: Any, *, places: Places) -> Array:
    return _by_places(ct, x, kernel.aval.shape, places)


def _by_places(ct: Array, x: Array, shape: Shape, places: Places) -> Array:
    """A kernel's gradient: what each of its places met, times what became of it."""
    if places.apart != ONE:  # of a transpose, in whose sum ct and x have each other's part
        back = _reverse(x.shape, shape, ct.shape, places)
        return _flipped(_by_places(x, ct, (*shape[:2], shape[3], shape[2]), back))
    in_blocks = _has_blocks(shape, places)
    met = _blocks(x, shape, places) if in_blocks else _windows(x, shape[:2], places)
    gradient = jnp.concatenate([_flat(w).T @ _flat(ct) for w in _together(met)])
    if in_blocks:
        (row, column), (rows, columns) = places.strides, shape[:2]
        gradient = gradient.reshape(rows // row, columns // column, row, column, *shape[2:]).swapaxes(1, 2)
    return gradient.reshape(shape)


def _over_batches(
    arrays: tuple[Array, Array], axes: tuple[int | None, int | None], *, places: Places
) -> tuple[Array, int]:
    """Images of a batch are more images; kernels of a batch take turns, as XLA's CPU convolution has no such thing."""
    x, kernel = (a if axis is None else jnp.moveaxis(a, axis, 0) for a, axis in zip(arrays, axes))
    bind = functools.partial(_convolution.bind, places=places)
    if axes[1] is None:
        y = bind(x.reshape(-1, *x.shape[2:]), kernel)
        return y.reshape(*x.shape[:2], *y.shape[1:]), 0
    if axes[0] is None:
        return lax.map(functools.partial(bind, x), kernel), 0
    return lax.map(lambda both: bind(*both), (x, kernel)), 0


_convolution = Primitive("cpu_convolution")
_convolution.def_impl(jax.jit(_by_form, static_argnames="places"))
_convolution.def_abstract_eval(_shape)
mlir.register_lowering(_convolution, mlir.lower_fun(_by_form, multiple_results=False))
ad.defbilinear(_convolution, _gradient_of_x, _gradient_of_kernel)
batching.primitive_batchers[_convolution] = _over_batches
