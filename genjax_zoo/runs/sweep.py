"""`genjax-zoo sweep`: the runs of a sweep, a folder each, trained by one program, and the table of what they reached.

FOLDER/sweep.json         the table: each setting's numbers, mean and standard error over its seeds
FOLDER/seed=0,.../        a run folder like any other: sample, eval, latent and train take it
FOLDER/seed=0,.../left    why this member left the sweep, if it did
"""

import contextlib
import functools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax_zoo import runs
from genjax_zoo.core import TrainState
from genjax_zoo.draw import Pictures
from genjax_zoo.errors import UserError
from genjax_zoo.files import whole
from genjax_zoo.runs.members import Member as Member
from genjax_zoo.runs.members import Row as Row
from genjax_zoo.runs.members import check_folders as check_folders
from genjax_zoo.runs.members import plan as plan
from genjax_zoo.runs.members import print_table as print_table
from genjax_zoo.runs.members import save_table as save_table
from genjax_zoo.runs.members import table as table
from genjax_zoo.train.checkpoint import Checkpoints, Damaged
from genjax_zoo.train.evaluating import try_evaluations
from genjax_zoo.train.log import JsonLines, closing, read_evaluation
from genjax_zoo.train.loop import run_steps
from genjax_zoo.train.members import create_states, member, program_of_members, stack_members
from genjax_zoo.train.merged import Unalike
from genjax_zoo.train.parallel import member_mesh
from genjax_zoo.train.program import Program
from genjax_zoo.train.run import Run

LEFT, LOG = "left", "metrics.jsonl"
CLOCKS = ("steps", "steps_per_call", "log_every", "eval_every", "save_every")  # which all members have in common


class Prepared(NamedTuple):
    """What trains a sweep's members."""

    states: TrainState  # before the first step, of all
    program: Program


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
        prepared = Prepared(states, program_of_members(experiments, states, mesh))
    except Unalike as error:
        differing = [_differing_flags(members[0], members[place]) for place in error.places]
        names = ", ".join(f"--{name.replace('_', '-')}" for name in min(differing, key=len))
        raise UserError(
            f"{names}: a swept number must not decide the shapes or branches of a program, and this one does; "
            f"run 'train' once for each of its values."
        ) from error
    tried = set()
    for index, m in enumerate(members):
        evaluated = tuple(map(id, (m.experiment.model, *m.experiment.evals.values())))  # which members share
        if evaluated not in tried:
            try_evaluations(m.experiment, member(states, index))
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
    states, program = prepared
    with contextlib.ExitStack() as opened:
        training = [_open(m, opened) for m in members]
        start, states, said = _restore(training, members, states, program)
        for m, run in zip(members, training):
            run.results = read_evaluation(m.folder / LOG, start)
            begin(m)
        for m, run in zip(members, training):
            if run.checkpoints:
                run.checkpoints.drop_after(start)  # what it saved or logged later than the others
                run.sinks = [JsonLines(m.folder / LOG, start=start), Pictures(m.folder)]
                opened.enter_context(closing(run.sinks))
        for sentence in [*said, f"Going on at step {start:,}."] if start else said:
            show(sentence)
        run_steps(program, states, training, tell=functools.partial(_tell, show, training))
    for m, run in zip(members, training):
        m.results, m.failed = run.results or {}, run.left
    return table(members)


def _tell(show: Callable[[str], None], training: Sequence[Run], step: int, rate: float) -> None:
    """The line of progress."""
    at = f" at {rate:,.1f} steps/s each" if rate > 0 else ""
    left = sum(bool(run.left) for run in training)
    lost = f", {left} not finite" if left else ""
    show(f"step {step:,}/{training[0].experiment.steps:,}  {len(training)} members{at}{lost}")


def _differing_flags(one: Member, other: Member) -> list[str]:
    """The flags in which two members differ."""
    return [name for name in one.flags if one.flags[name] != other.flags[name]]


def _open(m: Member, opened: contextlib.ExitStack) -> Run:
    """Locks a member's folder, and opens its checkpoints if it has not left."""
    opened.enter_context(runs.only_trainer(m.folder))
    left = (m.folder / LEFT).read_text() if (m.folder / LEFT).exists() else ""
    run = Run(m.experiment, on_leaving=functools.partial(_write_left, m.folder), left=left)
    if not left:
        run.checkpoints = opened.enter_context(Checkpoints(m.folder / "checkpoints", best=m.experiment.best))
    return run


def _write_left(folder: Path, why: str) -> None:
    with whole(folder / LEFT) as unfinished:
        unfinished.write_text(why)


def _restore(
    training: Sequence[Run], members: Sequence[Member], states: TrainState, program: Program
) -> tuple[int, TrainState, list[str]]:
    """The latest step of which all have a sound checkpoint, their states, and what is to be said of damaged ones."""
    kept = {m.folder: run.checkpoints for m, run in zip(members, training) if run.checkpoints}
    start, said = _common_step(kept), []
    target = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), member(states, 0))
    while start:
        restored = []
        for index, checkpoints in enumerate(run.checkpoints for run in training):
            try:
                one = checkpoints.restore(start, target) if checkpoints else _at(start, member(states, index))
                restored.append(one)
            except Damaged as error:
                earlier = _latest(kept.values(), before=start)
                if not (checkpoints and earlier):
                    raise
                said.append(f"{error.what}: going on from step {earlier:,}; {checkpoints.put_aside(start)}")
                start = earlier
                break
        else:
            return start, stack_members(restored, program.mesh), said
    return 0, states, said


def _at(step: int, state: TrainState) -> TrainState:
    """The state that stands in for a member that left: the step is common to all."""
    return state._replace(step=jnp.full_like(state.step, step))


def _common_step(kept: Mapping[Path, Checkpoints]) -> int:
    """The latest step that all have saved; 0 where all start anew."""
    start = _latest(kept.values())
    begun = all((folder / runs.CONFIG).exists() for folder in kept)
    killed = begun and all(len(checkpoints.steps) < 2 for checkpoints in kept.values())  # in the first save
    for folder, checkpoints in kept.items():
        last = max(checkpoints.steps, default=0)
        if last and not start and not killed:
            raise UserError(f"{folder} is ahead of the others, at step {last}; train it alone, or take --fresh.")
    return start


def _latest(kept: Collection[Checkpoints], before: float = math.inf) -> int:
    common = set.intersection(*(set(checkpoints.steps) for checkpoints in kept)) if kept else set()
    return max((step for step in common if step < before), default=0)
