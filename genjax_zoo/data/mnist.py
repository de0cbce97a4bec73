"""MNIST in its protocols, wherever its bytes come from: what is read is checked against the original's content."""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from genjax_zoo.data import builders, places
from genjax_zoo.data.files import IMAGES, Split, read_images
from genjax_zoo.data.idx import found_idx, read_idx
from genjax_zoo.data.listing import Listing
from genjax_zoo.errors import Missing, UserError
from genjax_zoo.files import named

FILES = [f"{prefix}-{kind}-ubyte.gz" for prefix in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")]
CONTENT = {  # sha256 of the pixels and labels, uint8, in the original order
    ("train", "x"): "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757",
    ("train", "label"): "1feba77c54802fa5339a11837ea4b2866434b83314ec45192930f1df69120c13",
    ("test", "x"): "6d87418db22cc8025d05968bec9bd5c3932904b23485740db143a061a2c9d161",
    ("test", "label"): "ddeff807876a9661a1110d45c266c86239a3a1b7d37da0c3716a7a683c852ff5",
}
STATIC = {  # sha256 of Larochelle's three text files, as TFDS knows them
    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}
TRIPLES = {"train": 128_000, "test": 26_000}


def read_mnist(valid: int = 10_000) -> Mapping[str, Split]:
    """Reads x uint8 [N, 28, 28, 1] and label int32 [N]; the last `valid` training images validate.

    Read from idx files, a prepared TFDS folder, or train/ and test/ folders of images named in the original order;
    downloaded by TFDS if there are none.

    Raises:
        FileNotFoundError: files are missing, and cannot be downloaded.
        UserError: a file is broken, or the content is not MNIST's.
    """
    whole = _read(tuple(places.roots()))
    n = len(whole["train"]["x"]) - valid
    train, held_out = ({k: v[part] for k, v in whole["train"].items()} for part in (slice(n), slice(n, None)))
    return {"train": train, "valid": held_out, "test": whole["test"]}


@functools.cache
def _read(roots: tuple[Path, ...]) -> Mapping[str, Mapping[str, np.ndarray]]:
    for folder in places.places("mnist"):
        if any(found_idx(folder, name) for name in FILES):
            return _checked(_read_idx(folder), folder)
        if any((folder / split).is_dir() for split in ("train", "test")) and Listing(folder).of_kind(IMAGES):
            return _checked(read_images(Listing(folder)), folder)
    return _checked(builders.read_tfds("mnist", original_order=True), builders.prepare("mnist"))


def _read_idx(folder: Path) -> Mapping[str, Split]:
    paths = {name: found_idx(folder, name) for name in FILES}
    if absent := [name for name, path in paths.items() if path is None]:
        raise Missing(f"{folder} lacks {', '.join(absent)}; put the original files there.")
    arrays = [read_idx(path) for path in paths.values() if path is not None]
    return {
        split: {"x": x[..., None], "label": label.astype(np.int32)}
        for split, x, label in zip(("train", "test"), arrays[::2], arrays[1::2])
    }


def _checked(splits: Mapping[str, Split], folder: Path) -> Mapping[str, Mapping[str, np.ndarray]]:
    arrays: dict[str, dict[str, np.ndarray]] = {"train": {}, "test": {}}
    for (split, entry), digest in CONTENT.items():
        array = np.asarray(splits.get(split, {}).get(entry, np.zeros(0)))
        if hashlib.sha256(array.astype(np.uint8).tobytes()).hexdigest() != digest:
            raise UserError(
                f"{folder} does not hold MNIST: its {split} {'images' if entry == 'x' else 'labels'} "
                f"{array.shape} are others than the original's, or in another order."
            )
        arrays[split][entry] = array
    return arrays


@functools.cache
def _static(roots: tuple[Path, ...]) -> Mapping[str, Mapping[str, np.ndarray]]:
    for folder in places.places("mnist_static", "mnist-static", "binarized_mnist"):
        packed, texts = folder / "binarized_mnist_static.npz", folder / "binarized_mnist_train.amat"
        if packed.exists():
            with (
                named(packed, "is truncated or corrupt; download it again"),
                packed.open("rb") as stream,
                np.load(stream) as file,
            ):
                rows = {split: np.unpackbits(bits, axis=1) for split, bits in file.items()}
            return {split: _checked_bits(rows.get(split), split, packed) for split in STATIC}
        if texts.exists():
            return {split: _read_amat(folder / f"binarized_mnist_{split}.amat", split) for split in STATIC}
    raise places.missing(
        "mnist-static",
        "mnist_static",
        "binarized_mnist_train.amat, binarized_mnist_valid.amat and binarized_mnist_test.amat (Larochelle's files, "
        "www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist)",
        "is not downloaded by itself",
    )


def read_static() -> Mapping[str, Split]:
    """Larochelle's fixed binarization: x uint8 [N, 28, 28, 1] of 0 and 1; there are no labels.

    Read from the three .amat files, or from binarized_mnist_static.npz with 98 bytes a row.

    Raises:
        FileNotFoundError: the files are missing.
        UserError: a file is broken, or not Larochelle's.
    """
    return _static(tuple(places.roots()))


def _read_amat(path: Path, split: str) -> Mapping[str, np.ndarray]:
    if not path.exists():
        raise Missing(f"There is no {path}; put Larochelle's three .amat files there.")
    text = np.frombuffer(path.read_bytes(), np.uint8)
    bits = text[::2].reshape(-1, 784) - ord("0") if len(text) % (2 * 784) == 0 else None
    return _checked_bits(bits, split, path)


def _checked_bits(bits: np.ndarray | None, split: str, path: Path) -> Mapping[str, np.ndarray]:
    """Checks the digest that Larochelle's file would have: digits, spaces between them, and line ends."""
    text = np.zeros((0 if bits is None else len(bits), 784, 2), np.uint8)
    if bits is not None and bits.shape[1:] == (784,):
        text[..., 0], text[..., 1], text[:, -1, 1] = bits + ord("0"), ord(" "), ord("\n")
    if bits is None or hashlib.sha256(text.tobytes()).hexdigest() != STATIC[split]:
        raise UserError(f"{path} is not Larochelle's binarization of MNIST: its {split} rows have another checksum.")
    return {"x": bits.reshape(-1, 28, 28, 1)}


def read_stacked() -> Mapping[str, Split]:
    """Three random digits as red, green and blue: x uint8 [N, 28, 28, 3], label int32 in 0 ... 999."""
    return _stacked(tuple(places.roots()))


@functools.cache
def _stacked(roots: tuple[Path, ...]) -> Mapping[str, Mapping[str, np.ndarray]]:
    whole, splits = _read(roots), {}
    for seed, (split, n) in enumerate(TRIPLES.items()):
        x, label = whole[split]["x"], whole[split]["label"]
        triple = np.random.Generator(np.random.PCG64(seed)).integers(len(x), size=(n, 3))
        stacked = np.ascontiguousarray(x[triple, :, :, 0].transpose(0, 2, 3, 1))
        splits[split] = {"x": stacked, "label": (label[triple] @ [100, 10, 1]).astype(np.int32)}
    return splits
