"""The command line: genjax-zoo train | sweep | explain | sample | eval | latent | compare | report | watch | list.

This module imports neither jax nor numpy, so that --help answers at once; the commands do, when they run.
"""

import codecs
import contextlib
import contextvars
import difflib
import functools
import inspect
import io
import os
import sys
import traceback
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from genjax_zoo.checks import check_number, check_place
from genjax_zoo.commands import OF_EXPERIMENTS
from genjax_zoo.errors import in_words, is_sentence
from genjax_zoo.files import telling
from genjax_zoo.flags import PROG, environment_kept, parsed, stop, use_compilation_cache
from genjax_zoo.showing import compare, report, watch

PLAIN = "genjax_zoo.plain"  # how a terminal that knows few letters gets others: without their accents, or as "?"
OTHER_SIGNS = {"±": "+-", "×": "x", "…": "...", "·": "-", "–": "-"}


def _plain(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    letters = (OTHER_SIGNS.get(sign, sign) for sign in error.object[error.start : error.end])
    bare = (unicodedata.normalize("NFKD", letter).encode("ascii", "ignore").decode() or "?" for letter in letters)
    return "".join(bare), error.end


codecs.register_error(PLAIN, _plain)


def main(experiment: Callable[..., Any], argv: Sequence[str] | None = None) -> None:
    """Makes an experiment's own file a command: `python FILE train|sample|eval ...`."""
    run = command if argv is None else console
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv[:1] and argv[0] in OF_EXPERIMENTS:
        argv.insert(1, inspect.getfile(experiment))
    run(argv)


def command(argv: Sequence[str] | None = None) -> None:
    """The program: `console`, and a process that ends when it has said why, whatever still computes or saves in it."""
    try:
        console(argv)
    except SystemExit as ended:
        if not ended.code:
            raise
        status = ended.code if isinstance(ended.code, int) else 1
    except Exception:
        traceback.print_exc()
        status = 1
    else:
        return
    with contextlib.suppress(OSError, ValueError):  # of a pipe that nobody reads any more
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def console(argv: Sequence[str] | None = None) -> None:
    """Runs the command line; bad input is one sentence and exit status 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAIN)
    try:
        with environment_kept("GENJAX_ZOO_DATA"):
            contextvars.copy_context().run(_told, argv)
    except KeyboardInterrupt as stopped:
        stop(f"{str(stopped).capitalize() or 'Stopped'}; run the same command to go on.", 130)
    except (ValueError, OSError, ImportError) as error:
        if "--debug" in argv or not is_sentence(error):
            raise
        stop(in_words(error))


def _told(argv: list[str]) -> None:
    telling.set(lambda sentence: print(f"{PROG}: {sentence}", file=sys.stderr))
    _dispatch(argv)


def _dispatch(argv: list[str]) -> None:
    commands = {"train": train, "sweep": sweep, "explain": explain}
    commands |= {"sample": sample, "eval": evaluate, "latent": latent, "compare": compare}
    commands |= {"report": report, "watch": watch, "list": list_}
    if argv and not argv[0].startswith("-") and argv[0] not in commands:
        raise ValueError(f"There is no command '{argv[0]}'; {_nearest(argv[0], commands)}")
    if len(argv) > 1 and argv[0] in OF_EXPERIMENTS and not argv[1].startswith("-"):
        file = _find_experiment(argv[1])
        use_compilation_cache()
        return OF_EXPERIMENTS[argv[0]](file, argv[2:])
    named = {name: _heard(command, sys.stderr) for name, command in commands.items()}
    parsed(lambda: tyro.extras.subcommand_cli_from_dict(named, prog=PROG, args=argv, description=DESCRIPTION))


def _heard(command: Callable[..., None], stderr: Any) -> Callable[..., None]:
    """The command, with this stream for its errors: that of the parser, which runs it, is kept back."""

    @functools.wraps(command)
    def run(*args: Any, **flags: Any) -> None:
        with contextlib.redirect_stderr(stderr):
            command(*args, **flags)

    return run


DESCRIPTION = "Train, sample and measure deep generative models in JAX."


def train(file: Annotated[str, tyro.conf.Positional]) -> None:
    """Train an experiment, or go on with it: `genjax-zoo train FILE --help` lists its flags.

    Args:
        file: a Python file with a function `experiment`, such as experiments/vae_digits.py.
    """


def sweep(file: Annotated[str, tyro.conf.Positional], seeds: str = "1") -> None:
    """Train an experiment many times as one program: seeds, and flags whose numbers are listed with commas.

    `genjax-zoo sweep FILE --seeds 10 --learning-rate 1e-4,2e-4` makes a run folder each, and a table of means and
    standard errors; all other flags are those of `train`.

    Args:
        file: a Python file with a function `experiment`, such as experiments/gan_points.py.
        seeds: a count, for 0, 1, ...; or seeds with commas.
    """


def explain(file: Annotated[str, tyro.conf.Positional]) -> None:
    """Print what each player minimises, as formulas with their weights; takes the flags of `train`.

    Args:
        file: a Python file with a function `experiment`, such as experiments/r3gan_points.py.
    """


def sample(
    run: Annotated[Path, tyro.conf.Positional],
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    cond: tuple[str, ...] = (),
    seconds: float | None = None,
    temperature: float = 1.0,
    mean: bool = False,
    top_k: int | None = None,
    top_p: float | None = None,
    prefix: Path | None = None,
    keep: float | None = None,
    checkpoint: str = "latest",
    out: Path | None = None,
    trust: bool = False,
    debug: bool = False,
) -> None:
    """Draw samples from a run, as a PNG or as an array; sounds as WAV files and a PNG of their spectrograms.

    Args:
        run: the run folder.
        n: how many samples.
        seed: of the draw.
        cond: conditions: label=3, or label=0,1,2 to take turns; code=0.5,-1 for a vector; mask=FILE.npy for any array,
            for all samples or with one for each. Those of the run's own data where none is given.
        seconds: how long sounds last; as in training where it is not given.
        temperature: of a Gaussian prior, or one over codes, or of an autoregressive model; below 1 the likely becomes
            likelier.
        mean: without the noise that a decoder adds: the mean of p(x | z).
        top_k: draw from the k likeliest levels only; of autoregressive models, as are the next three.
        top_p: draw from the likeliest levels that hold this much of the probability.
        prefix: a .npy or .wav file that samples begin with, in raster order.
        keep: complete the run's own data, of which this share is given.
        checkpoint: latest, best, or a step.
        out: a .png or .npy file; RUN/samples-<seed>.png by default, and WAV files beside it.
        trust: run the code in the folder although another user made it; asked once.
        debug: show the traceback of an error.
    """
    if n < 1:
        raise ValueError(f"Cannot draw {n} samples; use -n 1 or more.")
    path = out or run / f"samples-{seed}.png"
    if path.suffix not in (".png", ".npy"):
        raise ValueError(f"Cannot write '{path}': --out must end in .png or .npy.")
    check_number("seed", seed)
    use_compilation_cache()
    from genjax_zoo import drawing
    from genjax_zoo.run import read_config

    read_config(run)
    check_place(path.parent, "--out")
    settings: dict[str, Any] = {"seconds": seconds, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    settings |= {"mean": mean, "prefix": prefix, "keep": keep, "checkpoint": checkpoint, "trust": trust}
    step, files = drawing.draw_run(run, path, n, seed=seed, cond=cond, **settings)
    print(f"{n} samples of step {step:,}: {', '.join(map(str, files[:2]))}{' ...' if len(files) > 2 else ''}")


def evaluate(
    run: Annotated[Path, tyro.conf.Positional], checkpoint: str = "latest", trust: bool = False, debug: bool = False
) -> None:
    """Run an experiment's evaluations on a checkpoint, and print the numbers.

    Args:
        run: the run folder.
        checkpoint: latest, best, or a step.
        trust: run the code in the folder although another user made it; asked once.
        debug: show the traceback of an error.
    """
    use_compilation_cache()
    from genjax_zoo.evals.support import unit
    from genjax_zoo.run import restore
    from genjax_zoo.train.loop import evaluate as run_evals

    experiment, state = restore(run, checkpoint=checkpoint, trust=trust)
    print(f"step {int(state.step):,}")
    for name, value in run_evals(experiment, state).items():
        print(f"{name:32} {value:.4f}{unit(experiment.model, name)}")


def latent(
    run: Annotated[Path, tyro.conf.Positional],
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8,
    steps: int = 9,
    dimensions: tuple[int, ...] = (),
    span: float = 3.0,
    path: Literal["slerp", "lerp"] = "slerp",
    examples: int = 2_000,
    seed: int = 0,
    checkpoint: str = "latest",
    out: Path | None = None,
    trust: bool = False,
    debug: bool = False,
) -> None:
    """Draw a run's latent space: interpolations, traversals, labels in it, a map, inversions where nothing encodes.

    Args:
        run: the run folder.
        n: rows of a picture.
        steps: pictures on each way.
        dimensions: which to traverse; those that vary most where none is given.
        span: how far to traverse, in the prior's standard deviations.
        path: how to interpolate: slerp (great circles) or lerp (straight lines).
        examples: of the training data, for the map and the means of labels.
        seed: of what is drawn.
        checkpoint: latest, best, or a step.
        out: the folder of the pictures; RUN/latent by default.
        trust: run the code in the folder although another user made it; asked once.
        debug: show the traceback of an error.
    """
    for name, value, least in (("n", n, 1), ("steps", steps, 2), ("examples", examples, 2)):
        if value < least:
            raise ValueError(f"--{name} must be at least {least}, not {value}.")
    check_number("seed", seed)
    check_number("span", span)
    use_compilation_cache()
    import jax

    from genjax_zoo import explore
    from genjax_zoo import latent as ways
    from genjax_zoo.run import read_config, restore
    from genjax_zoo.train import eval_variables

    read_config(run)
    check_place(out or run / "latent", "--out")
    experiment, state = restore(run, checkpoint=checkpoint, trust=trust)
    pictures, notes = explore.explore(
        experiment.model,
        eval_variables(state),
        explore.examples_of(experiment.data, examples),
        jax.random.key(seed),
        n=n,
        steps=steps,
        dimensions=dimensions,
        span=span,
        path=getattr(ways, path),
    )
    for file in explore.save(out or run / "latent", pictures):
        print(file)
    for note in notes:
        print(note)


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


def _find_experiment(name: str) -> Path:
    path = Path(name)
    if path.is_file() and path.suffix == ".py":
        return path
    candidates = {p.stem: p for p in _experiments()}
    if name in candidates:
        return candidates[name]
    raise FileNotFoundError(f"There is no experiment {name}; {_nearest(path.stem, candidates, str)}")


def _experiments() -> list[Path]:
    return sorted(p for p in Path("experiments").rglob("*.py") if not p.stem.startswith("_"))


def _docstring(path: Path) -> str | None:
    import ast

    return ast.get_docstring(ast.parse(path.read_text()))


def _nearest(name: str, known: Mapping[str, Any], show: Callable[[Any], str] | None = None) -> str:
    near = difflib.get_close_matches(name, known, 1, cutoff=0.4)
    if near:
        return f"did you mean '{show(known[near[0]]) if show else near[0]}'?"
    return f"there are {', '.join(known)}." if known else "name a Python file with a function 'experiment'."


if __name__ == "__main__":
    command()
