"""NADE: neural autoregressive distribution estimator of bits (Larochelle & Murray 2011).

p(x_i = 1 | x_0 ... x_{i - 1}) = sigmoid(b_i + V_i . sigmoid(c + sum_{j < i} W_j x_j)), with W and V [D, H].

All at once, the D hidden layers [B, H] are computed in sqrt(D) blocks, each from the sum before it and thrown away
until the gradient asks for it: B sqrt(D) H numbers are held, not B D H, in sqrt(D) steps, not D.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.errors import UserError
from genjax_zoo.math import Shape
from genjax_zoo.models.autoregressive.autoregressive import autoregressive
from genjax_zoo.nn import NO_CONDITIONS, Conditions, with_classes


class NADECache(NamedTuple):
    """Where NADE stands."""

    sums: Array  # [n, H], c + sum_{j < i} W_j x_j


class NADE(nn.Module):
    """Logits (0, l) of every bit given those before it; int bits [B, 1, D, 1] in, [B, 1, D, 1, 2] out."""

    dimensions: int  # D
    hidden: int = 500  # H
    conditional: bool = False

    def setup(self):
        shape, by_row = (self.dimensions, self.hidden), nn.initializers.lecun_normal(in_axis=-1, out_axis=-2)
        self.inward = self.param("inward", nn.linear.default_kernel_init, shape, jnp.float32)  # W
        self.outward = self.param("outward", by_row, shape, jnp.float32)  # V
        self.hidden_bias = self.param("hidden_bias", nn.initializers.zeros, (self.hidden,), jnp.float32)  # c
        self.bias = self.param("bias", nn.initializers.zeros, (self.dimensions,), jnp.float32)  # b
        if self.conditional:
            self.of_condition = nn.Dense(self.hidden, use_bias=False)  # adds to c

    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """All at once."""
        size = math.isqrt(self.dimensions - 1) + 1
        blocks = -(-self.dimensions // size)
        before = comes_before(size).astype(self.inward.dtype)

        def split(a: Array) -> Array:
            """[D, ...] -> [blocks, size, ...], filled up with zeros."""
            filled = jnp.pad(a, [(0, blocks * size - len(a))] + [(0, 0)] * (a.ndim - 1))
            return filled.reshape(blocks, size, *a.shape[1:])

        @jax.checkpoint
        def block(sums: Array, of_block: tuple[Array, ...]) -> tuple[Array, Array]:
            bits, inward, outward, bias = of_block  # [size, B], [size, H], [size, H], [size]
            seen = (bits.T[:, None] * before).reshape(-1, size) @ inward  # one matmul for all sums of the block
            hidden = nn.sigmoid(sums[:, None] + seen.reshape(-1, size, self.hidden))
            return sums + bits.T @ inward, jnp.einsum("bih,ih->ib", hidden, outward) + bias[:, None]

        bits = x.reshape(len(x), -1).T.astype(self.inward.dtype)
        parts = (split(bits), split(self.inward), split(self.outward), split(self.bias))
        _, logits = jax.lax.scan(block, self._start(x, cond), parts)
        return _of_bit(logits.reshape(-1, len(x))[: self.dimensions].T)[:, None, :, None]

    def start(self, n: int, columns: int, cond: Array | None = None) -> NADECache:
        """Before the first bit."""
        return NADECache(self._start(jnp.zeros(n), cond))

    def begin_row(self, cache: NADECache, above: Array, row: Array) -> NADECache:
        """There is one row."""
        return cache

    def step(self, cache: NADECache, previous: Array, row: Array, column: Array) -> tuple[Array, NADECache]:
        """Adds the bit before, int [n, 1]; l of this one, [n]."""
        sums = cache.sums + jnp.where(column == 0, 0, previous) * self.inward[column - 1]
        return nn.sigmoid(sums) @ self.outward[column] + self.bias[column], NADECache(sums)

    def choices(self, h: Array, x: Array, channel: int) -> Array:
        """Logits [n, 2]."""
        return _of_bit(h)

    def _start(self, like: Array, cond: Array | None) -> Array:
        """C, and what a condition [n, C] adds to it: [n, H], as `like` [n, ...] in what it is sharded by."""
        wide = jnp.promote_types(self.inward.dtype, jnp.float32)  # sums of many
        bias = jnp.zeros_like(like, shape=(len(like), self.hidden), dtype=wide) + self.hidden_bias
        return bias + self.of_condition(cond) if self.conditional else bias


@factory("Larochelle & Murray 2011")
def nade(*, shape: Shape, hidden: int = 500, classes: int = 0, conditions: Conditions = NO_CONDITIONS) -> Model:
    """NADE over bits in raster order.

    Term: "nll" (nats). Network: "network".

    Args:
        shape: the shape of x, any.
        hidden: hidden units, H.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.

    Raises:
        UserError: no hidden unit.
    """
    if hidden < 1:
        raise UserError(f"NADE needs one hidden unit or more, not {hidden}.")
    dimensions, given = math.prod(shape), with_classes(conditions, classes)
    network = NADE(dimensions, hidden, conditional=bool(given))
    return autoregressive(network, shape=shape, levels=2, grid=(1, dimensions, 1), conditions=given)


def comes_before(size: int) -> Array:
    """[i, j], 1 where x_j comes before x_i."""
    return jnp.tri(size, k=-1)


def _of_bit(logit: Array) -> Array:
    """The logits (0, l) of bits, [...] -> [..., 2]."""
    return jnp.stack([jnp.zeros_like(logit), logit], axis=-1)
