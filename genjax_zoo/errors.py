"""Errors that a user can mend are a type; everything else is a defect, and shows its traceback."""

import contextlib
import difflib
import math
import os
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

PROG = "genjax-zoo"


class UserError(ValueError):
    """What a user can mend: one sentence that says what to do. The command line prints it and exits with 2."""


class Missing(UserError, FileNotFoundError):
    """A file or folder that is not there."""


@contextlib.contextmanager
def explain_errors(what: str, file: Path | None = None) -> Iterator[None]:
    """Whatever goes wrong in a `with` becomes a UserError of one sentence: what this is, the file's line, the error.

    Args:
        what: begins the sentence, such as "mine.py cannot be run".
        file: whose innermost line is named.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, UserError | OSError):
            raise
        frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, SyntaxError):
            frames.append((str(error.filename), error.lineno))
        lines = [line for name, line in frames if file is not None and Path(name) == file.absolute()]
        where = f" (line {lines[-1]} of {file.name})" if file and lines else ""
        text = (str(error).strip().splitlines() or ["without a word"])[0]
        raise UserError(f"{what}: {type(error).__name__}: {text[:300]}{where}; --debug shows more.") from error


CADENCE = ("steps_per_call", "log_every", "save_every", "eval_every")
RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (  # of flags of these names
    (("steps", *CADENCE, "batch_size"), lambda x: x >= 1, "at least 1"),
    (("learning_rate",), lambda x: x > 0, "above 0"),
    (("layers", "warm_up", "warmup", "decay", "shift"), lambda x: x >= 0, "at least 0"),
    (("ema", "dropout"), lambda x: 0 <= x < 1, "in [0, 1)"),
    (("seed",), lambda x: 0 <= x < 2**32, f"in 0 ... {2**32 - 1}"),
)


def check_number(name: str, number: Any, default: Any = None) -> None:
    """Checks one number of a flag, or of what the flag stands for; anything else passes.

    Raises:
        UserError: it is not finite and not the default, or not in the range of all flags of this name.
    """
    flag = f"--{name.replace('_', '-')}"
    if isinstance(number, float) and not math.isfinite(number) and number != default:
        raise UserError(f"{flag} takes a finite number, not {number}.")
    for names, fits, words in RANGES:
        if name in names and isinstance(number, int | float) and not fits(number):
            raise UserError(f"{flag} must be {words}, not {number}.")


def check_place(folder: Path, flag: str) -> None:
    """Checks that files can be written to a folder, or to one that is made there, and leaves nothing behind.

    Raises:
        UserError: they cannot, with the flag that names another place.
    """
    missing = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        dangling = os.path.islink(folder) and not os.path.exists(folder)
        why = "a link to nothing" if dangling else (error.strerror or "").lower()
        raise UserError(f"Cannot write to the folder '{folder}' ({why}); name another by {flag}.") from None
    finally:
        for one in missing:
            with contextlib.suppress(OSError):
                one.rmdir()


def nearest(name: str, known: Mapping[str, Any], show: Callable[[Any], str] | None = None) -> str:
    """What may have been meant by a name that is not known, or what there is."""
    near = difflib.get_close_matches(name, known, 1, cutoff=0.4)
    if near:
        return f"did you mean '{show(known[near[0]]) if show else near[0]}'?"
    return f"there are {', '.join(known)}." if known else "name a Python file with a function 'experiment'."
