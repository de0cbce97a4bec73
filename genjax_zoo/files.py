"""Files: written whole or not at all, named where they cannot be read; the user's folders of this program, if any."""

import contextlib
import contextvars
import functools
import json
import math
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from genjax_zoo.errors import UserError

telling: contextvars.ContextVar[Callable[[str], None]] = contextvars.ContextVar(
    "telling", default=lambda sentence: warnings.warn(sentence, stacklevel=4)
)  # receives sentences about what a reader should know; a command prints them


@contextlib.contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Another path to write to, which takes the place of `path` at the end of the `with`; an error leaves `path` alone.

    Args:
        path: of the file; its folder is made where there is none.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.stem}.tmp{path.suffix}")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def named(path: Path, what: str) -> Iterator[None]:
    """Names a file in what reading it raises: libraries raise nearly anything of a damaged one.

    Args:
        path: of the file.
        what: it is then, such as "is no sound .npy file".

    Raises:
        FileNotFoundError: as it is raised inside.
        UserError: in place of everything else that is.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise UserError(f"{path} {what} ({' '.join(str(error).split()).rstrip('.')}).") from None


def read_log(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The rows of a metrics.jsonl that have a step, in the order of the file, and how many others it has.

    Numbers that are not finite, which are null there, are NaN. A last line that is still being written, or that a kill
    cut short, is none of the others; a file that is not there has no rows.
    """
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    rows = []
    for line in lines:
        with contextlib.suppress(ValueError, RecursionError):  # of bytes that are no text, too
            row = json.loads(line)
            if isinstance(row, dict) and type(row.get("step")) is int:
                rows.append({name: math.nan if value is None else value for name, value in row.items()})
    return rows, len(lines) - len(rows)


def home_folder(variable: str, under_home: str) -> Path | None:
    """The genjax_zoo of a folder that a variable names or that is under the home; None where there is neither."""
    try:
        named = os.environ.get(variable)
        return (Path(named) if named else Path.home() / under_home) / "genjax_zoo"
    except RuntimeError:  # no HOME, and no entry for this user either
        return None


def cache_folder() -> Path:
    """Where to keep what can be made again: in the user's cache folder, else in a temporary one of this process.

    The first is given although nothing may be written to it, where it is there: what it holds can be read.
    """
    wanted = home_folder("XDG_CACHE_HOME", ".cache")
    return wanted if wanted and (wanted.is_dir() or can_write(wanted)) else _temporary(str(wanted or "a home"))


def writable(folder: Path) -> Path:
    """The same folder below the cache folder, or its stand-in where that cannot be written."""
    if can_write(folder):
        return folder
    wanted = home_folder("XDG_CACHE_HOME", ".cache")
    return _temporary(str(wanted)) / (folder.relative_to(wanted) if wanted and folder.is_relative_to(wanted) else "")


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, which is made if missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


@functools.cache
def _temporary(instead: str) -> Path:
    """A folder that ends with this process: one that others could name might be theirs."""
    folder = tempfile.TemporaryDirectory(prefix="genjax_zoo-")
    _kept.append(folder)
    print(f"genjax-zoo: {instead} cannot be written, so nothing is cached for the next start.", file=sys.stderr)
    return Path(folder.name)


_kept: list[tempfile.TemporaryDirectory[str]] = []  # removed when the process ends
