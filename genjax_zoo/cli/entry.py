"""The command line: genjax-zoo train | sweep | explain | sample | eval | latent | compare | report | watch | list.

This module imports neither jax nor numpy, so that --help answers at once; the commands do, when they run.
"""

import codecs
import contextlib
import contextvars
import functools
import inspect
import io
import os
import sys
import traceback
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from genjax_zoo.cli import explain, sweep, train
from genjax_zoo.cli.compare import compare
from genjax_zoo.cli.evaluate import evaluate
from genjax_zoo.cli.flags import environment_kept, parsed, stop, use_compilation_cache
from genjax_zoo.cli.latent import latent
from genjax_zoo.cli.listing import find_experiment, list_
from genjax_zoo.cli.report import report
from genjax_zoo.cli.sample import sample
from genjax_zoo.cli.watch import watch
from genjax_zoo.errors import PROG, UserError, nearest
from genjax_zoo.files import telling

OF_EXPERIMENTS = {"train": train, "sweep": sweep, "explain": explain}  # modules: `run` takes a file and its flags
COMMANDS: dict[str, Callable[..., None]] = {
    "train": train.train,
    "sweep": sweep.sweep,
    "explain": explain.explain,
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
        with environment_kept("GENJAX_ZOO_DATA"):
            contextvars.copy_context().run(_told, argv)
    except KeyboardInterrupt as stopped:
        stop(f"{str(stopped).capitalize() or 'Stopped'}; run the same command to go on.", 130)
    except (UserError, OSError) as error:
        if "--debug" in argv:
            raise
        stop(str(error) if isinstance(error, UserError) else _of_the_system(error))


def _of_the_system(error: OSError) -> str:
    """What the operating system says of a file, without a number."""
    return (
        f"Cannot use '{error.filename}': {error.strerror.lower()}." if error.filename and error.strerror else str(error)
    )


def _told(argv: list[str]) -> None:
    telling.set(lambda sentence: print(f"{PROG}: {sentence}", file=sys.stderr))
    _dispatch(argv)


def _dispatch(argv: list[str]) -> None:
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        raise UserError(f"There is no command '{argv[0]}'; {nearest(argv[0], COMMANDS)}")
    if len(argv) > 1 and argv[0] in OF_EXPERIMENTS and not argv[1].startswith("-"):
        file = find_experiment(argv[1])
        use_compilation_cache()
        return OF_EXPERIMENTS[argv[0]].run(file, argv[2:])
    named = {name: _heard(command, sys.stderr) for name, command in COMMANDS.items()}
    parsed(lambda: tyro.extras.subcommand_cli_from_dict(named, prog=PROG, args=argv, description=DESCRIPTION))


def _heard(command: Callable[..., None], stderr: Any) -> Callable[..., None]:
    """The command, with this stream for its errors: that of the parser, which runs it, is kept back."""

    @functools.wraps(command)
    def run(*args: Any, **flags: Any) -> None:
        with contextlib.redirect_stderr(stderr):
            command(*args, **flags)

    return run


DESCRIPTION = "Train, sample and measure deep generative models in JAX."
