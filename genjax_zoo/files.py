"""Files that are written whole or not at all, and named where they cannot be read."""

import contextlib
from collections.abc import Iterator
from pathlib import Path


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
