"""The loop: calls the compiled steps, and between calls logs, evaluates and saves.

Metrics stay on the device until a log is due, so that the device never waits for the host. A call's first step is a
multiple of `steps_per_call`, wherever a run was resumed, so that a resumed run makes the same calls as an unbroken one.
"""

import contextlib
import dataclasses
import functools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from genjax_zoo.core import Experiment, TrainState
from genjax_zoo.data.arrays import REPAIR
from genjax_zoo.train.border import not_finite_at
from genjax_zoo.train.checkpoint import Checkpoints
from genjax_zoo.train.evaluating import evaluate as evaluate
from genjax_zoo.train.evaluating import sound_alarms as sound_alarms
from genjax_zoo.train.finite import Diverged as Diverged
from genjax_zoo.train.finite import check_finite as check_finite
from genjax_zoo.train.finite import means_over_steps as means_over_steps
from genjax_zoo.train.interrupts import Interrupts as Interrupts
from genjax_zoo.train.log import Sink
from genjax_zoo.train.parallel import STACKED, Backend, parallelize, place_batch, replicate
from genjax_zoo.train.step import leaf_names, make_steps


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
    evaluated: Mapping[str, float] | None = None,
) -> tuple[TrainState, Mapping[str, float], Speed]:
    """Trains from `state` to the experiment's last step.

    Args:
        experiment: what to run.
        state: replicated over the mesh; donated.
        mesh: from `data_mesh`.
        backend: see `parallelize`.
        checkpoints: where to save, if anywhere.
        sinks: what receives metrics and evaluations.
        evaluated: what an earlier process's evaluation of `state` gave; one that is due and was not reached is done.

    Returns:
        The last state, the last evaluation's numbers, and the speed.

    Raises:
        Diverged: a loss or update is not finite; with what is kept.
        UserError: an evaluation fails; the state is saved before.
        KeyboardInterrupt: SIGINT or SIGTERM came; the state is saved first.
    """
    loop = _Loop(experiment, mesh, backend)
    step, results, numbers = int(state.step), evaluated or {}, {}
    with Interrupts() as interrupted:
        keeper = Keeper(experiment, checkpoints, sinks, interrupted, saved=step)
        if evaluated is None and step > 0 and due(experiment, experiment.eval_every, step):
            results = keeper.judge(step, state)  # a process that ended within this evaluation left it to us
        try:
            while step < experiment.steps:
                before, compiles = step, loop.compiles(step)
                if compiles:
                    loop.check(state)
                    keeper.save(step, state)
                with interrupted.at_once() if compiles else contextlib.nullcontext():
                    state, step = loop.call(state, step)
                stop = interrupted.is_set()
                log, evaluation, save = (
                    stop or due(experiment, every, step, before)
                    for every in (experiment.log_every, experiment.eval_every, experiment.save_every)
                )
                if not (log or evaluation or save):
                    continue
                numbers |= loop.fetch(state)
                if log:
                    for sink in sinks:
                        sink.log(step, numbers)
                    sound_alarms(experiment, step, numbers, sinks)
                if save:
                    keeper.save(step, state)
                if stop:
                    raise KeyboardInterrupt(f"stopped at step {step}")
                if evaluation:
                    results = keeper.judge(step, state)
                loop.resume_clock()
        except Diverged as error:
            raise keeper.told(step, error) from None
    return state, results, loop.speed


def due(experiment: Experiment, every: int, step: int, before: int | None = None) -> bool:
    """Whether the call that reached `step` from `before` passed a multiple of `every`, or the end."""
    k = experiment.steps_per_call
    before = (step - 1) // k * k if before is None else before
    return step == experiment.steps or step // every > before // every


