"""Classifiers: their term, their trained weights, and the shifts that they are trained on."""

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import get_window

from genjax_zoo import data, evals, judges, models
from genjax_zoo.conformance import randomise
from genjax_zoo.core import Judge, part, require, unit_of
from genjax_zoo.judges import trained

KEY = jax.random.key(0)
NEEDS_DATA = pytest.mark.skipif(
    not os.environ.get("GENJAX_ZOO_DATA"), reason="GENJAX_ZOO_DATA names no folder with mnist/ and spoken_digit/"
)


def tiny():
    model = judges.image_classifier(shape=(8, 8, 1), classes=3, widths=(4,), strides=(2,), features=5)
    batch = {"x": jax.random.uniform(KEY, (6, 8, 8, 1)), "label": jnp.arange(6) % 3}
    return model, randomise(model.init(KEY, batch)), batch


def loudness(x):
    """Decibels of Hann windows of 256 codes, from the floor of -80 on, over 80: [B, T, 1] -> [B, 129, windows, 1]."""
    y = 2 * x[..., 0] - 1
    sound, hann = np.sign(y) * (256 ** np.abs(y) - 1) / 255, np.asarray(get_window("hann", 256))
    frames = np.lib.stride_tricks.sliding_window_view(sound, 256, axis=1)[:, ::64] * hann
    power = np.abs(2 * np.fft.rfft(frames) / hann.sum()) ** 2
    return (10 * np.log10(np.maximum(power, 1e-8)).swapaxes(1, 2)[..., None] + 80) / 80


def layers_by_hand(variables, x, strides):
    """Features and logits of images [B, H, W, C], with zeros around them."""
    params, stats = (jax.tree.map(np.asarray, variables[kind]["classifier"]) for kind in ("params", "batch_stats"))
    for index, stride in enumerate(strides):
        x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        seen = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
        y = np.einsum("bijchw,hwco->bijo", seen, params[f"conv_{index}"]["kernel"])
        norm, found = params[f"BatchNorm_{index}"], stats[f"BatchNorm_{index}"]
        x = np.maximum((y - found["mean"]) / np.sqrt(found["var"] + 1e-5) * norm["scale"] + norm["bias"], 0)
    dense = params["features"]
    features = np.maximum(x.reshape(len(x), -1) @ dense["kernel"] + dense["bias"], 0)
    return features, features @ params["logits"]["kernel"] + params["logits"]["bias"]


@pytest.mark.parametrize("kind", ["image", "sound"])
def test_classifiers_are_their_layers_by_hand(kind):
    settings = {"classes": 3, "widths": (3, 4), "strides": (2, 1), "features": 9}
    random = np.random.Generator(np.random.PCG64(0))
    if kind == "image":
        model, x = judges.image_classifier(shape=(8, 7, 1), **settings), random.uniform(0, 1, (2, 8, 7, 1))
    else:
        model, x = judges.sound_classifier(length=400, **settings), random.integers(0, 256, (2, 400, 1)) / 255
    batch = {"x": jnp.asarray(x, jnp.float32), "label": jnp.zeros(2, int)}
    shapes = jax.eval_shape(model.init, KEY, batch)
    params = jax.tree.map(lambda leaf: random.normal(0, 0.6, leaf.shape), shapes["params"])
    stats = jax.tree.map(lambda leaf: random.uniform(0.5, 1.5, leaf.shape), shapes["batch_stats"])
    variables = jax.tree.map(lambda leaf: leaf.astype(np.float32), {"params": params, "batch_stats": stats})
    judge = part(model, Judge, "features"), require(model, Judge).classify
    run = jax.jit(lambda variables, x: [one(variables, x)[0] for one in judge])
    expected = layers_by_hand(variables, x if kind == "image" else loudness(x), (2, 1))
    for found, wanted in zip(run(variables, batch["x"]), expected):
        assert np.ptp(wanted, axis=0).max() > 0.05
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


