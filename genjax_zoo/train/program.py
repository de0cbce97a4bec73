"""The compiled steps that the loop calls: of one run, here, or of all members of a sweep, see `members`."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from genjax_zoo.core import Batch, Experiment, TrainState
from genjax_zoo.train.parallel import STACKED, Backend, parallelize, place_batch, replicate
from genjax_zoo.train.step import Metrics, make_steps


@dataclasses.dataclass(frozen=True)
class Program:
    """Compiled steps, and how to tell the runs in them apart."""

    call: Callable[[TrainState, Any, int], tuple[TrainState, Metrics]]
    """(state, read, steps) -> (state, metrics [steps, ...]). Read is what `stream` gave for these steps, stacked as
    [steps, B, ...], or None where data are resident. The state is donated; another number of steps compiles anew."""
    stream: Callable[[int], Iterable[Batch]] | None  # from a step on, what the host reads; None: data are resident
    mesh: Mesh
    one_at_a_time: bool = False  # whether a call must end before the next begins
    state_of: Callable[[TrainState, int], TrainState] = lambda state, index: state  # of one run
    metrics_of: Callable[[Mapping[str, Any], int], Mapping[str, Any]] = lambda metrics, index: metrics  # [steps]


def program_of(experiment: Experiment, mesh: Mesh, backend: Backend = "shard_map") -> Program:
    """The steps of one run, each of whose batches the devices share out.

    Args:
        experiment: what to run.
        mesh: from `data_mesh`.
        backend: see `parallelize`.
    """
    data = experiment.data
    source = replicate(mesh, data) if data.resident else None
    split = P() if data.resident else STACKED
    shards = 1 if backend == "jit" else mesh.size

    @functools.cache
    def compiled(steps: int) -> Callable[..., tuple[TrainState, Metrics]]:
        make = functools.partial(make_steps, experiment.players, steps=steps, shards=shards, finish=data.finish)
        return parallelize(make, mesh, backend=backend, split=split)

    def call(state: TrainState, read: Any, steps: int) -> tuple[TrainState, Metrics]:
        return compiled(steps)(state, source if read is None else place_batch(mesh, read, split=split))

    def stream(start: int) -> Iterable[Batch]:
        return data.stream(start, experiment.steps, jax.process_index(), jax.process_count())

    # a CPU's devices share its threads: of many calls in flight, collectives wait for each other until XLA gives up
    one_at_a_time = mesh.size > 1 and mesh.devices.flat[0].platform == "cpu"
    return Program(call, None if data.resident else stream, mesh, one_at_a_time)
