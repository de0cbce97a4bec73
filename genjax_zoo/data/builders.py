"""TFDS as the door to named sets, without TensorFlow.

What TFDS cannot prepare without TensorFlow is prepared here by subclasses of its own builders: they keep its addresses,
checksums and layout, and read and write the files by NumPy and Pillow. Prepared folders are those of stock TFDS.
"""

import contextlib
import difflib
import functools
import hashlib
import os
import re
import shutil
import sys
import tarfile
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genjax_zoo.data import places, wav
from genjax_zoo.data.files import Split
from genjax_zoo.data.idx import found_idx, read_idx
from genjax_zoo.data.pictures import decode
from genjax_zoo.data.store import by_split, exclusive, store_arrays
from genjax_zoo.errors import UserError

INFO = "dataset_info.json"
SPLITS = {"train": "train", "validation": "valid", "valid": "valid", "test": "test"}


def prepare(name: str) -> Path:
    """The folder of a prepared set; it is prepared first where it is not, in the first folder that can be written.

    Args:
        name: as TFDS has it: "cifar10", "name/config", "name:1.0.0".

    Raises:
        FileNotFoundError: it is not here, and cannot be downloaded.
        UserError: TFDS does not know it, a checksum is wrong, or preparing it needs TensorFlow.
    """
    found = [folder for root in places.roots() if (folder := _newest(root, name))]
    return found[0] if found else _prepare(name, _writable())


def is_known(name: str) -> bool:
    """Whether TFDS has a set of this name."""
    import tensorflow_datasets as tfds

    return re.split(r"[/:]", name)[0] in tfds.list_builders(with_community_datasets=False)


def examples(folder: Path, split: str, **decoders: Any) -> Iterator[Mapping[str, Any]]:
    """The examples of a prepared set, in its order."""
    source = _open(folder).as_data_source(split=split, decoders=decoders or None)
    for start in range(0, len(source), 1_000):
        yield from source.__getitems__(range(start, min(start + 1_000, len(source))))


def read_tfds(name: str, size: int | None = None, *, original_order: bool = False) -> Mapping[str, Split]:
    """All splits of an image set, decoded once to uint8 and kept in the user's cache folder.

    Args:
        name: see `prepared`.
        size: crops images to their middle square and resizes it to size x size.
        original_order: undoes the order in which TFDS writes examples that are keyed by their number.

    Raises:
        UserError: it has no images, or images of several sizes; see also `prepared`.
    """
    folder = prepare(name)
    identity = [(folder / INFO).read_text(), size, original_order]
    return by_split(
        store_arrays(folder.parent.name, identity, lambda place: _decode_all(folder, size, original_order, place))
    )


def _decode_all(folder: Path, size: int | None, original_order: bool, place: Path) -> Mapping[str, np.ndarray]:
    import tensorflow_datasets as tfds

    info = _open(folder).info
    if "image" not in info.features:
        raise UserError(f"{folder} has no images, but {', '.join(info.features)}; images are what this reads.")
    labels = [key for key, feature in info.features.items() if isinstance(feature, tfds.features.ClassLabel)]
    colour = info.features["image"].shape[-1] == 3
    arrays: dict[str, np.ndarray] = {}
    for name, split in info.splits.items():
        if name not in SPLITS:
            continue
        n, key = split.num_examples, SPLITS[name]
        order = _stock_order(name, n) if original_order and not info.disable_shuffling else range(n)
        for entry in labels:
            arrays[f"{key}_{entry}"] = np.zeros(n, np.int32)
        for index, example in zip(order, examples(folder, name, image=tfds.decode.SkipDecoding())):
            told = f"{folder}: image {index} of {name}"
            image = decode(example["image"], told, colour, size, seen=lambda image: image)  # as TFDS decodes it
            if f"{key}_x" not in arrays:
                shape = (n, *image.shape)
                arrays[f"{key}_x"] = np.lib.format.open_memmap(place / f"{key}_x.npy", "w+", np.uint8, shape)
            if image.shape != arrays[f"{key}_x"].shape[1:]:
                raise UserError(f"{folder} holds images of several sizes; give size= to crop and resize them.")
            arrays[f"{key}_x"][index] = image
            for entry in labels:
                arrays[f"{key}_{entry}"][index] = example[entry]
    return arrays


