"""Files of every kind are read, and a broken one is named."""

import gzip
import hashlib
import time
import zipfile

import numpy as np
import pytest
from made import COLOUR, RANDOM, TONE, idx_bytes, png, save, wav_bytes, write_idx

from genjax_zoo import data
from genjax_zoo.data import mnist, store, wav
from genjax_zoo.data.idx import read_idx

pytestmark = pytest.mark.usefixtures("own_folders")

ARRAY = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
WHOLE = idx_bytes(ARRAY)


@pytest.mark.parametrize(
    "content, message",
    [
        (gzip.compress(WHOLE)[:-9], "truncated or corrupt"),
        (gzip.compress(WHOLE)[:-3] + b"abc", "truncated or corrupt"),
        (b"not gzip at all", "truncated or corrupt"),
        (gzip.compress(WHOLE[:-1]), "should hold 24 bytes for shape"),
        (gzip.compress(WHOLE + b"x"), "should hold 24 bytes for shape"),
        (gzip.compress(WHOLE[:9]), "truncated inside its header"),
        (gzip.compress(b"\0\0\x0d\x01" + WHOLE[4:]), "no idx file of unsigned bytes"),
        (gzip.compress(b""), "no idx file of unsigned bytes"),
    ],
)
def test_broken_idx_files(tmp_path, content, message):
    path = tmp_path / "images.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read_idx(path)
    assert str(path) in str(error.value)


def test_idx_round_trip(tmp_path):
    for name, content in (("a.gz", gzip.compress(WHOLE)), ("a", WHOLE)):
        (tmp_path / name).write_bytes(content)
        np.testing.assert_array_equal(read_idx(tmp_path / name), ARRAY)
    with pytest.raises(FileNotFoundError, match="put the set's original files"):
        read_idx(tmp_path / "missing.gz")


def test_a_missing_idx_file_is_named(own_folders):
    write_idx(own_folders / "mnist")
    (own_folders / "mnist/t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="lacks t10k-labels-idx1-ubyte.gz"):
        data.load("mnist", "train", batch_size=8)


def test_own_images(tmp_path):
    """Classes become labels; the order is that of the file names; a .zip, a path or a name in the data folder."""
    for index, (split, class_) in enumerate((("train", "dog"), ("train", "cat"), ("val", "cat"), ("train", "dog"))):
        save(tmp_path / "data/pets" / split / class_ / f"{index}.png", COLOUR[index])
    (tmp_path / "data/pets/notes.txt").write_text("not an image")
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path in (tmp_path / "data/pets").rglob("*.*"):
            archive.write(path, path.relative_to(tmp_path / "data"))
    for name in ("pets", tmp_path / "data/pets", str(tmp_path / "pets.zip")):
        train = data.load(name, "train", batch_size=3, conditions=("label",))
        np.testing.assert_array_equal(train.arrays["x"], COLOUR[[0, 1, 3]])
        np.testing.assert_array_equal(train.arrays["label"], [1, 0, 1])
        assert float(train.at(0)["x"].max()) <= 1 and train.spec["x"].shape == (6, 5, 3)
        np.testing.assert_array_equal(data.load(name, "valid", batch_size=1).arrays["x"], COLOUR[[2]])
    time.sleep(0.01)
    save(tmp_path / "data/pets/train/cat/1.png", COLOUR[2])  # a changed file is decoded again
    np.testing.assert_array_equal(data.load("pets", "train", batch_size=3).arrays["x"], COLOUR[[0, 2, 3]])


def test_own_arrays(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    np.save(folder / "train.npy", COLOUR)
    np.save(folder / "train_label.npy", np.arange(4))
    np.save(folder / "test.npy", COLOUR[:1].astype(np.float32))
    train = data.load(folder, "train", batch_size=2, conditions=("label",), resident=False)
    np.testing.assert_allclose(
        np.sort(train.at(0)["x"].ravel()), np.sort(COLOUR[train.at(0)["label"]].ravel() / 255), rtol=1e-6
    )
    np.testing.assert_array_equal(data.load(folder, "test", batch_size=1).at(0)["x"], COLOUR[:1])
    np.testing.assert_array_equal(data.load(folder / "train.npy", "train", batch_size=4).arrays["x"], COLOUR)
    np.save(folder / "train_label.npy", np.arange(3))
    with pytest.raises(ValueError, match="train_label.npy should hold 4 integers"):
        data.load(folder, "train", batch_size=2)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("b.png", png(COLOUR[0])[:60], "b.png is truncated or corrupt"),
        ("b.png", png(COLOUR[0])[:-30] + b"?" * 30, "b.png is truncated or corrupt"),
        ("b.png", b"no image", "b.png is no image that can be read"),
        ("b.png", b"", "b.png is no image that can be read"),
        ("b.png", png(COLOUR[0, :4]), "several sizes: a.png has 5x6, b.png has 5x4"),
        ("train.npy", b"\x93NUMPY broken", "train.npy is no sound .npy file"),
        ("train.npy", None, "save images as uint8"),
        ("x.zip", None, None),
    ],
)
def test_broken_files_are_named(tmp_path, name, content, message):
    folder = tmp_path / "data/mine"
    save(folder / "a.png", COLOUR[0])
    if content is not None:
        (folder / name).write_bytes(content)
    elif name == "train.npy":
        np.save(folder / name, np.arange(6).reshape(3, 2))
    else:
        (folder / "a.png").unlink()
        (folder / name).write_bytes(b"PK no zip")
        message = "no sound .zip"
    with pytest.raises(ValueError, match=message) as error:
        data.load("mine", "train", batch_size=1)
    assert str(folder) in str(error.value)
    assert not list(store.cache_folder().glob("*/meta.json")) and not list(store.cache_folder().glob(".mine*"))


