"""`genjax-zoo sweep`: the runs of a sweep, a folder each, trained by one program, and the table of what they reached.

FOLDER/sweep.json         the table: each setting's numbers, mean and standard error over its seeds
FOLDER/seed=0,.../        a run folder like any other: sample, eval, latent and train take it
FOLDER/seed=0,.../left    why this member left the sweep, if it did
"""

from genjax_zoo.errors import UserError
import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from genjax_zoo import runs
from genjax_zoo.core import TrainState
from genjax_zoo.files import whole
from genjax_zoo.runs.members import Member as Member
from genjax_zoo.runs.members import Row as Row
from genjax_zoo.runs.members import check_folders as check_folders
from genjax_zoo.runs.members import plan as plan
from genjax_zoo.runs.members import print_table as print_table
from genjax_zoo.runs.members import save_table as save_table
from genjax_zoo.runs.members import table as table
from genjax_zoo.draw import Pictures
from genjax_zoo.train.checkpoint import Checkpoints, Damaged
from genjax_zoo.train.evaluating import sound_alarms, try_evaluations
from genjax_zoo.train.finite import Diverged, check_finite, means_over_steps
from genjax_zoo.train.interrupts import Interrupts
from genjax_zoo.train.log import JsonLines, evaluated
from genjax_zoo.train.loop import Keeper, due
from genjax_zoo.train.merged import Unalike
from genjax_zoo.train.parallel import member_mesh
from genjax_zoo.train.step import leaf_names
from genjax_zoo.train.sweep import create_states, member, stacked, stream, sweep_program

LEFT, LOG = "left", "metrics.jsonl"
CLOCKS = ("steps", "steps_per_call", "log_every", "eval_every", "save_every")  # which all members have in common


class Prepared(NamedTuple):
    """What trains a sweep's members."""

    states: TrainState  # before the first step, of all
    program: Callable[..., Any]
    mesh: Mesh


def prepare(members: Sequence[Member]) -> Prepared:
    """The members' first states, and the steps of all; nothing is written.

    Raises:
        UserError: a swept number decides the shapes or branches of a program, or how often something is done; or an
            evaluation fails.
    """
    mesh, experiments = member_mesh(len(members)), [m.experiment for m in members]
    try:
        clocks = [tuple(getattr(e, name) for name in CLOCKS) for e in experiments]
        if others := [place for place, own in enumerate(clocks) if own != clocks[0]]:
            raise Unalike(others)
        states = create_states(experiments, mesh)
        prepared = Prepared(states, sweep_program(experiments, states, mesh), mesh)
    except Unalike as error:
        differing = [_differing(members[0], members[place]) for place in error.places]
        names = ", ".join(f"--{name.replace('_', '-')}" for name in min(differing, key=len))
        raise UserError(
            f"{names}: a swept number must not decide the shapes or branches of a program, and this one does; "
            f"run 'train' once for each of its values."
        ) from error
    tried = set()
    for index, m in enumerate(members):
        evaluated = tuple(map(id, (m.experiment.model, *m.experiment.evals.values())))  # which members share
        if evaluated not in tried:
            try_evaluations(m.experiment, _one(states, index))
        tried.add(evaluated)
    return prepared


def sweep(
    members: Sequence[Member],
    prepared: Prepared,
    *,
    begin: Callable[[Member], None] = lambda member: None,
    show: Callable[[str], None] = lambda line: None,
) -> list[Row]:
    """Trains all members as one program, going on from the latest step that all have a checkpoint of.

    Args:
        members: from `plan`.
        prepared: from `prepare`.
        begin: called with each member once all are restored, to write down what it is.
        show: receives a line per log and per evaluation.

    Returns:
        The table's rows, one per combination of numbers; see `table`.

    Raises:
        UserError: another process trains a member, or one cannot be restored.
        KeyboardInterrupt: SIGINT or SIGTERM came; all members are saved first.
    """
    states, program, mesh = prepared
    with contextlib.ExitStack() as opened:
        start, states, odd = _restored(members, states, mesh, opened)
        first, done = members[0].experiment, [evaluated(m.folder / LOG, start) for m in members]
        for m in members:
            begin(m)
        _start_logs(members, start, opened)
        for sentence in odd:
            show(sentence)
        if start:
            show(f"Going on at step {start:,}.")
        with Interrupts() as interrupted:
            for m in members:
                m.keeper = Keeper(m.experiment, m.checkpoints, m.sinks, interrupted, saved=start)
            for index, m in enumerate(members):
                m.results = done[index] or {}
                if done[index] is None and start and not m.failed and due(first, first.eval_every, start):
                    m.results = m.keeper.judge(start, _one(states, index))
            _train(members, program, states, start, show, interrupted)
    return table(members)


def _differing(one: Member, other: Member) -> list[str]:
    """The flags in which two members differ."""
    return [name for name in one.flags if one.flags[name] != other.flags[name]]