def _stock_order(split: str, n: int) -> list[int]:
    """The keys 0 ... n - 1 as TFDS sorts them: by their hash, salted with the split's name."""
    salted = hashlib.md5(split.encode())

    def hashed(key: int) -> bytes:
        digest = salted.copy()
        digest.update(str(key).encode())
        return digest.digest()

    return sorted(range(n), key=hashed)


def _open(folder: Path) -> Any:
    import tensorflow_datasets as tfds

    try:
        return tfds.builder_from_directory(str(folder))
    except ImportError as error:
        raise UserError(
            f"{folder} cannot be read by TFDS alone ({_told(error)}); remove it to prepare it here."
        ) from None
    except tfds.core.dataset_info.DatasetInfoFileError as error:  # type: ignore[attr-defined]
        raise UserError(f"{folder} is damaged ({_told(error)}); remove it to prepare it again.") from None


def _newest(root: Path, name: str) -> Path | None:
    """The newest prepared version of a set below `root`, "NAME[/CONFIG]/VERSION"."""
    name, _, version = name.partition(":")
    found = [info.parent for info in (root / name).glob(f"{version or '*'}/{INFO}")]
    found = found or [info.parent for info in (root / name).glob(f"*/{version or '*'}/{INFO}") if "/" not in name]
    found = [folder for folder in found if not folder.name.startswith("incomplete")]
    return max(found, key=lambda folder: [int(n) for n in re.findall(r"\d+", folder.name)], default=None)


def _writable() -> Path:
    """The first of the data folders that can be written; TFDS's default folder is made if it must be."""
    *named, default = places.roots()
    return next((root for root in named if os.access(root, os.W_OK)), default)


