"""A batch is a pure function of (seed, step), and a protocol can never change unnoticed."""

import os
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import SMALL, write_idx
from sklearn.datasets import load_digits

from genjax_zoo import data
from genjax_zoo.data import mnist
from genjax_zoo.data.points import GRID25, RING8
from genjax_zoo.data.shuffle import shuffled, shuffled_on_host
from genjax_zoo.math import logit

real = pytest.mark.skipif(
    not os.environ.get("GENJAX_ZOO_DATA"), reason="GENJAX_ZOO_DATA names no folder with mnist/: real files are needed"
)


@settings(deadline=None, max_examples=50)
@given(n=st.sampled_from((1, 2, 3, 17, 64, 65, 300)), seed=st.integers(0, 2**40), epoch=st.integers(0, 10**6))
def test_every_index_once_per_epoch(n, seed, epoch):
    assert sorted(order(epoch, seed, n).tolist()) == list(range(n))
    np.testing.assert_array_equal(shuffled_on_host(np.arange(n), epoch, seed, n), order(epoch, seed, n))


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
    digits = data.load("digits", "train", batch_size=100, conditions=("label",))
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
        transform=lambda batch, keys: {"x": batch["x"] + data.uniform(keys, ())},
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
    test = data.load("digits", "test", batch_size=100)
    assert test.batches == 3
    kept = [test.at(step)["x"][test.mask(step) == 1] for step in range(3)]
    np.testing.assert_array_equal(np.concatenate(kept), np.asarray(test.arrays["x"], np.float32) / 16)
    assert test.at(2)["x"].shape == (100, 8, 8, 1)


def test_noise_is_fresh_in_training_and_fixed_by_the_place_in_evaluation():
    def noisy(batch_size, seed, train):
        return data.Resident(
            arrays={"x": jnp.arange(8)},
            transform=lambda batch, keys: {**batch, "u": data.uniform(keys, ())},
            batch_size=batch_size,
            seed=seed,
            train=train,
        )

    at = jax.jit(lambda split, step: split.at(step))
    steps = [at(noisy(4, 0, True), step) for step in range(6)] + [at(noisy(4, 1, True), 0)]
    assert len(np.unique([step["u"] for step in steps])) == 7 * 4
    epochs = [np.concatenate([step["x"] for step in steps[i : i + 2]]).tolist() for i in (0, 2, 4)]
    assert all(sorted(epoch) == list(range(8)) for epoch in epochs) and len(set(map(tuple, epochs))) == 3
    wide, narrow = noisy(5, 0, False), noisy(4, 0, False)
    first, second = np.concatenate([at(wide, step)["u"] for step in (0, 1)]), at(narrow, 1)["u"]
    np.testing.assert_array_equal(first[4:8], second)
    np.testing.assert_array_equal(first[8:], first[:2])  # the last batch is filled from the start ...
    np.testing.assert_array_equal(wide.mask(1), [1, 1, 1, 0, 0])  # ... which does not count


def test_splits_share_no_example(own_folders, small):
    """And together they are all that there is; the end of MNIST's training set validates."""
    write_idx(own_folders / "mnist")
    splits = mnist.read_mnist(valid=7)
    parts = {"train": SMALL["train"]["x"][:23], "valid": SMALL["train"]["x"][23:], "test": SMALL["test"]["x"]}
    for split, x in parts.items():
        np.testing.assert_array_equal(splits[split]["x"], x)
    digits = [np.asarray(data.load("digits", split, batch_size=1).arrays["x"]).reshape(-1, 64) for split in parts]
    together, whole = (x[np.lexsort(x.T)] for x in (np.concatenate(digits), load_digits(return_X_y=True)[0]))
    np.testing.assert_array_equal(together, whole)
    points = [np.asarray(data.load("ring8", split, batch_size=1).arrays["x"]) for split in parts]
    assert len(np.unique(np.concatenate(points), axis=0)) == 120_000


def fingerprints(name):
    """A checksum of the batches of steps 0 and 1,000 of every split, with all conditions."""
    protocol = data.PROTOCOLS[name]
    for split, n in protocol.splits.items():
        loaded = data.load(name, split, batch_size=32, seed=7, conditions=protocol.conditions)
        assert len(loaded) == n and loaded.spec["x"].shape == protocol.shape
        for step in (0, 1_000):
            batch = loaded.at(step)
            yield zlib.crc32(b"".join(np.ascontiguousarray(batch[entry]).tobytes() for entry in sorted(batch)))


