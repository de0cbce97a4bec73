"""A model's case: tiny, with its players and a batch; and what laws do to its parameters."""

import dataclasses
import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax_zoo.core import Batch, Model, Player, PyTree, TrainState, behaviour
from genjax_zoo.train.step import create_state, owned


@behaviour
class Case:
    """A tiny model with its players, and a batch for it."""

    model: Model
    players: Mapping[str, Player]
    batch: Batch

    @functools.cached_property
    def state(self) -> TrainState:
        """The state before the first step."""
        return create_state(self.model, self.players, jax.random.key(0), self.batch)

    @functools.cached_property
    def recorded(self) -> Mapping[str, Player]:
        """The players, whose optimizers keep their last gradients: one compiled turn serves several laws."""
        return {n: dataclasses.replace(p, tx=optax.chain(_record, p.tx)) for n, p in self.players.items()}

    @functools.cached_property
    def recorded_state(self) -> TrainState:
        """The state of the recorded players before the first step."""
        params = self.state.variables["params"]
        mine = {n: {of: params[of] for of in owned(p, self.state.variables)} for n, p in self.recorded.items()}
        return self.state._replace(opt_state={n: p.tx.init(mine[n]) for n, p in self.recorded.items()})


_record = optax.GradientTransformation(
    lambda params: jax.tree.map(jnp.zeros_like, params), lambda updates, state, params=None: (updates, updates)
)


def double_precision(tree: PyTree) -> PyTree:
    """The same tree in float64, for use under jax.enable_x64."""
    arrays = jax.tree.map(np.asarray, tree)
    return jax.tree.map(lambda x: jnp.asarray(x.astype(np.float64) if x.dtype.kind == "f" else x), arrays)


def randomised(variables: PyTree, seed: int = 0, scale: float = 0.3) -> PyTree:
    """The variables with noise added to every parameter: zero-initialised biases have hidden real bugs."""
    random = np.random.Generator(np.random.PCG64(seed))  # NumPy's, which compiles nothing for each new shape

    def noisy(x: jax.Array) -> jax.Array:
        return jnp.asarray(np.asarray(x) + scale * random.normal(size=x.shape).astype(x.dtype))

    return {**variables, "params": jax.tree.map(noisy, variables["params"])}
