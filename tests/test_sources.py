"""Where data comes from: every source gives the same arrays, and what is killed or missing leaves nothing behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from made import SMALL, write_idx
from PIL import Image

from genjax_zoo import data
from genjax_zoo.data import builders, mnist, places, store
from genjax_zoo.runs import load_experiment

pytestmark = pytest.mark.usefixtures("own_folders")
REAL = os.environ.get("GENJAX_ZOO_DATA")


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
    folder = data.prepare("mnist")
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
    data.prepare("mnist")
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
    print({k: v[:].tolist() for k, v in store.store_arrays("some", 1, make).items()})
else:
    print(builders.prepare("mnist"))
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


@pytest.mark.processes
def test_killed_while_tfds_prepares(own_folders):
    write_idx(own_folders / "mnist")
    killed_half_way()
    assert list((own_folders / "mnist").glob("incomplete.*")) and not list(own_folders.rglob("dataset_info.json"))
    found = builders.read_tfds("mnist", original_order=True)
    for split, arrays in SMALL.items():
        for entry, array in arrays.items():
            np.testing.assert_array_equal(np.asarray(found[split][entry]), array)
    assert not list((own_folders / "mnist").glob("incomplete.*"))


@pytest.mark.processes
def test_two_prepare_at_once(own_folders):
    write_idx(own_folders / "mnist")
    both = [child() for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sum("Preparing mnist" in errors for _, errors in outputs) == 1
    assert len(list((own_folders / "mnist").glob("*.*.*"))) == 1


@pytest.mark.processes
def test_killed_while_decoding(tmp_path):
    killed_half_way("store")
    folder = store.cache_folder()
    assert [p for p in folder.iterdir() if p.name.startswith(".some")]
    arrays = store.store_arrays("some", 1, lambda _: {"x": np.arange(7)})
    assert arrays["x"][:].tolist() == list(range(7))
    assert not [p for p in folder.iterdir() if p.name.startswith(".some")]


def test_what_is_stored_is_reused_unless_damaged():
    made = []

    def make(folder):
        made.append(folder)
        return {"x": np.arange(100, dtype=np.uint8)}

    for _ in range(2):
        assert store.store_arrays("some", ["a"], make)["x"][3:5].tolist() == [3, 4]
    assert len(made) == 1
    store.store_arrays("some", ["b"], make)
    assert len(made) == 2
    (path,) = {Path(store.store_arrays("some", ["a"], make)["x"].path)}
    content = bytearray(path.read_bytes())
    for damaged in (content[:-1] + b"\x00", content[:-9], b""):
        path.write_bytes(damaged)
        assert store.store_arrays("some", ["a"], make)["x"][:].tolist() == list(range(100))
    assert len(made) == 5
