"""The loop: calls the compiled steps, and between calls logs, evaluates and saves.

Metrics stay on the device until a log is due, so that the device never waits for the host. A call's first step is a
multiple of `steps_per_call`, wherever a run was resumed, so that a resumed run makes the same calls as an unbroken one.
"""

import dataclasses
import functools
import math
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from genjax_zoo.core import Experiment, TrainState
from genjax_zoo.train.checkpoint import Checkpoints
from genjax_zoo.train.log import Sink
from genjax_zoo.train.parallel import STACKED, Backend, parallelize, place_batch, replicate
from genjax_zoo.train.step import FLAGS, eval_variables, leaf_names, make_steps


class Diverged(ValueError):
    """A loss or an update stopped being finite."""


@dataclasses.dataclass
class Speed:
    """Steps and seconds spent in training alone: no compilation, evaluation or saving."""

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0  # seconds in which the host waited for data that is not resident

    @property
    def rate(self) -> float:
        """Steps per second."""
        return self.steps / self.seconds if self.seconds else math.nan


def run_steps(
    experiment: Experiment,
    state: TrainState,
    *,
    mesh: Mesh,
    backend: Backend = "shard_map",
    checkpoints: Checkpoints | None = None,
    sinks: Sequence[Sink] = (),
) -> tuple[TrainState, Mapping[str, float], Speed]:
    """Trains from `state` to the experiment's last step.

    Args:
        experiment: what to run.
        state: replicated over the mesh; donated.
        mesh: from `data_mesh`.
        backend: see `parallelize`.
        checkpoints: where to save, if anywhere.
        sinks: what receives metrics and evaluations.

    Returns:
        The last state, the last evaluation's numbers, and the speed.

    Raises:
        Diverged: a loss or update is not finite; the last good checkpoint is kept.
        KeyboardInterrupt: SIGINT or SIGTERM came; the state is saved first.
    """
    loop = _Loop(experiment, mesh, backend)
    step = int(state.step)
    results: Mapping[str, float] = {}
    numbers: dict[str, float] = {}
    with Interrupts() as interrupted:
        while step < experiment.steps:
            before = step
            state, step = loop.call(state, step)
            stop = interrupted.is_set()
            log, evaluation, save = (
                stop or step == experiment.steps or step // every > before // every
                for every in (experiment.log_every, experiment.eval_every, experiment.save_every)
            )
            if not (log or evaluation or save):
                continue
            try:
                numbers |= loop.fetch(state)
            except Diverged as error:
                for sink in sinks:
                    sink.warn(step, str(error))
                raise
            if log:
                for sink in sinks:
                    sink.log(step, numbers)
                sound_alarms(experiment, step, numbers, sinks)
            ranked: Mapping[str, float] = {}
            if evaluation and not stop:
                results = ranked = evaluate(experiment, state, sinks)
            if checkpoints and (save or experiment.best in ranked):
                checkpoints.save(step, state, ranked)
            loop.resume_clock()
            if stop:
                raise KeyboardInterrupt(f"stopped at step {step}")
    return state, results, loop.speed


def evaluate(experiment: Experiment, state: TrainState, sinks: Sequence[Sink] = ()) -> Mapping[str, float]:
    """Runs every evaluation; returns the numbers, and shows numbers and images to the sinks.

    Raises:
        ValueError: the experiment's `best` is none of them.
    """
    results = {
        f"{name}/{entry}": value
        for name, run in experiment.evals.items()
        for entry, value in run(experiment.model, eval_variables(state), jax.random.key(experiment.seed)).items()
    }
    images = {name: np.asarray(value) for name, value in results.items() if np.ndim(value) > 0}
    numbers = {name: float(value) for name, value in results.items() if np.ndim(value) == 0}
    if experiment.best is not None and experiment.best not in numbers:
        raise ValueError(f"best='{experiment.best}' is no number that the evaluations give: {sorted(numbers)}.")
    for sink in sinks:
        sink.show(int(state.step), numbers, images)
    sound_alarms(experiment, int(state.step), numbers, sinks)
    return numbers


def sound_alarms(experiment: Experiment, step: int, numbers: Mapping[str, float], sinks: Sequence[Sink]) -> None:
    """Tells the sinks what the experiment's alarms say of these numbers."""
    for sentence in filter(None, (alarm(numbers) for alarm in experiment.alarms)):
        for sink in sinks:
            sink.warn(step, sentence)


