"""A model's case: tiny, with its players and a batch; and what laws do to its parameters."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax_zoo.core import Batch, Key, Model, Player, PyTree, TermFn, TrainState, behaviour
from genjax_zoo.train.step import create_state, make_step, owned_networks


@behaviour
class Case:
    """A tiny model with its players, and a batch for it."""

    model: Model
    players: Mapping[str, Player]
    batch: Batch

    @functools.cached_property
    def recorded(self) -> Mapping[str, Player]:
        """The players, whose optimizers keep their last gradients: one compiled turn serves several laws."""
        return {n: dataclasses.replace(p, tx=optax.chain(_record, p.tx)) for n, p in self.players.items()}

    @functools.cached_property
    def _states(self) -> tuple[TrainState, TrainState]:
        def create(key: Key, batch: Batch) -> tuple[TrainState, TrainState]:
            state = create_state(self.model, self.players, key, batch)
            params = state.variables["params"]
            mine = {n: {of: params[of] for of in owned_networks(p, state.variables)} for n, p in self.recorded.items()}
            return state, state._replace(opt_state={n: p.tx.init(mine[n]) for n, p in self.recorded.items()})

        return jax.jit(create)(jax.random.key(0), self.batch)  # one program, where it would be one per shape

    @property
    def state(self) -> TrainState:
        """The state before the first step."""
        return self._states[0]

    @property
    def recorded_state(self) -> TrainState:
        """The state of the recorded players before the first step."""
        return self._states[1]

    @functools.cached_property
    def turns(self) -> Mapping[str, Callable[..., Any]]:
        """Each recorded player's turn as a program of its own, (state, batch) -> (state, metrics)."""
        return {name: jax.jit(make_step({name: player})) for name, player in self.recorded.items()}

    @functools.cached_property
    def probes(self) -> Mapping[str, Callable[..., Any]]:
        """Each player's terms in training and in evaluation, by one program that serves several laws.

        (variables, batch, key) -> {train: (terms, variables)}.
        """

        def both(terms: TermFn) -> Callable[..., Any]:
            return jax.jit(lambda v, batch, key: {train: terms(v, batch, key, train=train) for train in (True, False)})

        return {name: both(player.terms) for name, player in self.players.items()}


_record = optax.GradientTransformation(
    lambda params: jax.tree.map(jnp.zeros_like, params), lambda updates, state, params=None: (updates, updates)
)


def double_precision(tree: PyTree) -> PyTree:
    """The same tree in float64, for use under jax.enable_x64."""
    arrays = jax.tree.map(np.asarray, tree)
    return jax.tree.map(lambda x: jnp.asarray(x.astype(np.float64) if x.dtype.kind == "f" else x), arrays)


def randomise(variables: PyTree, seed: int = 0, scale: float = 0.3) -> PyTree:
    """The variables with noise added to every parameter: zero-initialised biases have hidden real bugs."""
    random = np.random.Generator(np.random.PCG64(seed))  # NumPy's, which compiles nothing for each new shape

    def noisy(x: jax.Array) -> jax.Array:
        return jnp.asarray(np.asarray(x) + scale * random.normal(size=x.shape).astype(x.dtype))

    return {**variables, "params": jax.tree.map(noisy, variables["params"])}
