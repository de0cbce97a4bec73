"""A split as evaluations look at it: every example once, or some as the split has them."""

import dataclasses
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np

from genjax_zoo.core import Array, Batch, Data, Key

_Sums = TypeVar("_Sums")  # a pytree of numbers or arrays


def whole(data: Data) -> Data:
    """The same examples as they are, each once and in order.

    Training reshuffles them, leaves out the last that fill no batch, and flips or shifts some.
    """
    if not (getattr(data, "train", False) and dataclasses.is_dataclass(data)):
        return data
    transform: Any = data.transform  # type: ignore[attr-defined]
    while (plain := getattr(transform, "plain", None)) is not None:
        transform = plain
    return dataclasses.replace(data, train=False, transform=transform)  # type: ignore[return-value]


def size(data: Data) -> int:
    """How many examples a split has, without those that pad."""
    return int((data.batches - 1) * data.batch_size + np.sum(data.mask(data.batches - 1)))


def walk(data: Data, key: Key) -> Iterator[tuple[Batch, Array, Key]]:
    """Each batch of a split, with its mask, float [B], 0 where an example only pads, and a key of its own."""
    data = whole(data)
    for step in range(data.batches):
        yield data.at(step), data.mask(step), jax.random.fold_in(key, step)


def add_up(data: Data, key: Key, function: Callable[[Batch, Array, Key], _Sums]) -> _Sums:
    """The sum over a split's batches of what a function (batch, mask, key) gives, a pytree of numbers or arrays."""
    sums: _Sums | None = None
    for batch, mask, k_batch in walk(data, key):
        here = function(batch, mask, k_batch)
        sums = here if sums is None else jax.tree.map(operator.add, sums, here)
    assert sums is not None  # a split has a batch
    return sums


def collect(data: Data, key: Key, function: Callable[[Batch, Key], Any]) -> Any:
    """What a function (batch, key) gives of every example of a split, on the host: a pytree of [N, ...]."""
    parts = []
    for batch, mask, k_batch in walk(data, key):
        own = np.asarray(mask) == 1
        parts.append(jax.tree.map(lambda x, own=own: np.asarray(x)[own], function(batch, k_batch)))
    return jax.tree.map(lambda *some: np.concatenate(some), *parts)


def some_of(data: Data, n: int, entries: Iterable[str], seed: int = 0) -> dict[str, np.ndarray]:
    """Entries of n examples in random order, none twice before all were there once: {name: [n, ...]}."""
    data, random = whole(data), np.random.Generator(np.random.PCG64(seed))
    entries, count = tuple(entries), size(data)
    order = np.concatenate([random.permutation(count) for _ in range(-(-n // count))])[:n]
    steps, places = np.divmod(order, data.batch_size)
    found: dict[str, np.ndarray] = {}
    for step in np.unique(steps) if entries else ():
        batch, here = data.at(int(step)), steps == step
        for name in entries:
            value = np.asarray(batch[name])
            found.setdefault(name, np.empty((n, *value.shape[1:]), value.dtype))[here] = value[places[here]]
    return found
