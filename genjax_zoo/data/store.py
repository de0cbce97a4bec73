"""Decoded once, then reused: named arrays in a folder, complete or absent, whoever is killed and whoever else prepares.

A folder is written under another name and renamed into place when all of it is on disk, under a lock that the
operating system drops with its process.
"""

import contextlib
import hashlib
import json
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax_zoo import files

META = "meta.json"


class Mapped:
    """An array in a .npy file, read where it is indexed; pickles as its path."""

    def __init__(self, path: str, channel: bool = False):
        """Opens `path`; `channel` adds a last axis of 1."""
        self.path, self.channel = path, channel
        array = np.load(path, mmap_mode="r")
        self._array = array[..., None] if channel else array
        self.shape, self.dtype = self._array.shape, self._array.dtype

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.asarray(self._array[index])

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self._array, dtype)

    def __reduce__(self):
        return Mapped, (self.path, self.channel)


def cache_folder() -> Path:
    """Where decoded sets are kept: genjax_zoo/data in the user's cache folder."""
    return files.cache_folder() / "data"


def store_arrays(name: str, identity: Any, make: Callable[[Path], Mapping[str, np.ndarray]]) -> Mapping[str, Mapped]:
    """The arrays that `make` gives, from an earlier call where there was one.

    Args:
        name: begins the folder's name.
        identity: anything JSON can write that changes when the source does.
        make: gets an empty folder for arrays too large for memory, and returns all arrays.

    Raises:
        OSError: the disk is full.
    """
    digest = hashlib.sha256(json.dumps([name, identity], sort_keys=True).encode()).hexdigest()[:16]
    folder = cache_folder() / f"{name}-{digest}"
    if (arrays := _load(folder)) is not None:
        return arrays
    folder = files.writable(folder.parent) / folder.name
    with exclusive(folder):
        if (arrays := _load(folder, say=False)) is not None:  # another process was faster
            return arrays
        with fresh_folder(folder) as temporary:
            made = make(temporary)
            for key, array in made.items():
                if not (temporary / f"{key}.npy").exists():
                    np.save(temporary / f"{key}.npy", array)
            checksums = {key: _checksum(np.load(temporary / f"{key}.npy", mmap_mode="r")) for key in made}
            (temporary / META).write_text(json.dumps({"identity": identity, "crc32": checksums}))
    arrays = _load(folder)
    assert arrays is not None
    return arrays


def by_split(arrays: Mapping[str, Mapped]) -> Mapping[str, Mapping[str, Mapped]]:
    """From "train_x" to ["train"]["x"]."""
    splits: dict[str, dict[str, Mapped]] = {}
    for key, array in arrays.items():
        split, _, entry = key.partition("_")
        splits.setdefault(split, {})[entry] = array
    return splits


@contextlib.contextmanager
def exclusive(target: Path) -> Iterator[None]:
    """One process at a time prepares `target`; the others wait."""
    from filelock import FileLock  # imported lazily: reading what is there needs no lock

    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        yield


@contextlib.contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """An empty folder that becomes `target` if nothing is raised; under `exclusive(target)`."""
    prefix = f".{target.name}."
    for left in target.parent.glob(f"{prefix}*"):  # by a process that was killed
        shutil.rmtree(left)
    temporary = Path(tempfile.mkdtemp(prefix=prefix, dir=target.parent))
    try:
        yield temporary
        if target.exists():
            shutil.rmtree(target)
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _load(folder: Path, *, say: bool = True) -> Mapping[str, Mapped] | None:
    """The arrays of a complete and undamaged folder."""
    if not folder.is_dir():
        return None
    try:
        checksums = json.loads((folder / META).read_text())["crc32"]
        arrays = {key: Mapped(str(folder / f"{key}.npy")) for key in checksums}
        wrong = [key for key, array in arrays.items() if _checksum(np.asarray(array)) != checksums[key]]
    except Exception as error:  # NumPy raises nearly anything of a damaged file
        arrays, wrong = {}, [" ".join(str(error).split())]
    if wrong and say:
        print(f"Warning: the decoded set in {folder} is damaged ({wrong[0]}); it is made again.", file=sys.stderr)
    return None if wrong else arrays


def _checksum(array: np.ndarray) -> int:
    total = 0
    for start in range(0, len(array), 4096):
        total = zlib.crc32(np.ascontiguousarray(array[start : start + 4096]).data, total)
    return total
