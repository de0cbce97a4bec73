"""What all autoregressive models over levels share: the root module, and the factory that turns a network into one.

A network has two views of the same parameters (see core.Conditionals); x comes as int levels [B, rows, columns,
channels]; all conditions as one vector [B, D], see nn.conditions, or None:

    __call__(x, cond)                     logits [B, rows, columns, channels, K]
    start(n, columns, cond)               cache
    begin_row(cache, above, row)          cache
    step(cache, previous, row, column)    (features of the place, cache)
    choices(features, x, channel)         logits [n, K]

A network that drops units out is trained as __call__(x, cond, key).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import NO_CONDITION, Array, Batch, Conditionals, Key, Model, PyTree, Terms, Variables, require
from genjax_zoo.errors import UserError
from genjax_zoo.inference.sampling import with_sampler
from genjax_zoo.linen import from_linen, image_spec, pure
from genjax_zoo.math import Likelihood, Shape, categorical, level_of
from genjax_zoo.nn import NO_CONDITIONS, Conditions, classes_of, condition_spec, embed_conditions


class Autoregressive(nn.Module):
    """Network "network"."""

    grid: tuple[int, int, int]  # rows, columns, channels
    levels: int  # K
    likelihood: Likelihood  # of levels given logits [..., channels * K]
    network: Any
    conditions: Conditions
    drops_out: bool = False  # takes a key in training
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
        return self.network.start(n, self.grid[1], embed_conditions(cond, self.conditions))

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
        noise = {"key": key} if key is not None and self.drops_out else {}
        return self.network(*self._inputs(batch), **noise)

    def _inputs(self, batch: Batch) -> tuple[Array, Array | None]:
        return _levels(batch["x"], self.levels, self.grid), embed_conditions(batch, self.conditions)


def autoregressive(
    network: nn.Module,
    *,
    shape: Shape,
    levels: int,
    grid: tuple[int, int, int] | None = None,
    conditions: Conditions = NO_CONDITIONS,
    sees: Callable[[int, int], np.ndarray] | None = None,
    drops_out: bool = False,
    root: type[Autoregressive] = Autoregressive,
) -> Model:
    """The model of a network over `levels` levels of every number of x.

    Args:
        network: two views, see above.
        shape: of x.
        levels: K; x is k / (levels - 1).
        grid: rows, columns and channels that the network sees x as; None is the shape of an image [H, W, C].
        conditions: what the model is given, see nn.conditions.
        sees: of (rows, columns), which numbers each depends on, see core.Conditionals; None is all before it.
        drops_out: whether the network takes a key in training.
        root: a class of its own, for a network that has more than the protocol.

    Raises:
        UserError: fewer than two levels, or a shape that is no image and no grid for it.
    """
    if levels < 2:
        raise UserError(f"A model over levels needs two or more, not {levels}.")
    if grid is None and len(shape) != 3:
        raise UserError(f"This model is of images [H, W, C], not of x of shape {shape}.")
    rows, columns, channels = grid or shape
    module = root((rows, columns, channels), levels, categorical(levels), network, conditions, drops_out)
    spec = {**image_spec(shape), **condition_spec(conditions)}
    model = from_linen(module, spec, classes=classes_of(conditions))
    views = dataclasses.replace(require(model, Conditionals), sees=sees and sees(rows, columns))
    return with_sampler(dataclasses.replace(model, conditionals=views))


def network_views(network: Any, grid: tuple[int, int, int], levels: int) -> Conditionals:
    """The views of a network on its own, without conditions, for one that is part of another model."""
    kind = type(network)
    whole, begin = pure(network, kind.__call__), pure(network, kind.start)

    def logits(variables: Variables, batch: Batch, *, train: bool = False) -> tuple[Array, Variables]:
        return whole(variables, _levels(batch["x"], levels, grid))

    def start(variables: Variables, n: int, cond: Batch = NO_CONDITION, *, train: bool = False):
        return begin(variables, n, grid[1])

    return Conditionals(
        grid=grid,
        levels=levels,
        logits=logits,
        start=start,
        begin_row=pure(network, kind.begin_row),
        step=pure(network, kind.step),
        choices=pure(network, kind.choices),
    )


def _levels(x: Array, levels: int, grid: tuple[int, int, int]) -> Array:
    return level_of(x, levels).reshape(-1, *grid)