def test_cross_entropy_is_that_of_the_logits():
    model, variables, batch = tiny()
    logits, _ = require(model, Judge).classify(variables, batch["x"])
    features, _ = part(model, Judge, "features")(variables, batch["x"])
    cross_entropy = judges.cross_entropy(model)
    terms, same = cross_entropy(variables, batch, KEY)
    log_p = np.log(np.exp(logits) / np.exp(logits).sum(1, keepdims=True))
    np.testing.assert_allclose(terms["cross_entropy"], -log_p[np.arange(6), batch["label"]], rtol=1e-5, atol=1e-6)
    assert features.shape == (6, 5) and model.sampler is None
    assert unit_of(cross_entropy, "cross_entropy") == "loss"
    head = variables["params"]["classifier"]["logits"]
    np.testing.assert_allclose(features @ head["kernel"] + head["bias"], logits, rtol=1e-5, atol=1e-5)
    trained_on, changed = cross_entropy(variables, batch, KEY, train=True)
    assert not jnp.array_equal(trained_on["cross_entropy"], terms["cross_entropy"])  # by the batch's own statistics
    assert jax.tree.all(jax.tree.map(jnp.array_equal, same["batch_stats"], variables["batch_stats"]))
    assert not jax.tree.all(jax.tree.map(jnp.array_equal, changed["batch_stats"], variables["batch_stats"]))


def test_what_a_classifier_learns_from_is_a_sentence():
    model, variables, batch = tiny()
    with pytest.raises(ValueError, match="load the data with conditions=\\('label',\\)"):
        judges.cross_entropy(model)(variables, {"x": batch["x"]}, KEY)
    with pytest.raises(ValueError, match="no 'judge'"):
        judges.cross_entropy(models.gan(shape=(2,), hidden=(4,), critic_hidden=(4,)))


def test_dropout_is_of_training_alone_and_draws_by_the_key():
    model = judges.image_classifier(shape=(8, 8, 1), classes=3, widths=(4,), strides=(2,), features=5, dropout=0.5)
    _, _, batch = tiny()
    variables, terms = randomise(model.init(KEY, batch)), judges.cross_entropy(model)

    def at(seed, train):
        return terms(variables, batch, jax.random.key(seed), train=train)[0]["cross_entropy"]

    np.testing.assert_array_equal(at(1, False), at(2, False))
    np.testing.assert_array_equal(at(1, True), at(1, True))
    assert not np.array_equal(at(1, True), at(2, True))


def test_accuracy_counts_every_example_once():
    model, variables, batch = tiny()
    right = jnp.argmax(require(model, Judge).classify(variables, batch["x"])[0], axis=1)
    label = np.where(np.arange(6) < 4, right, (right + 1) % 3)
    arrays = {"x": batch["x"], "label": jnp.asarray(label)}
    split = data.Resident(arrays=arrays, transform=lambda raw, keys: raw, batch_size=4, seed=0, train=False)
    found = evals.accuracy(split)(model, variables, KEY)  # the second batch is filled up by two that are right
    assert found["accuracy"] == pytest.approx(4 / 6)
    assert found["confusion"].shape == (1, 48, 48, 1) and found["confusion"].max() <= 1
    unlabelled = data.load("digits", "test", batch_size=10)
    with pytest.raises(ValueError, match="load the data with conditions"):
        evals.accuracy(unlabelled)
    vae = models.vae(shape=(8, 8, 1), latent=2, hidden=(4,))
    with pytest.raises(ValueError, match="no 'judge'; it has density"):
        evals.accuracy(split)(vae, vae.init(KEY, {"x": jnp.round(batch["x"])}), KEY)


def shifts_are_even(transform):
    """Each of 3 x 5 shifts of one bright pixel, equally often; what comes in from outside is `fill`."""
    x = jnp.zeros((3_000, 5, 7, 1), jnp.uint8).at[:, 2, 3].set(9)
    moved = transform({"x": x}, jax.random.split(KEY, 3_000))["x"]
    assert moved.shape == x.shape and moved.dtype == x.dtype
    place = np.asarray(moved == 9).reshape(3_000, -1)
    assert np.all(place.sum(axis=1) == 1)
    counts = place.sum(axis=0).reshape(5, 7)[1:4, 1:6]
    assert counts.sum() == 3_000 and np.all(np.abs(counts - 200) < 5 * np.sqrt(200)), "the shifts are not even"
    return moved


