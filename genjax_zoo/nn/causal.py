"""Convolutions that see only what comes before, in raster order: the gated PixelCNN's two stacks.

A vertical stack sees all rows above, a horizontal one the pixels to the left; together they see every pixel before, and
no later one (van den Oord et al. 2016, arXiv:1606.05328). Causality comes from padding and shifting, not from masks.

Every network here has two views of the same parameters: `__call__` is all pixels at once; `start`, `begin_row` and
`step` go from pixel to pixel. The vertical stack moves once per row, by one row of every layer; the horizontal stack
once per pixel, by one pixel of every layer.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.nn.image import Conv

Array = jax.Array


def shift_down(x: Array) -> Array:
    """Row i becomes row i + 1, the first row zero: [B, H, W, C]."""
    return jnp.pad(x, ((0, 0), (1, 0), (0, 0), (0, 0)))[:, :-1]


def shift_right(x: Array) -> Array:
    """Column j becomes column j + 1, the first column zero: [B, H, W, C]."""
    return jnp.pad(x, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]


def gate(x: Array) -> Array:
    """tanh(a) * sigmoid(b) of the two halves of the last axis."""
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.tanh(a) * nn.sigmoid(b)


class Embedding(nn.Module):
    """Levels int [..., C] as features [..., F]: of binary and grey values linear in them, or a vector for each code."""

    levels: int
    features: int
    ordered: bool = True  # neighbouring levels are alike

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """[..., C] -> [..., F]."""
        if self.ordered:
            return nn.Dense(self.features, name="linear")(2 * x / (self.levels - 1) - 1)
        table = nn.Embed(self.levels * x.shape[-1], self.features, name="table")
        return table(x + self.levels * jnp.arange(x.shape[-1])).sum(-2)


class ChannelHead(nn.Module):
    """Logits of the channels of a pixel, one after another, each given the pixel's features and the channels before."""

    channels: int
    levels: int
    features: int

    def setup(self):
        self.hidden = nn.Dense(self.features)
        self.logits = [nn.Dense(self.levels) for _ in range(self.channels)]
        self.before = [Embedding(self.levels, self.features) for _ in range(self.channels - 1)]

    def __call__(self, h: Array, x: Array) -> Array:
        """Features [..., F] and levels int [..., C] -> logits [..., C, K]."""
        return jnp.stack([self.choices(h, x, channel) for channel in range(self.channels)], axis=-2)

    def choices(self, h: Array, x: Array, channel: int) -> Array:
        """Of one channel, [..., K]; of x only the channels before are read."""
        hidden = self.hidden(nn.relu(h))
        if channel:
            hidden = hidden + self.before[channel - 1](x[..., :channel])
        return self.logits[channel](nn.relu(hidden))


class Above(NamedTuple):
    """What a layer keeps of the rows above: the vertical stack's last inputs, and its word to the row below."""

    inputs: Array  # [n, size // 2, W, C]
    across: Array  # [W, n, 2 F]


