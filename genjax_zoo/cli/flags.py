"""Flags of an experiment: its function's arguments, and those of every run beside them.

Imports neither jax nor numpy before it must, so that --help answers at once.
"""

import dataclasses
import functools
import inspect
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from genjax_zoo.cli.parsing import by_flag, flag_of, parse
from genjax_zoo.errors import CADENCE, PROG, Missing, explain_errors

OWN = "the experiment's own"  # what a None leaves
PASSED_TO = {  # where an argument of these names goes, that an experiment's function has not
    "steps": "its schedules, and to Experiment(steps=steps)",
    "seed": "its training data, and to Experiment(seed=seed)",
    "batch_size": "its training data",
    "learning_rate": "its optimizer",
}

File = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]  # of an experiment
Words = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="[FLAGS ...]", help_behavior_hint="")]


def _flag(about: str, default: str = "") -> Any:
    return tyro.conf.arg(help=about, help_behavior_hint=f"(default: {default})" if default else None)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFlags:
    """How an experiment is run; what it is, its own arguments say."""

    workdir: Path | None = None  # what --help says of it depends on the file
    save_every: Annotated[int | None, _flag("Steps between checkpoints.", OWN)] = None
    eval_every: Annotated[int | None, _flag("Steps between evaluations.", OWN)] = None
    log_every: Annotated[int | None, _flag("Steps between lines in metrics.jsonl.", OWN)] = None
    steps_per_call: Annotated[int | None, _flag("Steps in one compiled scan.", OWN)] = None
    backend: Annotated[Literal["shard_map", "pmap", "jit"], _flag("How a step is sharded over the devices.")] = (
        "shard_map"
    )
    precision: Annotated[
        Literal["float32", "bf16"], _flag("bf16 computes networks in bfloat16, with float32 parameters.")
    ] = "float32"
    data_dir: Annotated[
        Path | None, _flag("The folder that holds one sub-folder per data set.", "the run's own, else GENJAX_ZOO_DATA")
    ] = None
    tensorboard: Annotated[bool, _flag("Write TensorBoard event files, too (needs the extra tb).")] = False
    wandb: Annotated[bool, _flag("Log to Weights & Biases, too (needs the extra wandb).")] = False
    init_from: Annotated[
        str | None,
        _flag(
            "Begin with the networks of another run, RUN or RUN@STEP, where STEP is a number, latest or best.", "none"
        ),
    ] = None
    keep_optimizer: Annotated[
        bool, _flag("With --init-from: take that run's optimizers' state, too, with the steps that they have counted.")
    ] = False
    checkpoint: Annotated[
        str, _flag("Go on from this checkpoint of the run: latest, best, or a step; later ones are dropped.")
    ] = "latest"
    fresh: Annotated[bool, _flag("Delete the run in the folder, and start anew.")] = False
    accept_changes: Annotated[
        bool, _flag("Go on with the run in the folder although the experiment's file has changed since it began.")
    ] = False
    copy: Annotated[
        Path | None, _flag("Write the experiment's file here, to change it, and train nothing.", "train it as it is")
    ] = None
    debug: Annotated[bool, _flag("Show the traceback of an error.")] = False


OF_ONE_START = {"workdir", "checkpoint", "fresh", "accept_changes", "copy", "debug", "tensorboard", "wandb"}  # not kept


def load(file: Path, words: Sequence[str]) -> Callable[..., Any]:
    """The function `experiment` of a file, whose defaults may depend on --data-dir."""
    folders = [given[0] for flag, given in by_flag(words) if flag == "--data-dir" and given]
    for folder in folders:
        if not Path(folder).is_dir():
            raise Missing(f"There is no folder {folder}; --data-dir names the folder of all data sets.")
    from genjax_zoo import data
    from genjax_zoo.runs import load_experiment

    with data.look_in(folders[-1] if folders else None):
        return load_experiment(file)


def parameters_of(make: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The arguments of a function, an experiment's or a command, with their types."""
    file = inspect.unwrap(make).__code__.co_filename if hasattr(inspect.unwrap(make), "__code__") else "experiment"
    with explain_errors(f"The arguments of {Path(file).name} have types that cannot be read", Path(file)):
        hints = typing.get_type_hints(make.func if isinstance(make, functools.partial) else make, include_extras=True)
    own = inspect.signature(make).parameters.values()
    single = [one for one in own if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)]
    return {one.name: one.replace(annotation=hints.get(one.name, _kind_of(one.default))) for one in single}


def _kind_of(default: Any) -> Any:
    """What a default says of an argument without an annotation."""
    return type(default) if isinstance(default, bool | int | float | str) else inspect.Parameter.empty


def parse_experiment(
    make: Callable[..., Any], file: Path, words: Sequence[str], command: str = "train", folder: Path | None = None
) -> tuple[Mapping[str, Any], RunFlags]:
    """The flags of an experiment's own, with their values, and those of every run.

    Args:
        make: the experiment's function.
        file: where it stands.
        words: of the command line behind the file.
        command: which reads them.
        folder: the run folder where none is given; runs/ and the name of the file by default.

    Raises:
        UserError, SystemExit: as `parse`.
    """
    own, of_run = parameters_of(make), inspect.signature(RunFlags).parameters
    where = _flag("The run folder. One that holds a run is resumed.", str(folder or Path("runs") / file.stem))
    beside = {**of_run, "workdir": of_run["workdir"].replace(annotation=Annotated[Path | None, where])}
    about = re.sub(r"\n\s*(Returns|Raises):.*", "", inspect.getdoc(make) or "", flags=re.S)
    absent = {
        (flag := flag_of(name)): f"{file.name} takes no {flag}: give its function 'experiment' an argument '{name}', "
        f"and pass it to {place}."
        for name, place in PASSED_TO.items()
    }
    arguments = {**own, **{name: one for name, one in beside.items() if name not in own}}
    values = parse(arguments, words, prog=f"{PROG} {command} {file}", about=about, absent=absent)
    of_both = {name for name in own if name not in (*CADENCE, "data_dir")}  # the experiment's alone
    return {name: values[name] for name in own}, RunFlags(**{n: values[n] for n in of_run if n not in of_both})


def everything_of(flags: Mapping[str, Any], run: RunFlags) -> dict[str, Any]:
    """All flags that make a run what it is."""
    common = {name: value for name, value in dataclasses.asdict(run).items() if name not in OF_ONE_START}
    return {name: str(v) if isinstance(v, Path) else v for name, v in {**common, **flags}.items()}
