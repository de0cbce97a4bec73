"""Files: written whole or not at all, named where they cannot be read, and how what is odd about them is told."""

import contextlib
import contextvars
import json
import math
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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
        ValueError: in place of everything else that is.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{path} {what} ({' '.join(str(error).split()).rstrip('.')}).") from None


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
