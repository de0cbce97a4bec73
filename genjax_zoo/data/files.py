"""A user's own data: a folder or .zip of images, or .npy arrays.

    FOLDER/train/CLASS/NAME.png   splits are train, valid and test, also as Training, val, test_images or train.zip;
                                  without them everything is train
    FOLDER/NAME.png               classes are optional; they become "label", in the order of their names or numbers
    FOLDER/train.npy              uint8 images [N, H, W] (grey) or [N, H, W, C], or float32 of any shape, as they are
    FOLDER/train_label.npy        optional, integers [N]

Images are sorted by file name, then by class. They are decoded once, to uint8, and kept in the user's cache folder.
What was read is said once: images of each split, the classes with their labels, and what was skipped.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from genjax_zoo.data.listing import Listing, is_hidden, place_names, splits_of
from genjax_zoo.data.pictures import GREY, decode, frames, open_image
from genjax_zoo.data.store import Mapped, by_split, store_arrays
from genjax_zoo.errors import Missing, UserError
from genjax_zoo.files import named

Split = Mapping[str, np.ndarray | Mapped]  # "x": [N, ...], other entries are conditions [N, ...]
IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
LABEL = re.compile(r"[_-]labels?$|^labels?[_-]|^y[_-]|[_-]y$", re.IGNORECASE)  # in the name of an array
VERSION = 2  # of what becomes of an image; an older cache is not read
_told: set[str] = set()


def read_files(path: Path, size: int | None = None) -> Mapping[str, Split]:
    """The splits of a folder, a .zip or a .npy file.

    Args:
        path: see the head of this file.
        size: crops images to their middle square and resizes it to size x size.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        UserError: it holds no data, a broken file, or images of several sizes; the file is named.
    """
    if not path.exists():
        raise Missing(f"There is no {path}; name a folder of images, a .zip or a .npy file.")
    if path.suffix == ".npy":
        return {"train": {"x": _read_array(path)}}
    if path.is_dir() and (found := _arrays(path)):
        return found
    listing = Listing(path)
    if not listing.of_kind(IMAGES) and (archives := _archives(path)):
        if len(archives) > 1:
            raise UserError(
                f"{path} holds {len(archives)} .zip files, {archives[0].name} and {archives[1].name} among them, and "
                f"no images; name one of them, or call them train.zip and test.zip."
            )
        listing = Listing(archives[0])
    return read_images(listing, size)


def holds_data(path: Path) -> bool:
    """Whether `read_files` finds anything there to read."""
    if path.is_file() or any(path.glob("*.npy")) or _archives(path):
        return True
    return path.is_dir() and bool(Listing(path).of_kind(IMAGES))


def _archives(path: Path) -> list[Path]:
    return (
        sorted(p for p in path.iterdir() if p.suffix.lower() == ".zip" and not is_hidden(p.name))
        if path.is_dir()
        else []
    )


def read_images(listing: Listing, size: int | None = None) -> Mapping[str, Split]:
    """Decodes images once; see `read_files`."""
    names = listing.of_kind(IMAGES)
    if not names:
        raise UserError(f"{listing.path} holds no images ({', '.join(sorted(IMAGES))}) and no train.npy.")
    groups, classes = place_names(listing, names)
    identity = [VERSION, str(listing.path.resolve()), size, [[name, *listing.sizes[name]] for name in names]]
    arrays = store_arrays(
        listing.path.stem, identity, lambda folder: _decode_all(listing, groups, list(classes), size, folder)
    )
    splits = {split: dict(entries) for split, entries in by_split(arrays).items()}
    for split, entries in splits.items():
        for (name, _), count in zip(groups[split], np.asarray(entries.pop("frames"))):
            if count > 1:
                listing.skip("with several frames, of which the first is read", name)
    _tell(listing, {split: len(entries["x"]) for split, entries in splits.items()}, classes)
    return splits


def _tell(listing: Listing, counts: Mapping[str, int], classes: Sequence[str]) -> None:
    """Says once what was read."""
    images = set(listing.of_kind(IMAGES))
    for name in listing.sizes:
        if name not in images:
            parts = Path(name).parts
            if not any(map(is_hidden, parts)):
                listing.skip("that are no images", name)
            elif Path(name).suffix.lower() in IMAGES:
                listing.skip("hidden", name)
    lines = [f"{listing.path}: " + ", ".join(f"{split} {n:,} image{'s' * (n != 1)}" for split, n in counts.items())]
    if len(classes) > 1:
        each = [f"{label} {name}" for label, name in enumerate(classes)]
        lines.append("classes: " + ", ".join(each if len(each) <= 30 else [*each[:20], "...", each[-1]]))
    for why, names in listing.skipped.items():
        more = ", ..." if len(names) > 3 else ""
        lines.append(f"skipped: {len(names):,} {why} ({', '.join(sorted(names)[:3])}{more})")
    text = "\n  ".join(lines)
    if text not in _told:
        _told.add(text)
        print(text, file=sys.stderr)


def _decode_all(
    listing: Listing,
    groups: Mapping[str, Sequence[tuple[str, str]]],
    classes: Sequence[str],
    size: int | None,
    folder: Path,
) -> Mapping[str, np.ndarray]:
    colour = any(
        open_image(listing.read(name), f"{listing.path}: {name}").mode not in GREY
        for group in groups.values()
        for name, _ in group
    )
    arrays: dict[str, np.ndarray] = {}
    shape, first = None, ""
    for split, group in groups.items():
        for index, (name, class_) in enumerate(group):
            content, said = listing.read(name), f"{listing.path}: {name}"
            image = decode(content, said, colour, size)
            if shape is None:
                shape, first = image.shape, name
            if image.shape != shape:
                raise UserError(
                    f"{listing.path} holds images of several sizes: {first} has {shape[1]}x{shape[0]}, {name} has "
                    f"{image.shape[1]}x{image.shape[0]} pixels; give size= to crop and resize them."
                )
            if index == 0:  # on disk, as the whole may not fit into memory
                path = folder / f"{split}_x.npy"
                arrays[f"{split}_x"] = np.lib.format.open_memmap(path, "w+", np.uint8, (len(group), *shape))
                arrays[f"{split}_frames"] = np.zeros(len(group), np.int32)
                if class_ and len(classes) > 1:
                    arrays[f"{split}_label"] = np.zeros(len(group), np.int32)
            arrays[f"{split}_x"][index] = image
            arrays[f"{split}_frames"][index] = frames(open_image(content, said), said)
            if f"{split}_label" in arrays:
                arrays[f"{split}_label"][index] = classes.index(class_)
    return arrays


def _arrays(path: Path) -> Mapping[str, Split]:
    """The splits that a folder's .npy files are."""
    found: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    of_label = {file: LABEL.sub("", file.stem) for file in sorted(path.glob("*.npy")) if not is_hidden(file.name)}
    splits = splits_of(of_label.values())
    for file, rest in of_label.items():
        into, split = found if rest == file.stem else labels, splits.get(rest)
        if split in into:
            raise UserError(f"{into[split]} and {file.name} are both of {split}; move one of them away.")
        if split is not None:
            into[split] = file
    return {split: _read_pair(x, labels.get(split)) for split, x in found.items()}


def _read_pair(x: Path, label: Path | None) -> Split:
    split = {"x": _read_array(x)}
    if label is not None:
        with named(label, "is no sound .npy file"):
            labels = np.load(label)
        if labels.shape != split["x"].shape[:1] or not np.issubdtype(labels.dtype, np.integer):
            raise UserError(f"{label} should hold {len(split['x'])} integers, but has {labels.dtype} {labels.shape}.")
        return {**split, "label": labels.astype(np.int32)}
    return split


def _read_array(path: Path) -> Mapped:
    with named(path, "is no sound .npy file"):
        array = Mapped(str(path))
    if array.dtype not in (np.uint8, np.float32) or len(array.shape) < 2 or len(array) == 0:
        raise UserError(
            f"{path} holds {array.dtype} {array.shape}; save images as uint8 [N, H, W] or [N, H, W, C], anything else "
            f"as float32 [N, ...]."
        )
    grey = array.dtype == np.uint8 and len(array.shape) == 3 and array.shape[2] > 1
    return Mapped(str(path), channel=True) if grey else array
