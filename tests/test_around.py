"""No loss goes around a wrapper or a part of a model: every pair has the value by hand, or a sentence."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax_zoo import compose, data, evals, losses, models, nn, wrap
from genjax_zoo.conformance import randomise
from genjax_zoo.core import Critic, Density, Latent, Sampler, conditions, part, require, total
from genjax_zoo.linen import reader
from genjax_zoo.math import Prior, gaussian, gaussian_nll, logit

KEY, SHAPE, LEVELS = jax.random.key(0), (2, 2, 1), 5
X = jnp.asarray(np.random.default_rng(0).integers(0, LEVELS, (4, *SHAPE)) / (LEVELS - 1), jnp.float32)
LABELS = {"label": jnp.full(4, 2)}
ESTIMATORS = (losses.reparameterized, losses.sticking_the_landing, losses.doubly_reparameterized)


@functools.cache
def built(name):
    model = {
        "vae": lambda: models.vae(shape=SHAPE, latent=3, hidden=(), likelihood=gaussian(0.5)),
        "iwae": lambda: models.iwae(shape=SHAPE, latent=(3, 2), hidden=((4,), (4,)), likelihood=gaussian(0.1)),
        "cvae": lambda: models.cvae(shape=SHAPE, classes=3, latent=3, hidden=(), likelihood=gaussian(0.5)),
        "gan": lambda: models.gan(shape=SHAPE, latent=3, hidden=(), critic_hidden=(4,), prior=jax.random.normal),
        "conditional_gan": lambda: models.projection_gan(shape=(8, 8, 1), classes=3, latent=3, features=2),
        "vae_gan": lambda: models.vae_gan(shape=(8, 8, 1), latent=3, widths=(2,)),
        "vq_vae": lambda: models.vq_vae(shape=(4, 4, 1), codes=4, widths=(2,), prior_layers=1, prior_features=2),
        "flow_gan": flow_gan,
    }[name]()
    batch = {
        "x": jnp.resize(jnp.round(X), (4, *model.spec["x"].shape)),
        **({} if "label" not in model.spec else LABELS),
    }
    return model, randomise(model.init(KEY, batch))


def flow_gan():
    """A generator that is a flow, and another model's critic (Grover et al. 2017)."""
    flow = models.real_nvp(shape=SHAPE, layers=1, hidden=(4,), norm=None)
    both = compose.merge(flow=flow, gan=models.gan(shape=SHAPE, latent=3, hidden=(), critic_hidden=(4,)))
    return both.model(both["flow"], critic=both["gan"].critic)


WRAPPERS = {  # name -> (the wrapper, what the inner model sees, log |dy/dx|)
    "scaled": (
        lambda model: wrap.scaled(model, shift=0.25, scale=-3.0),
        lambda x: (x - 0.25) * -3.0,
        lambda x: jnp.full(len(x), x[0].size * math.log(3)),
    ),
    "logit_space": (
        lambda model: wrap.logit_space(model, 0.1),
        lambda x: logit(x, 0.1)[0],
        lambda x: jnp.sum(logit(x, 0.1)[1], axis=(1, 2, 3)),
    ),
    "with_memory": (lambda model: wrap.with_memory(model, "decoder"), lambda x: x, lambda x: jnp.zeros(len(x))),
    "tempered": (lambda model: wrap.tempered(model, 0.5), lambda x: x, lambda x: jnp.zeros(len(x))),
}


def both(terms, variables, batch):
    """The terms in training, and the gradient of their sum."""

    def objective(params):
        named = terms({**variables, "params": params}, batch, KEY, train=True)[0]
        return jnp.sum(total(named)), named

    return jax.jit(jax.grad(objective, has_aux=True))(variables["params"])[::-1]


