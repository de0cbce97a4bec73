"""What a flow measures on its first batch: the same in any units, and refused where there is nothing to measure."""

import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax_zoo import Experiment, data, models
from genjax_zoo.core import Player, total
from genjax_zoo.linen import from_linen
from genjax_zoo.nn import ActNorm, BatchNorm, Chain, InvertibleConv
from genjax_zoo.nn.bijections import spread
from genjax_zoo.train import create_state, make_step, make_steps
from genjax_zoo.train.evaluating import evaluate

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
IMAGES = np.random.default_rng(0).normal(size=(4, 4, 4, 1)).astype(np.float32)
FLOWS = {
    "spline_coupling": functools.partial(models.spline_coupling, shape=(3,), layers=2, hidden=(8,), bins=4),
    "maf": functools.partial(models.maf, shape=(3,), layers=2, hidden=(8,)),
    "real_nvp": functools.partial(models.real_nvp, shape=(3,), layers=2, hidden=(8,), norm=ActNorm),
    "glow": functools.partial(models.glow, shape=(4, 4, 1), scales=1, steps=1, width=2),
    "multiscale_real_nvp": functools.partial(models.multiscale_real_nvp, shape=(4, 4, 1), scales=1, width=2, blocks=1),
}
NORM_FIRST = ("spline_coupling", "glow")  # whose networks see standardised numbers


def data_of(name):
    return IMAGES if FLOWS[name]().spec["x"].shape == (4, 4, 1) else X


def nats(model, variables, x, train=False):
    return total(model.nll(variables, {"x": jnp.asarray(x)}, KEY, train=train)[0])


@pytest.mark.parametrize("name", FLOWS)
def test_a_density_is_the_same_in_any_units(name):
    """In units of u, -log p is lower by D log u, at the start; and after steps, where what is learned sees no units."""
    model, x = FLOWS[name](), data_of(name)
    player = Player(terms=model.nll, weights={"prior": 1.0, "log_det": 1.0}, tx=optax.sgd(0.1))
    step = jax.jit(make_step({"flow": player}))
    evaluate = jax.jit(functools.partial(nats, model))

    def learned(x, steps):
        state = create_state(model, {"flow": player}, KEY, {"x": jnp.asarray(x)})
        for _ in range(steps):
            state, _ = step(state, {"x": jnp.asarray(x)})
        return evaluate(state.variables, x)

    for steps in (0, 2) if name in NORM_FIRST else (0,):
        plain = learned(x, steps)
        for unit in (1e-9, 1e9):
            moved = learned(x * np.float32(unit), steps) - x[0].size * math.log(np.float32(unit))
            np.testing.assert_allclose(moved, plain, atol=2e-3)


