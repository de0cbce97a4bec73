"""The command line: genjax-zoo train | sweep | explain | sample | eval | latent | compare | report | watch | list.

A command is a function in a file of its name, and a line in a table here. This module imports neither jax nor numpy, so
that --help answers at once; the commands do, when they run.
"""

import codecs
import contextlib
import contextvars
import importlib.metadata
import inspect
import io
import os
import sys
import traceback
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from genjax_zoo.cli.compare import compare
from genjax_zoo.cli.evaluate import evaluate
from genjax_zoo.cli.explain import explain
from genjax_zoo.cli.flags import parameters_of
from genjax_zoo.cli.latent import latent
from genjax_zoo.cli.listing import find_experiment, list_
from genjax_zoo.cli.parsing import parse
from genjax_zoo.cli.report import report
from genjax_zoo.cli.sample import sample
from genjax_zoo.cli.sweep import sweep
from genjax_zoo.cli.train import train
from genjax_zoo.cli.watch import watch
from genjax_zoo.errors import PROG, UserError, nearest
from genjax_zoo.files import cache_folder, telling, writable

OF_EXPERIMENTS = {"train": train, "sweep": sweep, "explain": explain}  # take a file, and the words behind it
COMMANDS: dict[str, Callable[..., None]] = {
    **OF_EXPERIMENTS,
    "sample": sample,
    "eval": evaluate,
    "latent": latent,
    "compare": compare,
    "report": report,
    "watch": watch,
    "list": list_,
}
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
        contextvars.copy_context().run(_told, argv)
    except KeyboardInterrupt as stopped:
        _stop(f"{str(stopped).capitalize() or 'Stopped'}; run the same command to go on.", 130)
    except (UserError, OSError) as error:
        if "--debug" in argv:
            raise
        _stop(str(error) if isinstance(error, UserError) else _of_the_system(error))


def _of_the_system(error: OSError) -> str:
    """What the operating system says of a file, without a number."""
    return (
        f"Cannot use '{error.filename}': {error.strerror.lower()}." if error.filename and error.strerror else str(error)
    )


def _told(argv: list[str]) -> None:
    telling.set(lambda sentence: print(f"{PROG}: {sentence}", file=sys.stderr))
    _dispatch(argv)


def _dispatch(argv: list[str]) -> None:
    if not argv or argv[0] in ("-h", "--help"):
        about = "Train, sample and measure deep generative models in JAX; --version says which version this is."
        return tyro.extras.subcommand_cli_from_dict(COMMANDS, prog=PROG, args=["--help"], description=about)
    if argv[0] == "--version":
        return print(", ".join(f"{name} {_version(name)}" for name in (PROG, "jax", "jaxlib")))
    name, *words = argv
    if name not in COMMANDS:
        raise UserError(f"There is no command '{name}'; {nearest(name, COMMANDS)}")
    run, prog = COMMANDS[name], f"{PROG} {name}"
    if name in OF_EXPERIMENTS and not {"-h", "--help"} & {*words[:1]}:
        if not words or words[0].startswith("-"):
            raise UserError(f"Name an experiment first: {prog} FILE [FLAGS]; '{PROG} list' shows those that there are.")
        given = {"file": find_experiment(words[0]), "flags": words[1:]}
    else:
        given = parse(parameters_of(run), words, prog=prog, about=inspect.getdoc(run) or "")
    use_compilation_cache()
    run(**given)


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache folder, if there is one: a second start is seconds faster.

    The environment's JAX_COMPILATION_CACHE_DIR and JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS are JAX's own to read.
    """
    import jax

    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        jax.config.update("jax_compilation_cache_dir", str(writable(cache_folder() / "jax")))
    if "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS" not in os.environ:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _stop(sentence: str, status: int = 2) -> None:
    """Prints a sentence, and exits."""
    print(f"{PROG}: {sentence}", file=sys.stderr)
    raise SystemExit(status)
