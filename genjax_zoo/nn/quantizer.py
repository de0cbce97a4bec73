"""Vector quantization with a code book that follows its vectors by moving averages.

van den Oord et al. 2017, arXiv:1711.00937, appendix A.1. The state is linear in the batch, so that its mean over
devices is the state of the whole batch. A code that falls out of use restarts at a vector of the batch (Dhariwal et al.
2020, arXiv:2005.00341); which one depends on the count of updates alone, so that all devices agree.
"""

import warnings

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.math import product
from genjax_zoo.math.devices import mapped_axis, mean_over_devices

Array = jax.Array
STATE = "code_book"


class Quantizer(nn.Module):
    """Projects to `features` numbers, then to the nearest of K codes. State: "share" [K] and "total" [K, features]."""

    codes: int  # K
    features: int
    decay: float = 0.99
    restart_below: float = 0.03  # of an even share, 1 / K; 0 never restarts
    exact = True  # distances and codes are, as in bijections; the projection is a network

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> tuple[Array, Array, Array]:
        """Quantizes vectors, and in training moves the codes.

        Args:
            x: [B, h, w, C].
            train: whether the state changes.

        Returns:
            (quantized [B, h, w, features] with the gradient of what it stands for, indices int [B, h, w], the squared
            distance to the codes [B], which draws the vectors to them).
        """
        z = nn.Dense(self.features, name="project")(x)
        flat = jax.lax.stop_gradient(z.reshape(-1, self.features))
        share = self.variable(STATE, "share", lambda: jnp.full(self.codes, 1 / self.codes, z.dtype))
        total = self.variable(STATE, "total", lambda: self._first(flat))
        updates = self.variable(STATE, "updates", lambda: jnp.zeros((), jnp.int32))
        book = total.value / share.value[:, None]
        index = nearest(flat, book)
        if train and not self.is_initializing():
            chosen = jax.nn.one_hot(index, self.codes, dtype=flat.dtype)
            keep = self.decay
            share_now = keep * share.value + (1 - keep) * mean_over_devices(jnp.mean(chosen, axis=0))
            total_now = keep * total.value + (1 - keep) * mean_over_devices(product(chosen.T, flat) / len(flat))
            dead = share_now < self.restart_below / self.codes
            fresh = _anywhere(flat, self.codes, updates.value) / self.codes
            share.value = jnp.where(dead, 1 / self.codes, share_now)
            total.value = jnp.where(dead[:, None], fresh, total_now)
            updates.value = updates.value + 1
        index = index.reshape(z.shape[:-1])
        code = book[index]
        commitment = jnp.sum((z - code) ** 2, axis=(1, 2, 3))
        return straight_through(z, code), index, commitment

    def snap(self, z: Array) -> Array:
        """The code nearest to each vector of z [B, h, w, features], with the gradient of z."""
        book = self.book()
        return straight_through(z, book[nearest(jax.lax.stop_gradient(z), book)])

    def book(self) -> Array:
        """The codes, [K, features]."""
        return self.get_variable(STATE, "total") / self.get_variable(STATE, "share")[:, None]

    def _first(self, flat: Array) -> Array:
        if self.codes > len(flat):
            warnings.warn(
                f"The code book has {self.codes} codes, but a batch only {len(flat)} vectors to fill it with; "
                f"use a larger batch or fewer codes.",
                stacklevel=2,
            )
        apart = jax.random.normal(jax.random.key(1), (self.codes, self.features), flat.dtype)  # no two are equal
        return (_anywhere(flat, self.codes, jnp.zeros((), jnp.int32)) + 1e-3 * apart) / self.codes


def straight_through(x: Array, value: Array) -> Array:
    """`value`, with the gradient of x (Bengio et al. 2013, arXiv:1308.3432)."""
    return x + jax.lax.stop_gradient(value - x)


def nearest(x: Array, book: Array) -> Array:
    """The index of the code nearest to each vector: x [..., D], book [K, D] -> int [...]."""
    return jnp.argmin(jnp.sum(book**2, axis=-1) - 2 * product(x, book.T), axis=-1)


def _anywhere(flat: Array, count: int, updates: Array) -> Array:
    """`count` vectors of the whole batch [N, D], the same on all devices."""
    axis = mapped_axis()
    shards = 1 if axis is None else jax.lax.axis_size(axis)
    shard = 0 if axis is None else jax.lax.axis_index(axis)
    place = jax.random.randint(jax.random.fold_in(jax.random.key(0), updates), (count,), 0, shards * len(flat))
    here = place // len(flat) == shard
    picked = jnp.where(here[:, None], flat[place % len(flat)], 0.0)
    return picked if axis is None else jax.lax.psum(picked, axis)
