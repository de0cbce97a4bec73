"""ImageGPT: a causal transformer over the numbers of an image in raster order (Chen et al. 2020).

GPT-2's pre-norm blocks and learned positions. The token at place i is the number before i, so that attention to places
0 ... i sees x_0 ... x_{i - 1}; at place 0 there is none, and the position's own vector is the start token.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Key, Model, factory
from genjax_zoo.errors import UserError
from genjax_zoo.math import Shape
from genjax_zoo.models.autoregressive.autoregressive import autoregressive
from genjax_zoo.nn import NO_CONDITIONS, Conditions, with_classes

QUERIES = 128  # attended from at once: a block of queries never meets the keys after it, which halves the work
SMALL = nn.initializers.normal(0.02)  # GPT-2's


class AttentionCache(NamedTuple):
    """Keys and values of every layer, written place after place, and the condition's vector."""

    keys: list[Array]  # of every layer, [n, heads, D, head]
    values: list[Array]
    given: Array | None  # [n, F]


def may_see(queries: Array, keys: Array) -> Array:
    """Bool [Q, S]: places attend to themselves, whose token is the number before, and to those before."""
    return keys <= queries[:, None]


def attend(q: Array, k: Array, v: Array, allowed: Array) -> Array:
    """Softmax attention in float32 or wider: [B, heads, Q, head], [B, heads, S, head] twice, bool [Q, S] -> as q."""
    wide = jnp.promote_types(q.dtype, jnp.float32)
    logits = jnp.einsum("bhqd,bhsd->bhqs", q, k, preferred_element_type=wide) / math.sqrt(q.shape[-1])
    weights = jax.nn.softmax(jnp.where(allowed, logits, jnp.finfo(wide).min), axis=-1)
    return jnp.einsum("bhqs,bhsd->bhqd", weights.astype(v.dtype), v)


def causal_attention(q: Array, k: Array, v: Array) -> Array:
    """Attention of every place to itself and those before; the gradient computes the weights [Q, S] again."""
    places, out = jnp.arange(q.shape[2]), []
    for begin in range(0, len(places), QUERIES):
        end = min(begin + QUERIES, len(places))
        allowed = may_see(places[begin:end], places[:end])
        out.append(jax.checkpoint(attend)(q[:, :, begin:end], k[:, :, :end], v[:, :, :end], allowed))
    return jnp.concatenate(out, axis=2)


def write(kept: Array, new: Array, place: Array) -> Array:
    """Writes [n, heads, head] at one place of [n, heads, D, head]."""
    return jax.lax.dynamic_update_slice_in_dim(kept, new[:, :, None].astype(kept.dtype), place, axis=2)


class Block(nn.Module):
    """Attention and an MLP, each on the layer norm of what it is added to."""

    features: int  # F
    heads: int
    depth: int  # blocks in all, for the scale of the residual sums
    dropout: float = 0.0

    def setup(self):
        last = nn.initializers.variance_scaling(0.5 / self.depth, "fan_in", "truncated_normal")
        self.norm_attention = nn.LayerNorm()
        self.project = nn.Dense(3 * self.features, use_bias=False)
        self.merge = nn.Dense(self.features, kernel_init=last)
        self.norm_mlp = nn.LayerNorm()
        self.drop = nn.Dropout(self.dropout)
        self.up = nn.Dense(4 * self.features)
        self.down = nn.Dense(self.features, kernel_init=last)

    def __call__(self, h: Array, key: Key | None = None) -> Array:
        """[B, D, F] -> the same."""
        k_attention, k_mlp = (None, None) if key is None else jax.random.split(key)
        q, k, v = (part.swapaxes(1, 2) for part in self._by_head(h))  # [B, heads, D, head]
        seen = causal_attention(q, k, v).swapaxes(1, 2).reshape(h.shape)
        h = h + self.drop(self.merge(seen), deterministic=key is None, rng=k_attention)
        return h + self.drop(self._mlp(h), deterministic=key is None, rng=k_mlp)

    def step(self, h: Array, keys: Array, values: Array, place: Array) -> tuple[Array, Array, Array]:
        """One place [n, F], with the keys and values of those before; both with this place's."""
        q, k, v = self._by_head(h)  # [n, heads, head]
        keys, values = write(keys, k, place), write(values, v, place)
        seen = attend(q[:, :, None], keys, values, may_see(place[None], jnp.arange(keys.shape[2])))
        h = h + self.merge(seen.reshape(h.shape))
        return h + self._mlp(h), keys, values

    def _by_head(self, h: Array) -> tuple[Array, Array, Array]:
        """Queries, keys and values [..., heads, head]."""
        parts = self.project(self.norm_attention(h)).reshape(*h.shape[:-1], 3, self.heads, -1)
        return parts[..., 0, :, :], parts[..., 1, :, :], parts[..., 2, :, :]

    def _mlp(self, h: Array) -> Array:
        return self.down(nn.gelu(self.up(self.norm_mlp(h))))


