"""Where data comes from: every source gives the same arrays, and a broken one gives a sentence and leaves nothing."""

import functools
import gzip
import hashlib
import http.server
import io
import os
import signal
import struct
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

from genjax_zoo import data
from genjax_zoo.data import audio, builders, files, mnist, places, store, wav
from genjax_zoo.data.idx import read_idx
from genjax_zoo.run import load_experiment

REAL = os.environ.get("GENJAX_ZOO_DATA")


@pytest.fixture(autouse=True)
def own_folders(monkeypatch, tmp_path):
    """No data folder but the test's own, and a cache of its own."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("GENJAX_ZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    for cached in (mnist._read, mnist._static, mnist._stacked):
        cached.cache_clear()
    yield tmp_path / "data"
    for cached in (mnist._read, mnist._static, mnist._stacked):
        cached.cache_clear()


def idx_bytes(array):
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


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


def test_unknown_names():
    for arguments, message in [
        (("digit", "train"), "Unknown data 'digit'; did you mean 'digits'"),
        (("no-such-thing", "train"), "There is no no-such-thing; name a folder"),
        (("cifar_10", "train"), "did you mean 'cifar10'"),
        (("cifar100", "train"), "cifar-100-binary.tar.gz"),  # a set of TFDS, however near to another
        (("digits", "tset"), "Unknown split of 'digits': 'tset'; did you mean 'test'"),
        (("mnist-static", "train"), "binarized_mnist_train.amat"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            data.load(*arguments, batch_size=8)
    with pytest.raises(ValueError, match="Only images"):
        data.load("ring8", "train", batch_size=8, flip=True)
    with pytest.raises(ValueError, match="Unknown condition of 'digits' train: 'colour'"):
        data.load("digits", "train", batch_size=8, conditions=("colour",))
    with pytest.raises(ValueError, match="Unknown option of 'digits': 'sise'"):
        data.load("digits", "train", batch_size=8, sise=3)
    with pytest.raises(ValueError, match="not in 1 ... 1297"):
        data.load("digits", "train", batch_size=5_000)


def test_no_network(monkeypatch, own_folders):
    """Within five seconds, even where looking up a name hangs; and nothing is left behind."""

    over = threading.Event()

    def hang(*_):
        over.wait(30)
        raise OSError

    monkeypatch.setattr(places.socket, "create_connection", hang)
    start = time.monotonic()
    with pytest.raises(FileNotFoundError) as error:
        data.load("mnist", "train", batch_size=8)
    assert time.monotonic() - start < 5.5
    for part in ("train-images-idx3-ubyte.gz", f"{own_folders}/mnist", "did not answer within 4 s", "'digits'"):
        assert part in str(error.value)
    assert not list(own_folders.iterdir())
    over.set()


# MNIST in small: thirty training and ten test images that stand for the originals

RANDOM = np.random.default_rng(0)
SMALL = {
    split: {
        "x": RANDOM.integers(0, 256, (n, 28, 28, 1)).astype(np.uint8),
        "label": np.concatenate([np.arange(10), RANDOM.integers(0, 10, n - 10)]).astype(np.int32),
    }
    for split, n in (("train", 30), ("test", 10))
}


@pytest.fixture
def small(monkeypatch):
    """The digests of the small set."""
    digests = {
        (split, entry): hashlib.sha256(SMALL[split][entry].astype(np.uint8).tobytes()).hexdigest()
        for split, entry in mnist.CONTENT
    }
    monkeypatch.setattr(mnist, "CONTENT", digests)


def write_idx(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        x, label = SMALL[split]["x"][..., 0], SMALL[split]["label"].astype(np.uint8)
        (folder / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx_bytes(x)))
        (folder / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx_bytes(label)))


def write_images(folder, suffix="png"):
    for split, arrays in SMALL.items():
        for index, (x, label) in enumerate(zip(arrays["x"], arrays["label"])):
            path = folder / split / str(label) / f"{index:05d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(x[..., 0]).save(path)


def first_batch(batch_size=4):
    return data.load("mnist-dynamic", "train", batch_size=batch_size, conditions=("label",), seed=3).at(5)


def forget():
    mnist._read.cache_clear()


def test_every_source_gives_the_same_batches(monkeypatch, small, own_folders, tmp_path):
    """Files of the original format, a prepared TFDS folder in stock order, a folder of PNGs."""
    monkeypatch.setattr("genjax_zoo.data.named.read_mnist", lambda valid: mnist.read_mnist(5))
    batches = []
    write_idx(tmp_path / "idx/mnist")
    monkeypatch.setenv("GENJAX_ZOO_DATA", str(tmp_path / "idx"))
    batches.append(first_batch())

    monkeypatch.setenv("GENJAX_ZOO_DATA", str(own_folders))
    write_idx(own_folders / "mnist")
    folder = data.prepared("mnist")
    assert folder == own_folders / "mnist/3.0.1"
    for name in mnist.FILES:
        (own_folders / "mnist" / name).unlink()
    forget()
    batches.append(first_batch())
    stored = builders.read_tfds("mnist")["train"]["x"]
    assert (np.asarray(stored) != SMALL["train"]["x"]).any()  # control: as TFDS has them, they are in another order

    write_images(tmp_path / "png/mnist")
    monkeypatch.setenv("GENJAX_ZOO_DATA", str(tmp_path / "png"))
    forget()
    batches.append(first_batch())
    for batch in batches[1:]:
        for entry, value in batches[0].items():
            np.testing.assert_array_equal(batch[entry], value)


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="GENJAX_ZOO_DATA names no folder with mnist/: real files are needed")
def test_every_source_of_the_real_set(monkeypatch, tmp_path):
    """The same, for all of MNIST and an experiment file as it is."""
    original = Path(str(REAL)) / "mnist"
    for name in mnist.FILES:
        (tmp_path / "data/mnist").mkdir(exist_ok=True)
        (tmp_path / "data/mnist" / name).symlink_to(original / name)
    data.prepared("mnist")
    for name in mnist.FILES:
        (tmp_path / "data/mnist" / name).unlink()
    monkeypatch.setenv("GENJAX_ZOO_DATA", str(REAL))
    for split, arrays in mnist._read(tuple(places.roots())).items():
        monkeypatch.setitem(SMALL, split, arrays)
    write_images(tmp_path / "png/mnist")
    make = load_experiment(Path(__file__).parent.parent / "experiments/vae_mnist.py")
    batches = []
    for folder in (REAL, tmp_path / "data", tmp_path / "png"):
        monkeypatch.setenv("GENJAX_ZOO_DATA", str(folder))
        forget()
        batches.append([make().data.at(step)["x"] for step in range(3)])
    for others in batches[1:]:
        np.testing.assert_array_equal(np.stack(others), np.stack(batches[0]))


@pytest.mark.parametrize("write", (write_idx, write_images))
def test_what_is_not_mnist_is_refused(small, monkeypatch, own_folders, write):
    write(own_folders / "mnist")
    mnist._read(tuple(places.roots()))
    forget()
    swapped = {**SMALL, "train": {**SMALL["train"], "x": SMALL["train"]["x"][::-1]}}
    monkeypatch.setitem(SMALL, "train", swapped["train"])
    write(own_folders / "mnist")
    with pytest.raises(ValueError, match="does not hold MNIST: its train images .* in another order"):
        data.load("mnist", "train", batch_size=8)


def test_a_missing_idx_file_is_named(own_folders):
    write_idx(own_folders / "mnist")
    (own_folders / "mnist/t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match="lacks t10k-labels-idx1-ubyte.gz"):
        data.load("mnist", "train", batch_size=8)


CHILD = """
import os, sys, time
from pathlib import Path
from genjax_zoo.data import builders, store
import numpy as np
def stalling(records):
    for index, record in enumerate(records):
        if index == 20:
            os.write(1, b"half\\n")
            time.sleep(60)
        yield record
