"""`fit`: trains an experiment, and goes on where its folder holds a checkpoint."""

import contextlib
import dataclasses
import itertools
import textwrap
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, get_args

import jax
import numpy as np
from rich.console import Console

from genjax_zoo import data
from genjax_zoo.core import Experiment, TrainState
from genjax_zoo.draw import Pictures
from genjax_zoo.errors import UserError
from genjax_zoo.files import read_log
from genjax_zoo.runs.building import Precision, at_pace, check, in_precision, rebuild
from genjax_zoo.runs.folder import CONFIG, only_trainer, read_config
from genjax_zoo.runs.made import check_made, create_state_of, write_made
from genjax_zoo.runs.restored import target_of
from genjax_zoo.train.begin import begin_from
from genjax_zoo.train.checkpoint import Checkpoints, open_checkpoints
from genjax_zoo.train.evaluating import try_evaluations
from genjax_zoo.train.log import History, JsonLines, Progress, Sink, closing, is_watched, read_evaluation
from genjax_zoo.train.loop import Speed, run_steps
from genjax_zoo.train.parallel import Backend, data_mesh, replicate
from genjax_zoo.train.program import program_of
from genjax_zoo.train.run import Run


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """What `fit` returns."""

    state: TrainState
    results: Mapping[str, float]  # the last evaluation's numbers
    speed: Speed
    workdir: Path | None
    best_step: int | None = None  # of the checkpoint kept for the smallest `experiment.best`
    history: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)  # as in metrics.jsonl; NaN: not taken

    def __repr__(self) -> str:
        """A few lines, and no arrays."""
        where = f" in {self.workdir}" if self.workdir else ""
        speed = f", {self.speed.rate:,.1f} steps/s" if self.speed.steps else ""
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in self.results.items())
        logged = f"history of {len(self.history.get('step', ()))} steps: {', '.join(self.history)}"
        lines = (f"step {int(self.state.step):,}{where}{speed}", *(textwrap.shorten(x, 110) for x in (numbers, logged)))
        return "Result(\n" + "".join(f"  {line}\n" for line in lines if line) + ")"


def fit(
    experiment: Experiment,
    *,
    workdir: str | Path | None = None,
    backend: Backend = "shard_map",
    precision: Precision = "float32",
    devices: Sequence[Any] | None = None,
    sinks: Callable[[int], Sequence[Sink]] = lambda start: (),
    checkpoint: str = "latest",
    init_from: str | Path | None = None,
    keep_optimizer: bool = False,
    save_every: int | None = None,
    eval_every: int | None = None,
    log_every: int | None = None,
    steps_per_call: int | None = None,
    progress: bool | None = None,
) -> Result:
    """Trains an experiment, resuming where `workdir` holds a checkpoint.

    A run folder that it makes has no experiment.py: read it back by `restore(workdir, experiment=...)`.

    Args:
        experiment: what to run.
        workdir: the run folder; None keeps nothing.
        backend: how to shard a step: "shard_map", "pmap" or "jit".
        precision: "bf16" computes networks in bfloat16, with float32 parameters.
        devices: all of JAX's by default.
        sinks: from the first step to more receivers of metrics.
        checkpoint: of `workdir`, to go on from: "latest", "best", or a step; later ones are dropped.
        init_from: another run whose networks a new run begins with, "RUN" or "RUN@STEP".
        keep_optimizer: takes that run's optimizers' state as well.
        save_every: steps between checkpoints; None, here and of the next three, is the experiment's own.
        eval_every: steps between evaluations.
        log_every: steps between logs.
        steps_per_call: steps in one compiled scan.
        progress: whether to show losses and speeds on standard output; None shows them in a terminal and a notebook.

    Raises:
        UserError: data of another shape than the model's spec, a batch that the devices do not divide, players that
            do not fit the model, a run with no sound checkpoint, an evaluation that fails, a loss that is not finite,
            or a folder with a run of another seed or model.
    """
    for name, given, known in (("backend", backend, Backend), ("precision", precision, Precision)):
        if given not in get_args(known):
            raise UserError(f"{name}={given!r} is none of {', '.join(get_args(known))}.")
    cadence = {"save_every": save_every, "eval_every": eval_every, "log_every": log_every}
    experiment = at_pace(in_precision(experiment, precision), {**cadence, "steps_per_call": steps_per_call})
    mesh = data_mesh(devices)
    check(experiment, mesh)
    state = create_state_of(experiment)
    begun = workdir is not None and any((Path(workdir) / "checkpoints").glob("[0-9]*"))
    if init_from is not None and not begun:
        state = _begun(state, init_from, keep_optimizer)
    state = replicate(mesh, state)

    def shown(start: int) -> list[Sink]:
        told = is_watched() if progress is None else progress
        return [*sinks(start), *([Progress(Console(), start=start, steps=experiment.steps)] if told else [])]

    if workdir is None:
        try_evaluations(experiment, state, drawn=False)
        history = History()
        everywhere = [*shown(0), history]
        run = Run(experiment, sinks=everywhere)
        with closing(everywhere):
            state, speed = run_steps(program_of(experiment, mesh, backend), state, [run])
        return Result(state, run.results or {}, speed, None, history=history.arrays())
    folder = Path(workdir)
    log = folder / "metrics.jsonl"
    check_made(folder, experiment)
    with only_trainer(folder), Checkpoints(folder / "checkpoints", best=experiment.best) as checkpoints:
        fallen: list[str] = []  # what is to be said of damaged checkpoints
        if checkpoints.steps:
            last = checkpoints.choose(str(checkpoint))
            state, fallen = checkpoints.newest(target_of(state, mesh), last)
        elif str(checkpoint) != "latest":
            raise UserError(f"The run {folder} has no checkpoint '{checkpoint}', nor any other.")
        elif any(name.startswith("eval/") for row in read_log(log)[0] for name in row):
            raise UserError(
                f"The run {folder} has a log of evaluations, but no checkpoint; bring its checkpoints back, or take "
                f"--fresh to start anew."
            )
        start = int(state.step)
        if start < experiment.steps:
            try_evaluations(experiment, state)
        history = History(row for row in read_log(log)[0] if row["step"] <= start)
        everywhere: list[Sink] = [history]
        if jax.process_index() == 0:
            everywhere += [*shown(start), JsonLines(log, start=start), Pictures(folder)]
            write_made(folder, experiment, {"backend": backend, "precision": precision})
        checkpoints.drop_after(start)
        run = Run(experiment, checkpoints, everywhere, results=read_evaluation(log, start))
        with closing(everywhere):
            for sentence, sink in itertools.product(fallen, everywhere):
                sink.warn(start, sentence)
            state, speed = run_steps(program_of(experiment, mesh, backend), state, [run])
            checkpoints.wait()
            best = checkpoints.best_step()
    return Result(state, run.results or {}, speed, folder, best, history.arrays())