class ImageGPT(nn.Module):
    """Logits of every level given those before it; int levels [B, 1, D, 1] in, [B, 1, D, 1, K] out."""

    dimensions: int  # D
    levels: int  # K
    features: int = 64  # F
    layers: int = 8
    heads: int = 2
    conditional: bool = False
    dropout: float = 0.0

    def setup(self):
        self.embed = nn.Dense(self.features, use_bias=False, kernel_init=SMALL)
        self.positions = self.param("positions", SMALL, (self.dimensions, self.features), jnp.float32)
        self.blocks = [Block(self.features, self.heads, self.layers, self.dropout) for _ in range(self.layers)]
        self.norm = nn.LayerNorm()
        self.drop = nn.Dropout(self.dropout)
        self.head = nn.Dense(self.levels)
        if self.conditional:
            self.of_condition = nn.Dense(self.features, use_bias=False, kernel_init=SMALL)  # added to every token

    def __call__(self, x: Array, cond: Array | None = None, key: Key | None = None) -> Array:
        """All at once; a key drops units out."""
        tokens = self._embedded(x.reshape(len(x), -1)[:, :-1])
        h = jnp.pad(tokens, ((0, 0), (1, 0), (0, 0))) + self.positions
        if self.conditional:
            h = h + self.of_condition(cond)[:, None]
        keys = [None] * (1 + self.layers) if key is None else list(jax.random.split(key, 1 + self.layers))
        h = self.drop(h, deterministic=key is None, rng=keys[0])
        for block, k_block in zip(self.blocks, keys[1:]):
            h = block(h, k_block)
        return self._logits(h)[:, None, :, None]

    def start(self, n: int, columns: int, cond: Array | None = None) -> AttentionCache:
        """Before the first number."""
        shape = (n, self.heads, self.dimensions, self.features // self.heads)
        empty = [jnp.zeros(shape, self.positions.dtype) for _ in self.blocks]
        return AttentionCache(empty, empty, self.of_condition(cond) if self.conditional else None)

    def begin_row(self, cache: AttentionCache, above: Array, row: Array) -> AttentionCache:
        """There is one row."""
        return cache

    def step(self, cache: AttentionCache, previous: Array, row: Array, column: Array) -> tuple[Array, AttentionCache]:
        """The token of the number before, int [n, 1], through all blocks; features [n, F]."""
        h = jnp.where(column == 0, 0, self._embedded(previous[:, 0])) + self.positions[column]
        if cache.given is not None:
            h = h + cache.given
        keys, values = list(cache.keys), list(cache.values)
        for index, block in enumerate(self.blocks):
            h, keys[index], values[index] = block.step(h, keys[index], values[index], column)
        return h, cache._replace(keys=keys, values=values)

    def choices(self, h: Array, x: Array, channel: int) -> Array:
        """Logits [n, K]."""
        return self._logits(h)

    def _embedded(self, x: Array) -> Array:
        """A vector for every level; a matmul, as a gather's gradient is slow on CPU."""
        return self.embed(jax.nn.one_hot(x, self.levels, dtype=self.positions.dtype))

    def _logits(self, h: Array) -> Array:
        return self.head(self.norm(h))


@factory("Chen et al. 2020")
def image_gpt(
    *,
    shape: Shape,
    levels: int = 2,
    features: int = 64,
    layers: int = 8,
    heads: int = 2,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
    dropout: float = 0.0,
) -> Model:
    """ImageGPT over levels in raster order, channels innermost.

    Term: "nll" (nats). Network: "network".

    Args:
        shape: the shape of x, any.
        levels: grey levels of every number, K; 2 for binary images.
        features: numbers of every token.
        layers: transformer blocks.
        heads: attention heads, which share the features.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.
        dropout: the share of features dropped in training, of the embedding and of what each block adds.

    Raises:
        UserError: fewer than two levels, heads that do not divide the features, or a dropout outside [0, 1).
    """
    if heads < 1 or features % heads:
        raise UserError(f"The heads share the features evenly: {heads} heads do not divide {features} features.")
    if not 0 <= dropout < 1:
        raise UserError(f"A dropout is in [0, 1), not {dropout}.")
    dimensions, given = math.prod(shape), with_classes(conditions, classes)
    network = ImageGPT(dimensions, levels, features, layers, heads, bool(given), dropout)
    return autoregressive(
        network, shape=shape, levels=levels, grid=(1, dimensions, 1), conditions=given, drops_out=dropout > 0
    )
