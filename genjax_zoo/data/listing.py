"""The files of a folder or a .zip, and which split and class the folders that they lie in stand for."""

import re
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from genjax_zoo.errors import UserError

HIDDEN = {"__MACOSX", "@eaDir"}  # what macOS and Synology add
SPLIT = re.compile(
    r"(?:(?P<train>train|training)|(?P<valid>valid|validation|val|dev)|(?P<test>test|testing|eval|evaluation))"
    r"(?:set|images?|imgs?|data|split)?"
)
BESIDE = {*("set", "images", "image", "img", "imgs", "data", "dataset", "split", "seg", "x", "zip")}


def splits_of(names: Iterable[str]) -> Mapping[str, str]:
    """Which of these folders or files hold which split, by their names.

    "Training", "test_images" and "train2017" are splits by themselves; "cats_train" is one where "cats_test" is, too.
    """
    found: dict[tuple[str, ...], dict[str, str]] = {}
    for name in names:
        words = [word for word in re.findall(r"[a-z]+", name.lower()) if word not in BESIDE]
        matches = [match for word in words if (match := SPLIT.fullmatch(word))]
        if len(matches) == 1 and matches[0].lastgroup is not None:
            rest = tuple(word for word in words if not SPLIT.fullmatch(word))
            found.setdefault(rest, {})[name] = matches[0].lastgroup
    return {
        name: split
        for rest, splits in found.items()
        if not rest or {"train"} < set(splits.values())
        for name, split in splits.items()
    }


class Entry(NamedTuple):
    """One file."""

    size: int  # bytes
    mark: int  # of its content: when it was changed, or its checksum
    read: Callable[[], bytes]


class Listing:
    """The files in a folder or a .zip, by their path inside it; a folder's "test.zip" is listed as a folder, too."""

    def __init__(self, path: Path):
        """Lists `path`.

        Raises:
            UserError: it is no folder, and no sound .zip.
        """
        self.path = path
        self.skipped: dict[str, list[str]] = {}  # why -> names
        self._entries = dict(self._folder() if path.is_dir() else self._archive(path, ""))
        self.sizes = {name: [entry.size, entry.mark] for name, entry in sorted(self._entries.items())}

    def read(self, name: str) -> bytes:
        """A file's content.

        Raises:
            UserError: it is encrypted or corrupt.
        """
        return self._entries[name].read()

    def of_kind(self, suffixes: set[str]) -> list[str]:
        """The files with one of these suffixes, hidden ones left out; by file name, then by folder."""
        paths = [PurePosixPath(name) for name in self._entries]
        kept = [p for p in paths if p.suffix.lower() in suffixes and not any(map(is_hidden, p.parts))]
        return [str(p) for p in sorted(kept, key=lambda p: (p.name, str(p.parent)))]

    def skip(self, why: str, name: str) -> None:
        """Notes a file that is not read."""
        self.skipped.setdefault(why, []).append(name)

    def _folder(self) -> Iterator[tuple[str, Entry]]:
        archives = splits_of(
            p.name for p in self.path.iterdir() if p.suffix.lower() == ".zip" and not is_hidden(p.name)
        )
        for path in self._walk(self.path, frozenset()):
            name = path.relative_to(self.path).as_posix()
            if not path.is_file():
                self.skip("links to nothing, or no files", name)
                continue
            if path.parent == self.path and path.name in archives:
                yield from self._archive(path, f"{path.name}/")
                continue
            stat = path.stat()
            yield name, Entry(stat.st_size, stat.st_mtime_ns, path.read_bytes)

    def _walk(self, folder: Path, above: frozenset[Path]) -> Iterator[Path]:
        """All files, also of folders that are links; a link to a folder above itself is not followed."""
        real = folder.resolve()
        if real in above:
            self.skip("links to a folder above", folder.relative_to(self.path).as_posix())
            return
        try:
            paths = sorted(folder.iterdir())
        except PermissionError:
            raise UserError(f"{folder} cannot be read: its permissions forbid it.") from None
        for path in paths:
            if not path.is_dir():
                yield path
            elif not is_hidden(path.name):
                yield from self._walk(path, above | {real})

    def _archive(self, path: Path, prefix: str) -> Iterator[tuple[str, Entry]]:
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UserError(f"{path} is no folder and no sound .zip ({error}).") from None
        found: dict[str, zipfile.ZipInfo] = {}
        for info in archive.infolist():
            name = str(PurePosixPath("/", info.filename.replace("\\", "/"))).lstrip("/")  # Windows writes backslashes
            if info.is_dir() or info.filename.endswith("\\"):
                continue
            if name in found:
                self.skip("stored twice, the last is read", prefix + name)
            found[name] = info

        def reader(info: zipfile.ZipInfo) -> Callable[[], bytes]:
            def read() -> bytes:
                if info.flag_bits & 1:
                    raise UserError(f"{path} is encrypted: unzip it with its password, and name the folder.")
                try:
                    return archive.read(info)
                except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
                    raise UserError(f"{path} is corrupt: {info.filename} cannot be read ({error}).") from None

            return read

        for name, info in found.items():
            yield prefix + name, Entry(info.file_size, info.CRC, reader(info))