def rehearse(experiment: Experiment, *, precision: Precision, init_from: str | None, keep_optimizer: bool) -> None:
    """Begins a run as `fit` does, and writes nothing: what can be known to fail does so before an old run is removed.

    Raises:
        UserError, FileNotFoundError: as `fit`.
    """
    experiment = in_precision(experiment, precision)
    state = create_state_of(experiment)
    if init_from is not None:
        state = _begun(state, init_from, keep_optimizer)
    try_evaluations(experiment, state)


def run_and_checkpoint(source: str | Path) -> tuple[Path, str]:
    """The folder and the checkpoint of "RUN" or "RUN@STEP"; a folder may have an @ in its name."""
    folder = Path(source)
    if folder.is_dir() or "@" not in folder.name:
        return folder, "latest"
    name, _, which = folder.name.rpartition("@")
    return folder.with_name(name), which


def _begun(state: TrainState, source: str | Path, keep_optimizer: bool) -> TrainState:
    """The state with the networks of "RUN" or "RUN@STEP"."""
    folder, which = run_and_checkpoint(source)
    if not (folder / "checkpoints").is_dir() and folder.is_dir():
        read_config(folder)  # a sweep's folder names its members
    with open_checkpoints(folder) as checkpoints:
        saved = checkpoints.read(checkpoints.choose(which))
    try:
        return begin_from(state, saved, keep_optimizer=keep_optimizer)
    except UserError as error:
        raise UserError(f"Cannot begin from {source}: {error}") from None


def at_home(folder: Path, flags: Mapping[str, Any], *, fresh: bool = False) -> dict[str, Any]:
    """Flags with the folder of the data, absolute: the one that was given, else the run's own, else the environment's.

    Args:
        folder: of the run, or of the runs of a sweep.
        flags: as they were given; an experiment's own `data_dir` is left alone.
        fresh: forgets the run.

    Raises:
        UserError: the folder's config.json is not of a run.
    """
    config = _config(folder, fresh)
    own = config["flags"].get("data_dir") if config else None
    if flags.get("data_dir"):
        return {**flags, "data_dir": str(Path(flags["data_dir"]).expanduser().absolute())}
    return {**flags, "data_dir": own if own and Path(own).is_dir() else data.folder()}


def rebuild_last(folder: Path, *, fresh: bool = False) -> AbstractContextManager[None]:
    """For the time of a `with`, the experiment of the run in a folder is made again, if there is one.

    Args:
        folder: of the run, or of the runs of a sweep.
        fresh: forgets the run.

    Raises:
        UserError: the folder's config.json is not of a run.
    """
    config = _config(folder, fresh)
    return rebuild(folder, config) if config else contextlib.nullcontext()


def _config(folder: Path, fresh: bool) -> Mapping[str, Any] | None:
    """Of the run, or of the first of a sweep's."""
    configs = [path for path in (folder / CONFIG, *sorted(folder.glob(f"*/{CONFIG}"))) if path.exists() and not fresh]
    return read_config(configs[0].parent) if configs else None