def _train(
    members: Sequence[Member],
    program: Callable[..., Any],
    states: TrainState,
    step: int,
    show: Callable[[str], None],
    interrupted: Interrupts,
) -> None:
    first = members[0].experiment
    read = None if first.data.resident else stream([m.experiment for m in members], step, first.steps)
    pending: list[tuple[int, Any]] = []
    clock, counted = time.perf_counter(), step
    compiled: set[int] = set()
    while step < first.steps and not all(m.failed for m in members):
        before, k = step, first.steps_per_call
        count = min(k - step % k, first.steps - step)
        with contextlib.nullcontext() if compiled else interrupted.at_once():
            states, metrics = program(states, read and _stacked(read, count), count)
            if not compiled:
                jax.block_until_ready(metrics)
        compiled.add(count)
        pending.append((step, metrics))
        step += count
        stop = interrupted.is_set()
        log, evaluation, save = (
            stop or due(first, every, step, before) for every in (first.log_every, first.eval_every, first.save_every)
        )
        if not (log or evaluation or save):
            continue
        fetched = [(at, jax.device_get(metrics)) for at, metrics in pending]
        pending.clear()
        rate = (step - counted) / (time.perf_counter() - clock)
        leaves = leaf_names(first.players, states.variables)
        for index, m in enumerate(members):
            _log(m, step, [(at, {n: x[:, index] for n, x in row.items()}) for at, row in fetched], rate, leaves)
        if log:
            failed = sum(bool(m.failed) for m in members)
            lost = f", {failed} not finite" if failed else ""
            show(f"step {step:,}/{first.steps:,}  {len(members)} members at {rate:,.1f} steps/s each{lost}")
        staying = {index: m for index, m in enumerate(members) if not m.failed}
        for index, m in staying.items() if evaluation or save else ():
            m.keeper.save(step, _one(states, index))
        if stop:
            raise KeyboardInterrupt(f"stopped at step {step}")
        for index, m in staying.items() if evaluation else ():
            m.results = m.keeper.judge(step, _one(states, index))
        clock, counted = time.perf_counter(), step


def _restored(
    members: Sequence[Member], states: TrainState, mesh: Mesh, opened: contextlib.ExitStack
) -> tuple[int, TrainState, list[str]]:
    """The latest step of which all have a sound checkpoint, their states, and what is to be said of damaged ones."""
    start, odd = _open(members, opened), []
    alone = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=_alone()), member(states, 0))
    while start:
        restored = []
        try:
            for index, m in enumerate(members):
                restored.append(_one(states, index) if m.failed else m.checkpoints.restore(start, alone))
            return start, stacked(restored, mesh), odd
        except Damaged as error:
            checkpoints = members[len(restored)].checkpoints
            others = _latest([m for m in members if not m.failed], before=start)
            if not others:
                raise
            odd.append(f"{error.what}: going on from step {others:,}; {checkpoints.put_aside(start)}")
            start = others
    return 0, states, odd


def _latest(members: Sequence[Member], before: float = math.inf) -> int:
    """The latest step that all have saved, or 0."""
    common = set.intersection(*(set(m.checkpoints.steps) for m in members)) if members else set()
    return max((step for step in common if step < before), default=0)


def _open(members: Sequence[Member], opened: contextlib.ExitStack) -> int:
    """Locks the folders and opens the checkpoints; the latest step that all who have not left have saved, or 0."""
    for m in members:
        opened.enter_context(runs.only_trainer(m.folder))
        m.failed = (m.folder / LEFT).read_text() if (m.folder / LEFT).exists() else ""
    staying = [m for m in members if not m.failed]
    for m in staying:
        m.checkpoints = opened.enter_context(Checkpoints(m.folder / "checkpoints", best=m.experiment.best))
    start = _latest(staying)
    begun = all((m.folder / runs.CONFIG).exists() for m in staying)
    for m in staying:
        last = max(m.checkpoints.steps, default=0)
        killed = begun and all(len(m.checkpoints.steps) < 2 for m in staying)  # in the first save: all start again
        if last and not start and not killed:
            raise UserError(f"{m.folder} is ahead of the others, at step {last}; train it alone, or take --fresh.")
    return start


def _start_logs(members: Sequence[Member], start: int, opened: contextlib.ExitStack) -> None:
    """Drops what a member saved or logged later than the others, and opens the logs of those who have not left."""
    for m in members:
        if not m.failed:
            m.checkpoints.drop_after(start)
            m.sinks = [JsonLines(m.folder / LOG, start=start), Pictures(m.folder)]
            for sink in m.sinks:
                opened.callback(sink.close)


def _log(m: Member, step: int, fetched: Sequence[tuple[int, Any]], rate: float, leaves: Mapping[str, Any]) -> None:
    """One member's means, to its own log; one that is not finite any more is left out from then on."""
    if m.failed:
        return
    try:
        for at, metrics in fetched:
            check_finite(at, metrics, leaves)
    except Diverged as error:
        m.failed, m.results = str(m.keeper.told(step, error)), {}
        with whole(m.folder / LEFT) as unfinished:
            unfinished.write_text(m.failed)
        return
    means = means_over_steps([metrics for _, metrics in fetched])
    for sink in m.sinks:
        sink.log(step, {**means, "steps/s": rate, "examples/s": rate * m.experiment.data.batch_size})
    sound_alarms(m.experiment, step, means, m.sinks)


def _stacked(read: Iterator[Any], count: int) -> Any:
    return jax.tree.map(lambda *parts: np.stack(parts), *(next(read) for _ in range(count)))


def _one(states: TrainState, index: int) -> TrainState:
    return jax.device_put(member(states, index), _alone())


def _alone() -> Any:
    return jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