def assert_same(found, wanted):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), found, wanted)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", WRAPPERS)
def test_importance_weights_are_of_the_data_that_a_wrapper_shows(name, estimator):
    """-log |dy/dx| more than those of the inner model at y; a log(3)^4 was left out."""
    (model, variables), (wrapped, into, log_det) = built("vae"), WRAPPERS[name]
    terms = losses.importance_weighted(wrapped(model), k=3, estimator=estimator)
    inner = losses.importance_weighted(model, k=3, estimator=estimator)
    found, slope = both(terms, variables, {"x": X})
    wanted, by_hand = both(inner, variables, {"x": into(X)})
    assert_same((found["iw_nelbo"], slope), (wanted["iw_nelbo"] - log_det(X), by_hand))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_importance_weights_of_pixels_are_of_their_scale(estimator):
    """Of 0 ... 255, where the weights of x itself were taken for those of x / 255: hundreds of thousands of nats."""
    model, variables = built("iwae")
    pixels = wrap.scaled(model, shift=0.0, scale=1 / 255)
    found = losses.importance_weighted(pixels, k=3, estimator=estimator)(variables, {"x": 255 * X}, KEY, train=True)[0]
    inner = losses.importance_weighted(model, k=3, estimator=estimator)
    by_hand = inner(variables, {"x": X}, KEY, train=True)[0]["iw_nelbo"] + X[0].size * math.log(255)
    np.testing.assert_allclose(found["iw_nelbo"], by_hand, rtol=1e-5)
    around = inner(variables, {"x": 255 * X}, KEY, train=True)[0]["iw_nelbo"]
    assert np.all(around > 100 * by_hand)  # control: what goes around the wrapper


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_importance_weights_are_of_the_levels_that_dequantisation_shows(estimator):
    """By hand: noise for every draw, and D log K."""
    model, variables = built("vae")
    grey = wrap.dequantized(model, LEVELS)
    found, _ = losses.importance_weighted(grey, k=3, estimator=estimator)(variables, {"x": X}, KEY, train=True)
    k_noise, k_model = jax.random.split(KEY)
    tripled = jnp.tile(X, (3, 1, 1, 1))
    y = ((LEVELS - 1) * tripled + jax.random.uniform(k_noise, tripled.shape)) / LEVELS
    log_w = model.log_weights(variables, {"x": y}, k_model, 1).reshape(3, 4)
    by_hand = math.log(3) - jax.nn.logsumexp(log_w, axis=0) + X[0].size * math.log(LEVELS)
    np.testing.assert_allclose(found["iw_nelbo"], by_hand, rtol=1e-5)
    np.testing.assert_allclose(
        jax.nn.logsumexp(grey.log_weights(variables, {"x": X}, KEY, 3), 0), math.log(3) - by_hand, rtol=1e-6
    )


def test_importance_weights_are_told_a_fixed_condition():
    model, variables = built("cvae")
    found = losses.importance_weighted(wrap.conditioned(model, label=2), k=3)(variables, {"x": X}, KEY, train=True)[0]
    wanted = losses.importance_weighted(model, k=3)(variables, {"x": X, **LABELS}, KEY, train=True)[0]
    assert_same(found, wanted)


@pytest.mark.parametrize("name", ["scaled", "logit_space", "with_memory"])
def test_a_critic_sees_what_a_wrapper_shows(name):
    """Fakes of the wrapped model and real examples go into the same network in the same space."""
    (model, variables), (wrapped, into, _) = built("gan"), WRAPPERS[name]
    outer = wrap.with_memory(model) if name == "with_memory" else wrapped(model)
    for side, inner in zip(losses.adversarial(outer), losses.adversarial(model)):
        found, wanted = both(side, variables, {"x": X}), both(inner, variables, {"x": into(X)})
        assert_same(found, wanted)


def test_a_critic_and_a_generator_are_told_a_fixed_condition():
    """Without the label a projection critic's term is that of none."""
    model, variables = built("conditional_gan")
    batch = {"x": jnp.resize(X, (4, 8, 8, 1))}
    for side, inner in zip(losses.adversarial(wrap.conditioned(model, label=2)), losses.adversarial(model)):
        side, inner = (jax.jit(terms, static_argnames="train") for terms in (side, inner))
        wanted = inner(variables, {**batch, **LABELS}, KEY, train=True)[0]
        assert_same(side(variables, batch, KEY, train=True)[0], wanted)
        other = inner(variables, {**batch, "label": jnp.zeros(4, int)}, KEY, train=True)[0]
        with pytest.raises(AssertionError, match="Not equal to tolerance"):  # control
            assert_same(side(variables, batch, KEY, train=True)[0], other)


def fooled(score):
    return jax.nn.softplus(-score)


def test_a_critic_sees_tempered_fakes():
    model, variables = built("gan")
    _, generator = losses.adversarial(wrap.tempered(model, 0.5))
    found, _ = generator(variables, {"x": X}, KEY)
    z = 0.5 * jax.random.normal(jax.random.split(KEY, 3)[0], (4, 3))
    score, _ = require(model, Critic).score(variables, model.decode(variables, z))
    np.testing.assert_allclose(found["adversarial"], fooled(score), rtol=1e-5)


