"""What a run keeps of its data: where they were, what they were, and what a model asks of them when they are gone.

`look_in` says where data are looked for, `note_loads` notes what is loaded. A run writes `describe` and `examples` of
it into its folder. Where a run is read and its data are not there, `load` gives an `Absent`: shapes, and some
conditions.
"""

import contextlib
import contextvars
import dataclasses
import math
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from genjax_zoo.data import places
from genjax_zoo.data.resident import Streamed
from genjax_zoo.errors import UserError

MOST = 2**26  # bytes of an array that are looked at: all, or rows evenly spread
MOST_KEPT = 2**20  # bytes of conditions that a run keeps
TOLERANCE = 1e-6  # of floats' moments, in standard deviations: machines round otherwise


class Kept(NamedTuple):
    """What a run folder has of its data."""

    entries: Mapping[str, Any]  # from `describe`
    examples: Path | None = None  # the file of `examples`; None where the data have to be there

    def path(self, name: str) -> Path | None:
        """Where the run found the user's own data of this name."""
        found = [Path(one["path"]) for one in self.entries.values() if one["path"] and one["name"] == name]
        return found[0] if found else None


NOTHING = Kept({})
_kept: contextvars.ContextVar[Kept] = contextvars.ContextVar("kept", default=NOTHING)
_seen: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("seen", default=None)


@contextlib.contextmanager
def look_in(folder: str | None, kept: Kept = NOTHING) -> Iterator[None]:
    """For the time of a `with`, data are looked for in this folder, and first where a run found them.

    A folder that is not there changes nothing.
    """
    there = folder if folder and Path(folder).expanduser().is_dir() else places.looked_in
    token, before = _kept.set(kept), places.looked_in
    places.looked_in = there
    try:
        yield
    finally:
        _kept.reset(token)
        places.looked_in = before


@contextlib.contextmanager
def note_loads() -> Iterator[dict[str, Any]]:
    """What is loaded in the time of a `with`, by name and split."""
    seen: dict[str, Any] = {}
    token = _seen.set(seen)
    try:
        yield seen
    finally:
        _seen.reset(token)


def note(data: Any, split: str) -> Any:
    """Tells `note_loads` of data that were loaded."""
    seen = _seen.get()
    if seen is not None:
        seen[f"{data.origin.title} {split}"] = data
    return data


def known_path(name: str) -> Path | None:
    """Where the run that is read found the user's own data of this name."""
    return _kept.get().path(name)


def describe(seen: Mapping[str, Any]) -> dict[str, Any]:
    """Of each data set its name, path, and arrays: shape, type, and a digest of at most 64 MiB of values; as JSON."""
    return {
        key: {
            "name": data.origin.name if getattr(data, "origin", None) else None,
            "path": data.origin.path if getattr(data, "origin", None) else None,
            "arrays": {
                entry: {"shape": list(array.shape), "dtype": str(array.dtype), "digest": _digest(array)}
                for entry, array in getattr(data, "arrays", {}).items()
            },
        }
        for key, data in seen.items()
        if not isinstance(data, Absent)
    }


