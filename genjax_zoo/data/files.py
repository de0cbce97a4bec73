"""A user's own data: a folder or .zip of images, or .npy arrays.

    FOLDER/train/CLASS/NAME.png   splits are train, valid (or val) and test; without them everything is train
    FOLDER/NAME.png               classes are optional; they become "label", in the order of their names
    FOLDER/train.npy              uint8 images [N, H, W] or [N, H, W, C], or float32 of any shape, as they are
    FOLDER/train_label.npy        optional, integers [N]

Images are sorted by file name, then by class. They are decoded once, to uint8, and kept in the user's cache folder.
"""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from genjax_zoo.data.store import Mapped, by_split, stored

Split = Mapping[str, np.ndarray | Mapped]  # "x": [N, ...], other entries are conditions [N, ...]
SPLITS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"}


class Listing:
    """The files in a folder or a .zip, by their path inside it."""

    def __init__(self, path: Path):
        """Lists `path`.

        Raises:
            ValueError: it is no folder, and no sound .zip.
        """
        self.path = path
        if path.is_dir():
            files = {p.relative_to(path).as_posix(): p for p in path.rglob("*") if p.is_file()}
            self.sizes = {name: [p.stat().st_size, p.stat().st_mtime_ns] for name, p in sorted(files.items())}
            self.read: Callable[[str], bytes] = lambda name: files[name].read_bytes()
            return
        try:
            archive = zipfile.ZipFile(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise ValueError(f"{path} is no folder and no sound .zip ({error}).") from None
        self.sizes = {i.filename: [i.file_size, i.CRC] for i in archive.infolist() if not i.is_dir()}

        def read(name: str) -> bytes:
            try:
                return archive.read(name)
            except (zipfile.BadZipFile, zipfile.zlib.error) as error:  # type: ignore[attr-defined]
                raise ValueError(f"{path} is corrupt: {name} cannot be read ({error}).") from None

        self.read = read

    def of_kind(self, suffixes: set[str]) -> list[str]:
        """The files with one of these suffixes, hidden ones left out; by file name, then by folder."""
        paths = [PurePosixPath(name) for name in self.sizes]
        kept = [p for p in paths if p.suffix.lower() in suffixes and not any(part[0] in "._" for part in p.parts)]
        return [str(p) for p in sorted(kept, key=lambda p: (p.name, str(p.parent)))]


def read_files(path: Path, size: int | None = None) -> Mapping[str, Split]:
    """The splits of a folder, a .zip or a .npy file.

    Args:
        path: see the head of this file.
        size: crops images to their middle square and resizes it to size x size.

    Raises:
        FileNotFoundError: there is nothing at `path`.
        ValueError: it holds no data, a broken file, or images of several sizes; the file is named.
    """
    if not path.exists():
        raise FileNotFoundError(f"There is no {path}; name a folder of images, a .zip or a .npy file.")
    if path.suffix == ".npy":
        return {"train": {"x": _read_array(path)}}
    arrays = {p.stem: p for p in path.glob("*.npy")} if path.is_dir() else {}
    if found := {SPLITS[stem]: p for stem, p in arrays.items() if stem in SPLITS}:
        return {split: _read_pair(p, arrays.get(f"{p.stem}_label")) for split, p in found.items()}
    listing = Listing(path)
    if not listing.of_kind(IMAGES) and (archives := sorted(path.glob("*.zip")) if path.is_dir() else []):
        listing = Listing(archives[0])
    return read_images(listing, size)


def holds_data(path: Path) -> bool:
    """Whether `read_files` finds anything there to read."""
    if path.is_file() or any(path.glob("*.npy")) or any(path.glob("*.zip")):
        return True
    return path.is_dir() and bool(Listing(path).of_kind(IMAGES))


def read_images(listing: Listing, size: int | None = None) -> Mapping[str, Split]:
    """Decodes images once; see `read_files`."""
    names = listing.of_kind(IMAGES)
    if not names:
        raise ValueError(f"{listing.path} holds no images ({', '.join(sorted(IMAGES))}) and no train.npy.")
    identity = [str(listing.path.resolve()), size, [[name, *listing.sizes[name]] for name in names]]
    return by_split(stored(listing.path.stem, identity, lambda folder: _decode_all(listing, names, size, folder)))


def _decode_all(listing: Listing, names: list[str], size: int | None, folder: Path) -> Mapping[str, np.ndarray]:
    colour = any(
        _open(listing.read(name), f"{listing.path}: {name}").mode not in ("1", "L", "LA", "I;16") for name in names
    )
    groups: dict[str, list[tuple[str, str]]] = {}
    for name in names:
        split, class_ = _place(name)
        groups.setdefault(split, []).append((name, class_))
    classes = sorted({class_ for group in groups.values() for _, class_ in group})
    arrays: dict[str, np.ndarray] = {}
    shape, first = None, names[0]
    for split, group in groups.items():
        for index, (name, class_) in enumerate(group):
            image = decode(listing.read(name), f"{listing.path}: {name}", colour, size)
            if shape is None:
                shape, first = image.shape, name
            if image.shape != shape:
                raise ValueError(
                    f"{listing.path} holds images of several sizes: {first} has {shape[1]}x{shape[0]}, {name} has "
                    f"{image.shape[1]}x{image.shape[0]} pixels; give size= to crop and resize them."
                )
            if index == 0:  # on disk, as the whole may not fit into memory
                path = folder / f"{split}_x.npy"
                arrays[f"{split}_x"] = np.lib.format.open_memmap(path, "w+", np.uint8, (len(group), *shape))
                arrays[f"{split}_label"] = np.zeros(len(group), np.int32)
            arrays[f"{split}_x"][index] = image
            arrays[f"{split}_label"][index] = classes.index(class_)
    return arrays if len(classes) > 1 else {name: a for name, a in arrays.items() if name.endswith("_x")}


def _place(name: str) -> tuple[str, str]:
    """The split and the class of an image, by the folders it lies in."""
    folders = PurePosixPath(name).parts[:-1]
    at = next((i for i, folder in enumerate(folders) if folder in SPLITS), None)
    split = "train" if at is None else SPLITS[folders[at]]
    rest = folders if at is None else folders[at + 1 :]
    return split, rest[-1] if rest else ""


def decode(content: bytes, name: str, colour: bool, size: int | None = None) -> np.ndarray:
    """One image as uint8 [H, W, 3], or [H, W, 1] if not `colour`.

    Raises:
        ValueError: it is truncated, corrupt or no image.
    """
    image = _open(content, name)
    try:
        image = image.convert("RGB" if colour else "L")
    except (OSError, SyntaxError) as error:  # Pillow's word for a damaged PNG is SyntaxError
        raise ValueError(f"{name} is truncated or corrupt ({error}).") from None
    if size is not None:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.resize((size, size), box=(left, top, left + side, top + side))
    return np.asarray(image).reshape(image.height, image.width, -1)


def _open(content: bytes, name: str):
    from PIL import Image

    try:
        return Image.open(io.BytesIO(content))
    except OSError:
        raise ValueError(f"{name} is no image that can be read; remove it or save it again.") from None


def _read_pair(x: Path, label: Path | None) -> Split:
    split = {"x": _read_array(x)}
    if label is not None:
        labels = np.load(label)
        if labels.shape != split["x"].shape[:1] or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"{label} should hold {len(split['x'])} integers, but has {labels.dtype} {labels.shape}.")
        return {**split, "label": labels.astype(np.int32)}
    return split


def _read_array(path: Path) -> Mapped:
    try:
        array = Mapped(str(path))
    except (ValueError, EOFError, OSError) as error:
        raise ValueError(f"{path} is no sound .npy file ({error}).") from None
    if array.dtype not in (np.uint8, np.float32) or len(array.shape) < 2 or len(array) == 0:
        raise ValueError(
            f"{path} holds {array.dtype} {array.shape}; save images as uint8 [N, H, W] or [N, H, W, C], anything else "
            f"as float32 [N, ...]."
        )
    return array
