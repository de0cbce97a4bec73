"""What becomes of raw examples inside the compiled step: (raw examples [B, ...], a key each [B]) -> examples."""

import math
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from genjax_zoo.data.shuffle import mix
from genjax_zoo.data.support import DENSITY, Support
from genjax_zoo.math import logit as logit_of

Array = jax.Array
Transform = Callable[[Mapping[str, Array], Array], Mapping[str, Array]]


def of_support(transform: Transform, support: Support | None) -> Transform:
    """The transform, which says what a likelihood of its x is of; see `support_of`."""
    if support is not None:
        transform.support = support  # type: ignore[attr-defined]
    return transform


def support_of(transform: Transform) -> Support | None:
    """What a likelihood of a transform's x is of; None of one that does not say."""
    return getattr(transform, "support", None)


def uniform(keys: Array, shape: tuple[int, ...], bits: int = 24) -> Array:
    """Uniform noise of every example, float32 in [0, 1), multiples of 2^-bits.

    A hash of the key and the place of the number, a fifth of the cost of `jax.random.uniform` under vmap on CPU:
    noise for training, not for cryptography.

    Args:
        keys: [B], typed keys.
        shape: of one example's noise.
        bits: at most 24.
    """
    words = jax.random.key_data(keys)  # uint32 [B, 2]
    place = jnp.arange(math.prod(shape), dtype=jnp.uint32) * jnp.uint32(0x9E3779B9)
    hashed = mix(mix(place[None] + words[:, :1]) ^ words[:, 1:])
    return ((hashed >> (32 - bits)).astype(jnp.float32) * 2.0**-bits).reshape(-1, *shape)


def raw(batch: Mapping[str, Array], keys: Array) -> Mapping[str, Array]:
    """Leaves x as it is stored."""
    return batch


def continuous(batch: Mapping[str, Array], keys: Array) -> Mapping[str, Array]:
    """Leaves x as it is stored: real numbers, of which a likelihood is a density."""
    return batch


of_support(continuous, DENSITY)


def bits(batch: Mapping[str, Array], keys: Array) -> Mapping[str, Array]:
    """Leaves x as it is stored: 0 and 1, of which a likelihood is a probability."""
    return batch


of_support(bits, Support(levels=2))


def scale(levels: int = 256) -> Transform:
    """Gives x = k / (levels - 1), in [0, 1]."""

    def transform(batch, keys):
        return {**batch, "x": batch["x"].astype(jnp.float32) / (levels - 1)}

    return of_support(transform, Support(levels=levels))


def binarize(batch: Mapping[str, Array], keys: Array) -> Mapping[str, Array]:
    """Draws x ~ Bernoulli(k / 255)."""
    x = batch["x"]
    bits = uniform(keys, x.shape[1:]) * 255 < x.astype(jnp.float32)
    return {**batch, "x": bits.astype(jnp.float32)}


of_support(binarize, Support(levels=2))


def dequantize(batch: Mapping[str, Array], keys: Array) -> Mapping[str, Array]:
    """Gives x = (k + u) / 256 with u ~ U[0, 1), in [0, 1); exact in float32, so floor(256 x) is k."""
    x = batch["x"]
    return {**batch, "x": (x.astype(jnp.float32) + uniform(keys, x.shape[1:], bits=16)) / 256}


of_support(dequantize, Support(levels=256, noisy=True))


def logit(alpha: float) -> Transform:
    """Gives x = log p - log(1 - p) of p = alpha + (1 - 2 alpha) (k + u) / 256."""

    def transform(batch, keys):
        batch = dequantize(batch, keys)
        return {**batch, "x": logit_of(batch["x"], alpha)[0]}

    return of_support(transform, DENSITY)


def flipped(transform: Transform) -> Transform:
    """The same, after a left-right flip of every second image [H, W, C], by chance."""

    def flip(batch, keys):
        turn = uniform(jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys), (1, 1, 1), bits=1) > 0
        return transform({**batch, "x": jnp.where(turn, batch["x"][:, :, ::-1], batch["x"])}, keys)

    flip.plain = transform  # type: ignore[attr-defined]
    return of_support(flip, support_of(transform))


def shifted(transform: Transform, by: tuple[int, ...], fill: int = 0) -> Transform:
    """The same, after a shift of every example by chance, of up to `by` along its first axes, both ways.

    Args:
        transform: what follows.
        by: of x [B, *axes, ...], one for each of the first axes.
        fill: the raw value that comes in from outside, such as 128, the mu-law code of silence.
    """

    def shift(batch, keys):
        x, axes = batch["x"], range(len(by))
        u = uniform(jax.vmap(lambda key: jax.random.fold_in(key, 2))(keys), (len(by),))
        start = jnp.floor(u * (2 * jnp.asarray(by) + 1)).astype(jnp.int32)  # [B, axes]
        wide = jnp.pad(
            x, ((0, 0), *((n, n) for n in by), *((0, 0) for _ in x.shape[1 + len(by) :])), constant_values=fill
        )
        for axis in axes:
            index = start[:, axis, None] + jnp.arange(x.shape[1 + axis])
            index = index.reshape(len(x), *(-1 if a == axis else 1 for a in range(x.ndim - 1)))
            wide = jnp.take_along_axis(wide, index, axis=1 + axis)
        return transform({**batch, "x": wide}, keys)

    shift.plain = transform  # type: ignore[attr-defined]
    return of_support(shift, support_of(transform))