def examples(seen: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Of each data set with conditions, those of all examples, and which values those that are integers have.

    Of more than 1 MiB, those of examples by chance; where a transform changes conditions, those of the first batch.
    """
    found = {}
    for key, data in seen.items():
        arrays = {entry: array for entry, array in getattr(data, "arrays", {}).items() if entry != "x"}
        if isinstance(data, Absent) or not arrays or data.origin is None:
            continue
        first = {entry: np.asarray(value) for entry, value in data.at(0).items() if entry != "x"}
        as_they_are = all(
            entry in arrays and np.array_equal(np.asarray(arrays[entry][data.examples(0)]), value)
            for entry, value in first.items()
        )
        kept = (
            {entry: _some(arrays[entry], sum(map(_row, arrays.values()))) for entry in first} if as_they_are else first
        )
        found |= {f"{key}/{entry}": np.asarray(value, first[entry].dtype) for entry, value in kept.items()}
        found |= {
            f"{key}/{entry}/seen": np.unique(np.asarray(array))
            for entry, array in arrays.items()
            if len(array.shape) == 1 and np.issubdtype(array.dtype, np.integer)
        }
    return found


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """The first difference of two `describe`, in words; nothing where what both have is the same."""
    for key in [key for key in old if key in new]:
        for entry, was in old[key]["arrays"].items():
            now = new[key]["arrays"].get(entry, was)
            for what in ("shape", "dtype"):
                if was[what] != now[what]:
                    texts = ["x".join(map(str, one)) if what == "shape" else one for one in (was[what], now[what])]
                    return f"the {what} of '{entry}' of '{key}' was {texts[0]} and is {texts[1]}"
            if not _same(was["digest"], now["digest"]):
                return f"'{entry}' of '{key}' has other values"
    return ""


def describe_absent(title: str, split: str, why: Exception) -> dict[str, Any]:
    """The arrays of a split that a run kept nothing of but their shapes; what it saw of conditions is at hand.

    Raises:
        FileNotFoundError, UserError: `why`, where the run that is read knows no such split, or no run is read.
    """
    kept, key = _kept.get(), f"{title} {split}"
    if kept.examples is None or key not in kept.entries:
        raise why
    return {
        entry: Gone(tuple(array["shape"]), np.dtype(array["dtype"]), why)
        for entry, array in kept.entries[key]["arrays"].items()
    }


@dataclasses.dataclass(frozen=True, eq=False)
class Gone:
    """An array of which the shape and the type are known."""

    shape: tuple[int, ...]
    dtype: Any
    why: Exception

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        raise self.why

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise self.why


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Absent(Streamed):
    """Data that are not there: their spec, and conditions that were kept. All else raises what was said."""

    why: Exception
    kept: Mapping[str, np.ndarray]  # of all examples in order, or of some
    seen: Mapping[str, np.ndarray]  # the values of conditions that are integers

    def at(self, step: Any, shard: Any = 0, shards: int = 1) -> Any:
        """The conditions of a batch, of other examples where not all were kept."""
        index = np.asarray(self._index(step, shard, shards))
        return _First({entry: value[index % len(value)] for entry, value in self.kept.items()}, self.why)

    def stream(self, start: int, stop: int, shard: int = 0, shards: int = 1) -> Iterator[Mapping[str, np.ndarray]]:
        """Nothing to stream."""
        raise self.why


def absent_data(arrays: Mapping[str, Any], split: str, **shared: Any) -> Absent:
    """What `load` gives of arrays that are `Gone`."""
    key, path = f"{shared['origin'].title} {split}/", _kept.get().examples
    try:
        with np.load(path) if path is not None and path.exists() else contextlib.nullcontext({}) as file:
            found = {name.removeprefix(key): file[name] for name in file if name.startswith(key)}
    except Exception as error:  # NumPy raises nearly anything of a damaged file
        raise UserError(
            f"{path} cannot be read ({error}), and the data are not there; bring one of them back."
        ) from None
    kept = {name: value for name, value in found.items() if "/" not in name}
    seen = {name.removesuffix("/seen"): value for name, value in found.items() if "/" in name}
    return Absent(arrays=arrays, why=arrays["x"].why, kept=kept, seen=seen, **shared)


class _First(Mapping):
    """A batch without its x."""

    def __init__(self, entries: Mapping[str, np.ndarray], why: Exception):
        self._entries, self._why = entries, why

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._entries:
            raise self._why
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(("x", *self._entries))

    def __len__(self) -> int:
        return 1 + len(self._entries)


def _refuse(first: _First) -> Any:
    raise first._why


jax.tree_util.register_pytree_node(_First, _refuse, _refuse)  # type: ignore[arg-type]


def _some(array: Any, row: int) -> Any:
    """The rows of an array, or as many by chance as have 1 MiB where an example's conditions have `row` bytes."""
    most = max(1, MOST_KEPT // row)
    if len(array) <= most:
        return np.asarray(array)
    return np.asarray(array[np.random.Generator(np.random.PCG64(0)).permutation(len(array))[:most]])


def _row(array: Any) -> int:
    """The bytes of one example."""
    return max(1, math.prod(array.shape[1:]) * np.dtype(array.dtype).itemsize)


def _digest(array: Any) -> Any:
    """A checksum of integers; of floats their mean, spread, and mean weighted by position."""
    row = _row(array)
    if row * len(array) <= MOST:
        values = np.asarray(array)
    else:
        values = np.asarray(array[np.linspace(0, len(array) - 1, max(2, MOST // row)).astype(int)])
    if values.dtype.kind in "iub":
        return f"{zlib.crc32(np.ascontiguousarray(values).data):08x}"
    flat = values.reshape(len(values), -1).astype(np.float64)
    rows = flat.mean(axis=1)
    moments = (rows.mean(), flat.std(), (rows * np.linspace(0, 1, len(rows))).mean())
    return [float(value) if math.isfinite(value) else None for value in moments]


def _same(old: Any, new: Any) -> bool:
    if isinstance(old, str) or isinstance(new, str) or None in (*old, *new):
        return old == new
    return all(abs(a - b) <= TOLERANCE * (old[1] + abs(a) * 1e-2) for a, b in zip(old, new))
