"""Many runs of one experiment as one program: seeds and numbers are a mapped axis, which devices share out.

Member i is the run that `train` makes of its experiment: in which numbers the members differ is found in what they do,
see `merged`. The step is common to all, and data that all have in common are gathered once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax_zoo.core import Array, Batch, Data, Experiment, PyTree, TrainState
from genjax_zoo.train.merged import Unalike, merged, same
from genjax_zoo.train.parallel import MEMBERS
from genjax_zoo.train.step import Metrics, create_state, make_step

AXES = TrainState(step=None, key=0, variables=0, ema=0, opt_state=0, updates=0)  # type: ignore[arg-type]  # what vmap maps over
IN_FINISH = {"transform", "origin"}  # fields of data that the host does not read by


def create_states(experiments: Sequence[Experiment], mesh: Mesh) -> TrainState:
    """The members' states before the first step, stacked.

    Args:
        experiments: of each member.
        mesh: from `member_mesh`.

    Raises:
        Unalike: they differ in more than numbers.
    """

    def start(experiment: Experiment) -> Callable[..., TrainState]:
        return lambda key, batch: create_state(experiment.model, experiment.players, key, batch)

    kinds, index = _kinds(experiments)
    keys = jnp.stack([jax.random.key(e.seed) for e in experiments])
    batches = [e.data.at(0) for e in kinds]
    one, numbers = _merged([start(e) for e in kinds], [(keys[0], batch) for batch in batches], index)
    batch, axes = _shared([batches[i] for i in index])
    mapped = jax.vmap(one, in_axes=(0, 0, axes), out_axes=AXES)
    return jax.jit(mapped, out_shardings=_placed(mesh))(numbers, keys, batch)


def sweep_program(
    experiments: Sequence[Experiment], states: TrainState, mesh: Mesh
) -> Callable[..., tuple[TrainState, Metrics]]:
    """The compiled steps of all members.

    Args:
        experiments: of each member.
        states: from `create_states`; only their shapes matter.
        mesh: from `member_mesh`.

    Returns:
        (states, read, steps) -> (states, metrics [steps, members]). Read is what `stream` gave for these steps,
        stacked, or None where data are resident. The states are donated.

    Raises:
        Unalike: they differ in more than numbers.
    """
    kinds, index = _kinds(experiments)
    resident = experiments[0].data.resident
    state = jax.eval_shape(lambda states: member(states, 0), states)
    if resident:
        leaves, structures = zip(*(jax.tree.flatten(e.data) for e in kinds))
        turns = [_resident_turn(e, structure) for e, structure in zip(kinds, structures)]
        one, numbers = _merged(turns, [(state, of) for of in leaves], index)
        source, axes = _shared([leaves[i] for i in index])
    else:
        read, axes = next(stream(kinds, 0, 1)), None if len(_sources([e.data for e in kinds])[0]) == 1 else 0
        of_each = [read if axes is None else jax.tree.map(lambda x, i=i: x[i], read) for i in range(len(kinds))]
        one, numbers = _merged([_streamed_turn(e) for e in kinds], [(state, of) for of in of_each], index)
        source = None
    mapped = jax.vmap(one, in_axes=(0, AXES, axes), out_axes=(AXES, 0))

    def run(numbers: Sequence[Array], states: TrainState, source: Any, read: Any, steps: int):
        return jax.lax.scan(
            lambda states, read: mapped(numbers, states, source if resident else read), states, read, length=steps
        )

    shardings = (_placed(mesh), NamedSharding(mesh, P(None, MEMBERS)))
    compiled = jax.jit(run, static_argnums=4, donate_argnums=1, out_shardings=shardings)
    return lambda states, read, steps: compiled(numbers, states, source, read, steps)


def stream(experiments: Sequence[Experiment], start: int, stop: int) -> Iterator[Batch]:
    """What the host reads for each of the steps start ... stop - 1: [B, ...] for all, or [members, B, ...]."""
    sources, index = _sources([e.data for e in experiments])
    for read in zip(*(source.stream(start, stop) for source in sources)):
        yield read[0] if len(sources) == 1 else jax.tree.map(lambda *x: np.stack([x[i] for i in index]), *read)


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


def _merged(
    functions: Sequence[Callable[..., Any]], arguments: Sequence[Sequence[PyTree]], index: Sequence[int]
) -> tuple[Callable[..., Any], list[Array]]:
    """One function for all, and the numbers of each member, [members, ...]; `index` says whose function is whose."""
    try:
        one, numbers = merged(functions, arguments)
    except Unalike as error:
        raise Unalike([place for place, kind in enumerate(index) if kind in error.places]) from error
    return one, [x[np.asarray(index)] for x in numbers]


def _resident_turn(experiment: Experiment, structure: Any) -> Callable[..., tuple[TrainState, Metrics]]:
    def turn(state: TrainState, leaves: Sequence[Array]) -> tuple[TrainState, Metrics]:
        data: Data = jax.tree.unflatten(structure, leaves)
        return make_step(experiment.players)(state, data.at(state.step))

    return turn


def _streamed_turn(experiment: Experiment) -> Callable[..., tuple[TrainState, Metrics]]:
    def turn(state: TrainState, read: Mapping[str, Any]) -> tuple[TrainState, Metrics]:
        return make_step(experiment.players)(state, experiment.data.finish(read, state.step))

    return turn


def _kinds(experiments: Sequence[Experiment]) -> tuple[list[Experiment], list[int]]:
    """Those that do not share model, players and data, and which of them each is."""
    return _distinct(experiments, lambda a, b: a.model is b.model and a.players is b.players and a.data is b.data)


def _sources(data: Sequence[Data]) -> tuple[list[Data], list[int]]:
    """Those that read other examples, or in another order, and which of them each is."""
    return _distinct(data, _read_alike)


def _distinct(things: Sequence[Any], alike: Callable[[Any, Any], bool]) -> tuple[list[Any], list[int]]:
    found, index = [], []
    for one in things:
        place = next((place for place, other in enumerate(found) if alike(one, other)), len(found))
        found += [one] if place == len(found) else []
        index.append(place)
    return found, index


def _read_alike(one: Any, other: Any) -> bool:
    if one is other:
        return True
    if type(one) is not type(other) or not hasattr(one, "__dict__") or vars(one).keys() != vars(other).keys():
        return False
    fields = [name for name in vars(one) if name not in IN_FINISH]
    return all(_equal(getattr(one, name), getattr(other, name)) for name in fields)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[name], other[name]) for name in one)
    if isinstance(one, np.ndarray | jax.Array):
        return isinstance(other, np.ndarray | jax.Array) and same(one, other)
    return type(one) is type(other) and bool(one == other)


def _shared(trees: Sequence[PyTree]) -> tuple[PyTree, PyTree]:
    """The members' arrays with the axes to map over: one that all share, and no axis, or stacked."""
    structure = jax.tree.structure(trees[0])
    leaves = list(zip(*map(jax.tree.leaves, trees)))
    axes = [None if all(same(x, of[0]) for x in of) else 0 for of in leaves]
    together = [of[0] if axis is None else jnp.stack(of) for of, axis in zip(leaves, axes)]
    return jax.tree.unflatten(structure, together), jax.tree.unflatten(structure, axes)
