"""The loop: calls the compiled steps, and between calls logs, evaluates and saves; for one run, or a sweep's members.

Metrics stay on the device until they are looked at, so that the device never waits for the host. A call's first step is
a multiple of `steps_per_call`, wherever a run was resumed, so that a resumed run makes the same calls as an unbroken
one.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from genjax_zoo.core import Batch, Experiment, TrainState
from genjax_zoo.train.finite import Diverged, check_finite, means_over_steps
from genjax_zoo.train.interrupts import Interrupts
from genjax_zoo.train.program import Program
from genjax_zoo.train.run import Run
from genjax_zoo.train.step import leaf_names


@dataclasses.dataclass(frozen=True)
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
    program: Program,
    state: TrainState,
    runs: Sequence[Run],
    *,
    tell: Callable[[int, float], None] = lambda step, rate: None,
) -> tuple[TrainState, Speed]:
    """Trains from `state` to the experiment's last step, or until all runs have left; the runs hold their results.

    Args:
        program: the steps of all runs.
        state: of all runs, placed as `program` has it; donated.
        runs: one, or a sweep's members. Their experiments have steps, and what is done how often, in common.
        tell: called at each log with the step and the steps per second, NaN where none are known yet.

    Returns:
        The last state, and the speed.

    Raises:
        Diverged: a loss or update is not finite, of a run without `on_leaving`.
        UserError: an evaluation fails; the state is saved before.
        KeyboardInterrupt: SIGINT or SIGTERM came; the state is saved first.
    """
    first, step = runs[0].experiment, int(state.step)
    calls = _Calls(program, first, state)
    with Interrupts() as interrupted:
        for run in runs:
            run.saved = step
        for index, run in _staying(runs):
            if run.results is None and step and _is_due(first, first.eval_every, step):
                run.judge(step, program.state_of(state, index), interrupted)  # an evaluation that a kill left undone
        compiles = True
        while step < first.steps and any(_staying(runs)):
            with interrupted.at_once() if compiles else contextlib.nullcontext():  # all is saved
                state, count = calls.call(state, step)
            before, step = step, step + count
            stop, compiles = interrupted.is_set(), calls.compiles(step)
            log, evaluation, save = (
                stop or _is_due(first, every, step, before)
                for every in (first.log_every, first.eval_every, first.save_every)
            )
            if not (log or evaluation or save or compiles):
                continue
            rate = calls.check(step, runs)
            if log or evaluation or save:
                calls.take_means(runs, rate)
            for _, run in _staying(runs) if log else ():
                run.log(step)
            if log:
                tell(step, rate)
            for index, run in _staying(runs) if evaluation or save or compiles else ():
                run.save(step, program.state_of(state, index))
            if stop:
                raise KeyboardInterrupt(f"stopped at step {step}")
            for index, run in _staying(runs) if evaluation else ():
                run.judge(step, program.state_of(state, index), interrupted)
            calls.start_clock()
    return state, calls.speed


def _is_due(experiment: Experiment, every: int, step: int, before: int | None = None) -> bool:
    """Whether the call that reached `step` from `before` passed a multiple of `every`, or the end."""
    k = experiment.steps_per_call
    before = (step - 1) // k * k if before is None else before
    return step == experiment.steps or step // every > before // every


def _staying(runs: Sequence[Run]) -> Iterator[tuple[int, Run]]:
    return ((index, run) for index, run in enumerate(runs) if not run.left)


class _Calls:
    """Compiled calls, their pending metrics, and the clock."""

    def __init__(self, program: Program, experiment: Experiment, state: TrainState):
        self.speed = Speed()
        self._program, self._experiment = program, experiment
        self._leaves = leaf_names(experiment.players, state.variables)
        self._stream: Iterator[Batch] | None = None
        self._pending: list[tuple[int, Any]] = []
        self._compiled: set[int] = set()
        self._lap = Speed()  # since the clock was started
        self._clock = time.perf_counter()

    def compiles(self, step: int) -> bool:
        """Whether the call at this step is the first of its length."""
        return self._count(step) not in self._compiled

    def call(self, state: TrainState, step: int) -> tuple[TrainState, int]:
        """The state after the next call, and the call's number of steps; one that compiles is kept off the clock."""
        count, compiles = self._count(step), self.compiles(step)
        read, waited = self._read(step, count)
        state, metrics = self._program.call(state, read, count)
        self._pending.append((step, metrics))
        if self._program.one_at_a_time or compiles:
            jax.block_until_ready(metrics)
        if compiles:
            self._compiled.add(count)
            self.start_clock()
        else:
            self._lap = Speed(self._lap.steps + count, waited=self._lap.waited + waited)
        return state, count

    def check(self, step: int, runs: Sequence[Run]) -> float:
        """Looks through the pending metrics, for which it waits; a run in which one is not finite leaves.

        Returns:
            Steps per second since the clock was started, which is stopped; of all, where none was made since.
        """
        self._pending = [(start, jax.device_get(metrics)) for start, metrics in self._pending]
        rate = self._stop_clock()
        for index, run in _staying(runs):
            try:
                for start, metrics in self._pending:
                    check_finite(start, self._program.metrics_of(metrics, index), self._leaves)
            except Diverged as error:
                run.leave(step, error)
        return rate

    def take_means(self, runs: Sequence[Run], rate: float) -> None:
        """Hands each run the means of its pending metrics, which are forgotten, and the rates."""
        rates = {"steps/s": rate, "examples/s": rate * self._experiment.data.batch_size} if rate > 0 else {}
        if rates and self._program.stream:
            rates["waiting"] = self.speed.waited / self.speed.seconds
        for index, run in _staying(runs):
            own = [self._program.metrics_of(metrics, index) for _, metrics in self._pending]
            run.numbers |= {**means_over_steps(own), **rates}
        self._pending.clear()

    def start_clock(self) -> None:
        self._lap, self._clock = Speed(), time.perf_counter()

    def _stop_clock(self) -> float:
        lap = dataclasses.replace(self._lap, seconds=time.perf_counter() - self._clock)
        self._lap = Speed()
        if not lap.steps:
            return self.speed.rate
        whole, more = dataclasses.astuple(self.speed), dataclasses.astuple(lap)
        self.speed = Speed(*map(sum, zip(whole, more)))
        return lap.rate

    def _count(self, step: int) -> int:
        k = self._experiment.steps_per_call
        return min(k - step % k, self._experiment.steps - step)

    def _read(self, step: int, count: int) -> tuple[Any, float]:
        """What the host reads for `count` steps, [count, B, ...], if anything, and the seconds that this waited."""
        if self._program.stream is None:
            return None, 0.0
        if self._stream is None:
            self._stream = iter(self._program.stream(step))
        start = time.perf_counter()
        batches = [next(self._stream) for _ in range(count)]
        waited = time.perf_counter() - start
        return jax.tree.map(lambda *parts: np.stack(parts), *batches), waited
