"""Many runs of one experiment as one program: seeds and numbers are a mapped axis, which devices share out.

Member i is the run that `train` would make with its seed and numbers. The step is common to all, so that a player's
turn is taken or skipped by all at once, and data that all have in common are gathered once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax_zoo.core import Array, Batch, Data, Experiment, TrainState
from genjax_zoo.train.parallel import MEMBERS
from genjax_zoo.train.step import Metrics, create_state, make_step

Make = Callable[..., Experiment]  # of the swept numbers, each traced []
AXES = TrainState(step=None, key=0, variables=0, ema=0, opt_state=0)  # type: ignore[arg-type]  # what vmap maps over


def create_states(
    make: Make, numbers: Mapping[str, Array], seeds: Sequence[int], data: Sequence[Data], mesh: Mesh
) -> TrainState:
    """The members' states before the first step, stacked.

    Args:
        make: builds an experiment from one member's numbers.
        numbers: name -> [members].
        seeds: of each member.
        data: of each member, or one that all share.
        mesh: from `member_mesh`.

    Raises:
        ValueError: a number decides shapes or branches of the program.
    """

    def one(numbers: Mapping[str, Array], key: Array, batch: Any) -> TrainState:
        experiment = make(**numbers)
        return create_state(experiment.model, experiment.players, key, batch)

    keys = jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32))
    batches, axis = _together([d.at(0) for d in data])
    mapped = jax.vmap(one, in_axes=(0, 0, axis), out_axes=AXES)
    try:
        return jax.jit(mapped, out_shardings=_placed(mesh))(numbers, keys, batches)
    except (jax.errors.JAXTypeError, TypeError) as error:
        if not numbers:
            raise
        names = ", ".join(f"--{name.replace('_', '-')}" for name in numbers)
        raise ValueError(
            f"{names}: a swept number must not decide the shapes or branches of a program, and one of these does; "
            f"run 'train' once for each of its values."
        ) from error


def sweep_program(make: Make, experiment: Experiment, mesh: Mesh) -> Callable[..., tuple[TrainState, Metrics]]:
    """The compiled steps of all members.

    Args:
        make: builds an experiment from one member's numbers.
        experiment: any member's.
        mesh: from `member_mesh`.

    Returns:
        (numbers, states, sources, steps) -> (states, metrics [steps, members]). The sources are the members' resident
        data, or one that all share; or what the host has read for all, stacked as [steps, B]. The states are donated.
    """

    def turn(numbers: Mapping[str, Array], state: TrainState, batch: Any) -> tuple[TrainState, Metrics]:
        return make_step(make(**numbers).players)(state, batch)

    def run(numbers: Mapping[str, Array], states: TrainState, sources: Any, steps: int):
        resident = isinstance(sources, tuple)

        def one(states: TrainState, raw: Any) -> tuple[TrainState, Metrics]:
            whole = [s.at(states.step) for s in sources] if resident else [experiment.data.finish(raw, states.step)]
            batch, axis = _together(whole)
            return jax.vmap(turn, in_axes=(0, AXES, axis), out_axes=(AXES, 0))(numbers, states, batch)

        return jax.lax.scan(one, states, None if resident else sources, length=steps)

    shardings = (_placed(mesh), NamedSharding(mesh, P(None, MEMBERS)))
    return jax.jit(run, static_argnums=3, donate_argnums=1, out_shardings=shardings)


def member(states: TrainState, index: int) -> TrainState:
    """One member's state, as a run of its own has it."""
    return jax.tree.map(lambda x: x[index], states._replace(step=()))._replace(step=states.step)


def stacked(states: Sequence[TrainState], mesh: Mesh) -> TrainState:
    """Members' states as one, to go on with."""
    whole = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(state._replace(step=()) for state in states))
    return jax.device_put(whole._replace(step=states[0].step), _placed(mesh))


def _placed(mesh: Mesh) -> Any:
    """The members' parts on their devices; the step, which all have in common, everywhere."""
    return jax.tree.map(lambda axis: NamedSharding(mesh, P() if axis is None else P(MEMBERS)), AXES, is_leaf=_is_none)


def _is_none(axis: Any) -> bool:
    return axis is None


def _together(batches: Sequence[Batch]) -> tuple[Batch, int | None]:
    """The members' batches with the axis to map over: stacked, or one that all share, and no axis."""
    if len(batches) == 1:
        return batches[0], None
    return jax.tree.map(lambda *parts: jnp.stack(parts), *batches), 0
