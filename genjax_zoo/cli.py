"""The command line: genjax-zoo train | sample | eval | list.

This module imports neither jax nor numpy, so that --help answers at once; the commands do, when they run.
"""

import contextlib
import dataclasses
import difflib
import functools
import inspect
import io
import os
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

PROG = "genjax-zoo"
PACKAGE = str(Path(__file__).parent)


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
    fresh: bool = False
    """Delete the run in the folder, and start anew."""
    debug: bool = False
    """Show the traceback of an error."""


def main(experiment: Callable[..., Any], argv: Sequence[str] | None = None) -> None:
    """Makes an experiment's own file a command: `python FILE train|sample|eval ...`."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] == ["train"]:
        argv.insert(1, inspect.getfile(experiment))
    console(argv)


def console(argv: Sequence[str] | None = None) -> None:
    """Runs the command line; bad input is one sentence and exit status 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    try:
        _dispatch(argv)
    except KeyboardInterrupt as stopped:
        _exit(f"{str(stopped).capitalize() or 'Stopped'}; run the same command to go on.", 130)
    except (ValueError, OSError, ImportError) as error:
        if "--debug" in argv or not (_is_ours(error) or isinstance(error, OSError)):
            raise
        _exit(str(error))


def _dispatch(argv: list[str]) -> None:
    commands = {"train": train, "sample": sample, "eval": evaluate, "list": list_}
    if argv and not argv[0].startswith("-") and argv[0] not in commands:
        raise ValueError(f"There is no command '{argv[0]}'; {_nearest(argv[0], commands)}")
    if len(argv) > 1 and argv[0] == "train" and not argv[1].startswith("-"):
        file = _find_experiment(argv[1])
        return _train(file, *_parse_train(file, argv[2:]))
    named = {name: functools.partial(command) for name, command in commands.items()}
    for name, command in commands.items():
        functools.update_wrapper(named[name], command)
    _tyro(lambda: tyro.extras.subcommand_cli_from_dict(named, prog=PROG, args=argv, description=DESCRIPTION))


DESCRIPTION = "Train, sample and measure deep generative models in JAX."


def train(file: Annotated[str, tyro.conf.Positional]) -> None:
    """Train an experiment, or go on with it: `genjax-zoo train FILE --help` lists its flags.

    Args:
        file: a Python file with a function `experiment`, such as experiments/vae_digits.py.
    """


def sample(
    run: Annotated[Path, tyro.conf.Positional],
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    checkpoint: str = "latest",
    out: Path | None = None,
    debug: bool = False,
) -> None:
    """Draw samples from a run, as a PNG grid or as an array.

    Args:
        run: the run folder.
        n: how many samples.
        seed: of the draw.
        checkpoint: latest, best, or a step.
        out: a .png or .npy file; RUN/samples-<seed>.png by default.
        debug: show the traceback of an error.
    """
    if n < 1:
        raise ValueError(f"Cannot draw {n} samples; use -n 1 or more.")
    path = out or run / f"samples-{seed}.png"
    if path.suffix not in (".png", ".npy"):
        raise ValueError(f"Cannot write '{path}': --out must end in .png or .npy.")
    _use_compilation_cache()
    import jax
    import numpy as np

    from genjax_zoo import report
    from genjax_zoo.evals.samples import draw
    from genjax_zoo.run import restore
    from genjax_zoo.train import eval_variables

    experiment, state = restore(run, checkpoint=checkpoint)
    x = draw(experiment.model, n)(eval_variables(state), jax.random.key(seed), {})
    if path.suffix == ".npy":
        np.save(path, np.asarray(x))
    else:
        report.save_grid(path, x)
    print(f"{n} samples of step {int(state.step):,}: {path}")


def evaluate(run: Annotated[Path, tyro.conf.Positional], checkpoint: str = "latest", debug: bool = False) -> None:
    """Run an experiment's evaluations on a checkpoint, and print the numbers.

    Args:
        run: the run folder.
        checkpoint: latest, best, or a step.
        debug: show the traceback of an error.
    """
    _use_compilation_cache()
    from genjax_zoo.run import restore
    from genjax_zoo.train.loop import evaluate as run_evals

    experiment, state = restore(run, checkpoint=checkpoint)
    print(f"step {int(state.step):,}")
    for name, value in run_evals(experiment, state).items():
        print(f"{name:32} {value:.4f}{_unit(name)}")


def list_(what: Annotated[Literal["all", "models", "data", "experiments"], tyro.conf.Positional] = "all") -> None:
    """List models, data and experiments, a line each; `list data` prints the card of every protocol.

    Args:
        what: which of them.
    """
    from genjax_zoo import data, models

    sections: dict[str, Mapping[str, Any]] = {
        "models": {name: sys.modules[make.__module__].__doc__ for name, make in models.MODELS.items()},
        "data": {name: protocol.about for name, protocol in data.PROTOCOLS.items()},
        "experiments": {str(path): _docstring(path) for path in _experiments()},
    }
    for title, entries in sections.items():
        if what in ("all", title):
            print(title)
            for name, about in entries.items():
                card = data.PROTOCOLS[name].card() if what == "data" else {}
                print(f"  {name}" if card else f"  {name:32} {(about or '').strip().splitlines()[0]}")
                for entry, text in card.items():
                    print(f"      {entry:12} {text}")