def test_other_sizes_are_cropped_on_demand(tmp_path):
    save(tmp_path / "data/mine/a.png", COLOUR[0])
    save(tmp_path / "data/mine/b.png", COLOUR[0, :4])
    assert data.load("mine", "train", batch_size=2, size=4).spec["x"].shape == (4, 4, 3)


def test_empty_folders(own_folders):
    (own_folders / "mine").mkdir()
    with pytest.raises(ValueError, match="holds no images .* and no train.npy"):
        data.load("mine", "train", batch_size=1)


@pytest.mark.parametrize(
    "content, message",
    [
        (wav_bytes(TONE, 16_000), "has 16,000 samples per second; 8,000 are needed"),
        (wav_bytes(TONE)[:-100], "truncated or no WAV file"),
        (b"RIFF nonsense", "truncated or no WAV file"),
        (wav_bytes(TONE.astype(np.float32)), "mono 16-bit samples are needed"),
        (wav_bytes(np.stack([TONE, TONE], 1)), "mono 16-bit samples are needed"),
        (wav_bytes(TONE), "is not version 1.0.9 of the Free Spoken Digit Dataset"),
    ],
)
def test_broken_recordings_are_named(own_folders, content, message):
    folder = own_folders / "spoken_digit"
    folder.mkdir()
    (folder / "3_theo_7.wav").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        data.load("spoken-digit", "train", batch_size=1)
    assert str(folder) in str(error.value)
    np.testing.assert_array_equal(wav.read_wav(wav_bytes(TONE), "a"), TONE)


def test_static_files(monkeypatch, own_folders):
    """Larochelle's text and the packed rows are the same; a flipped bit is noticed in both."""
    folder = own_folders / "mnist_static"
    folder.mkdir()
    bits = {split: RANDOM.integers(0, 2, (3, 784)).astype(np.uint8) for split in mnist.STATIC}
    text = {split: "".join(" ".join(map(str, row)) + "\n" for row in rows).encode() for split, rows in bits.items()}
    monkeypatch.setattr(mnist, "STATIC", {split: hashlib.sha256(t).hexdigest() for split, t in text.items()})

    def write_text(texts):
        for split, content in texts.items():
            (folder / f"binarized_mnist_{split}.amat").write_bytes(content)

    def write_packed(rows):
        np.savez(folder / "binarized_mnist_static.npz", **{k: np.packbits(v, axis=1) for k, v in rows.items()})  # type: ignore[arg-type]

    for write, good, bad in (
        (write_text, text, {**text, "test": text["test"][:-2] + b"\n"}),
        (write_packed, bits, {**bits, "test": 1 - bits["test"]}),
    ):
        write(good)
        mnist._static.cache_clear()
        found = data.load("mnist-static", "test", batch_size=3)
        np.testing.assert_array_equal(np.asarray(found.at(0)["x"]).reshape(3, 784), bits["test"])
        write(bad)
        mnist._static.cache_clear()
        with pytest.raises(ValueError, match="is not Larochelle's binarization of MNIST: its test rows"):
            data.load("mnist-static", "test", batch_size=3)
    (folder / "binarized_mnist_static.npz").write_bytes(b"PK short")
    with pytest.raises(ValueError, match="truncated or corrupt"):
        data.load("mnist-static", "test", batch_size=3)
