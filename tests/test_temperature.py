"""A temperature narrows a prior around its own centre, where it has one; at 1 nothing changes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES

from genjax_zoo import models, nn, wrap
from genjax_zoo.conformance import randomise
from genjax_zoo.core import Sampler, conditions, require
from genjax_zoo.explore import drawing
from genjax_zoo.linen import network
from genjax_zoo.math import gaussian, normal

KEY = jax.random.key(0)
TEMPERED = ("vae", "iwae", "ladder_vae", "vamp_prior", "vq_vae", "real_nvp", "vae_gan")


def built(model, shape=(4, 4, 1), **batch):
    x = jnp.asarray(np.random.default_rng(0).integers(0, 2, (6, *shape)), jnp.float32)
    return model, randomise(model.init(KEY, {"x": x, **batch}))


@pytest.mark.parametrize("name", TEMPERED)
def test_at_one_the_draws_are_those_of_no_temperature(name):
    """Bit for bit, with the noise of p(x | z); at another temperature they are others."""
    case = CASES[name]()
    variables, cond = randomise(case.state.variables), conditions(case.batch)

    def draw(temperature):
        model = case.model if temperature is None else wrap.tempered(case.model, temperature)
        return np.asarray(jax.jit(lambda v: model.sample(v, KEY, 16, cond))(variables))

    np.testing.assert_array_equal(draw(1.0), draw(None))
    assert not np.array_equal(draw(0.5), draw(None))


@pytest.mark.parametrize("temperature", [1e-30, 0.5, 2.0])
def test_a_mixture_keeps_its_components_and_narrows_each(temperature):
    """Of one sharp component at 5: at half the temperature the mean was 2.5."""
    model, variables = built(models.vamp_prior(shape=(4, 4, 1), latent=1, hidden=(3,), pseudo_inputs=1))
    out = variables["params"]["encoder"]["out"]
    out = {"kernel": jnp.zeros_like(out["kernel"]), "bias": jnp.array([5.0, -2.0])}  # mean, log variance
    variables["params"]["encoder"]["out"] = out
    z = np.asarray(wrap.tempered(model, temperature).sample_prior(variables, KEY, 2_000))
    assert abs(z.mean() - 5) < 5 * temperature * np.exp(-1) / np.sqrt(2_000) + 1e-5
    np.testing.assert_allclose(z.std(), temperature * np.exp(-1), rtol=0.1, atol=1e-5)


@pytest.mark.parametrize("temperature", [1e-30, 3.0])
def test_a_prior_over_codes_is_tempered_in_its_logits(temperature):
    """One place of four codes: shares of softmax(logits / temperature), and no z that is no code."""
    settings = {"codes": 4, "features": 2, "widths": (2, 2), "prior_features": 2, "prior_layers": 1}
    model, variables = built(models.vq_vae(shape=(4, 4, 1), **settings))
    draw = jax.jit(lambda v: wrap.tempered(model, temperature).sample_prior(v, KEY, 4_000)[:, 0, 0])
    z = np.asarray(draw(variables))
    state = variables["vq"] if "vq" in variables else next(s for n, s in variables.items() if n != "params")
    book = np.asarray(state["quantizer"]["total"] / state["quantizer"]["share"][:, None])
    codes = np.argmin(np.abs(z[:, None] - book).sum(-1), axis=1)
    np.testing.assert_array_equal(z, book[codes])
    prior = network("prior", nn.GatedPixelCNN(4, features=2, layers=1))
    logits = jax.jit(lambda v: prior(v, jnp.zeros((1, 1, 1, 1), jnp.int32))[0].ravel())(variables)
    p = np.asarray(jax.nn.softmax((logits - jnp.max(logits)) / temperature))
    assert np.ptp(np.asarray(logits)) > 0.1
    np.testing.assert_allclose(np.bincount(codes, minlength=4) / 4_000, p, atol=0.04)


def test_a_learned_gaussian_narrows_around_its_own_mean():
    """Of a layered model the noise of each z_i is about its mean given those above: 0 leads to the means."""
    model, variables = built(models.iwae(shape=(4, 4, 1), latent=(3, 2), hidden=((4,), (4,)), likelihood=gaussian(0.1)))
    z = wrap.tempered(model, 0.5).sample_prior(variables, KEY, 6)
    np.testing.assert_array_equal(z, 0.5 * model.sample_prior(variables, KEY, 6))
    coldest = drawing.without_noise(wrap.tempered(model, 1e-30)).sample(variables, KEY, 2)
    np.testing.assert_allclose(coldest, model.decode(variables, jnp.zeros((2, 5))), rtol=1e-6)


def test_a_temperature_passes_through_wrappers():
    model, variables = built(models.vae(shape=(4, 4, 1), latent=2, hidden=(), likelihood=gaussian(0.1)))
    scaled = wrap.tempered(wrap.scaled(model, shift=1.0, scale=2.0), 0.5)
    other = wrap.scaled(wrap.tempered(model, 0.5), shift=1.0, scale=2.0)
    wanted = wrap.tempered(model, 0.5).sample(variables, KEY, 3) / 2 + 1
    for one in (scaled, other):
        np.testing.assert_allclose(one.sample(variables, KEY, 3), wanted, rtol=1e-6)
    twice = wrap.tempered(wrap.tempered(model, 0.5), 0.5).sample_prior(variables, KEY, 3)
    np.testing.assert_allclose(twice, 0.25 * model.sample_prior(variables, KEY, 3), rtol=1e-6)


def warm():
    """A sampler that takes no temperature, beside a prior that does."""
    model = models.gan(shape=(2,), latent=2, hidden=(4,), critic_hidden=(4,))
    return dataclasses.replace(model, sampler=dataclasses.replace(require(model, Sampler), settings={}))


def test_an_autoregressive_model_is_tempered_in_its_logits():
    model, variables = built(models.nade(shape=(2, 2, 1), hidden=3), (2, 2, 1))
    draw = jax.jit(lambda v: wrap.tempered(model, 0.25).sample(v, KEY, 64))
    cold = np.asarray(draw(variables))
    np.testing.assert_array_equal(cold, model.sample(variables, KEY, 64, temperature=0.25))
    assert not np.array_equal(cold, model.sample(variables, KEY, 64))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (models.nice(shape=(2,), layers=2, hidden=(4,)), "no prior with a temperature: it must be Gaussian"),
        (
            models.gan(shape=(2,), latent=2, hidden=(4,), critic_hidden=(4,)),
            "Gaussian prior, and this GAN's is another",
        ),
        (warm(), "no prior with a temperature: it must be Gaussian or over codes"),
    ],
)
def test_other_priors_have_no_temperature(model, sentence):
    variables = model.init(KEY, {"x": jnp.zeros((4, *model.spec["x"].shape))})
    with pytest.raises(ValueError, match=sentence):
        wrap.tempered(model, 0.5).sample(variables, KEY, 2)


def test_a_flow_with_a_gaussian_prior_is_no_other():
    model, variables = built(models.nice(shape=(2,), layers=2, hidden=(4,), prior=normal), (2,))
    z = wrap.tempered(model, 0.5).sample_prior(variables, KEY, 3)
    np.testing.assert_array_equal(z, 0.5 * model.sample_prior(variables, KEY, 3))


@pytest.mark.parametrize("value, sentence", ((0, "not 0"), (float("inf"), "and finite, not inf"), ("a", "not a")))
def test_what_is_no_temperature(value, sentence):
    model = models.vae(shape=(2, 2, 1), latent=2, hidden=(4,))
    with pytest.raises(ValueError, match=f"A temperature is above 0.*{sentence}"):
        wrap.tempered(model, value)