def test_an_offset_costs_no_digits():
    """Mean and spread of 10,000 + 0.01 x as of x, to what float32 leaves of the numbers themselves."""
    x = np.float32(1e4) + np.float32(1e-2) * X
    mean, log_std = spread(jnp.asarray(x))
    np.testing.assert_allclose(mean, x.mean(0, dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(log_std, np.log(x.std(0, dtype=np.float64)), atol=1e-6)


def changed(x, place, value):
    x = x.copy()
    x[:, *place] = value
    return x


ROUNDED = np.float32(0.1) + 1e-8 * (np.arange(64) % 2)
BAD = [
    (
        "spline_coupling",
        X[:1],
        "'bijection/layers_1' begins with the spread .* one example has none; begin with a larger",
    ),
    ("spline_coupling", changed(X, (2,), 5), r"x\[2\] = 5 is the same in all 64 examples, in float32; leave it out"),
    ("spline_coupling", changed(X, (2,), 5) * np.float32(1e-9), r"x\[2\] = 5e-09 is the same"),
    ("spline_coupling", changed(X, (1,), ROUNDED), r"x\[1\] = 0.1 is the same"),
    ("spline_coupling", changed(X, (1,), np.nan), "not finite; mend the data"),
    ("maf", changed(X, (0,), 0), r"x\[0\] = 0 is the same"),
    ("real_nvp", changed(X, (1,), 1e9), r"x\[1\] = 1e\+09 is the same"),
    ("glow", changed(IMAGES, (), 0.5), r"x\[0, 0, 0\] = 0.5 is the same in all 4"),
    ("glow", changed(IMAGES, (slice(1, None, 2),) * 2, 7), r"x\[1, 1, 0\] = 7 is the same in all 4"),
    ("multiscale_real_nvp", np.arange(4.0, dtype=np.float32).reshape(4, 1, 1, 1) + 0 * IMAGES, None),
]


@pytest.mark.parametrize("name, x, sentence", BAD)
def test_nothing_to_measure_is_refused(name, x, sentence):
    model = FLOWS[name]()
    if sentence is None:  # every image is flat, and no two alike
        assert np.isfinite(nats(model, model.init(KEY, {"x": jnp.asarray(x)}), x)).all()
        return
    with pytest.raises(ValueError, match=sentence):
        model.init(KEY, {"x": jnp.asarray(x)})


def test_a_channel_that_is_no_number_of_x_is_named_by_its_layer():
    """Flat images over several channels that always differ by as much: a kernel takes their difference."""

    class Differences(nn.Module):
        def setup(self):
            self.bijection = Chain((InvertibleConv(np.array([[1.0, 0], [-1, 1]])), ActNorm()))

        def __call__(self, batch, key, train):
            return self.bijection.forward(batch["x"])

    model = from_linen(Differences(), {"x": jax.ShapeDtypeStruct((2,), jnp.float32)})
    x = np.arange(8, dtype=np.float32)
    with pytest.raises(ValueError, match="but channel 1 of what 'bijection/layers_1' is given is the same in all 8"):
        model.init(KEY, {"x": jnp.asarray(np.stack([x, x + 2], axis=1))})


@pytest.mark.parametrize("name", ["glow", "multiscale_real_nvp"])
def test_constant_pixels_leave_channels_to_measure(name):
    """The dark border of digits is in every channel, and is none; and one image has many places."""
    model, x = FLOWS[name](), changed(IMAGES, (0,), 0)
    for few in (x, x[:1]):
        assert np.isfinite(nats(model, model.init(KEY, {"x": jnp.asarray(few)}), few)).all()


def test_batch_norm_of_one_number_is_refused_in_training():
    """On one device; two devices with one example each are a batch of two."""
    norm = BatchNorm()
    variables = norm.init(KEY, X, None, True, method="forward")
    run = functools.partial(norm.apply, variables, method="forward", mutable=["batch_stats"])
    with pytest.raises(ValueError, match="one number of each channel has none: train with a batch of two"):
        run(X[:1], None, True)
    whole, _ = run(X[:2], None, True)
    parts, _ = jax.vmap(lambda x: run(x, None, True), axis_name="data")(X[:2, None])
    np.testing.assert_allclose(parts[0][:, 0], whole[0], atol=1e-5)
    assert np.isfinite(run(X[:1], None, False)[0][0]).all()


def test_batch_norm_in_a_network_is_refused_where_it_would_forget_its_input():
    """A dense layer's output, normalised over one example, is the same for all; an image has places."""
    model = models.gan(shape=(2,), latent=3, hidden=(4,), critic_hidden=(4,), normalised=True)
    with pytest.raises(ValueError, match="one number of each channel has none: train with a batch of two"):
        model.init(KEY, {"x": jnp.zeros((1, 2))})
    model = models.conv_vae(shape=(8, 8, 1), latent=2, widths=(2,))
    x = jnp.asarray(IMAGES[:1].repeat(2, 1).repeat(2, 2) > 0, jnp.float32)
    assert "batch_stats" in model.init(KEY, {"x": x})


def test_a_batch_counts_as_no_sharper_than_a_hundredth_of_the_first():
    """Its log-determinant is at most log 100 more than the first's, in any units."""
    for unit in (1e-9, 1.0, 1e9):
        x = np.float32(unit) * X
        norm = BatchNorm()
        variables = norm.init(KEY, x, None, True, method="forward")
        sharp = x[:1] + np.float32(1e-6) * (x[:8] - x[:1])
        (_, log_det), _ = norm.apply(variables, sharp, None, True, method="forward", mutable=["batch_stats"])
        np.testing.assert_allclose(log_det, 3 * math.log(100) - np.log(x.std(0)).sum(), rtol=1e-4)


class Warnings:
    """A sink that keeps warnings."""

    def __init__(self):
        self.told = []

    def log(self, step, metrics): ...

    def show(self, step, numbers, images): ...

    def warn(self, step, sentence):
        self.told.append(sentence)

    def close(self): ...


@pytest.mark.parametrize("batch_size", [2, 64])
def test_a_likelihood_that_a_batch_gives_itself_is_told(batch_size):
    """In a batch of two each number is one deviation from the mean; in one of 64 it is as the moving averages say."""
    model = models.maf(shape=(2,), layers=2, hidden=(8,))
    player = Player(terms=model.nll, weights={"prior": 1.0, "log_det": 1.0}, tx=optax.adam(1e-2))
    source = data.load("two-moons", "train", batch_size=batch_size)
    experiment = Experiment(model=model, players={"flow": player}, data=source, steps=200)
    state = create_state(model, {"flow": player}, KEY, source.at(0))
    state, _ = jax.jit(make_steps(experiment.players, steps=200))(state, source)
    heard = Warnings()
    evaluate(experiment, state, [heard])
    told = [sentence for sentence in heard.told if "nats per number of x better" in sentence]
    assert len(told) == (batch_size == 2) and all("larger batches than 2" in sentence for sentence in told)