class _Loop:
    """Compiled calls, their pending metrics, and the clock."""

    def __init__(self, experiment: Experiment, mesh: Mesh, backend: Backend):
        self.experiment = experiment
        self.mesh = mesh
        self.speed = Speed()
        self._pending: list[Any] = []
        self._uncounted = 0  # steps since the clock was last stopped
        self._waited = 0.0  # seconds in them
        self._clock = time.perf_counter()
        resident = experiment.data.resident
        self._source = replicate(mesh, experiment.data) if resident else None
        split = P() if resident else STACKED
        shards = 1 if backend == "jit" else mesh.size
        self._stream: Iterator[Any] | None = None

        @functools.cache
        def program(steps: int):
            finish = experiment.data.finish
            make = functools.partial(make_steps, experiment.players, steps=steps, shards=shards, finish=finish)
            return parallelize(make, mesh, backend=backend, split=split)

        self._program = program
        self._compiled: set[int] = set()

    def call(self, state: TrainState, step: int) -> tuple[TrainState, int]:
        k = self.experiment.steps_per_call
        count = min(k - step % k, self.experiment.steps - step)
        source = self._source if self._source is not None else self._stack(step, count)
        compiled = count in self._compiled
        if not compiled:  # this call compiles: keep it off the clock
            jax.block_until_ready(self._pending)
            self._stop_clock()
        state, metrics = self._program(count)(state, source)
        self._pending.append((step, metrics))
        if compiled:
            self._uncounted += count
        else:
            jax.block_until_ready(metrics)
            self._compiled.add(count)
            self._waited = 0.0
            self.resume_clock()
        return state, step + count

    def fetch(self, state: TrainState) -> dict[str, float]:
        """Means of the pending metrics; waits for the device.

        Raises:
            Diverged: one of them says that a player's loss or update was not finite.
        """
        fetched = [(step, jax.device_get(metrics)) for step, metrics in self._pending]
        self._pending.clear()
        rate = self._stop_clock()
        for start, metrics in fetched:
            check_finite(start, metrics, leaf_names(self.experiment.players, state.variables))
        means = means_over_steps([metrics for _, metrics in fetched])
        known = {"steps/s": rate, "examples/s": rate * self.experiment.data.batch_size} if rate > 0 else {}
        if known and self._source is None:
            known["waiting"] = self.speed.waited / self.speed.seconds
        return {**means, **known}

    def resume_clock(self) -> None:
        self._clock = time.perf_counter()

    def _stop_clock(self) -> float:
        seconds = time.perf_counter() - self._clock
        rate = self._uncounted / seconds if self._uncounted else self.speed.rate
        if self._uncounted:
            self.speed.steps += self._uncounted
            self.speed.seconds += seconds
            self.speed.waited += self._waited
        self._uncounted, self._waited = 0, 0.0
        return rate

    def _stack(self, step: int, count: int) -> Any:
        """What the host has read for `count` steps, [count, B, ...], split over the devices."""
        if self._stream is None:
            rank, processes = jax.process_index(), jax.process_count()
            self._stream = iter(self.experiment.data.stream(step, self.experiment.steps, rank, processes))
        start = time.perf_counter()
        batches = [next(self._stream) for _ in range(count)]
        self._waited += time.perf_counter() - start
        return place_batch(self.mesh, jax.tree.map(lambda *parts: np.stack(parts), *batches), split=STACKED)


def means_over_steps(fetched: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The means of several calls' metrics, each [steps]; NaN is a turn that was not taken."""
    rows = {name: np.concatenate([np.atleast_1d(m[name]) for m in fetched]) for name in fetched[0]}
    return {
        name: float(np.nanmean(values))
        for name, values in rows.items()
        if name.rpartition("/")[2] not in FLAGS and not np.all(np.isnan(values))
    }


def check_finite(start: int, metrics: Mapping[str, Any], leaves: Mapping[str, Sequence[str]]) -> None:
    """Looks through one call's metrics, each [steps].

    Raises:
        Diverged: a player's turn was not finite, with the step, the player, the term, and the first leaf of its
            gradient that was not.
    """
    for name, finite in metrics.items():
        player, _, entry = name.rpartition("/")
        if entry != "finite" or np.all(finite):
            continue
        row = int(np.argmin(finite))
        terms = [
            term.rpartition("/")[2]
            for term, values in metrics.items()
            if term.startswith(f"{player}/") and not np.isfinite(np.atleast_1d(values)[row])
        ]
        named = [t for t in terms if t not in ("loss", "grad_norm")] or [
            "grad_norm" if "grad_norm" in terms else "update"
        ]
        leaf = leaves[player][int(np.atleast_1d(metrics[f"{player}/broken"])[row])]
        where = f" (first in the gradient of {leaf})" if "grad_norm" in terms else ""
        raise Diverged(
            f"Step {start + row}: '{named[0]}' of player '{player}' is not finite{where}; the last good checkpoint is "
            f"kept. Lower the learning rate or clip the gradients."
        )


class Interrupts:
    """Turns SIGINT and SIGTERM into an event for the time of a `with`; a second signal acts at once."""

    def __enter__(self) -> threading.Event:
        event = threading.Event()
        self._previous: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():

            def handle(number, frame):
                if event.is_set():
                    raise KeyboardInterrupt
                event.set()

            self._previous = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
        return event

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
