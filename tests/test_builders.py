"""TFDS without TensorFlow: downloads, checksums, and original archives placed by hand."""

import functools
import hashlib
import http.server
import threading

import numpy as np
import pytest
from made import COLOUR, RANDOM, SMALL, TONE, save, wav_bytes, write_idx, write_tar

from genjax_zoo import data
from genjax_zoo.data import audio, builders, files, mnist, places

pytestmark = pytest.mark.usefixtures("own_folders")


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
        data.prepare("mnist")
    assert not list(own_folders.rglob("dataset_info.json"))
    (folder / mnist.FILES[0]).write_bytes(good)
    mnist._read(tuple(places.roots()))


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
    assert [example["id"] for example in builders.examples(data.prepare("cifar10"), "test")][0].startswith(b"test_0000")
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