GOLDEN = {
    "digits": (3240503501, 375682349, 2228362332, 2228362332, 1709328570, 1709328570),
    "mnist": (3037496821, 3693153694, 3305774034, 1437829691, 115253343, 2771891689),
    "mnist-static": (1880869929, 3545225896, 550768649, 2581192374, 2655001315, 1326332727),
    "mnist-dynamic": (3837276406, 2643860965, 228186124, 3191294992, 224191372, 2416598563),
    "mnist-deq": (1366071397, 1422735909, 589356385, 2784495739, 3730629677, 2726796605),
    "stacked-mnist": (45362743, 2692114419, 1862560405, 4148366515),
    "grid25": (3095712292, 1200244287, 219046886, 1561120607, 97994888, 2276358952),
    "ring8": (2337006918, 4163042228, 2037248803, 1139771542, 1729073053, 3013526384),
    "checkerboard": (2541310906, 2980224050, 2495086595, 1123730333, 2248503449, 886440004),
    "two-moons": (3834082347, 382296521, 220672926, 2484654882, 3686481192, 1828411322),
    "spoken-digit": (1222544905, 3777851421, 3930350636, 525162168),
}
FILELESS = {"digits", "grid25", "ring8", "checkerboard", "two-moons"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=() if name in FILELESS else real) for name in GOLDEN])
def test_protocols_never_change(name):
    assert tuple(fingerprints(name)) == GOLDEN[name]


def test_every_protocol_is_held_to_something():
    """mnist-logit is held to mnist-deq below, as a logarithm's last bit is the library's; cifar10 has no files here."""
    assert set(data.PROTOCOLS) == set(GOLDEN) | {"mnist-logit", "cifar10"}


@real
def test_dynamic_binarization():
    """Fresh bits at every use, of the right frequency; the test set's bits never change."""
    train = data.load("mnist-dynamic", "train", batch_size=512)
    grey = data.Resident(
        arrays=train.arrays, transform=lambda e, k: {"x": e["x"] / 255}, batch_size=512, seed=0, train=True
    )
    bits, p = (np.stack([d.at(i)["x"] for i in range(8)]) for d in (train, grey))
    assert set(np.unique(bits)) == {0.0, 1.0}
    np.testing.assert_array_equal(bits[p == 0], 0)
    np.testing.assert_array_equal(bits[p == 1], 1)
    z = (bits - p).sum() / np.sqrt((p * (1 - p)).sum())
    assert abs(z) < 4
    test = data.load("mnist-dynamic", "test", batch_size=100)
    np.testing.assert_array_equal(
        test.at(0)["x"][50:], data.load("mnist-dynamic", "test", batch_size=50, seed=9).at(1)["x"]
    )


@real
def test_logit_is_of_the_dequantized_image():
    """In float64, and with the mean log-Jacobian that converts MAF's likelihoods."""
    x, y = (
        np.asarray(data.load(name, "test", batch_size=10_000).at(0)["x"], np.float64)
        for name in ("mnist-deq", "mnist-logit")
    )
    expected, log_det = logit(x, 1e-6)
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-5)
    grey = data.load("mnist", "test", batch_size=10_000).at(0)["x"]
    np.testing.assert_array_equal(np.floor(x * 256), np.round(grey * 255))
    assert abs(log_det.sum() / len(x) - 4_619.9) < 1


@real
def test_static_binarization_is_of_mnist():
    """Its test rows are MNIST's test images, sorted by class: 0 stays 0, 255 stays 1."""
    bits = np.asarray(data.load("mnist-static", "test", batch_size=10_000).at(0)["x"]).reshape(-1, 784)
    test = data.load("mnist", "test", batch_size=10_000, conditions=("label",)).at(0)
    order = np.argsort(np.asarray(test["label"]), kind="stable")
    grey = np.asarray(test["x"]).reshape(-1, 784)[order]
    assert (bits[grey == 0] == 0).all() and (bits[grey == 1] == 1).all()
    assert not (bits[grey[::-1] == 0] == 0).all()  # control: another order
    z = (bits - grey).sum() / np.sqrt((grey * (1 - grey)).sum())
    assert abs(z) < 4


