"""Two streams of gated residual blocks over several scales that see only what comes before: PixelCNN++'s network.

The vertical stream sees the rows above, the horizontal one those and the places to the left (Salimans et al. 2017,
arXiv:1701.05517, sec. 2.3-2.4). A pass down halves the image once per scale, a pass up doubles it again, and short-cuts
join the two.

Both views use the same parameters. The vertical stream is a function of rows and what it keeps of the row before, so
that all rows are one call, and one row is another. The horizontal stream has a view of one row (what the row above
gives to every place, once per row) and one of a place. A coarser scale moves only with even rows and columns; between,
the place it wrote last is used again. `step` returns what the place has to write, a few numbers; `write` puts them into
the large buffers outside of every `cond`, which would copy them.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.nn.shifted import (
    Double,
    DownRightShifted,
    DownShifted,
    Halve,
    Pair,
    Seen,
    concat_elu,
    down_right_shifted,
    down_shifted,
)

Array = jax.Array
SMALL = nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal")  # the paper's init_scale of 0.1


class Block(nn.Module):
    """x + a * sigmoid(b) in both streams; the vertical one feeds the horizontal, and a condition every gate."""

    features: int
    dropout: float = 0.0
    shortcut: bool = False
    conditional: bool = False

    def setup(self):
        width = self.features
        self.vertical_in = DownShifted(width)
        self.vertical_out = DownShifted(2 * width, kernel_init=SMALL)
        self.horizontal_in = DownRightShifted(2 * width, width)
        self.horizontal_out = DownRightShifted(2 * width, 2 * width, kernel_init=SMALL)
        self.across = nn.Dense(width)
        self.drop = nn.Dropout(self.dropout)
        if self.shortcut:
            self.vertical_short = nn.Dense(width)
            self.horizontal_short = nn.Dense(width)
        if self.conditional:
            self.bias = nn.Dense(4 * width, use_bias=False)

    def __call__(self, x: Pair, short: Pair | None, cond: Array | None, key: Array | None) -> Pair:
        """The streams, those of the short-cut, a condition [B, D], and the key of dropout or None."""
        biases, keys = self._biases(cond), (None, None) if key is None else jax.random.split(key)
        vertical, _ = self._vertical(self.start(x[0]), x[0], short and short[0], biases[0], keys[0])
        hidden = self.horizontal_in(concat_elu(x[1])) + self.across(concat_elu(vertical))
        if short is not None:
            hidden += self.horizontal_short(concat_elu(short[1]))
        gates = self.horizontal_out(self._dropped(concat_elu(hidden), keys[1])) + biases[1]
        return vertical, x[1] + nn.glu(gates)

    def start(self, x: Array) -> Pair:
        """For x [n, H, W, F], both vertical convolutions' inputs in the row above the first: zeros [n, 1, W, 2 F]."""
        zeros = jnp.zeros_like(x, shape=(len(x), 1, x.shape[2], 2 * self.features))
        return zeros, zeros

    def begin_row(self, kept: Pair, row: Array, x: Array, short: Array | None, cond: Array | None):
        """One row of the vertical stream, and what the rows above give to each place of the horizontal one.

        Args:
            kept: see `start`.
            row: the horizontal convolutions' inputs in the row above, [W, n, 4 F].
            x: the vertical stream, [n, 1, W, F].
            short: of the vertical stream, like x.
            cond: [n, D] or None.

        Returns:
            The vertical stream, what to keep of it, and [W, n, 3 F] for `step`.
        """
        biases = self._biases(cond)
        vertical, kept = self._vertical(kept, x, short, biases[0], None)
        first, second = jnp.split(row, 2, axis=-1)
        of_hidden = self.horizontal_in.begin_row(first) + self.across(concat_elu(vertical[:, 0])).swapaxes(0, 1)
        of_gates = self.horizontal_out.begin_row(second) + biases[1][:, 0, 0]
        return vertical, kept, jnp.concatenate([of_hidden, of_gates], axis=-1)

    def step(self, above: Array, left: Array, x: Array, short: Array | None) -> Pair:
        """One place of the horizontal stream.

        Args:
            above: of `begin_row`, [n, 3 F].
            left: the convolutions' inputs at the place to the left, [n, 4 F].
            x: the stream, [n, F].
            short: of the short-cut, like x.

        Returns:
            The stream, and the convolutions' inputs here, [n, 4 F].
        """
        (first, second), inputs = jnp.split(left, 2, axis=-1), concat_elu(x)
        hidden = above[:, : self.features] + self.horizontal_in.step(first, inputs)
        if short is not None:
            hidden += self.horizontal_short(concat_elu(short))
        hidden = concat_elu(hidden)
        gates = above[:, self.features :] + self.horizontal_out.step(second, hidden)
        return x + nn.glu(gates), jnp.concatenate([inputs, hidden], axis=-1)

    @nn.nowrap
    def reach(self, x: Seen, short: Seen | None) -> Seen:
        """What the streams see, given what x and the short-cut see."""
        of_vertical, of_horizontal = short or (False, False)
        vertical = x[0] | down_shifted(down_shifted(x[0]) | of_vertical)
        hidden = down_right_shifted(x[1]) | vertical | of_horizontal
        return vertical, x[1] | down_right_shifted(hidden)

    def _vertical(self, kept: Pair, x: Array, short: Array | None, bias: Array, key: Array | None):
        inputs = concat_elu(x)
        hidden = self.vertical_in(kept[0], inputs)
        if short is not None:
            hidden += self.vertical_short(concat_elu(short))
        hidden = self._dropped(concat_elu(hidden), key)
        gates = self.vertical_out(kept[1], hidden) + bias
        return x + nn.glu(gates), (inputs[:, -1:], hidden[:, -1:])

    def _dropped(self, x: Array, key: Array | None) -> Array:
        return self.drop(x, deterministic=key is None, rng=key)

    def _biases(self, cond: Array | None) -> list[Array]:
        """Of each stream's gates, [B or 1, 1, 1, 2 F]."""
        both = self.bias(cond) if self.conditional else jnp.zeros((1, 4 * self.features), jnp.float32)
        return jnp.split(both[:, None, None], 2, axis=-1)