def is_hidden(part: str) -> bool:
    """Whether a file or folder of this name is no data."""
    return part.startswith(".") or part in HIDDEN


def place_names(
    listing: Listing, names: Sequence[str]
) -> tuple[Mapping[str, Sequence[tuple[str, str]]], Sequence[str]]:
    """Where images belong.

    The first folder named as a split is the split; of the other folders the first is the class, after those that hold
    all of a split. What lies outside of the splits is train where nothing else is, and is skipped otherwise.

    Returns:
        {split: ((name, class), ...)}, in the order of the names, and the classes in the order of their labels: by
        number where all are numbers, else by name. The class is "" in a split without classes.
    """
    found: dict[str | None, list[tuple[str, tuple[str, ...]]]] = {}
    known = splits_of({folder for name in names for folder in PurePosixPath(name).parts[:-1]})
    for name in names:
        folders = PurePosixPath(name).parts[:-1]
        at = next((i for i, folder in enumerate(folders) if folder in known), None)
        split = None if at is None else known[folders[at]]
        found.setdefault(split, []).append((name, folders if at is None else folders[:at] + folders[at + 1 :]))
    if None in found:
        outside = found.pop(None)
        if "train" in found:
            for name, _ in outside:
                listing.skip("outside of the split folders", name)
        else:
            found["train"] = outside
    found = _without_common_folders(found, known)
    splits: dict[str, list[tuple[str, str]]] = {}
    for split, group in found.items():
        assert split is not None
        classed = any(folders for _, folders in group)
        splits[split] = [(name, folders[0] if folders else "") for name, folders in group if folders or not classed]
        for name, folders in group:
            if classed and not folders:
                listing.skip("beside the class folders", name)
    order = {split: splits[split] for split in ("train", "valid", "test") if split in splits}
    return order, order_classes({class_ for group in splits.values() for _, class_ in group} - {""})


def _without_common_folders(found: dict[Any, list[tuple[str, tuple[str, ...]]]], known: Mapping[str, str]):
    """Leaves out folders that hold all of a split: train/train/..., or one of folders alone in every split."""

    def common(group: list[tuple[str, tuple[str, ...]]]) -> str | None:
        first = {folders[:1] for _, folders in group}
        return next(iter(first.pop()), None) if len(first) == 1 else None

    def inner(group: list[tuple[str, tuple[str, ...]]]) -> list[tuple[str, tuple[str, ...]]]:
        return [(name, folders[1:]) for name, folders in group]

    for split in found:
        while (folder := common(found[split])) is not None and known.get(folder) == split:
            found[split] = inner(found[split])
    while all(common(group) and min(len(folders) for _, folders in group) > 1 for group in found.values()):
        found = {split: inner(group) for split, group in found.items()}
    return found


def order_classes(classes: set[str]) -> Sequence[str]:
    """Names of classes by number where all are numbers, else by name."""
    if all(re.fullmatch(r"[-+]?\d+(\.\d+)?", name) for name in classes):
        return sorted(classes, key=lambda name: (float(name), name))
    return sorted(classes)
