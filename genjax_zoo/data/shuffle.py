"""A shuffled order without a shuffle: any position's index in constant time, with no memory.

A Feistel network permutes 0 ... 2^bits - 1; walking its cycles until the value is below n makes it a permutation of
0 ... n - 1. Drawing a fresh order each epoch by `jax.random.permutation` would sort the whole set at every step.
"""

from typing import Any

import jax
import jax.numpy as jnp

ROUNDS = 6


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
    bits = max((n - 1).bit_length(), 2)
    low = bits // 2
    high = bits - low
    salt = _mix(_word(seed) + _mix(jnp.asarray(epoch).astype(jnp.uint32) + jnp.uint32(0x9E3779B9)))
    salt = jnp.broadcast_to(salt, position.shape)

    def permute(x: jax.Array) -> jax.Array:
        left, right = x >> low, x & jnp.uint32((1 << low) - 1)
        for r in range(ROUNDS):  # each round is undone by itself, so their chain is a permutation
            if r % 2:
                left = left ^ (_mix(right + salt + jnp.uint32(r)) & jnp.uint32((1 << high) - 1))
            else:
                right = right ^ (_mix(left + salt + jnp.uint32(r)) & jnp.uint32((1 << low) - 1))
        return (left << low) | right

    def outside(x: jax.Array) -> jax.Array:
        return jnp.any(x >= n)

    first = permute(position.astype(jnp.uint32))
    return jax.lax.while_loop(outside, lambda x: jnp.where(x >= n, permute(x), x), first).astype(jnp.int32)


def _word(seed: Any) -> jax.Array:
    return jnp.uint32(seed & 0xFFFFFFFF) if isinstance(seed, int) else seed.astype(jnp.uint32)


def _mix(x: jax.Array) -> jax.Array:
    """The finalizer of MurmurHash3: every bit of the input changes every bit of the output."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