class GatedLayer(nn.Module):
    """One layer of both stacks; tanh(a) * sigmoid(b) in each, and the vertical feeds the horizontal."""

    features: int
    size: int = 3  # of the kernel, odd
    residual: bool = True
    conditional: bool = False

    def setup(self):
        reach, double = self.size // 2, 2 * self.features
        none = ((0, 0), (0, 0))
        self.vertical = Conv(double, (reach + 1, self.size), none)
        self.horizontal = Conv(double, (1, reach + 1), none)
        self.across = nn.Dense(double)
        self.out = nn.Dense(self.features)
        if self.conditional:
            self.bias = nn.Dense(2 * double, use_bias=False)

    def __call__(self, vertical: Array, horizontal: Array, cond: Array | None = None) -> tuple[Array, Array]:
        """Both [B, H, W, C], seeing rows <= i and columns <= j of what they are given -> the same, with `features`."""
        reach = self.size // 2
        of_vertical, of_horizontal = (b[:, None, None] for b in self.biases(cond, len(vertical)))
        down = self.vertical(jnp.pad(vertical, ((0, 0), (reach, 0), (reach, reach), (0, 0))))
        left = self.horizontal(jnp.pad(horizontal, ((0, 0), (0, 0), (reach, 0), (0, 0))))
        across = self.across(shift_down(down)) + of_horizontal
        return gate(down + of_vertical), self._seen(left + across, horizontal)

    def biases(self, cond: Array | None, n: int) -> tuple[Array, Array]:
        """What a condition [n, D] adds to the two stacks' gates, each [n, 2 F]."""
        if not self.conditional:
            none = jnp.zeros((n, 2 * self.features))
            return none, none
        first, second = jnp.split(self.bias(cond), 2, axis=-1)
        return first, second

    def start(self, channels: int, columns: int, n: int) -> Above:
        """Nothing above, for inputs of so many channels."""
        reach = self.size // 2
        return Above(jnp.zeros((n, reach, columns, channels)), jnp.zeros((columns, n, 2 * self.features)))

    def begin_row(self, above: Above, row_above: Array, biases: Any, is_first: Array) -> tuple[Above, Array]:
        """Takes in the vertical stack's row above [n, W, C], and gives its own [n, W, F]; zeros where there is none."""
        reach = self.size // 2
        rows = jnp.concatenate([above.inputs, row_above[:, None]], axis=1)
        down = self.vertical(jnp.pad(rows, ((0, 0), (0, 0), (reach, reach), (0, 0))))[:, 0]
        down = jnp.where(is_first, 0, down)
        across = self.across(down) + biases[1][:, None]
        own = jnp.where(is_first, 0, gate(down + biases[0][:, None]))
        return Above(rows[:, 1:], across.swapaxes(0, 1)), own

    def step(self, above: Above, left: Array, horizontal: Array, column: Array) -> tuple[Array, Array]:
        """One pixel [n, C], with the layer's inputs to its left [n, size // 2, C] -> both moved on."""
        window = jnp.concatenate([left, horizontal[:, None]], axis=1)
        seen = self.horizontal(window[:, None])[:, 0, 0] + above.across[column]
        return window[:, 1:], self._seen(seen, horizontal)

    def _seen(self, gates: Array, horizontal: Array) -> Array:
        seen = self.out(gate(gates))
        return (horizontal + seen) if self.residual else seen


class GatedCache(NamedTuple):
    """Where the gated PixelCNN stands."""

    above: list[Above]  # per layer
    left: list[Array]  # per layer, [n, size // 2, C]
    biases: list[Any]  # per layer: the condition's


class GatedPixelCNN(nn.Module):
    """Logits of every level given those before it; int levels [B, H, W, C] in, [B, H, W, C, K] out."""

    levels: int  # K
    channels: int = 1
    features: int = 64
    layers: int = 6
    size: int = 5  # of the first layer's kernel
    ordered: bool = False  # see Embedding
    conditional: bool = False

    def setup(self):
        self.embed = Embedding(self.levels, self.features, self.ordered)
        rest = [GatedLayer(self.features, conditional=self.conditional) for _ in range(self.layers - 1)]
        self.stack = [GatedLayer(self.features, self.size, residual=False, conditional=self.conditional), *rest]
        self.head = ChannelHead(self.channels, self.levels, self.features)

    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """All at once."""
        vertical = self.embed(x)
        horizontal = shift_right(vertical)
        for layer in self.stack:
            vertical, horizontal = layer(vertical, horizontal, cond)
        return self.head(horizontal, x)

    def start(self, n: int, columns: int, cond: Array | None = None) -> GatedCache:
        """Before the first row."""
        above = [layer.start(self.features, columns, n) for layer in self.stack]
        left = [jnp.zeros((n, layer.size // 2, self.features)) for layer in self.stack]
        return GatedCache(above, left, [layer.biases(cond, n) for layer in self.stack])

    def begin_row(self, cache: GatedCache, above: Array, row: Array) -> GatedCache:
        """Moves the vertical stack past the row above, int [n, W, C]."""
        is_first = row == 0
        vertical = jnp.where(is_first, 0, self.embed(above))
        moved = []
        for layer, state, biases in zip(self.stack, cache.above, cache.biases):
            state, vertical = layer.begin_row(state, vertical, biases, is_first)
            moved.append(state)
        return cache._replace(above=moved, left=[jnp.zeros_like(x) for x in cache.left])

    def step(self, cache: GatedCache, previous: Array, row: Array, column: Array) -> tuple[Array, GatedCache]:
        """Moves the horizontal stack past the pixel before, int [n, C]; features [n, F]."""
        horizontal = jnp.where(column == 0, 0, self.embed(previous))
        moved = []
        for layer, above, left in zip(self.stack, cache.above, cache.left):
            left, horizontal = layer.step(above, left, horizontal, column)
            moved.append(left)
        return horizontal, cache._replace(left=moved)

    def choices(self, h: Array, x: Array, channel: int) -> Array:
        """Logits [n, K] of one channel of a pixel."""
        return self.head.choices(h, x, channel)