if "stall" in sys.argv:
    inner = builders._idx
    builders._idx = lambda *a: {split: stalling(records) for split, records in inner(*a).items()}
if "store" in sys.argv:
    def make(folder):
        np.save(folder / "x.npy", np.arange(5))
        if "stall" in sys.argv:
            os.write(1, b"half\\n")
            time.sleep(60)
        return {"x": np.arange(5), "y": np.arange(3)}
    print({k: v[:].tolist() for k, v in store.stored("some", 1, make).items()})
else:
    print(builders.prepared("mnist"))
"""


def child(*argv):
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def killed_half_way(*argv):
    process = child("stall", *argv)
    assert process.stdout is not None and process.stdout.readline().strip() == "half"
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_killed_while_tfds_prepares(own_folders):
    write_idx(own_folders / "mnist")
    killed_half_way()
    assert list((own_folders / "mnist").glob("incomplete.*")) and not list(own_folders.rglob("dataset_info.json"))
    found = builders.read_tfds("mnist", original_order=True)
    for split, arrays in SMALL.items():
        for entry, array in arrays.items():
            np.testing.assert_array_equal(np.asarray(found[split][entry]), array)
    assert not list((own_folders / "mnist").glob("incomplete.*"))


def test_two_prepare_at_once(own_folders):
    write_idx(own_folders / "mnist")
    both = [child() for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum("Preparing mnist" in errors for _, errors in outputs) == 1
    assert len(list((own_folders / "mnist").glob("*.*.*"))) == 1


def test_killed_while_decoding(tmp_path):
    killed_half_way("store")
    folder = store.cache_folder()
    assert [p for p in folder.iterdir() if p.name.startswith(".some")]
    arrays = store.stored("some", 1, lambda _: {"x": np.arange(7)})
    assert arrays["x"][:].tolist() == list(range(7))
    assert not [p for p in folder.iterdir() if p.name.startswith(".some")]


def test_what_is_stored_is_reused_unless_damaged():
    made = []

    def make(folder):
        made.append(folder)
        return {"x": np.arange(100, dtype=np.uint8)}

    for _ in range(2):
        assert store.stored("some", ["a"], make)["x"][3:5].tolist() == [3, 4]
    assert len(made) == 1
    store.stored("some", ["b"], make)
    assert len(made) == 2
    (path,) = {Path(store.stored("some", ["a"], make)["x"].path)}
    content = bytearray(path.read_bytes())
    for damaged in (content[:-1] + b"\x00", content[:-9], b""):
        path.write_bytes(damaged)
        assert store.stored("some", ["a"], make)["x"][:].tolist() == list(range(100))
    assert len(made) == 5


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


def believe(monkeypatch, name, paths):
    """Makes TFDS take the present files for the originals of a set."""
    from tensorflow_datasets.core.download import checksums

    known = {
        url: checksums.UrlInfo(
            size=path.stat().st_size,  # type: ignore[arg-type]
            checksum=hashlib.sha256(path.read_bytes()).hexdigest(),
            filename=path.name,
        )
        for url, path in paths.items()
    }
    monkeypatch.setattr(builders._own()[name], "url_infos", known)
    monkeypatch.setattr(checksums, "get_all_url_infos", lambda: known)


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{running.server_port}/"
        running.shutdown()


def test_downloads(monkeypatch, server, small, own_folders):
    """Through TFDS, with its checksums; a file of another checksum is refused, and leaves nothing prepared."""
    folder, url = server
    write_idx(folder)
    monkeypatch.setattr(builders._own()["mnist"], "URL", url)
    believe(monkeypatch, "mnist", {url + name: folder / name for name in mnist.FILES})
    good = (folder / mnist.FILES[0]).read_bytes()
    (folder / mnist.FILES[0]).write_bytes(good[:-1] + b"?")
    with pytest.raises(ValueError, match="another checksum than TFDS knows"):
        data.prepared("mnist")
    assert not list(own_folders.rglob("dataset_info.json"))
    (folder / mnist.FILES[0]).write_bytes(good)
    mnist._read(tuple(places.roots()))


# A user's own files


def save(path, array, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path, **options)


COLOUR = RANDOM.integers(0, 256, (4, 6, 5, 3)).astype(np.uint8)


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


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


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


def wav_bytes(samples, rate=8_000):
    stream = io.BytesIO()
    wavfile.write(stream, rate, samples)
    return stream.getvalue()


TONE = (1_000 * np.sin(np.arange(400))).astype(np.int16)


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


def write_tar(path, contents):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_cifar10_through_tfds(monkeypatch, own_folders):
    """The original binary archive, placed by hand: labels, channel order, and TFDS's own order of examples."""
    folder = own_folders / "cifar10"
    folder.mkdir()
    rows = RANDOM.integers(0, 256, (6, 4, 3_073)).astype(np.uint8)
    rows[..., 0] %= 10
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    contents = {f"cifar-10-batches-bin/{name}": row.tobytes() for name, row in zip(names, rows)}
    contents["cifar-10-batches-bin/batches.meta.txt"] = "\n".join(f"class{i}" for i in range(10)).encode()
    path = folder / "cifar-10-binary.tar.gz"
    write_tar(path, contents)
    (url,) = builders._own()["cifar10"].url_infos
    believe(monkeypatch, "cifar10", {url: path})
    for split, expected in (("train", rows[:5].reshape(20, -1)), ("test", rows[5])):
        found = data.load("cifar10", split, batch_size=4, conditions=("label",))
        images = expected[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        order = builders._stock_order(split, len(images))
        np.testing.assert_array_equal(found.arrays["x"], images[order])
        np.testing.assert_array_equal(found.arrays["label"], expected[order, 0])
    assert [example["id"] for example in builders.examples(data.prepared("cifar10"), "test")][0].startswith(
        b"test_0000"
    )
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="another checksum than TFDS knows"):
        monkeypatch.setenv("GENJAX_ZOO_DATA", str(own_folders.parent))
        (own_folders.parent / "cifar10").mkdir()
        path.rename(own_folders.parent / "cifar10" / path.name)
        data.load("cifar10", "train", batch_size=4)


