"""A new run that begins with the networks of another: after a divergence, or to fine-tune."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from genjax_zoo.core import FROZEN, Array, TrainState
from genjax_zoo.errors import UserError
from genjax_zoo.train.digest import by_name, shapes


def begin_from(state: TrainState, saved: Mapping[str, Array], *, keep_optimizer: bool = False) -> TrainState:
    """A state before its first step, with another run's networks; it may have more of them. What is frozen stays.

    Args:
        state: gives the key, and says which networks there are.
        saved: the other run's leaves by name, from `Checkpoints.read`.
        keep_optimizer: takes the optimizers' state as well, with the steps that they have counted.

    Raises:
        UserError: a leaf is missing, or of another shape.
    """
    parts = {"variables", "ema", *(["opt_state", "updates"] if keep_optimizer else [])}
    taken = []
    for (name, leaf), shape in zip(by_name(state).items(), shapes(state).values()):
        part, _, rest = name.partition("/")
        part = FROZEN if part == "variables" and rest.startswith(f"{FROZEN}/") else part  # this run's own
        found = leaf if part not in parts else saved.get(name)
        if found is None and part == "ema":  # the other run keeps no averages
            found = saved.get(f"variables/params/{rest}")
        if found is None or part in parts and found.shape != shape:
            there = "not" if found is None else found.shape
            raise UserError(
                f"'{name}' is {there} in it, and {shape} here; name a run of the same networks"
                f"{' and optimizers, or leave --keep-optimizer out' if keep_optimizer else ''}."
            )
        taken.append(jnp.asarray(found, leaf.dtype) if part in parts else leaf)
    return jax.tree.unflatten(jax.tree.structure(state), taken)
