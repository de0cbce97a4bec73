"""Flows of two numbers: densities that integrate to one, samples that follow them, and what bad input is told."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax_zoo import conformance, data, evals, models, wrap
from genjax_zoo.linen import half_precision
from genjax_zoo.math import gaussian_mixture, rational_quadratic

pytestmark = pytest.mark.usefixtures("quick_compilation")

FLAT = {
    "nice": {"hidden": (8,)},
    "real_nvp": {"layers": 3, "hidden": (8,)},
    "made": {"hidden": (8,), "likelihood": gaussian_mixture(3)},
    "maf": {"layers": 2, "hidden": (8,)},
    "iaf": {"layers": 2, "hidden": (8,)},
    "spline_coupling": {"layers": 2, "hidden": (8,), "bins": 4},
    "spline_autoregressive": {"layers": 2, "hidden": (8,), "bins": 4},
}
LABEL = {"label": jnp.ones(1, jnp.int32)}


@functools.cache
def built(name, classes=0):
    """A flow of two numbers with random parameters."""
    model = models.MODELS[name](shape=(2,), classes=classes, **FLAT[name])
    batch = {"x": jax.random.normal(jax.random.key(0), (32, 2)), "label": jnp.arange(32) % 3}
    return model, conformance.randomised(model.init(jax.random.key(1), batch), scale=0.12)


@pytest.mark.parametrize("name", FLAT)
def test_density_integrates_to_one(name):
    conformance.density_integrates_to_one(*built(name), bound=30.0, points=1_000)


@pytest.mark.parametrize("name", FLAT)
def test_samples_follow_the_density(name):
    conformance.samples_follow_the_density(*built(name), bound=6.0)


@pytest.mark.parametrize("name", ["maf", "made"])
def test_given_a_label(name):
    model, variables = built(name, classes=3)
    conformance.density_integrates_to_one(model, variables, bound=30.0, points=1_000, cond=LABEL)
    conformance.samples_follow_the_density(model, variables, bound=6.0, cond=LABEL)


@pytest.mark.parametrize("law", [conformance.density_integrates_to_one, conformance.samples_follow_the_density])
def test_a_lost_log_determinant_is_noticed(law):
    model, variables = built("maf")

    def nll(v, batch, key, train):
        terms, v = model.nll(v, batch, key, train)
        return {"prior": terms["prior"], "log_det": 0.8 * terms["log_det"] + 0.05}, v

    with pytest.raises(AssertionError):
        law(dataclasses.replace(model, nll=nll), variables, bound=20.0)


def test_temperature_scales_the_latent():
    model, variables = built("real_nvp")
    cold = wrap.tempered(model, 0.5)
    key = jax.random.key(0)
    z = model.encode(variables, {"x": cold.sample(variables, key, 6)}, key)
    np.testing.assert_allclose(z, 0.5 * model.sample_prior(variables, key, 6), atol=1e-4)


def test_half_precision_is_of_networks_only():
    """The bijections stay in float32: log-determinants agree far better than bfloat16 would allow."""
    model, variables = built("real_nvp")
    batch = {"x": jax.random.normal(jax.random.key(2), (64, 2))}
    plain, _ = model.nll(variables, batch, jax.random.key(0), False)
    low, _ = half_precision(model.nll)(variables, batch, jax.random.key(0), False)
    gradient = jax.grad(lambda v: jnp.mean(half_precision(model.nll)(v, batch, jax.random.key(0), True)[0]["prior"]))
    assert low["prior"].dtype == jnp.float32
    np.testing.assert_allclose(low["log_det"], plain["log_det"], atol=0.05)
    assert not np.array_equal(low["log_det"], plain["log_det"]), "nothing was computed in half precision"
    assert jnp.unique(low["log_det"]).size == 64, "the log-determinants were rounded"
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient(variables)["params"]))


@pytest.mark.parametrize("name", ["grid25", "ring8", "checkerboard", "two-moons"])
def test_true_densities(name):
    """They integrate to one, and their entropy is that of the card."""
    bound, points = 5.0, 250 if name == "two-moons" else 1_000
    centres = bound * ((2 * np.arange(points) + 1) / points - 1)
    log_p = data.log_density(name, np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2))
    p, area = np.exp(log_p), (2 * bound / points) ** 2
    entropy = -np.sum(p[p > 0] * log_p[p > 0]) * area
    assert abs(p.sum() * area - 1) < 2e-3
    assert f"{entropy:.3f}"[:4] in data.PROTOCOLS[name].likelihood


def test_divergence_of_the_truth_is_zero():
    test = data.load("two-moons", "test", batch_size=1_000)
    model, variables = built("maf")

    def nll(v, batch, key, train):
        found = jax.pure_callback(
            lambda x: data.log_density("two-moons", x).astype(np.float32),
            jax.ShapeDtypeStruct((1_000,), jnp.float32),
            batch["x"],
        )
        return {"nll": -found + shift}, v

    truth = functools.partial(data.log_density, "two-moons")
    for shift in (0.0, 0.25):
        own = dataclasses.replace(model, nll=lambda *args: nll(*args))
        assert abs(evals.divergence(test, truth)(own, variables, jax.random.key(0))["kl"] - shift) < 1e-3


def labelled_sample(cond):
    model, variables = built("maf", classes=3)
    return model.sample(variables, jax.random.key(0), 4, cond)


BAD = [
    (lambda: models.real_nvp(shape=(1,)), "two numbers or more"),
    (lambda: models.glow(shape=(7, 8, 1)), "7x8 allows"),
    (lambda: models.glow(shape=(28, 28, 1), levels=3), "1 ... 2 scales, not 3"),
    (lambda: models.multiscale_real_nvp(shape=(28, 28, 1), scales=4), "1 ... 3 scales, not 4"),
    (lambda: rational_quadratic(bins=1), "2 ... 999 bins"),
    (lambda: rational_quadratic(bound=0.0), "bound above 0"),
    (lambda: gaussian_mixture(0), "one component"),
    (lambda: wrap.logit_space(built("maf")[0], alpha=0.0), "alpha in"),
    (lambda: wrap.logit_space(built("maf")[0]).init(jax.random.key(0), {"x": jnp.full((3, 2), 1.5)}), "x goes from"),
    (lambda: wrap.tempered(built("maf")[0], 0.0), "above 0"),
    (lambda: labelled_sample({}), "needs the condition 'label'"),
    (lambda: labelled_sample({"label": jnp.ones((4, 3))}), "needs the shape"),
    (lambda: data.log_density("mnist", np.zeros((1, 2))), "not known"),
]


@pytest.mark.parametrize("call, sentence", BAD, ids=[sentence for _, sentence in BAD])
def test_bad_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