def test_a_vae_gan_is_trained_in_the_space_that_it_sees():
    (model, variables), (wrapped, into, _) = built("vae_gan"), WRAPPERS["scaled"]
    x = jnp.resize(X, (4, 8, 8, 1))
    found = models.vae_gan_terms(wrapped(model))(variables, {"x": x}, KEY, train=True)[0]
    assert_same(found, models.vae_gan_terms(model)(variables, {"x": into(x)}, KEY, train=True)[0])


REFUSED = {
    "levels have no gradient": ("gan", lambda m: losses.adversarial(wrap.dequantized(m)), "no 'density'; it has sampl"),
    "nor a critic": ("flow_gan", lambda m: losses.adversarial(wrap.dequantized(m)), "'critic'.*by wrap.dequantized"),
    "of a VAE-GAN as well": ("vae_gan", lambda m: models.vae_gan_terms(wrap.dequantized(m)), "no 'density'"),
    "a distortion of y": (
        "vq_vae",
        lambda m: models.vector_quantized(WRAPPERS["scaled"][0](m)),
        "probability of 2 levels",
    ),
    "bits of noise": (
        "vq_vae",
        lambda m: models.vector_quantized(wrap.dequantized(m, 2)),
        "wrap.dequantized is for a density",
    ),
    "weights of a flow": ("flow_gan", lambda m: losses.importance_weighted(m, k=2), "no 'density.weigh'; it has dens"),
    "a critic that is not there": ("vae", losses.adversarial, "no 'critic'; it has density, sampler, latent"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_wrapper_cannot_answer_is_refused(case):
    name, loss, sentence = REFUSED[case]
    with pytest.raises(ValueError, match=sentence):
        loss(built(name)[0])


# ---- relatives come from one place ----


def shifted(key, shape):
    return 2.0 + jax.random.normal(key, shape)


FAR = Prior(nll=lambda z: gaussian_nll(z, jnp.asarray(2.0), jnp.zeros(())), sample=shifted)  # N(2, I)


def with_prior(prior):
    return compose.variational(
        prior=prior,
        posterior=compose.gaussian(reader("encoder", nn.MLP((), 6), "given"), (3,)),
        observation=compose.observed(reader("decoder", nn.MLP((), 4), "z"), gaussian(0.5), SHAPE),
    )


@functools.cache
def with_far_prior():
    model = with_prior(compose.distribution((3,), FAR))
    return model, randomise(model.init(KEY, {"x": X}))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_another_prior_enters_importance_weights(estimator):
    """Against weights by hand, under a scale as well; those of N(0, I) are others."""
    model, variables = with_far_prior()
    found = losses.importance_weighted(model, k=3, estimator=estimator)(variables, {"x": X}, KEY, train=True)[0]
    mean, log_std = moments = posterior_of(model, variables, X)
    z = jnp.tile(mean, (3, 1)) + jnp.exp(jnp.tile(log_std, (3, 1))) * jax.random.normal(KEY, (12, 3))
    log_w = -FAR.nll(z) - distortion(model, variables, z, jnp.tile(X, (3, 1, 1, 1)))
    log_w += gaussian_nll(z, *(jnp.tile(one, (3, 1)) for one in moments))
    by_hand = math.log(3) - jax.nn.logsumexp(log_w.reshape(3, 4), axis=0)
    np.testing.assert_allclose(found["iw_nelbo"], by_hand, rtol=1e-5)
    usual = losses.importance_weighted(with_prior(compose.distribution((3,))), k=3, estimator=estimator)
    old = usual(variables, {"x": X}, KEY, train=True)[0]["iw_nelbo"]
    assert np.all(np.abs(found["iw_nelbo"] - old) > 0.1)  # control
    scaled = losses.importance_weighted(WRAPPERS["scaled"][0](model), k=3, estimator=estimator)
    inner = losses.importance_weighted(model, k=3, estimator=estimator)(
        variables, {"x": (X - 0.25) * -3}, KEY, train=True
    )
    np.testing.assert_allclose(
        scaled(variables, {"x": X}, KEY, train=True)[0]["iw_nelbo"], inner[0]["iw_nelbo"] - 4 * math.log(3), rtol=1e-5
    )


def posterior_of(model, variables, x):
    posterior = require(model, Latent).posterior
    assert posterior
    return part(posterior, Density, "gaussian")(variables, {"given": x})[0]


def distortion(model, variables, z, x):
    observation = require(model, Latent).observation
    assert observation
    return total(observation.nll(variables, {"x": x, "z": z}, KEY)[0])


def test_another_prior_enters_the_bound_and_what_is_drawn():
    """The bound is that of one weight, up to the noise of an estimate; samples and pictures are of p(z) = N(2, I)."""
    model, variables = with_far_prior()
    bound = total(model.nelbo(variables, {"x": X}, KEY)[0])
    np.testing.assert_allclose(bound, -model.log_weights(variables, {"x": X}, KEY, 1)[0], rtol=1e-5)
    k_z, k_x = jax.random.split(KEY)
    z = shifted(k_z, (5, 3))
    np.testing.assert_array_equal(model.sample_prior(variables, k_z, 5), z)
    noise = 0.5 * jax.random.normal(k_x, (5, *SHAPE))
    by_hand = model.decode(variables, z) + noise
    np.testing.assert_allclose(model.sample(variables, KEY, 5), by_hand, rtol=1e-5)
    np.testing.assert_allclose(evals.sample_grid(5)(model, variables, KEY)["samples"], by_hand, rtol=1e-5)
    usual = with_prior(compose.distribution((3,)))
    assert np.abs(usual.sample(variables, KEY, 5) - by_hand).max() > 0.1  # control
    with pytest.raises(ValueError, match="no prior with a temperature"):
        wrap.tempered(model, 0.5)


DIGITS = data.load("digits", "test", batch_size=4)


def test_a_density_alone_takes_its_relatives_along():
    """Terms and weights are one value: whoever replaces the density has no weights of the other left."""
    model = built("vae")[0]
    alone = dataclasses.replace(model, density=dataclasses.replace(model.density, weigh=None))
    for use in (
        lambda m: losses.importance_weighted(m, k=3),
        lambda m: evals.iw_bound(DIGITS, k=3)(m, {}, KEY),
        lambda m: losses.importance_weighted(WRAPPERS["scaled"][0](m), k=3),
        lambda m: losses.importance_weighted(wrap.dequantized(m), k=3),
    ):
        with pytest.raises(ValueError, match="no 'density.weigh'; it has density, sampler, latent"):
            use(alone)


def test_a_game_is_about_the_samples_of_the_model_that_it_is_given():
    """Another sampler enters the game, under a scale as well."""
    model, variables = built("gan")
    draw = require(model, Sampler).draw

    def twice(variables, *args, **how):
        x, variables = draw(variables, *args, **how)
        return 2 * x, variables

    own = dataclasses.replace(model, sampler=Sampler(draw=twice))
    score = require(model, Critic).score
    fake = model.sample(variables, jax.random.split(KEY, 3)[0], 4)
    for outer, seen in ((own, lambda x: x), (WRAPPERS["scaled"][0](own), WRAPPERS["scaled"][1])):
        _, generator = losses.adversarial(outer)
        found, _ = generator(variables, {"x": X}, KEY)
        np.testing.assert_allclose(found["adversarial"], fooled(score(variables, 2 * fake)[0]), rtol=1e-5)
        critic, _ = losses.adversarial(outer)
        real = score(variables, seen(X))[0]
        np.testing.assert_allclose(critic(variables, {"x": X}, KEY)[0]["real_score"], real, rtol=1e-5)


def test_a_generator_that_is_a_flow_is_judged_in_the_space_of_the_data():
    """A Flow-GAN: a change of scale around it is of fakes and of real examples, as well as of its likelihood."""
    (model, variables), (wrapped, into, log_det) = built("flow_gan"), WRAPPERS["scaled"]
    for side, inner in zip(losses.adversarial(wrapped(model)), losses.adversarial(model)):
        found = side(variables, {"x": X}, KEY, train=True)[0]
        assert_same(found, inner(variables, {"x": into(X)}, KEY, train=True)[0])
        if "real_score" in found:  # control: a critic of x itself, as it was played
            around = inner(variables, {"x": X}, KEY, train=True)[0]
            assert np.abs(np.mean(found["adversarial"] - around["adversarial"])) > 0.05
    density = total(wrapped(model).nll(variables, {"x": X}, KEY)[0])
    np.testing.assert_allclose(density, total(model.nll(variables, {"x": into(X)}, KEY)[0]) - log_det(X), rtol=1e-5)
    seen = dataclasses.replace(wrapped(model), critic=model.critic)  # the critic sees x here
    _, generator = losses.adversarial(seen)
    found, _ = generator(variables, {"x": X}, KEY)
    fake = wrapped(model).sample(variables, jax.random.split(KEY, 3)[0], 4)
    score, _ = part(model, Critic, "score")(variables, fake, conditions({"x": X}))
    np.testing.assert_allclose(found["adversarial"], fooled(score), rtol=1e-5)