def test_a_tfds_set_by_name(monkeypatch, own_folders):
    """Its original files lie in a folder of its name; a folder of one's own of that name would go first."""
    folder = own_folders / "fashion_mnist"
    write_idx(folder)
    url = builders._own()["fashion_mnist"].URL
    believe(monkeypatch, "fashion_mnist", {url + name: folder / name for name in mnist.FILES})
    found = data.load("fashion_mnist", "train", batch_size=4, conditions=("label",))
    order = builders._stock_order("train", 30)
    np.testing.assert_array_equal(found.arrays["x"], SMALL["train"]["x"][order])
    np.testing.assert_array_equal(found.arrays["label"], SMALL["train"]["label"][order])
    assert float(found.at(0)["x"].max()) <= 1
    save(own_folders / "kmnist" / "a.png", COLOUR[0])
    np.testing.assert_array_equal(data.load("kmnist", "train", batch_size=1).arrays["x"], COLOUR[:1])


def test_spoken_digit_through_tfds(monkeypatch, own_folders):
    """The original archive, placed by hand, prepared without TensorFlow."""
    folder = own_folders / "spoken_digit"
    folder.mkdir()
    recordings = {
        f"{d}_{s}_{i}.wav": TONE[: 50 * (i + 1)] for d in range(2) for s in ("theo", "george") for i in (0, 6)
    }
    path = folder / "free-spoken-digit-dataset-1.0.9.tar.gz"
    top = "free-spoken-digit-dataset-1.0.9"
    write_tar(path, {f"{top}/recordings/{name}": wav_bytes(samples) for name, samples in recordings.items()})
    (url,) = builders._own()["spoken_digit"].url_infos
    believe(monkeypatch, "spoken_digit", {url: path})
    monkeypatch.setattr(audio, "_checked", lambda found, path: found)
    found = audio.read_recordings()
    assert set(found) == set(recordings)
    for name, samples in recordings.items():
        np.testing.assert_array_equal(found[name], samples)
    test = data.load("spoken-digit", "test", batch_size=1, window=100, conditions=("label", "speaker", "length"))
    assert sorted(np.asarray(test.arrays["length"])) == [50] * 4
    wav_folder = files.Listing(folder)
    assert not wav_folder.of_kind({".wav"})