class StreamsCache(NamedTuple):
    """Where the streams of one scale stand: of L blocks, and of n examples."""

    kept: tuple[Pair, ...]  # L times, see Block.start
    above: Array  # [W, L, n, 3 F], see Block.begin_row
    row: Array  # [W, L, n, 4 F], see Block.step: this row up to here, and from here on the one above
    coarser: "Coarser | None" = None


class Coarser(NamedTuple):
    """Where all coarser scales stand, and what the two scales give each other."""

    vertical: Array  # [n, 1, W, F]: the last row that went down
    horizontal: Array  # [W, n, F]: what went down, like Cache.row
    above: Array  # [W / 2, n, F], see DownRightShifted.begin_row
    vertical_up: Array  # [n, 2, W, F]: both rows that the coarse row has become
    horizontal_up: Array  # [W / 2, n, 4 F]: the four places that each coarse place has become
    cache: StreamsCache


class Place(NamedTuple):
    """What one place has to write, at this scale and all coarser ones; the fields' names are those they go to."""

    row: Array  # [L, n, 4 F]
    coarser: "tuple[Array, Array, Place] | None" = None  # horizontal [n, F], horizontal_up [n, 4 F], the next scale's


class Streams(nn.Module):
    """One scale with all that are coarser."""

    features: int
    blocks: int
    scales: int
    dropout: float = 0.0
    conditional: bool = False

    def setup(self):
        coarsest, settings = self.scales == 1, (self.features, self.dropout)
        self.down = [Block(*settings, False, self.conditional) for _ in range(self.blocks)]
        self.up = [Block(*settings, True, self.conditional) for _ in range(self.blocks + (not coarsest))]
        if not coarsest:
            self.halve = Halve(self.features)
            self.coarser = Streams(self.features, self.blocks, self.scales - 1, self.dropout, self.conditional)
            self.double = Double(self.features)

    def __call__(self, x: Pair, cond: Array | None = None, key: Array | None = None) -> Pair:
        """Both streams [B, H, W, F], a condition [B, D], and the key of dropout (None: without) -> both streams."""
        count = len(self.down) + len(self.up)
        keys = [None] * (count + 1) if key is None else list(jax.random.split(key, count + 1))
        shorts = [x]
        for block in self.down:
            x = block(x, None, cond, keys.pop())
            shorts.append(x)
        x = shorts.pop() if self.scales == 1 else self.double(self.coarser(self.halve(x), cond, keys.pop()))
        for block in self.up:
            x = block(x, shorts.pop(), cond, keys.pop())
        return x

    @nn.nowrap
    def reach(self, x: Seen) -> Seen:
        """What both streams see in the end."""
        block, shorts = Block(1), [x]
        for _ in range(self.blocks):
            x = block.reach(x, None)
            shorts.append(x)
        if self.scales == 1:
            x = shorts.pop()
        else:
            x = Double(1).reach(Streams(1, self.blocks, self.scales - 1).reach(Halve(1).reach(x)))
        for short in reversed(shorts):
            x = block.reach(x, short)
        return x

    def start(self, n: int, columns: int) -> StreamsCache:
        """Before the first row."""
        count, width = len(self.down) + len(self.up), self.features
        vertical = jnp.zeros((n, 1, columns, width))
        kept = tuple(block.start(vertical) for block in (*self.down, *self.up))
        above, row = (jnp.zeros((columns, count, n, times * width)) for times in (3, 4))
        if self.scales == 1:
            return StreamsCache(kept, above, row)
        half = columns // 2
        up = jnp.zeros((n, 2, columns, width)), jnp.zeros((half, n, 4 * width))
        own = vertical, jnp.zeros((columns, n, width)), jnp.zeros((half, n, width))
        return StreamsCache(kept, above, row, Coarser(*own, *up, self.coarser.start(n, half)))

    def begin_row(self, cache: StreamsCache, x: Array, row: Array, cond: Array | None) -> tuple[Array, StreamsCache]:
        """Moves the vertical stream by one row, [n, 1, W, F], and the coarser scales' with every second one."""
        kept, above, shorts = [], [], [x]

        def move(block: Block, x: Array, short: Array | None) -> Array:
            index = len(kept)
            x, keep, give = block.begin_row(cache.kept[index], cache.row[:, index], x, short, cond)
            kept.append(keep)
            above.append(give)
            return x

        for block in self.down:
            x = move(block, x, None)
            shorts.append(x)
        coarser = cache.coarser
        if coarser is None:
            x = shorts.pop()
        else:
            coarser = self._begin_coarser_row(coarser, x, row, cond)
            x = jax.lax.dynamic_index_in_dim(coarser.vertical_up, row % 2, axis=1)
        for block in self.up:
            x = move(block, x, shorts.pop())
        return x, StreamsCache(tuple(kept), jnp.stack(above, axis=1), cache.row, coarser)

    def _begin_coarser_row(self, now: Coarser, x: Array, row: Array, cond: Array | None) -> Coarser:
        def move(self: Streams):
            above = self.halve.horizontal.begin_row(now.horizontal)
            vertical, cache = self.coarser.begin_row(now.cache, self.halve.vertical(now.vertical, x), row // 2, cond)
            return above, self.double.vertical(vertical), cache

        def keep(self: Streams):
            return now.above, now.vertical_up, now.cache

        above, up, cache = nn.cond(row % 2 == 0, move, keep, self)
        return now._replace(vertical=x, above=above, vertical_up=up, cache=cache)

    def step(self, cache: StreamsCache, x: Array, row: Array, column: Array) -> tuple[Array, Place]:
        """Moves the horizontal stream by one place, [n, F]; `write` then writes the place."""
        above, left, inputs, shorts = _at(cache.above, column), _before(cache.row, column), [], [x]

        def move(block: Block, x: Array, short: Array | None) -> Array:
            index = len(inputs)
            x, own = block.step(above[index], left[index], x, short)
            inputs.append(own)
            return x

        for block in self.down:
            x = move(block, x, None)
            shorts.append(x)
        coarser = None
        if cache.coarser is None:
            x = shorts.pop()
        else:
            up, place = self._coarser_step(cache.coarser, x, row, column)
            coarser = (x, up, place)
            x = up.reshape(-1, 2, 2, self.features)[:, row % 2, column % 2]
        for block in self.up:
            x = move(block, x, shorts.pop())
        return x, Place(jnp.stack(inputs), coarser)

    def _coarser_step(self, now: Coarser, x: Array, row: Array, column: Array) -> tuple[Array, Place]:
        half = column // 2
        above, left = _at(now.above, half), _before(now.horizontal, column)
        stored = _at(now.horizontal_up, half), place_at(now.cache, half)

        def move(self: Streams):
            inputs = above + self.halve.horizontal.step(left, x)
            moved, place = self.coarser.step(now.cache, inputs, row // 2, half)
            return self.double.horizontal(moved), place

        return nn.cond((row % 2 == 0) & (column % 2 == 0), move, lambda self: stored, self)


def place_at(cache: StreamsCache, column: Array) -> Place:
    """What is written at a place."""
    now = cache.coarser
    if now is None:
        return Place(_at(cache.row, column))
    half = column // 2
    coarser = _at(now.horizontal, column), _at(now.horizontal_up, half), place_at(now.cache, half)
    return Place(_at(cache.row, column), coarser)


def write(cache: StreamsCache, place: Place, column: Array) -> StreamsCache:
    """The cache with a place written: where a coarser scale has not moved, once more what is there."""
    cache = cache._replace(row=_put(cache.row, place.row, column))
    now = cache.coarser
    if now is None or place.coarser is None:
        return cache
    (own, up, coarse), half = place.coarser, column // 2
    horizontal, horizontal_up = _put(now.horizontal, own, column), _put(now.horizontal_up, up, half)
    below = write(now.cache, coarse, half)
    return cache._replace(coarser=now._replace(horizontal=horizontal, horizontal_up=horizontal_up, cache=below))


def _at(x: Array, index: Array) -> Array:
    return jax.lax.dynamic_index_in_dim(x, index, keepdims=False)


def _before(x: Array, index: Array) -> Array:
    return jnp.where(index == 0, 0, _at(x, jnp.maximum(index - 1, 0)))


def _put(x: Array, value: Array, index: Array) -> Array:
    return jax.lax.dynamic_update_index_in_dim(x, value, index, 0)