def _prepare(name: str, root: Path) -> Path:
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered
    from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

    base = re.split(r"[/:]", name)[0]
    by_hand = next(iter(places.places(base, base.replace("_", "-"))), root / "downloads" / "manual")
    try:
        make = _own().get(name) or functools.partial(tfds.builder, name)
        builder: Any = make(data_dir=str(root), file_format="array_record")
    except registered.DatasetNotFoundError:
        near = difflib.get_close_matches(base, tfds.list_builders(with_community_datasets=False), 1)
        hint = f"did you mean '{near[0]}'?" if near else "'genjax-zoo list data' lists the protocols."
        raise UserError(f"Unknown data '{name}': no protocol, no folder, and no set of TFDS; {hint}") from None
    builder.by_hand = by_hand
    infos = builder.url_infos or {}
    files = ", ".join(info.filename or url for url, info in infos.items()) or "its files"
    away = [url for url, info in infos.items() if not _here(by_hand, root, url, info)]
    if away and (why := places.unreachable(away[0])):
        raise places.missing(name, base, files, why)
    download = tfds.download.DownloadConfig(
        try_download_gcs=False, manual_dir=by_hand, force_checksums_validation=bool(infos)
    )
    tfds.disable_progress_bar()
    with exclusive(root / f".{base}"), contextlib.redirect_stdout(sys.stderr):
        if folder := _newest(root, name):  # another process was faster
            return folder
        for left in (root / base).rglob("incomplete.*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        print(f"Preparing {name} in {root}, once ...")
        try:
            builder.download_and_prepare(download_config=download)
        except NonMatchingChecksumError as error:
            raise UserError(f"A file of '{name}' has another checksum than TFDS knows: {_told(error)}") from None
        except tfds.download.DownloadError as error:
            raise places.missing(name, base, files, f"its download failed ({_told(error)})") from None
        except ImportError as error:
            raise UserError(
                f"Preparing '{name}' needs more than TFDS alone ({_told(error)}): prepare it where that is installed, "
                f"with file_format='array_record', and copy the folder to {root / base}."
            ) from None
        folder = _newest(root, name)
    assert folder is not None
    return folder


def _here(by_hand: Path, root: Path, url: str, info: Any) -> bool:
    """Whether a file was placed by hand, or downloaded before."""
    from tensorflow_datasets.core.download.resource import get_dl_fname

    if info.filename and (by_hand / info.filename).exists():
        return True
    return any((root / "downloads").rglob(get_dl_fname(url, info.checksum)))


def _told(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")


@functools.cache
def _own() -> Mapping[str, Any]:
    """Builders for what stock TFDS cannot prepare without TensorFlow."""
    import tensorflow_datasets as tfds
    from PIL import Image
    from tensorflow_datasets.core import registered

    stock, spoken = tfds.image_classification, tfds.builder_cls("spoken_digit")  # registers all, so before skipping

    def images(name: str, base: Any, download: Any) -> Any:
        """A builder whose `download` gives {split: (records, ...)}, each record a dict with a uint8 "image"."""

        def split_generators(self, manager):
            return {split: self._generate_examples(records) for split, records in download(self, manager).items()}

        def generate_examples(self, records):
            for index, record in enumerate(records):
                image = record["image"]
                yield index, {**record, "image": Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)}

        methods = {"_split_generators": split_generators, "_generate_examples": generate_examples}
        return type(base.__name__, (base,), {"name": name, "__module__": base.__module__, **methods})

    with registered.skip_registration():
        return {
            "mnist": images("mnist", stock.MNIST, _idx),
            "fashion_mnist": images("fashion_mnist", stock.FashionMNIST, _idx),
            "kmnist": images("kmnist", stock.KMNIST, _idx),
            "cifar10": images("cifar10", stock.Cifar10, _cifar),
            "cifar100": images("cifar100", stock.Cifar100, _cifar),
            "spoken_digit": _spoken(spoken),
        }


def _idx(builder: Any, manager: Any) -> Mapping[str, Iterator[Any]]:
    def file(name: str) -> Path:
        """By hand, MNIST's files count by their content, as many copies of it were compressed again."""
        if builder.name == "mnist" and (by_hand := found_idx(builder.by_hand, name)):
            return by_hand
        return Path(manager.download(urllib.parse.urljoin(builder.URL, name)))

    splits = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        x = read_idx(file(f"{prefix}-images-idx3-ubyte.gz"))[..., None]
        label = read_idx(file(f"{prefix}-labels-idx1-ubyte.gz"))
        splits[split] = ({"image": image, "label": int(y)} for image, y in zip(x, label))
    return splits


def _cifar(builder: Any, manager: Any) -> Mapping[str, Iterator[Any]]:
    facts = builder._cifar_info
    archive = tarfile.open(manager.download(facts.url))

    def content(name: str) -> bytes:
        member = archive.extractfile(facts.prefix + name)
        assert member is not None
        return member.read()

    for key, file in zip(facts.label_keys, facts.label_files):
        builder.info.features[key].names = content(file).decode().split()

    def records(prefix: str, files: Any) -> Iterator[Any]:
        labels, index = len(facts.label_keys), 0
        for file in files:
            for row in np.frombuffer(content(file), np.uint8).reshape(-1, labels + 3072):
                image = row[labels:].reshape(3, 32, 32).transpose(1, 2, 0)
                named = {key: int(value) for key, value in zip(facts.label_keys, row)}
                yield {**named, "id": f"{prefix}_{index:05d}", "image": image}
                index += 1

    return {"train": records("train", facts.train_files), "test": records("test", facts.test_files)}


def _spoken(base: Any) -> Any:
    import tensorflow_datasets as tfds

    class Builder(base):
        name = "spoken_digit"

        def _info(self):  # type: ignore[override]
            features = {
                "audio": tfds.features.Tensor(shape=(None,), dtype=np.int64),  # tfds.features.Audio needs TensorFlow
                "label": tfds.features.ClassLabel(num_classes=10),
                "audio/filename": tfds.features.Text(),
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):  # type: ignore[override]
            (url,) = self.url_infos
            return {"train": self._generate_examples(wav.in_archive(Path(manager.download(url))))}

        def _generate_examples(self, recordings):  # type: ignore[override]
            for name, samples in recordings.items():
                record = {"audio": samples.astype(np.int64), "label": int(name[0]), "audio/filename": name}
                yield name.removesuffix(".wav"), record

    Builder.__module__ = base.__module__
    return Builder
