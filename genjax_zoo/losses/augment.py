"""Differentiable augmentation of what a critic sees, real and fake alike (Zhao et al. 2020, arXiv:2006.10738).

An augmentation is a function (key, x [B, H, W, C] in [0, 1]) -> the same shape: of every image in its own way, with a
gradient in x, and of fixed shapes, so that it is compiled with the step.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Key
from genjax_zoo.errors import UserError

Augment = Callable[[Key, Array], Array]
PLACES = (1, 2, 3)


def color(key: Key, x: Array) -> Array:
    """Brightness by up to 0.5, saturation by 0 to 2, contrast by 0.5 to 1.5."""
    k_bright, k_saturation, k_contrast = jax.random.split(key, 3)
    x = x + _each(k_bright, x, -0.5, 0.5)
    grey = jnp.mean(x, axis=3, keepdims=True)
    x = grey + (x - grey) * _each(k_saturation, x, 0.0, 2.0)
    mean = jnp.mean(x, axis=PLACES, keepdims=True)
    return mean + (x - mean) * _each(k_contrast, x, 0.5, 1.5)


def translation(key: Key, x: Array, share: float = 0.125) -> Array:
    """Shifts by up to `share` of the size, along rows and columns; zeros come in."""
    padding = [max(1, round(share * size)) for size in x.shape[1:3]]
    wide = jnp.pad(x, ((0, 0), *((p, p) for p in padding), (0, 0)))

    def cut(wide: Array, shift: Array) -> Array:
        return jax.lax.dynamic_slice(wide, (shift[0], shift[1], 0), x.shape[1:])

    bounds = 2 * jnp.asarray(padding) + 1
    return jax.vmap(cut)(wide, jax.random.randint(key, (len(x), 2), 0, bounds))


def cutout(key: Key, x: Array, share: float = 0.5) -> Array:
    """Zeros in a square of `share` of the size, anywhere, also partly outside."""
    height, width = x.shape[1:3]
    centre = jax.random.uniform(key, (2, len(x), 1, 1)) * jnp.asarray([height, width]).reshape(2, 1, 1, 1)
    rows, columns = jnp.mgrid[:height, :width]
    inside = (jnp.abs(rows + 0.5 - centre[0]) < share * height / 2) & (
        jnp.abs(columns + 0.5 - centre[1]) < share * width / 2
    )
    return x * ~inside[..., None]


def diff_augment(*augmentations: Augment) -> Augment:
    """All of them in order; color, translation and cutout where none is given."""
    chosen = augmentations or (color, translation, cutout)

    def augment(key: Key, x: Array) -> Array:
        if x.ndim != 4:
            raise UserError(f"Augmentation is of images [B, H, W, C], not of x with shape {x.shape}.")
        for one, k_one in zip(chosen, jax.random.split(key, len(chosen))):
            x = one(k_one, x)
        return x

    return augment


def _each(key: Key, x: Array, low: float, high: float) -> Array:
    return jax.random.uniform(key, (len(x), 1, 1, 1), x.dtype, low, high)