class Keeper:
    """What is kept of a run while it trains: checkpoints, evaluations, and the sentence at its end."""

    def __init__(
        self,
        experiment: Experiment,
        checkpoints: Checkpoints | None,
        sinks: Sequence[Sink],
        interrupted: Interrupts,
        *,
        saved: int,
    ):
        self._experiment, self._checkpoints, self._sinks = experiment, checkpoints, sinks
        self._interrupted, self._saved = interrupted, saved

    def save(self, step: int, state: TrainState) -> None:
        """Saves a state, unless its step is saved, or it was begun with."""
        if self._checkpoints and step > self._saved:
            self._checkpoints.save(step, state)
            self._saved = step

    def judge(self, step: int, state: TrainState) -> Mapping[str, float]:
        """Evaluates a state that is on disk, so that this may be left at any point."""
        self.save(step, state)
        if self._checkpoints:
            self._checkpoints.wait()
        with self._interrupted.at_once():
            results = evaluate(self._experiment, state, self._sinks)
        if self._checkpoints:
            self._checkpoints.rank(step, results)
        return results

    def told(self, step: int, error: Diverged) -> Diverged:
        """A divergence with what is left after it, and the way on, as the sinks hear it, too."""
        what = str(error).removeprefix(f"Step {error.step}: ")
        of_data, kept = not_finite_at(self._experiment.data, error.step), _kept(self._saved, self._checkpoints)
        mend = f"{what}, as the data are not: {of_data}. {REPAIR.capitalize()}" if of_data else f"{what}. {MEND}"
        whole = Diverged(error.step, f"{mend}{kept}.")
        for sink in self._sinks:
            sink.warn(step, str(whole))
        return whole


MEND = "Lower the learning rate or clip the gradients"


def _kept(saved: int, checkpoints: Checkpoints | None) -> str:
    """What is left after a divergence, and the way on."""
    if checkpoints and saved:
        way = f"another --workdir and --init-from {checkpoints.run}@{saved}"
        return f", and go on with {way}: the last good checkpoint is kept (step {saved:,})"
    return ", and start anew with --fresh: no checkpoint was saved before" if checkpoints else ""


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
        # a CPU's devices share its threads: of many calls in flight, collectives wait for each other until XLA gives up
        self._one_at_a_time = mesh.size > 1 and mesh.devices.flat[0].platform == "cpu"

        @functools.cache
        def program(steps: int):
            finish = experiment.data.finish
            make = functools.partial(make_steps, experiment.players, steps=steps, shards=shards, finish=finish)
            return parallelize(make, mesh, backend=backend, split=split)

        self._program = program
        self._compiled: set[int] = set()

    def call(self, state: TrainState, step: int) -> tuple[TrainState, int]:
        count = self._count(step)
        source = self._source if self._source is not None else self._stack(step, count)
        compiled = count in self._compiled
        if not compiled:  # this call compiles: keep it off the clock
            jax.block_until_ready(self._pending)
            self._stop_clock()
        state, metrics = self._program(count)(state, source)
        self._pending.append((step, metrics))
        if self._one_at_a_time or not compiled:
            jax.block_until_ready(metrics)
        if compiled:
            self._uncounted += count
        else:
            self._compiled.add(count)
            self._waited = 0.0
            self.resume_clock()
        return state, step + count

    def compiles(self, step: int) -> bool:
        """Whether the call at this step is the first of its length."""
        return self._count(step) not in self._compiled

    def _count(self, step: int) -> int:
        k = self.experiment.steps_per_call
        return min(k - step % k, self.experiment.steps - step)

    def check(self, state: TrainState) -> None:
        """Looks through the pending metrics; waits for the device.

        Raises:
            Diverged: one of them says that a player's loss or update was not finite.
        """
        self._pending = [(step, jax.device_get(metrics)) for step, metrics in self._pending]
        for start, metrics in self._pending:
            check_finite(start, metrics, leaf_names(self.experiment.players, state.variables))

    def fetch(self, state: TrainState) -> dict[str, float]:
        """Means of the pending metrics; waits for the device.

        Raises:
            Diverged: see `check`.
        """
        self.check(state)
        rate = self._stop_clock()
        means = means_over_steps([metrics for _, metrics in self._pending])
        self._pending.clear()
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
