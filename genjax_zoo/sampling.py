"""Ancestral sampling of autoregressive models: one element at a time, each given those before it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Key


def naive(logits_of: Callable[[Array], Array], key: Key, n: int, shape: tuple[int, ...]) -> Array:
    """Draws with one evaluation of the whole network per element.

    Args:
        logits_of: a pure function from elements, int [n, *shape], to the logits of each given those before it in raster
            order, [n, *shape, K].
        key: of the draws.
        n: how many.
        shape: of one.

    Returns:
        int32 [n, *shape] in 0 ... K - 1.
    """
    x = jnp.zeros((n, *shape), jnp.int32)

    def one(index: Array, x: Array) -> Array:
        place = jnp.unravel_index(index, shape)
        logits = logits_of(x)[:, *place]
        return x.at[:, *place].set(jax.random.categorical(jax.random.fold_in(key, index), logits))

    return jax.lax.fori_loop(0, x[0].size, one, x)
