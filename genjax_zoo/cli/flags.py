"""Flags: an experiment's keyword arguments as typed flags, and what the parser says of wrong ones as a sentence.

Imports neither jax nor numpy before it must, so that --help answers at once.
"""

import contextlib
import dataclasses
import functools
import inspect
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from genjax_zoo.errors import PROG, Missing, UserError
from genjax_zoo.files import cache_folder, writable


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder, if there is one: a second start is seconds faster."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(writable(cache_folder() / "jax"))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


@contextlib.contextmanager
def environment_kept(name: str) -> Iterator[None]:
    """Gives a variable of the environment its value back at the end of a `with`: a flag is of one command."""
    before = os.environ.get(name)
    try:
        yield
    finally:
        os.environ.pop(name, None)
        if before is not None:
            os.environ[name] = before


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFlags:
    """Flags that every experiment has; a None leaves the experiment's own value."""

    workdir: Path | None = None
    """The run folder; runs/<experiment> by default. A folder that holds a run is resumed."""
    steps: int | None = None
    """Train up to this step."""
    seed: int | None = None
    """Seed of parameters, noise and pictures."""
    save_every: int | None = None
    """Steps between checkpoints."""
    eval_every: int | None = None
    """Steps between evaluations."""
    log_every: int | None = None
    """Steps between lines in metrics.jsonl."""
    steps_per_call: int | None = None
    """Steps in one compiled scan."""
    backend: Literal["shard_map", "pmap", "jit"] = "shard_map"
    """How a step is sharded over the devices."""
    precision: Literal["float32", "bf16"] = "float32"
    """bf16 computes networks in bfloat16, with float32 parameters."""
    data_dir: Path | None = None
    """The folder that holds one sub-folder per data set; GENJAX_ZOO_DATA by default."""
    tensorboard: bool = False
    """Write TensorBoard event files, too (needs the extra tb)."""
    wandb: bool = False
    """Log to Weights & Biases, too (needs the extra wandb)."""
    init_from: str | None = None
    """Begin with the networks of another run, RUN or RUN@STEP, where STEP is a number, latest or best."""
    keep_optimizer: bool = False
    """With --init-from: take that run's optimizers' state, too, with the steps that they have counted."""
    checkpoint: str = "latest"
    """Go on from this checkpoint of the run: latest, best, or a step; later ones are dropped."""
    fresh: bool = False
    """Delete the run in the folder, and start anew."""
    accept_changes: bool = False
    """Go on with the run in the folder although the experiment's file has changed since it began."""
    debug: bool = False
    """Show the traceback of an error."""


def parse_experiment(file: Path, argv: list[str]) -> tuple[Callable[..., Any], Mapping[str, Any], RunFlags]:
    """The function `experiment` of a file, its flags with their values, and those that every run has."""
    for folder in _data_dirs(argv):  # an experiment's defaults may depend on it
        if not Path(folder).is_dir():
            raise Missing(f"There is no folder {folder}; --data-dir names the folder of all data sets.")
        os.environ["GENJAX_ZOO_DATA"] = folder
    from genjax_zoo.runs import load_experiment

    make = load_experiment(file)
    own = set(inspect.signature(make).parameters)

    @functools.wraps(make)
    def collect(**flags: Any) -> Mapping[str, Any]:
        return flags

    fields = [
        (f.name, Annotated[f.type, tyro.conf.arg(help=_help(f.name))], dataclasses.field(default=f.default))
        for f in dataclasses.fields(RunFlags)
        if f.name not in own
    ]
    Common = dataclasses.make_dataclass("Common", fields, frozen=True, kw_only=True)  # noqa: N806

    def command(experiment, run):
        return experiment, run

    command.__annotations__ = {
        "experiment": Annotated[Mapping[str, Any], tyro.conf.arg(constructor=collect, name="")],
        "run": Annotated[Common, tyro.conf.arg(name="")],
    }
    about = re.split(r"\n\s*Args:", inspect.getdoc(make) or "")[0]
    flags, common = parsed(lambda: tyro.cli(command, prog=f"{PROG} train {file}", args=argv, description=about))
    shared = {f.name: flags[f.name] for f in dataclasses.fields(RunFlags) if f.name in flags}
    return make, flags, RunFlags(**{**dataclasses.asdict(common), **shared})


