"""Many runs of one experiment as one program: seeds and numbers are a mapped axis, which devices share out.

Member i is the run that `train` makes of its experiment: in which numbers the members differ is found in what they do,
see `merged`. The step is common to all. Arrays that all have in common are there once; the seeds of data are arguments,
so that members which differ in nothing else are traced once.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P

from genjax_zoo.core import Array, Batch, Data, Experiment, PyTree, TrainState
from genjax_zoo.data import Resident, Streamed
from genjax_zoo.train.alike import alike
from genjax_zoo.train.merged import Unalike, merge_functions, same
from genjax_zoo.train.parallel import MEMBERS
from genjax_zoo.train.program import Program
from genjax_zoo.train.step import Metrics, create_state, make_step

AXES = TrainState(step=None, key=0, variables=0, ema=0, opt_state=0, updates=0)  # type: ignore[arg-type]  # what vmap maps over
IN_FINISH = {"transform", "origin"}  # fields of data that the host does not read by
SEEDED = (Resident, Streamed)  # data whose seed may be an argument of a program


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

    keys = jnp.stack([jax.random.key(e.seed) for e in experiments])
    sources, which = _distinct([e.data for e in experiments], lambda a, b: a is b)
    firsts = [source.at(0) for source in sources]
    batches = [firsts[i] for i in which]
    kinds, index = _distinct(list(zip(experiments, batches)), _one_start)
    one, numbers = _merged([start(e) for e, _ in kinds], [(keys[0], batch) for _, batch in kinds], index)
    batch, axes = _shared(batches)
    mapped = jax.vmap(one, in_axes=(0, 0, axes), out_axes=AXES)
    return jax.jit(mapped, out_shardings=_placed(mesh))(numbers, keys, batch)


def program_of_members(experiments: Sequence[Experiment], states: TrainState, mesh: Mesh) -> Program:
    """The steps of all members, which the devices share out.

    Args:
        experiments: of each member.
        states: from `create_states`; only their shapes matter.
        mesh: from `member_mesh`.

    Raises:
        Unalike: they differ in more than numbers.
    """
    kinds, index = _distinct(experiments, _one_turn)
    resident, stop = experiments[0].data.resident, experiments[0].steps
    state = jax.eval_shape(lambda states: _member(states, 0), states)
    leaves = [_leaves(e.data) for e in experiments]
    read, reading = None, None
    if not resident:
        read = next(_stream(experiments, 0, 1))
        reading = None if len(_sources([e.data for e in experiments])[0]) == 1 else 0
    of_each = [
        (state, leaves[i], read if reading is None else jax.tree.map(lambda x, i=i: x[i], read))
        for i in map(index.index, range(len(kinds)))
    ]
    one, numbers = _merged([_turn(e) for e in kinds], of_each, index)
    source, axes = _shared(leaves)
    mapped = jax.vmap(one, in_axes=(0, AXES, axes, reading), out_axes=(AXES, 0))

    def run(numbers: Sequence[Array], states: TrainState, source: Any, read: Any, steps: int):
        return jax.lax.scan(lambda states, read: mapped(numbers, states, source, read), states, read, length=steps)

    shardings = (_placed(mesh), NamedSharding(mesh, P(None, MEMBERS)))
    compiled = jax.jit(run, static_argnums=4, donate_argnums=1, out_shardings=shardings)

    def call(states: TrainState, read: Any, steps: int) -> tuple[TrainState, Metrics]:
        return compiled(numbers, states, source, read, steps)

    read_from = None if resident else lambda start: _stream(experiments, start, stop)
    return Program(call, read_from, mesh, state_of=member, metrics_of=_metrics_of)


def member(states: TrainState, index: int) -> TrainState:
    """One member's state, as a run of its own on one device has it."""
    return jax.device_put(_member(states, index), SingleDeviceSharding(jax.local_devices()[0]))


