"""No loss goes around a wrapper or a replaced field: every pair has the value by hand, or a sentence."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax_zoo import data, evals, losses, models, nn, wrap
from genjax_zoo.conformance import randomised
from genjax_zoo.core import total
from genjax_zoo.math import gaussian, gaussian_nll, logit
from genjax_zoo.models.vae.vae import VAE

KEY, SHAPE, LEVELS = jax.random.key(0), (2, 2, 1), 5
X = jnp.asarray(np.random.default_rng(0).integers(0, LEVELS, (4, *SHAPE)) / (LEVELS - 1), jnp.float32)
LABELS = {"label": jnp.full(4, 2)}
ESTIMATORS = (losses.reparameterized, losses.sticking_the_landing, losses.doubly_reparameterized)


@functools.cache
def built(name):
    model = {
        "vae": lambda: models.vae(shape=SHAPE, latent=3, hidden=(), likelihood=gaussian(0.5)),
        "cvae": lambda: models.cvae(shape=SHAPE, classes=3, latent=3, hidden=(), likelihood=gaussian(0.5)),
        "gan": lambda: models.gan(shape=SHAPE, latent=3, hidden=(), critic_hidden=(4,), prior=jax.random.normal),
        "conditional_gan": lambda: models.projection_gan(shape=(8, 8, 1), classes=3, latent=3, features=2),
        "vae_gan": lambda: models.vae_gan(shape=(8, 8, 1), latent=3, widths=(2,)),
        "vq_vae": lambda: models.vq_vae(shape=(4, 4, 1), codes=4, widths=(2,), prior_layers=1, prior_features=2),
    }[name]()
    batch = {
        "x": jnp.resize(jnp.round(X), (4, *model.spec["x"].shape)),
        **({} if "label" not in model.spec else LABELS),
    }
    return model, randomised(model.init(KEY, batch))


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
        named = terms({**variables, "params": params}, batch, KEY, True)[0]
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
def test_importance_weights_are_of_the_levels_that_dequantisation_shows(estimator):
    """By hand: noise for every draw, and D log K."""
    model, variables = built("vae")
    grey = wrap.dequantized(model, LEVELS)
    found, _ = losses.importance_weighted(grey, k=3, estimator=estimator)(variables, {"x": X}, KEY, True)
    k_noise, k_model = jax.random.split(KEY)
    tripled = jnp.tile(X, (3, 1, 1, 1))
    y = ((LEVELS - 1) * tripled + jax.random.uniform(k_noise, tripled.shape)) / LEVELS
    log_w = model.log_weights(variables, {"x": y}, k_model, 1).reshape(3, 4)
    by_hand = math.log(3) - jax.nn.logsumexp(log_w, axis=0) + X[0].size * math.log(LEVELS)
    np.testing.assert_allclose(found["iw_nelbo"], by_hand, rtol=1e-5)
    np.testing.assert_allclose(
        jax.nn.logsumexp(grey.log_weights(variables, {"x": X}, KEY, 3), 0), math.log(3) - by_hand
    )


def test_importance_weights_are_told_a_fixed_condition():
    model, variables = built("cvae")
    found = losses.importance_weighted(wrap.conditioned(model, label=2), k=3)(variables, {"x": X}, KEY, True)[0]
    wanted = losses.importance_weighted(model, k=3)(variables, {"x": X, **LABELS}, KEY, True)[0]
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
        side, inner = (jax.jit(terms, static_argnums=3) for terms in (side, inner))
        assert_same(side(variables, batch, KEY, True)[0], inner(variables, {**batch, **LABELS}, KEY, True)[0])
        other = inner(variables, {**batch, "label": jnp.zeros(4, int)}, KEY, True)[0]
        with pytest.raises(AssertionError, match="Not equal to tolerance"):  # control
            assert_same(side(variables, batch, KEY, True)[0], other)


def test_a_critic_sees_tempered_fakes():
    model, variables = built("gan")
    _, generator = losses.adversarial(wrap.tempered(model, 0.5))
    found, _ = generator(variables, {"x": X}, KEY, False)
    z = 0.5 * jax.random.normal(jax.random.split(KEY, 3)[0], (4, 3))
    score, _ = model.apply(variables, "discriminate", model.decode(variables, z), {})
    np.testing.assert_allclose(found["adversarial"], jax.nn.softplus(-score), rtol=1e-5)


def test_a_vae_gan_is_trained_in_the_space_that_it_sees():
    (model, variables), (wrapped, into, _) = built("vae_gan"), WRAPPERS["scaled"]
    x = jnp.resize(X, (4, 8, 8, 1))
    found = losses.vae_gan_terms(wrapped(model))(variables, {"x": x}, KEY, True)[0]
    assert_same(found, losses.vae_gan_terms(model)(variables, {"x": into(x)}, KEY, True)[0])


SQUARES = jnp.resize(jnp.round(X), (4, 4, 4, 1))
REFUSED = {
    "levels have no gradient": ("gan", lambda m: losses.adversarial(wrap.dequantized(m))[1], X, "'discriminate'"),
    "of a VAE-GAN as well": ("vae_gan", lambda m: losses.vae_gan_terms(wrap.dequantized(m)), X, "'posterior'"),
    "a distortion of y": ("vq_vae", lambda m: losses.vector_quantized(WRAPPERS["scaled"][0](m))[0], X, "'autoencode'"),
    "bits of noise": ("vq_vae", lambda m: losses.vector_quantized(wrap.dequantized(m, 2))[0], X, "'autoencode'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_wrapper_cannot_answer_is_refused(case):
    name, loss, x, method = REFUSED[case]
    model, variables = built(name)
    batch = {"x": jnp.resize(x, (4, *model.spec["x"].shape))}
    with pytest.raises(ValueError, match=f"cannot tell what that does to the method {method}; make the loss of"):
        loss(model)(variables, batch, KEY, True)


class FlowPrior(VAE):
    """p(z) = N(2, I)."""

    def log_prior(self, z, train=False):
        return -gaussian_nll(z, jnp.asarray(2.0), jnp.zeros(()))


def test_a_replaced_prior_enters_importance_weights():
    """Against the same model as a module, whose method is its own; apply would give the weights of N(0, I)."""
    model, variables = built("vae")
    module = FlowPrior(SHAPE, 3, gaussian(0.5), nn.MLP((), 6), nn.MLP((), 4))

    def log_weights(variables, batch, key, k):
        return jnp.asarray(module.apply(variables, batch, k, key, method="log_weights"))

    own = dataclasses.replace(model, log_weights=log_weights, nelbo=lambda *args: model.nelbo(*args))
    found = losses.importance_weighted(own, k=3)(variables, {"x": X}, KEY, True)[0]["iw_nelbo"]
    wanted = math.log(3) - jax.nn.logsumexp(log_weights(variables, {"x": X}, KEY, 3), axis=0)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    old = losses.importance_weighted(model, k=3)(variables, {"x": X}, KEY, True)[0]["iw_nelbo"]
    assert np.all(np.abs(found - old) > 0.1)  # control
    scaled = losses.importance_weighted(WRAPPERS["scaled"][0](own), k=3)(variables, {"x": X}, KEY, True)[0]
    inner = losses.importance_weighted(own, k=3)(variables, {"x": (X - 0.25) * -3}, KEY, True)[0]
    np.testing.assert_allclose(scaled["iw_nelbo"], inner["iw_nelbo"] - 4 * math.log(3), rtol=1e-5)
    for estimator in ESTIMATORS[1:]:
        with pytest.raises(ValueError, match="use estimator=losses.reparameterized"):
            losses.importance_weighted(own, k=3, estimator=estimator)(variables, {"x": X}, KEY, True)
    with pytest.raises(ValueError, match="not told when to gather batch statistics"):
        losses.importance_weighted(own, k=3)({**variables, "batch_stats": {}}, {"x": X}, KEY, True)


DIGITS = data.load("digits", "test", batch_size=4)


def weighed(model):
    return evals.iw_bound(DIGITS, k=3)(model, {}, KEY)


def shown(model):
    return evals.sample_grid(2)(model, {}, KEY)


STALE = {
    "weights of another bound": (("nelbo",), lambda m: losses.importance_weighted(m, k=3), "'nelbo'.*'log_weights'"),
    "in an evaluation": (("nelbo",), weighed, "'nelbo'.*'log_weights'"),
    "under a scale": (("nelbo",), lambda m: weighed(WRAPPERS["scaled"][0](m)), "'nelbo'.*'log_weights'"),
    "under levels": (("nelbo",), lambda m: weighed(wrap.dequantized(m)), "'nelbo'.*'log_weights'"),
    "samples of another prior": (("sample_prior",), shown, "'sample_prior'.*'sample'"),
    "samples of another decoder": (("decode",), shown, "'decode'.*'sample'"),
    "a game of other samples": (("sample",), losses.adversarial, "'sample' was replaced, but this loss"),
    "a game of another decoder": (("decode",), losses.adversarial, "'decode' was replaced, but its 'sample'"),
    "a game under a scale": (("sample",), lambda m: losses.adversarial(WRAPPERS["scaled"][0](m)), "but this loss"),
    "another prior's temperature": (("sample_prior", "sample"), lambda m: wrap.tempered(m, 0.5), "'at_temperature'"),
}


def with_own(model, names):
    """The model with other functions of these names, which give the same."""

    def other(function):
        return lambda *args: function(*args)

    return dataclasses.replace(model, **{name: other(getattr(model, name)) for name in names})


@pytest.mark.parametrize("case", STALE)
def test_what_was_left_behind_when_a_part_was_replaced_is_refused(case):
    fields, use, sentence = STALE[case]
    model, _ = built("vae")
    own = with_own(model, fields)
    with pytest.raises(ValueError, match=sentence):
        use(own)


def test_what_is_replaced_together_is_used():
    model, variables = built("vae")
    names = ("nelbo", "log_weights", "sample", "sample_prior", "decode")
    own = with_own(model, names)
    assert_same(
        losses.importance_weighted(own, k=2)(variables, {"x": X}, KEY, True)[0],
        losses.importance_weighted(model, k=2)(variables, {"x": X}, KEY, True)[0],
    )
    np.testing.assert_array_equal(own.sample(variables, KEY, 2), model.sample(variables, KEY, 2))


def test_a_generator_that_is_a_flow_is_judged_in_the_space_of_the_data():
    """A Flow-GAN (Grover et al. 2017): `apply` is the user's, and a change of scale around it is of fakes as well."""
    gan, theirs = built("gan")
    flow = models.real_nvp(shape=SHAPE, layers=1, hidden=(4,), norm=None)
    own = randomised(flow.init(KEY, {"x": X}))
    variables = {"params": {**own["params"], "discriminator": theirs["params"]["discriminator"]}}

    def judged(flow):
        def apply(variables, method, *args, **how):
            return (gan if method == "discriminate" else flow).apply(variables, method, *args, **how)

        return dataclasses.replace(flow, apply=apply)

    wrapped, into, _ = WRAPPERS["scaled"]
    for side, inner in zip(losses.adversarial(wrapped(judged(flow))), losses.adversarial(judged(flow))):
        assert_same(side(variables, {"x": X}, KEY, True)[0], inner(variables, {"x": into(X)}, KEY, True)[0])
    _, generator = losses.adversarial(judged(wrapped(flow)))  # the critic sees x here
    found, _ = generator(variables, {"x": X}, KEY, False)
    fake = wrapped(flow).sample(own, jax.random.split(KEY, 3)[0], 4)
    score, _ = gan.apply(variables, "discriminate", fake, {})
    np.testing.assert_allclose(found["adversarial"], jax.nn.softplus(-score), rtol=1e-5)