def _data_dirs(argv: list[str]) -> list[str]:
    """What --data-dir is given, in each form that the parser knows."""
    words = [part for word in argv for part in (word.split("=", 1) if word.startswith("--") else [word])]
    return [value for name, value in zip(words, words[1:]) if name.replace("_", "-") == "--data-dir"]


def parse_sweep(argv: list[str]) -> tuple[list[str], list[int], dict[str, list[str]]]:
    """Splits a sweep's flags: those of a single run, the seeds, and flags whose values are listed with commas.

    Raises:
        UserError: seeds that are no whole numbers.
    """
    single, seeds, listed = [], [0], {}
    words = iter(flag for word in argv for flag in (word.split("=", 1) if word.startswith("--") else [word]))
    name = ""
    for word in words:
        if word in ("--seeds", "--seed"):
            text = next(words, "")
            try:
                numbers = [int(part) for part in text.split(",")]
            except ValueError:
                raise UserError(f"{word} takes a count, or seeds with commas, not '{text}'.") from None
            several = "," in text or word == "--seed"
            seeds = numbers if several else list(range(numbers[0]))
            if not seeds or min(seeds) < 0:
                raise UserError(f"--seeds must be at least 1, not {text}.")
            continue
        if word.startswith("--"):
            name = word
        elif "," in word and name:
            listed[name.removeprefix("--").replace("-", "_")] = word.split(",")
            word = word.split(",")[0]
        single.append(word)
    return single, seeds, listed


def _help(name: str) -> str:
    """The docstring under a field of RunFlags."""
    source = inspect.getsource(RunFlags)
    found = re.search(rf'^    {name}: .*\n    """(.*?)"""', source, re.M)
    return found.group(1) if found else ""


def parsed(parse: Callable[[], Any]) -> Any:
    """Runs a tyro parser; its boxed error becomes one sentence."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return parse()
    except SystemExit as ended:
        if ended.code in (0, None):
            raise
        if isinstance(ended.code, str):  # of an experiment's own code
            stop(ended.code)
        stop(_sentence(errors.getvalue()))


def _sentence(box: str) -> str:
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip("│╭╮╰╯─ \n") for line in box.splitlines()]
    lines = [line for line in lines[1:] if line]
    text = " ".join(lines)
    text = re.sub(r" ?-{5,}", "", text).replace("Error parsing -n/", "Error parsing ").strip()
    wrong = re.search(r"Error parsing (--[\w-]+):.*?'([^']*)'", text)
    kind = wrong and re.search(rf"{wrong[1]} (?:\{{None\}}\|)?([A-Z]+)", text)
    if wrong and kind:
        return f"{wrong[1]} takes {kind[1]}, not '{wrong[2]}'."
    message = re.split(r"Perhaps you meant|Similar|Argument helptext|For full helptext|─{3,}", text)[0].strip(" .")
    near = re.search(r"(?:Perhaps you meant|Similar)[^-]*(--[\w-]+)", text)
    return f"{message}; did you mean {near.group(1)}?" if near else f"{message}; see --help."


def stop(sentence: str, status: int = 2) -> Any:
    """Prints a sentence, and exits."""
    print(f"{PROG}: {sentence}", file=sys.stderr)
    raise SystemExit(status)


def longer_of(folder: Path, flags: Mapping[str, Any]) -> str:
    """What becomes of schedules where a run goes on to another last step, of which they are built; or nothing."""
    from genjax_zoo.runs import CONFIG, read_config

    before = read_config(folder)["flags"].get("steps") if (folder / CONFIG).exists() else None
    if before is None or before == flags.get("steps", before):
        return ""
    return f" Schedules are those of {flags['steps']:,} steps from here on; until here they were of {before:,}."


def everything_of(flags: Mapping[str, Any], run: RunFlags) -> dict[str, Any]:
    """All flags that make a run what it is."""
    logging = {"workdir", "checkpoint", "fresh", "accept_changes", "debug", "tensorboard", "wandb"}
    common = {f.name: getattr(run, f.name) for f in dataclasses.fields(run) if f.name not in logging}
    return {name: str(v) if isinstance(v, Path) else v for name, v in {**common, **flags}.items()}
