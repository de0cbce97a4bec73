"""Lossless compression by any autoregressive model: what a likelihood claims, in bytes.

    codes = compress(model, variables, {"x": x})
    x = decompress(model, variables, codes)

A range coder (constriction) spends -log2 p(x_i | those before) bits on each number, so the bytes of an example are its
nll but for one machine word. Both ways step through the cached view by the same compiled programs on batches of one
size, so that every probability is equal bit for bit; decoding wants the machine and the versions that encoded.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import (
    NO_CONDITION,
    Array,
    Batch,
    Conditionals,
    Model,
    Of,
    Variables,
    compiled,
    conditions,
    require,
)
from genjax_zoo.errors import UserError
from genjax_zoo.inference.sampling import levels_of, values_of
from genjax_zoo.math import no_levels

ChooseOnHost = Callable[[int, np.ndarray], np.ndarray]  # (index in raster order, p [size, K]) -> levels [size]
WORD = 4  # bytes that the coder writes at once


def compress(model: Model, variables: Variables, batch: Batch, *, size: int = 256) -> list[bytes]:
    """The bytes of every example, given its conditions.

    Args:
        model: has `conditionals`.
        variables: its own.
        batch: x [N, ...] and the model's conditions.
        size: examples coded side by side; decoding needs the same.

    Raises:
        UserError: a model without `conditionals`, a size below 1, or an x that is none of the model's levels.
    """
    views = require(model, Conditionals)
    codes = []
    if no_levels(batch["x"], views.levels).size:
        raise UserError(
            f"The codec takes the {views.levels} levels k / {views.levels - 1} of this model; round x to them first."
        )
    for part, count in _parts(batch, size):
        levels = np.asarray(levels_of(views, part["x"])).reshape(size, -1)
        seen: list[np.ndarray] = []

        def choose(index: int, p: np.ndarray, seen: list = seen, levels: np.ndarray = levels) -> np.ndarray:
            seen.append(p)
            return levels[:, index]

        _go_through(views, variables, size, conditions(part), choose)
        p = np.stack(seen, axis=1)  # [size, D, K]
        codes += [_encoded(levels[example], p[example]) for example in range(count)]
    return codes


def decompress(
    model: Model, variables: Variables, codes: Sequence[bytes], cond: Batch = NO_CONDITION, *, size: int = 256
) -> Array:
    """What `compress` was given: x [N, ...].

    Args:
        model: that compressed.
        variables: its own, bit for bit.
        codes: of N examples, in the order in which they were compressed.
        cond: their conditions.
        size: as in `compress`.

    Raises:
        UserError: a model without `conditionals`, a size below 1, bytes that are no whole words, or bytes that no
            example of this model has.
    """
    from constriction import stream  # type: ignore[reportAttributeAccessIssue]  # a native module

    views = require(model, Conditionals)
    family, found = stream.model.Categorical(perfect=False), []
    if any(len(code) % WORD for code in codes):
        raise UserError(f"A code has a whole number of words of {WORD} bytes; these bytes are no codes.")
    words = [np.frombuffer(code, "<u4").astype(np.uint32) for code in codes]
    for part, count in _parts({"index": jnp.arange(len(codes)), **cond}, size):
        decoders = [stream.queue.RangeDecoder(words[int(index)]) for index in part["index"][:count]]
        levels = np.zeros((size, int(np.prod(views.grid))), np.int32)
        seen: list[np.ndarray] = []

        def choose(
            index: int, p: np.ndarray, seen: list = seen, decoders: list = decoders, levels: np.ndarray = levels
        ) -> np.ndarray:
            seen.append(p)
            for example, decoder in enumerate(decoders):
                levels[example, index] = decoder.decode(family, p[example : example + 1])[0]
            levels[len(decoders) :, index] = levels[len(decoders) - 1, index]  # the padding repeats the last example
            return levels[:, index]

        try:
            _go_through(views, variables, size, {name: part[name] for name in cond}, choose)
        except AssertionError as error:
            raise UserError(f"These bytes are no code of this model: {error}.") from None
        p = np.stack(seen, axis=1)  # [size, D, K]
        given = (codes[int(index)] for index in part["index"][:count])
        if any(code != _encoded(*one) for code, *one in zip(given, levels, p)):  # the decoder overlooks a word more
            raise UserError("These bytes are no code of this model: some are left over when all is decoded.")
        found.append(levels[:count])
    return values_of(model, jnp.asarray(np.concatenate(found)).reshape(len(codes), *views.grid))


def _encoded(levels: np.ndarray, p: np.ndarray) -> bytes:
    """The bytes of one example: levels [D] of probabilities [D, K]."""
    from constriction import stream  # type: ignore[reportAttributeAccessIssue]  # a native module

    encoder = stream.queue.RangeEncoder()
    encoder.encode(levels.astype(np.int32), stream.model.Categorical(perfect=False), p)
    return encoder.get_compressed().astype("<u4").tobytes()


def _parts(batch: Batch, size: int) -> Iterator[tuple[Batch, int]]:
    """The batch in parts of one size, the last filled with its last example; and how many count."""
    if size < 1:
        raise UserError(f"The codec's size must be 1 or more, not {size}.")
    total = len(next(iter(batch.values())))
    for start in range(0, total, size):
        index = jnp.minimum(jnp.arange(start, start + size), total - 1)
        yield {name: value[index] for name, value in batch.items()}, min(size, total - start)


def _go_through(views: Conditionals, variables: Variables, n: int, cond: Batch, choose: ChooseOnHost) -> None:
    """The cached view, place after place, with every number chosen on the host."""
    rows, columns, channels = views.grid
    begin_row, step, probabilities = _programs(views)
    cache, _ = views.start(variables, n, cond)
    above = jnp.zeros((n, columns, channels), jnp.int32)
    for row in range(rows):
        cache, previous, places = begin_row(variables, cache, above, row), above[:, -1], []
        for column in range(columns):
            h, cache = step(variables, cache, previous, row, column)
            levels = np.zeros((n, channels), np.int32)
            for channel in range(channels):
                index = (row * columns + column) * channels + channel
                levels[:, channel] = choose(index, np.asarray(probabilities(variables, h, levels, channel)))
            previous = jnp.asarray(levels)
            places.append(levels)
        above = jnp.asarray(np.stack(places, axis=1))


@compiled
def _programs(views: Conditionals) -> tuple[Any, Any, Any]:
    def probabilities(variables: Variables, h: Any, levels: Array, channel: int) -> Array:
        return jax.nn.softmax(views.choices(variables, h, levels, channel)[0].astype(jnp.float32))

    def value(run: Of[Any]) -> Any:
        return jax.jit(lambda *args: run(*args)[0])

    return value(views.begin_row), value(views.step), jax.jit(probabilities, static_argnums=3)
