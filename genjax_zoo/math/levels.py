"""Numbers that come in levels: level k of K is x = k / (K - 1)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def level_of(x: jax.Array, levels: int) -> jax.Array:
    """The nearest level of x in [0, 1], int32 of the same shape."""
    return jnp.round(x * (levels - 1)).astype(jnp.int32)


def no_levels(x: Any, levels: int) -> np.ndarray:
    """Those values of x that are no level, to a thousandth of a level; float [count]."""
    x = np.asarray(x)
    level = x * (levels - 1)
    near = np.abs(level - np.round(level)) <= 1e-3  # false of NaN
    return x[~(near & (level >= -1e-3) & (level <= levels - 1 + 1e-3))]