def _parse_train(file: Path, argv: list[str]) -> tuple[Callable[..., Any], Mapping[str, Any], RunFlags]:
    _use_compilation_cache()
    if "--data-dir" in argv[:-1]:  # an experiment's defaults may depend on it
        os.environ["GENJAX_ZOO_DATA"] = argv[argv.index("--data-dir") + 1]
    from genjax_zoo.run import load_experiment

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
    flags, common = _tyro(lambda: tyro.cli(command, prog=f"{PROG} train {file}", args=argv, description=about))
    shared = {f.name: flags[f.name] for f in dataclasses.fields(RunFlags) if f.name in flags}
    return make, flags, RunFlags(**{**dataclasses.asdict(common), **shared})


def _train(file: Path, make: Callable[..., Any], flags: Mapping[str, Any], run: RunFlags) -> None:
    from rich.console import Console

    from genjax_zoo import run as runs
    from genjax_zoo.train import log

    logging = {"workdir", "fresh", "debug", "tensorboard", "wandb"}
    common = {f.name: getattr(run, f.name) for f in dataclasses.fields(run) if f.name not in logging}
    everything = {name: str(v) if isinstance(v, Path) else v for name, v in {**common, **flags}.items()}
    experiment = runs.build(make, everything)
    folder = run.workdir or Path("runs") / file.stem
    runs.check(experiment)
    runs.open_run(folder, file, everything, fresh=run.fresh)
    console = Console()

    def sinks(start: int) -> list[log.Sink]:
        if start:
            console.print(f"Going on with {folder} at step {start:,}.", highlight=False)
        extra: list[log.Sink] = [log.TensorBoard(folder / "tensorboard")] if run.tensorboard else []
        extra += [log.WeightsAndBiases(folder, config=everything)] if run.wandb else []
        return [*extra, log.Progress(console, start=start, steps=experiment.steps)]

    result = runs.fit(experiment, workdir=folder, backend=run.backend, precision=run.precision, sinks=sinks)
    _print_summary(folder, experiment, result)


def _print_summary(folder: Path, experiment: Any, result: Any) -> None:
    print(f"\nTrained {folder.name} to step {int(result.state.step):,}.")
    if result.speed.steps:
        rate = result.speed.rate
        print(f"  {rate:,.1f} steps/s, {rate * experiment.data.batch_size:,.0f} examples/s")
    for name, value in result.results.items():
        print(f"  {name:28} {value:.4f}{_unit(name)}")
    if result.best_step is not None:
        print(f"  smallest {experiment.best} at step {result.best_step:,}: eval {folder} --checkpoint best")
    for path in sorted(folder.iterdir()):
        if path.suffix in (".png", ".jsonl", ".json") or path.name in ("checkpoints", "pictures"):
            print(f"  {path}")


def _unit(name: str) -> str:
    return " nats" if name.rpartition("/")[2] in ("nll", "nelbo", "distortion", "rate") else ""


def _help(name: str) -> str:
    """The docstring under a field of RunFlags."""
    source = inspect.getsource(RunFlags)
    found = re.search(rf'^    {name}: .*\n    """(.*?)"""', source, re.M)
    return found.group(1) if found else ""


def _find_experiment(name: str) -> Path:
    path = Path(name)
    if path.is_file():
        return path
    candidates = {p.stem: p for p in _experiments()}
    if name in candidates:
        return candidates[name]
    raise FileNotFoundError(f"There is no experiment {name}; {_nearest(path.stem, candidates, str)}")


def _experiments() -> list[Path]:
    return sorted(p for p in Path("experiments").glob("*.py") if not p.stem.startswith("_"))


def _docstring(path: Path) -> str | None:
    import ast

    return ast.get_docstring(ast.parse(path.read_text()))


def _nearest(name: str, known: Mapping[str, Any], show: Callable[[Any], str] | None = None) -> str:
    near = difflib.get_close_matches(name, known, 1, cutoff=0.4)
    if near:
        return f"did you mean '{show(known[near[0]]) if show else near[0]}'?"
    return f"there are {', '.join(known)}." if known else "name a Python file with a function 'experiment'."


def _use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder: a second start is seconds faster."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(cache / "genjax_zoo" / "jax")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


def _tyro(parse: Callable[[], Any]) -> Any:
    """Runs a tyro parser; its boxed error becomes one sentence."""
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return parse()
    except SystemExit as ended:
        if ended.code in (0, None):
            raise
        _exit(_sentence(errors.getvalue()))


def _sentence(box: str) -> str:
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip("│╭╮╰╯─ \n") for line in box.splitlines()]
    lines = [line for line in lines[1:] if line]
    text = " ".join(lines)
    wrong = re.search(r"Error parsing (--[\w-]+):.*?'([^']*)'", text)
    kind = wrong and re.search(rf"{wrong[1]} (?:\{{None\}}\|)?([A-Z]+)", text)
    if wrong and kind:
        return f"{wrong[1]} takes {kind[1]}, not '{wrong[2]}'."
    message = re.split(r"Perhaps you meant|Similar|Argument helptext|For full helptext|─{3,}", text)[0].strip(" .")
    near = re.search(r"(?:Perhaps you meant|Similar)[^-]*(--[\w-]+)", text)
    return f"{message}; did you mean {near.group(1)}?" if near else f"{message}; see --help."


def _is_ours(error: BaseException) -> bool:
    """Whether this package or the user's experiment raised the error, and not a library below it."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and (frames[-1].filename.startswith(PACKAGE) or "experiment" in frames[-1].name)


def _exit(sentence: str, status: int = 2) -> Any:
    print(f"{PROG}: {sentence}", file=sys.stderr)
    raise SystemExit(status)


if __name__ == "__main__":
    console()
