"""A shuffled order without a shuffle: any position's index in constant time, with no memory.

A Feistel network permutes 0 ... 2^bits - 1; walking its cycles until the value is below n makes it a permutation of
0 ... n - 1. Drawing a fresh order each epoch by `jax.random.permutation` would sort the whole set at every step.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

ROUNDS = 6
BLOCK = 2**15


def shuffled(position: jax.Array, epoch: Any, seed: Any, n: int) -> jax.Array:
    """The index at `position` of the order of `epoch`.

    Args:
        position: int [...], each in 0 ... n - 1.
        epoch: int [], or of the shape of position.
        seed: the data's seed; its lowest 32 bits count.
        n: the number of examples.

    Returns:
        int32 of the shape of position; over all positions every index occurs exactly once.
    """
    permute = _permutation(jnp.broadcast_to(_salt(jnp, epoch, seed), position.shape), n)
    first = permute(position.astype(jnp.uint32))
    return jax.lax.while_loop(lambda x: jnp.any(x >= n), lambda x: jnp.where(x >= n, permute(x), x), first).astype(
        jnp.int32
    )


def shuffled_on_host(position: np.ndarray, epoch: int, seed: int, n: int) -> np.ndarray:
    """The same order as `shuffled`, by NumPy alone: worker processes need no JAX.

    Computed for a block of positions at once and kept, as NumPy takes half a millisecond for a few positions.
    """
    block = np.asarray(position) // BLOCK
    index = np.empty(block.shape, np.int64)
    for b in np.unique(block):
        index[block == b] = _block(int(b), int(epoch), seed, n)[position[block == b] % BLOCK]
    return index


@functools.lru_cache(maxsize=8)
def _block(block: int, epoch: int, seed: int, n: int) -> np.ndarray:
    position = np.arange(block * BLOCK, min((block + 1) * BLOCK, n), dtype=np.uint32)
    permute = _permutation(np.broadcast_to(_salt(np, epoch, seed), position.shape), n)
    x = permute(position)
    while (outside := x >= n).any():
        x = np.where(outside, permute(x), x)
    return x


def _salt(xp: Any, epoch: Any, seed: Any) -> Any:
    word = xp.asarray(np.uint32(seed & 0xFFFFFFFF) if isinstance(seed, int) else seed).astype(xp.uint32).reshape(-1)
    salt = mix(word + mix(xp.asarray(epoch).astype(xp.uint32).reshape(-1) + np.uint32(0x9E3779B9)))
    return salt if xp.ndim(epoch) else salt[0]


def _permutation(salt: Any, n: int) -> Callable[[Any], Any]:
    """A permutation of 0 ... 2^bits - 1, with the least bits that hold n."""
    bits = max((n - 1).bit_length(), 2)
    low = bits // 2
    high = bits - low

    def permute(x: Any) -> Any:
        left, right = x >> low, x & np.uint32((1 << low) - 1)
        for r in range(ROUNDS):  # each round is undone by itself, so their chain is a permutation
            if r % 2:
                left = left ^ (mix(right + salt + np.uint32(r)) & np.uint32((1 << high) - 1))
            else:
                right = right ^ (mix(left + salt + np.uint32(r)) & np.uint32((1 << low) - 1))
        return (left << low) | right

    return permute


def mix(x: Any) -> Any:
    """The finalizer of MurmurHash3, on arrays of uint32: every bit of the input changes every bit of the output."""
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