def test_shifts():
    moved = shifts_are_even(data.shifted(lambda batch, keys: batch, (1, 2), fill=4))
    assert set(np.unique(moved)) == {0, 4, 9}
    row = data.shifted(lambda batch, keys: batch, (2,))({"x": jnp.arange(1, 6)[None, :, None]}, KEY[None])["x"][0, :, 0]
    padded = jnp.pad(jnp.arange(1, 6), 2)
    assert any(jnp.array_equal(row, padded[start : start + 5]) for start in range(5)), row
    with pytest.raises(AssertionError, match="the shifts are not even"):
        shifts_are_even(data.shifted(lambda batch, keys: batch, (2, 1)))  # control


@NEEDS_DATA
@pytest.mark.parametrize("make, name", [(judges.mnist, "mnist"), (judges.spoken_digit, "spoken-digit")])
def test_shipped_weights_have_the_stated_accuracy(make, name):
    judge = make()
    test = data.load(name, "test", batch_size=500, conditions=("label",))
    found = evals.accuracy(test)(judge.model, judge.variables, KEY)["accuracy"]
    assert found == pytest.approx(judge.accuracy, abs=2e-4)
    if name == "mnist":
        assert found >= 0.992


@pytest.mark.parametrize("make", [judges.mnist, judges.spoken_digit])
def test_trained_classifiers(make):
    judge = make()
    x = jax.random.uniform(KEY, (3, *judge.model.spec["x"].shape))
    assert judge.features(x).shape == (3, 64) and judge.classify(x).shape == (3, 10)
    assert make() is judge


def test_a_traced_function_may_ask_first():
    """The weights that are kept are no tracers of the program that asked for them."""
    judges.mnist.cache_clear()
    x = jnp.zeros((2, 28, 28, 1))
    traced = jax.jit(lambda x: judges.mnist().classify(x))(x)
    np.testing.assert_allclose(judges.mnist().classify(x), traced, rtol=1e-4, atol=1e-5)


def test_shipped_files_are_small_and_checked(tmp_path):
    for shipped in (trained.MNIST, trained.SPOKEN_DIGIT):
        file = trained.FOLDER / shipped.file
        assert file.stat().st_size < 2_000_000
        bits = bytearray(file.read_bytes())
        bits[len(bits) // 2] ^= 1
        (tmp_path / shipped.file).write_bytes(bits)
        with pytest.raises(ValueError, match="not the file that genjax_zoo ships"):
            trained.read(tmp_path / shipped.file, shipped.sha256)


def test_saved_weights_are_read_back(tmp_path):
    _, variables, _ = tiny()
    again = trained.read(tmp_path / "x.npz", trained.save(tmp_path / "x.npz", variables))
    assert jax.tree.structure(again) == jax.tree.structure(variables)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-6), again, variables)


@NEEDS_DATA
def test_real_stacked_triples_have_the_floor():
    """26,000 triples of MNIST's test images, as the classifier sees them."""
    judge, test = judges.mnist(), data.load("mnist", "test", batch_size=500)
    seen = np.concatenate([np.argmax(judge.classify(test.at(step)["x"]), axis=1) for step in range(test.batches)])
    triples = seen[np.random.default_rng(0).integers(len(seen), size=(26_000, 3))] @ [100, 10, 1]
    assert evals.mode_kl(triples).value == pytest.approx(0.0237, abs=0.002)
    assert evals.mode_count(triples).value == 1_000
    stacked = data.load("stacked-mnist", "test", batch_size=64, conditions=("label",)).at(0)
    right = evals.stacked_labels(judge.classify, stacked["x"]) == stacked["label"]
    assert np.mean(right) > 0.95


@NEEDS_DATA
def test_halves_of_the_test_images_have_the_floors():
    """Random halves are equal in distribution; the first and the last 5,000 are not, which is the control."""
    judge, test = judges.mnist(), data.load("mnist", "test", batch_size=500)
    seen = np.concatenate([judge.features(test.at(step)["x"]) for step in range(test.batches)])
    mixed = np.random.default_rng(0).permutation(seen)
    found = evals.prdc(mixed[:5_000], mixed[5_000:])
    assert found["coverage"].value == pytest.approx(0.969, abs=0.008)
    assert found["density"].value == pytest.approx(1, abs=0.04)
    assert evals.prdc(seen[:5_000], seen[5_000:])["coverage"].high < 0.9
