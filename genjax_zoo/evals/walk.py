"""A split as evaluations look at it: every example once, or some as the split has them."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from genjax_zoo.core import Batch, Data


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


def walked(data: Data, function: Callable[[Batch], Any]) -> Any:
    """What a function gives of every example of a split, on the host: a pytree of [N, ...]."""
    parts, data = [], whole(data)
    for step in range(data.batches):
        own = np.asarray(data.mask(step)) == 1
        parts.append(jax.tree.map(lambda x, own=own: np.asarray(x)[own], function(data.at(step))))
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
