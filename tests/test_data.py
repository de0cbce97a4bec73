"""A batch is a pure function of (seed, step), and a protocol can never change unnoticed."""

import gzip
import os
import struct
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genjax_zoo import data
from genjax_zoo.data.idx import read_idx
from genjax_zoo.data.shuffle import shuffled

real = pytest.mark.skipif(
    not os.environ.get("GENJAX_ZOO_DATA"), reason="GENJAX_ZOO_DATA names no folder with mnist/: real files are needed"
)


@settings(deadline=None, max_examples=50)
@given(n=st.sampled_from((1, 2, 3, 17, 64, 65, 300)), seed=st.integers(0, 2**40), epoch=st.integers(0, 10**6))
def test_every_index_once_per_epoch(n, seed, epoch):
    assert sorted(order(epoch, seed, n).tolist()) == list(range(n))


def order(epoch, seed, n):
    return np.asarray(_order(epoch, np.uint32(seed & 0xFFFFFFFF), n))


_order = jax.jit(lambda epoch, seed, n: shuffled(jnp.arange(n), epoch, seed, n), static_argnums=2)


def test_orders_differ_and_look_random():
    n = 1_000
    orders = np.stack([order(e, s, n) for e in range(20) for s in range(10)])
    assert len({tuple(order) for order in orders}) == len(orders)
    assert np.abs(np.corrcoef(orders) - np.eye(len(orders))).max() < 6 / np.sqrt(n)
    means = orders.mean(axis=0)  # the index at each position, over 200 orders
    assert abs(means.std() / (n / np.sqrt(12 * len(orders))) - 1) < 0.1
    neighbours = (np.abs(np.diff(orders, axis=1)) == 1).mean()
    assert neighbours < 3 * 2 / n


def test_an_epoch_of_batches_leaves_out_only_the_rest():
    digits = data.images("digits", "train", batch_size=100, conditions=("label",))
    assert digits.batches == 12
    seen = [np.asarray(digits.at(step)["x"]).reshape(100, -1) for step in range(12)]
    assert (
        len(np.unique(np.concatenate(seen), axis=0))
        == len(np.unique(np.asarray(digits.arrays["x"]).reshape(-1, 64), axis=0)) - 97
    )


@pytest.mark.parametrize("train", (True, False))
def test_shards_are_parts_of_the_batch(train):
    """And the batch of a step is the same eager, jitted, and with a traced step."""
    noisy = data.Resident(
        arrays={"x": jnp.arange(50, dtype=jnp.uint8)},
        transform=lambda example, key: {"x": example["x"] + jax.random.uniform(key)},
        batch_size=8,
        seed=3,
        train=train,
    )
    for step in (0, 5, 7, 123):
        whole = noisy.at(step)["x"]
        parts = [noisy.at(step, shard, 4)["x"] for shard in range(4)]
        np.testing.assert_array_equal(whole, jnp.concatenate(parts))
        np.testing.assert_array_equal(whole, jax.jit(lambda d, s: d.at(s))(noisy, step)["x"])


def test_evaluation_counts_every_example_once():
    test = data.images("digits", "test", batch_size=100)
    assert test.batches == 3
    kept = [test.at(step)["x"][test.mask(step) == 1] for step in range(3)]
    np.testing.assert_array_equal(np.concatenate(kept), np.asarray(test.arrays["x"], np.float32) / 16)
    assert test.at(2)["x"].shape == (100, 8, 8, 1)


def checksum(batch):
    return {name: zlib.crc32(np.ascontiguousarray(value).tobytes()) for name, value in sorted(batch.items())}


GOLDEN = {
    ("digits", "train", 0): {"label": 402204571, "x": 3102216681},
    ("digits", "train", 1000): {"label": 2557691576, "x": 1027332826},
    ("digits", "valid", 0): {"label": 3758127608, "x": 2199099244},
    ("digits", "test", 0): {"label": 1215808372, "x": 1244127273},
    ("mnist", "train", 0): {"label": 4011759412, "x": 3142487885},
    ("mnist", "test", 0): {"label": 1166034223, "x": 2374574151},
    ("mnist-dynamic", "train", 0): {"label": 46034865, "x": 4074589643},
    ("mnist-dynamic", "train", 1000): {"label": 1570007425, "x": 700779690},
    ("mnist-dynamic", "test", 0): {"label": 1166034223, "x": 1052793959},
}


@pytest.mark.parametrize(
    "name, split, step",
    [
        ("digits", "train", 0),
        ("digits", "train", 1_000),
        ("digits", "valid", 0),
        ("digits", "test", 0),
        pytest.param("mnist", "train", 0, marks=real),
        pytest.param("mnist", "test", 0, marks=real),
        pytest.param("mnist-dynamic", "train", 0, marks=real),
        pytest.param("mnist-dynamic", "train", 1_000, marks=real),
        pytest.param("mnist-dynamic", "test", 0, marks=real),
    ],
)
def test_protocols_never_change(name, split, step):
    batch = data.images(name, split, batch_size=32, seed=7, conditions=("label",)).at(step)
    assert checksum(batch) == GOLDEN[name, split, step]


@real
def test_dynamic_binarization():
    """Fresh bits at every use, of the right frequency; the test set's bits never change."""
    train = data.images("mnist-dynamic", "train", batch_size=512)
    grey = data.Resident(
        arrays=train.arrays, transform=lambda e, k: {"x": e["x"] / 255}, batch_size=512, seed=0, train=True
    )
    bits, p = (np.stack([d.at(i)["x"] for i in range(8)]) for d in (train, grey))
    assert set(np.unique(bits)) == {0.0, 1.0}
    np.testing.assert_array_equal(bits[p == 0], 0)
    np.testing.assert_array_equal(bits[p == 1], 1)
    z = (bits - p).sum() / np.sqrt((p * (1 - p)).sum())
    assert abs(z) < 4
    test = data.images("mnist-dynamic", "test", batch_size=100)
    np.testing.assert_array_equal(
        test.at(0)["x"][50:], data.images("mnist-dynamic", "test", batch_size=50, seed=9).at(1)["x"]
    )


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


def test_unknown_names(monkeypatch, tmp_path):
    monkeypatch.delenv("GENJAX_ZOO_DATA", raising=False)
    for arguments, message in [
        (("digit", "train"), "did you mean 'digits'"),
        (("digits", "tset"), "there are train, valid, test"),
        (("mnist", "train"), "--data-dir"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            data.images(*arguments, batch_size=8)
    with pytest.raises(ValueError, match="has no condition 'colour'"):
        data.images("digits", "train", batch_size=8, conditions=("colour",))
    with pytest.raises(ValueError, match="not in 1 ... 1297"):
        data.images("digits", "train", batch_size=5_000)
    monkeypatch.setenv("GENJAX_ZOO_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        data.images("mnist", "train", batch_size=8)
    assert Path(tmp_path).exists()
