"""What PixelCNN and PixelRNN share: masked convolutions, and a residual stack from pixels to logits.

Mask A hides a pixel from itself, mask B does not (van den Oord et al. 2016, arXiv:1601.06759, sec. 3.4). A masked
kernel is two: one of the rows above, one of the row itself; what is masked is never multiplied. Channels of a pixel are
conditioned on one another in the head, where the paper masks groups of features.

A layer of the stack has two views of the same parameters, and says what they see:

    __call__(x, cond)              [B, H, W, F] -> the same
    start(columns, n, cond)        state, before the first row
    begin_row(state, is_first)     state, when all pixels of the row above were visited
    step(state, x, column)         one pixel [n, F] -> (the same, state)
    reach(seen)                    which pixels its outputs see, given those that its inputs see, bool [H, W, P]
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.nn.causal import ChannelHead, shift_right
from genjax_zoo.nn.image import Conv

Array = jax.Array
NONE = ((0, 0), (0, 0))


def move(seen: np.ndarray, down: int, right: int) -> np.ndarray:
    """The map [H, W, P] moved down and right, with nothing where it came from."""
    height, width = seen.shape[:2]
    out = np.zeros_like(seen)
    if down < height and abs(right) < width:
        out[down:, max(0, right) : width + min(0, right)] = seen[
            : height - down, max(0, -right) : width - max(0, right)
        ]
    return out


def write_pixel(row: Array, value: Array, column: Array) -> Array:
    """The row [W, n, C] with one of its pixels replaced, in place inside a loop."""
    return jax.lax.dynamic_update_index_in_dim(row, value, column, axis=0)


class MaskedState(NamedTuple):
    """What a masked convolution knows when it comes to a pixel."""

    rows: Array  # [n, size // 2 - 1, W, C], its inputs in the rows before the one above
    above: Array  # [W, n, F], what all rows above add to this row's outputs
    left: Array  # its inputs to the left of this pixel


class MaskedConv(nn.Module):
    """A convolution that sees `size // 2` rows above, and as many pixels to the left in its own row."""

    features: int
    size: int = 3  # odd, 3 or more
    sees_self: bool = True  # mask B; mask A where not

    def setup(self):
        reach = self.size // 2
        self.above = Conv(self.features, (reach, self.size), NONE, use_bias=False)
        self.left = Conv(self.features, (1, reach + self.sees_self), NONE)

    def __call__(self, x: Array) -> Array:
        """[B, H, W, C] -> [B, H, W, F]."""
        reach = self.size // 2
        above = self.above(jnp.pad(x, ((0, 0), (reach, 0), (reach, reach), (0, 0)))[:, :-1])
        own = x if self.sees_self else shift_right(x)
        return above + self.left(jnp.pad(own, ((0, 0), (0, 0), (self._remembered, 0), (0, 0))))

    def start(self, channels: int, columns: int, n: int) -> MaskedState:
        """Nothing above, for inputs of so many channels."""
        rows = jnp.zeros((n, self.size // 2 - 1, columns, channels))
        left = jnp.zeros((n, self._remembered, channels))
        return MaskedState(rows, jnp.zeros((columns, n, self.features)), left)

    def begin_row(self, state: MaskedState, row_above: Array) -> MaskedState:
        """Takes in the inputs of the row above [n, W, C], zeros where there is none."""
        reach = self.size // 2
        rows = jnp.concatenate([state.rows, row_above[:, None]], axis=1)
        above = self.above(jnp.pad(rows, ((0, 0), (0, 0), (reach, reach), (0, 0))))[:, 0]
        return MaskedState(rows[:, 1:], above.swapaxes(0, 1), jnp.zeros_like(state.left))

    def step(self, state: MaskedState, x: Array, column: Array) -> tuple[Array, MaskedState]:
        """Takes in one pixel [n, C], with mask A the one before -> outputs [n, F]."""
        window = jnp.concatenate([state.left, x[:, None]], axis=1)
        out = self.left(window[:, None])[:, 0, 0] + state.above[column]
        return out, state._replace(left=window[:, 1:])

    @nn.nowrap
    def reach(self, seen: np.ndarray) -> np.ndarray:
        """See the module's docstring."""
        reach, out = self.size // 2, seen & self.sees_self
        for right in range(1, reach + 1):
            out = out | move(seen, 0, right)
        for down in range(1, reach + 1):
            for right in range(-reach, reach + 1):
                out = out | move(seen, down, right)
        return out

    @property
    def _remembered(self) -> int:
        return self.size // 2 - 1 + self.sees_self


class PixelCache(NamedTuple):
    """Where a pixel network stands."""

    first: MaskedState
    stack: list[Any]  # per layer, its state


class PixelNetwork(nn.Module):
    """Logits of every level given those before it; int levels [B, H, W, C] in, [B, H, W, C, K] out."""

    levels: int  # K
    channels: int
    features: int  # of the maps between layers, 2 h in the paper
    size: int  # of the first kernel, with mask A
    stack: tuple[Any, ...]  # of layers, see above
    head_features: int

    def setup(self):
        self.first = MaskedConv(self.features, self.size, sees_self=False)
        self.head = ChannelHead(self.channels, self.levels, self.head_features)

    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """All at once."""
        h = self.first(self._scaled(x))
        for layer in self.stack:
            h = layer(h, cond)
        return self.head(h, x)

    def start(self, n: int, columns: int, cond: Array | None = None) -> PixelCache:
        """Before the first row."""
        first = self.first.start(self.channels, columns, n)
        return PixelCache(first, [layer.start(columns, n, cond) for layer in self.stack])

    def begin_row(self, cache: PixelCache, above: Array, row: Array) -> PixelCache:
        """Moves every layer past the row above, int [n, W, C]."""
        is_first = row == 0
        first = self.first.begin_row(cache.first, jnp.where(is_first, 0, self._scaled(above)))
        return PixelCache(first, [layer.begin_row(state, is_first) for layer, state in zip(self.stack, cache.stack)])

    def step(self, cache: PixelCache, previous: Array, row: Array, column: Array) -> tuple[Array, PixelCache]:
        """Moves every layer past the pixel before, int [n, C]; features [n, F]."""
        h, first = self.first.step(cache.first, jnp.where(column == 0, 0, self._scaled(previous)), column)
        stack = []
        for layer, state in zip(self.stack, cache.stack):
            h, state = layer.step(state, h, column)
            stack.append(state)
        return h, PixelCache(first, stack)

    def choices(self, h: Array, x: Array, channel: int) -> Array:
        """Logits [n, K] of one channel of a pixel."""
        return self.head.choices(h, x, channel)

    @nn.nowrap
    def sees(self, rows: int, columns: int) -> np.ndarray:
        """Which numbers each depends on, by the kernels' reach; bool [D, D] in raster order, as core.Conditionals."""
        count = rows * columns
        seen = MaskedConv(1, self.size, sees_self=False).reach(np.eye(count, dtype=bool).reshape(rows, columns, count))
        for layer in self.stack:
            seen = layer.reach(seen)
        pixels, one = seen.reshape(count, count), np.ones((self.channels, self.channels), bool)
        return np.kron(pixels, one) | np.kron(np.eye(count, dtype=bool), np.tril(one, -1))

    def _scaled(self, x: Array) -> Array:
        """Levels in [-1, 1], where outside the image is 0."""
        return 2 * x / (self.levels - 1) - 1