@real
def test_stacked_labels_are_the_digits():
    """Each channel is a training image, and the label's digits are the channels'."""
    stacked = data.load("stacked-mnist", "train", batch_size=256, conditions=("label",)).at(3)
    whole = [
        data.load("mnist", split, batch_size=n, conditions=("label",))
        for split, n in (("train", 50_000), ("valid", 10_000))
    ]
    known = {
        np.asarray(x).tobytes(): int(label)
        for part in whole
        for x, label in zip(np.asarray(part.arrays["x"]), np.asarray(part.arrays["label"]))
    }
    raw = np.round(np.asarray(stacked["x"]) * 255).astype(np.uint8)
    for image, label in zip(raw, np.asarray(stacked["label"])):
        digits = [known[np.ascontiguousarray(image[..., c]).tobytes()] for c in range(3)]
        assert digits[0] * 100 + digits[1] * 10 + digits[2] == label
    every = np.asarray(data.load("stacked-mnist", "train", batch_size=8, conditions=("label",)).arrays["label"])
    assert len(np.unique(every)) == 1_000


@real
def test_every_spoken_sample_is_counted_once():
    for split, seconds in (("train", 2_700), ("test", 300)):
        part = data.load("spoken-digit", split, batch_size=64, conditions=("length",), window=1_000)
        length = np.asarray(part.arrays["length"])
        assert (length >= 1).all() and (length <= 1_000).all()
        assert (length < 1_000).sum() <= seconds
        x = np.asarray(part.arrays["x"])[..., 0]
        silent = np.arange(1_000)[None] >= length[:, None]
        assert (x[silent] == 128).all()
        total = data.load("spoken-digit", split, batch_size=64, conditions=("length",)).arrays["length"].sum()
        assert length.sum() == total


@pytest.mark.parametrize("name, entropy", [("grid25", 0.0653), ("ring8", -4.2930), ("checkerboard", 3.4657)])
def test_points_have_the_density_of_their_card(name, entropy):
    """The mean of -log p under the card's density is its entropy; the components are equally frequent."""
    points = data.load(name, "train", batch_size=100_000, conditions=("label",)).arrays
    x, label = np.asarray(points["x"], np.float64), np.asarray(points["label"])
    counts = np.bincount(label)
    assert np.abs(counts / counts.mean() - 1).max() < 6 / np.sqrt(counts.mean())
    if name == "checkerboard":
        inside = (np.abs(x) <= 4).all(1) & ((np.floor(x[:, 0] / 2) + np.floor(x[:, 1] / 2)) % 2 == 0)
        assert inside.all() and abs(np.log(2 * 16) - entropy) < 1e-4
        cells = np.unique(np.floor(x / 2), axis=0, return_counts=True)[1]
        assert len(cells) == 8 and np.abs(cells / 12_500 - 1).max() < 0.06
        return
    means, sigma = (GRID25, 0.05) if name == "grid25" else (RING8, 0.01)
    square = ((x[:, None] - means) ** 2).sum(-1) / (2 * sigma**2)
    log_p = np.logaddexp.reduce(-square, axis=1) - np.log(len(means) * 2 * np.pi * sigma**2)
    assert abs(-log_p.mean() - entropy) < 4 / np.sqrt(len(x)) + 1e-4
    assert f"{entropy:.4f}" in data.PROTOCOLS[name].likelihood


@pytest.mark.parametrize("train", (True, False))
@pytest.mark.parametrize("workers", (0, pytest.param(2, marks=(pytest.mark.slow, pytest.mark.processes))))
def test_streamed_is_resident(train, workers):
    """Bit for bit, in every shard, from any step on, and whoever reads ahead."""
    split = "train" if train else "test"
    resident, streamed = (
        data.load(
            "digits", split, batch_size=24, seed=5, conditions=("label",), resident=r, workers=0 if r else workers
        )
        for r in (True, False)
    )
    assert streamed.spec == resident.spec and len(streamed) == len(resident)
    start = 50 if train else 3
    for shard in range(2):
        for step, raw in zip(range(start, start + 9), streamed.stream(start, start + 9, shard, 2)):
            expected = resident.at(step, shard, 2)
            for entry, value in streamed.finish(raw, step, shard).items():
                np.testing.assert_array_equal(value, expected[entry])


def test_flips_are_by_example_and_half_of_them():
    plain, flipped = (data.load("digits", "train", batch_size=1_000, flip=f).at(0)["x"] for f in (False, True))
    turned = (flipped == plain[:, :, ::-1]).all((1, 2, 3))
    assert (turned | (flipped == plain).all((1, 2, 3))).all()
    assert 0.4 < turned.mean() < 0.6
    plain, flipped = (data.load("digits", "test", batch_size=10, flip=f).at(0)["x"] for f in (False, True))
    np.testing.assert_array_equal(flipped, plain)
