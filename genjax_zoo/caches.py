"""The user's folders of this program, where there are any: some users have no home, or none that can be written."""

import functools
import os
import sys
import tempfile
from pathlib import Path


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