def stack_members(states: Sequence[TrainState], mesh: Mesh) -> TrainState:
    """Members' states as one, to go on with."""
    whole = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(state._replace(step=()) for state in states))
    return jax.device_put(whole._replace(step=states[0].step), _placed(mesh))


def _metrics_of(metrics: Mapping[str, Any], index: int) -> Mapping[str, Any]:
    return {name: values[:, index] for name, values in metrics.items()}


def _stream(experiments: Sequence[Experiment], start: int, stop: int) -> Iterator[Batch]:
    """What the host reads for each of the steps start ... stop - 1: [B, ...] for all, or [members, B, ...]."""
    sources, index = _sources([e.data for e in experiments])
    for read in zip(*(source.stream(start, stop) for source in sources)):
        yield read[0] if len(sources) == 1 else jax.tree.map(lambda *x: np.stack([x[i] for i in index]), *read)


def _member(states: TrainState, index: int) -> TrainState:
    return jax.tree.map(lambda x: x[index], states._replace(step=()))._replace(step=states.step)


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
        one, numbers = merge_functions(functions, arguments)
    except Unalike as error:
        raise Unalike([place for place, kind in enumerate(index) if kind in error.places]) from error
    return one, [x[np.asarray(index)] for x in numbers]


def _one_start(a: tuple[Experiment, Batch], b: tuple[Experiment, Batch]) -> bool:
    """Whether states begin by the same function of a batch."""
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), dict(batch)) for _, batch in (a, b)]
    return a[0].model is b[0].model and a[0].players is b[0].players and shapes[0] == shapes[1]


def _turn(experiment: Experiment) -> Callable[..., tuple[TrainState, Metrics]]:
    """A step of one member: of its state, of the arrays that `_leaves` gives of its data, and of what the host read."""

    def turn(state: TrainState, leaves: Sequence[Array], read: Any) -> tuple[TrainState, Metrics]:
        data: Any = experiment.data
        if data.resident:
            arrays = jax.tree.structure(data).num_leaves
            data = jax.tree.unflatten(jax.tree.structure(data), leaves[:arrays])
        if type(data) in SEEDED:
            data = dataclasses.replace(data, seed=leaves[-1])
        batch = data.at(state.step) if data.resident else data.finish(read, state.step)
        return make_step(experiment.players)(state, batch)

    return turn


def _leaves(data: Data) -> list[Array]:
    """The arrays of data that are resident, and the seed, where it is known to do nothing but to order and to draw."""
    seed = [jnp.uint32(data.seed)] if isinstance(data, SEEDED) and type(data) in SEEDED else []  # not of a subclass
    return [*(jax.tree.leaves(data) if data.resident else []), *seed]


def _one_turn(a: Experiment, b: Experiment) -> bool:
    """Whether a step of theirs is the same function of what `_leaves` gives, and so is traced once."""
    if a.model is not b.model or a.players is not b.players:
        return False
    one: Any = a.data
    other: Any = b.data
    if one is other or type(one) is not type(other) or type(one) not in SEEDED:
        return one is other
    fields = [field.name for field in dataclasses.fields(one) if field.name not in ("arrays", "seed", "origin")]
    shapes = [{name: (x.shape, x.dtype) for name, x in source.arrays.items()} for source in (one, other)]
    return shapes[0] == shapes[1] and all(alike(getattr(one, name), getattr(other, name)) for name in fields)


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
    return all(alike(getattr(one, name), getattr(other, name)) for name in vars(one) if name not in IN_FINISH)


def _shared(trees: Sequence[PyTree]) -> tuple[PyTree, PyTree]:
    """The members' arrays with the axes to map over: one that all share, and no axis, or stacked."""
    structure = jax.tree.structure(trees[0])
    leaves = list(zip(*map(jax.tree.leaves, trees)))
    axes = [None if all(same(x, of[0]) for x in of) else 0 for of in leaves]
    together = [of[0] if axis is None else jnp.stack(of) for of, axis in zip(leaves, axes)]
    return jax.tree.unflatten(structure, together), jax.tree.unflatten(structure, axes)
