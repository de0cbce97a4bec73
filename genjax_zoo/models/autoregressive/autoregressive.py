"""What all autoregressive models over levels share: the root module, and the factory that turns a network into one.

A network has two views of the same parameters (see core.Conditionals); x comes as int levels [B, rows, columns,
channels], all conditions as one vector [B, D] of one-hots, or None:

    __call__(x, cond)                     logits [B, rows, columns, channels, K]
    start(n, columns, cond)               cache
    begin_row(cache, above, row)          cache
    step(cache, previous, row, column)    (features of the place, cache)
    choices(features, x, channel)         logits [n, K]

A network whose attribute `dropout` is above 0 is trained as __call__(x, cond, key).
"""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Conditionals, Key, Model, PyTree, Terms, Variables
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.math import Likelihood, categorical, level_of
from genjax_zoo.sampling import sampled

Shape = tuple[int, ...]
LABEL = jax.ShapeDtypeStruct((), jnp.int32)


class Autoregressive(nn.Module):
    """Network "network"."""

    grid: tuple[int, int, int]  # rows, columns, channels
    levels: int  # K
    likelihood: Likelihood  # of levels given logits [..., channels * K]
    network: Any
    conditions: Mapping[str, int]  # name -> how many classes it has
    formulas = {"nll": "-sum_i log p(x_i | x_1, ..., x_{i-1})"}

    def __call__(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        return self.nll(batch, key, train)

    def nll(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        """Minus the log of the product of all conditionals, nats [B]; a batch's "length" is how many places count."""
        logits, channels = self._whole(batch, key if train else None), self.grid[2]
        places = self.likelihood.nll(logits.reshape(-1, channels * self.levels), batch["x"].reshape(-1, channels))
        places = places.reshape(len(batch["x"]), -1)
        if "length" in batch:  # what follows is padding
            places = jnp.where(jnp.arange(places.shape[1]) < batch["length"][:, None], places, 0)
        return {"nll": jnp.sum(places, axis=1)}

    def logits(self, batch: Batch, train: bool = False) -> Array:
        """Of every number given those before it, [B, *grid, K]."""
        return self._whole(batch, None)

    def start(self, n: int, cond: Batch, train: bool = False) -> PyTree:
        """The network's cache before the first row."""
        return self.network.start(n, self.grid[1], self._given(cond))

    def begin_row(self, cache: PyTree, above: Array, row: Array, train: bool = False) -> PyTree:
        """Takes in the row above, levels [n, columns, channels]."""
        return self.network.begin_row(cache, above, row)

    def step(self, cache: PyTree, previous: Array, row: Array, column: Array, train: bool = False):
        """Takes in the place before, levels [n, channels]: features of this place, and the cache."""
        return self.network.step(cache, previous, row, column)

    def choices(self, h: PyTree, x: Array, channel: int, train: bool = False) -> Array:
        """Logits [n, K] of one channel, given the place's features and the channels before."""
        return self.network.choices(h, x, channel)

    def _whole(self, batch: Batch, key: Key | None) -> Array:
        noise = {"key": key} if key is not None and getattr(self.network, "dropout", 0.0) else {}
        return self.network(*self._inputs(batch), **noise)

    def _inputs(self, batch: Batch) -> tuple[Array, Array | None]:
        return _levels(batch["x"], self.levels, self.grid), self._given(batch)

    def _given(self, cond: Batch) -> Array | None:
        each = [jax.nn.one_hot(cond[name], classes, dtype=jnp.float32) for name, classes in self.conditions.items()]
        return jnp.concatenate(each, axis=-1) if each else None


def autoregressive(
    network: nn.Module,
    *,
    shape: Shape,
    levels: int,
    grid: tuple[int, int, int] | None = None,
    classes: int = 0,
    conditions: Mapping[str, int] | None = None,
    root: type[Autoregressive] = Autoregressive,
) -> Model:
    """The model of a network over `levels` levels of every number of x.

    Args:
        network: two views, see above.
        shape: of x.
        levels: K; x is k / (levels - 1).
        grid: rows, columns and channels that the network sees x as; None is the shape of an image [H, W, C].
        classes: of a label that the model is given, or 0.
        conditions: name -> classes of every condition, where it is more than a label.
        root: a class of its own, for a network that has more than the protocol.

    Raises:
        ValueError: fewer than two levels, or a shape that is no image and no grid for it.
    """
    if levels < 2:
        raise ValueError(f"A model over levels needs two or more, not {levels}.")
    if grid is None and len(shape) != 3:
        raise ValueError(f"This model is of images [H, W, C], not of x of shape {shape}.")
    rows, columns, channels = grid or shape
    given = conditions or ({"label": classes} if classes else {})
    module = root((rows, columns, channels), levels, categorical(levels), network, given)
    return sampled(from_linen(module, {**image_spec(shape), **{name: LABEL for name in given}}, classes=given))


def network_views(network: Any, grid: tuple[int, int, int], levels: int) -> Conditionals:
    """The views of a network on its own, for one that is part of another model."""

    def view(method: str):
        return lambda variables, *args: network.apply(variables, *args, method=method)

    def start(variables: Variables, n: int, cond: Batch) -> PyTree:
        return network.apply(variables, n, grid[1], method="start")

    return Conditionals(
        grid=grid,
        levels=levels,
        logits=lambda variables, batch: network.apply(variables, _levels(batch["x"], levels, grid)),
        start=start,
        **{name: view(name) for name in ("begin_row", "step", "choices")},
    )


def _levels(x: Array, levels: int, grid: tuple[int, int, int]) -> Array:
    return level_of(x, levels).reshape(-1, *grid)
