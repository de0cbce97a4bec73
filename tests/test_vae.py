"""VAEs beyond the plain one: closed forms for deep, conditional and mixture priors, and what bad input gets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, SHAPE, images
from scipy.special import logsumexp

from genjax_zoo import data, evals, losses, math, models
from genjax_zoo.conformance import randomise
from genjax_zoo.core import Density, Sampler, require, total

KEY = jax.random.key(0)
ONE = (1, 1, 5)


def deep_linear_gaussian():
    """Two linear layers, x = W z_1 + b + noise and z_1 = A z_2 + a + noise, with the exact -log p of 64 draws of x."""
    rng = np.random.default_rng(3)
    w, b, a_matrix, a = (0.7 * rng.normal(size=shape) for shape in ((3, 5), 5, (2, 3), 3))
    log_std, std = 0.3 * rng.normal(size=3), 0.6
    model = models.iwae(shape=ONE, latent=(3, 2), hidden=((), ()), likelihood=math.gaussian(std))
    inner = a_matrix.T @ a_matrix + np.diag(np.exp(2 * log_std))  # of z_1
    covariance = w.T @ inner @ w + std**2 * np.eye(5)
    x = rng.multivariate_normal(a @ w + b, covariance, size=64)
    centred = x - (a @ w + b)
    quadratic = np.sum(centred * np.linalg.solve(covariance, centred.T).T, axis=1)
    exact = 0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1])
    gain = np.linalg.solve(covariance, w.T @ inner)  # E[z_1|x] = a + (x - mean) gain
    gain_2 = np.linalg.solve(inner, a_matrix.T)
    spread = 0.5 * np.log(np.diag(inner - inner @ w @ gain))
    spread_2 = 0.5 * np.log(np.diag(np.eye(2) - a_matrix @ gain_2))
    dense = {
        "encoders_0": (np.hstack([gain, 0 * gain]), np.hstack([a - (a @ w + b) @ gain, spread])),
        "encoders_1": (np.hstack([gain_2, 0 * gain_2]), np.hstack([-a @ gain_2, spread_2])),
        "decoders_0": (w, b),
        "decoders_1": (np.hstack([a_matrix, 0 * a_matrix]), np.hstack([a, log_std])),
    }
    params = {
        name: {"out": {"kernel": jnp.asarray(k, jnp.float32), "bias": jnp.asarray(c, jnp.float32)}}
        for name, (k, c) in dense.items()
    }
    return model, {"params": params}, {"x": jnp.asarray(x, jnp.float32).reshape(-1, *ONE)}, exact


def test_bounds_of_two_layers_fall_to_the_exact_value():
    model, variables, batch, exact = deep_linear_gaussian()
    split = data.Resident(arrays=batch, transform=lambda raw, keys: raw, batch_size=64, seed=0, train=False)
    keys = {1: jax.random.split(KEY, 20), 10: jax.random.split(KEY, 20), 10_000: [KEY]}  # one draw of 64 is noisy
    bounds = [
        np.mean([evals.iw_bound(split, k=k, chunk=500)(model, variables, key)[f"iw-{k}"] for key in each])
        for k, each in keys.items()
    ]
    assert bounds[0] > bounds[1] > bounds[2]
    assert bounds[2] == pytest.approx(exact.mean(), abs=0.02)
    assert bounds[0] > exact.mean() + 0.1
    stretched = jax.tree.map(lambda x: 1.3 * x, variables["params"]["decoders_1"])  # control: another model
    other = {"params": {**variables["params"], "decoders_1": stretched}}
    assert abs(evals.iw_bound(split, k=10_000, chunk=500)(model, other, KEY)["iw-10000"] - exact.mean()) > 0.05


@pytest.mark.parametrize("name", ("iwae", "vamp_prior", "cvae"))
def test_doubly_reparameterized_gradients_have_the_mean_of_autodiff(name):
    """Through every latent layer, and through a prior that shares the encoder; sticking the landing's have not."""
    case = CASES[name]()
    variables, batch = randomise(case.state.variables), {n: v[:4] for n, v in case.batch.items()}

    @jax.jit
    def differences(keys):
        def one(key):
            def gradient(estimator):
                term = losses.importance_weighted(case.model, k=4, estimator=estimator)
                return jax.grad(lambda p: term({"params": p}, batch, key, train=True)[0]["iw_nelbo"].mean())(
                    variables["params"]
                )

            reference = gradient(losses.reparameterized)
            others = (losses.doubly_reparameterized, losses.sticking_the_landing)
            return [jax.tree.map(jnp.subtract, gradient(other), reference) for other in others]

        return jax.lax.map(one, keys, batch_size=50)

    n = 2_000
    unbiased, biased = differences(jax.random.split(KEY, n))

    def scores(tree):
        parts = [x.reshape(n, -1) for x in jax.tree.leaves(tree)]
        flat = np.concatenate([np.asarray(x, np.float64) for x in parts], axis=1)
        return np.abs(flat.mean(0)) / (flat.std(0) / n**0.5 + 1e-6)

    assert scores(unbiased).max() < 5.5
    assert scores(biased).max() > 8  # control


def test_mixture_density():
    rng = np.random.default_rng(0)
    x, means, log_stds = rng.normal(size=(6, 3)), rng.normal(size=(4, 3)), 0.5 * rng.normal(size=(4, 3))
    each = [np.sum(-0.5 * ((x - m) / np.exp(s)) ** 2 - s - 0.5 * np.log(2 * np.pi), 1) for m, s in zip(means, log_stds)]
    found = math.gaussian_mixture_nll(*(jnp.asarray(a, jnp.float32) for a in (x, means, log_stds)))
    np.testing.assert_allclose(found, np.log(4) - logsumexp(each, axis=0), rtol=1e-4, atol=1e-4)


def test_a_mixture_of_sharp_components_loses_no_digits():
    """Far from zero with deviations of exp(-5), in float32 against float64; expanded squares are off by 0.2 nats."""
    rng = np.random.default_rng(0)
    means, log_stds = 2 + rng.normal(size=(20, 40)), -5 + 0.1 * rng.normal(size=(20, 40))
    x = means + np.exp(log_stds) * rng.normal(size=means.shape)
    x, means, log_stds = (np.asarray(a, np.float32) for a in (x, means, log_stds))
    z = (x[:, None].astype(np.float64) - means) * np.exp(-log_stds.astype(np.float64))
    true = np.log(20) - logsumexp(-0.5 * (z**2 + np.log(2 * np.pi)).sum(-1) - log_stds.sum(1, dtype=np.float64), axis=1)
    density = jax.jit(math.gaussian_mixture_nll)
    np.testing.assert_allclose(density(x, means, log_stds), true, atol=1e-3)
    slope = jax.jit(jax.grad(lambda *args: math.gaussian_mixture_nll(*args).sum()))(x, means, log_stds)
    own = (x.astype(np.float64) - means) * np.exp(-2 * log_stds.astype(np.float64))  # each is alone with its component
    np.testing.assert_allclose(slope, own, rtol=1e-4, atol=1e-2)


def test_vamp_prior_draws_from_its_density():
    """By quadrature in the plane: the density integrates to one, and has the moments of draws."""
    model = models.vamp_prior(shape=SHAPE, latent=2, hidden=(8,), pseudo_inputs=3)
    variables = randomise(model.init(KEY, images(levels=2)), scale=0.5)
    axis = jnp.linspace(-25, 25, 501)
    plane = jnp.stack(jnp.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    assert model.latent and model.latent.prior
    mass = jnp.exp(-total(model.latent.prior.nll(variables, {"x": plane}, KEY)[0])) * (axis[1] - axis[0]) ** 2
    assert mass.sum() == pytest.approx(1, abs=1e-3)
    z = model.sample_prior(variables, KEY, 20_000)
    for statistic in (lambda z: z, lambda z: z**2, lambda z: z[:, :1] * z[:, 1:]):
        expected, found = (mass[:, None] * statistic(plane)).sum(0), statistic(z)
        np.testing.assert_array_less(jnp.abs(found.mean(0) - expected), 5 * found.std(0) / len(z) ** 0.5 + 1e-3)


def test_conditional_rate_is_the_divergence_from_the_conditional_prior():
    case = CASES["cvae"]()
    variables = randomise(case.state.variables)
    params, y = variables["params"], np.eye(3)[np.asarray(case.batch["label"])]
    centre, log_scale = np.split(y @ params["prior"]["out"]["kernel"] + params["prior"]["out"]["bias"], 2, axis=1)
    assert case.model.latent and case.model.latent.posterior
    posterior = require(case.model.latent.posterior, Density).gaussian
    assert posterior
    (mean, log_std), _ = posterior(variables, {**case.batch, "given": case.batch["x"]})
    mean, log_std = centre + np.exp(log_scale) * mean, log_std + log_scale  # of the z that the decoder sees
    divergence = log_scale - log_std + (np.exp(2 * log_std) + (mean - centre) ** 2) / (2 * np.exp(2 * log_scale)) - 0.5
    terms, _ = case.model.nelbo(variables, case.batch, KEY)
    np.testing.assert_allclose(terms["rate"], divergence.sum(1), rtol=1e-4, atol=1e-4)
    other = {**case.batch, "label": (case.batch["label"] + 1) % 3}
    assert jnp.abs(case.model.nelbo(variables, other, KEY)[0]["rate"] - terms["rate"]).min() > 1e-3


def test_a_label_moves_the_prior_and_is_seen_by_encoder_and_decoder():
    """A CVAE without hidden layers, in numpy: every network is one matrix."""
    model = models.cvae(shape=(1, 1, 2), classes=2, latent=1, hidden=())
    batch = {"x": jnp.array([[0.0, 1], [1, 1], [0, 1]]).reshape(3, 1, 1, 2), "label": jnp.array([0, 1, 1])}
    shapes = jax.eval_shape(model.init, KEY, batch)
    variables = randomise(jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes))
    params = jax.tree.map(np.asarray, variables["params"])
    z, y = np.array([[-0.5], [0.25], [1.0]]), np.eye(2)[np.array([0, 1, 1])]

    def dense(name, *inputs):
        return np.hstack(inputs) @ params[name]["out"]["kernel"] + params[name]["out"]["bias"]

    centre, log_scale = dense("prior", y).T[..., None]
    decode = jax.jit(lambda z, label: model.decode(variables, z, {"label": label}))
    seen = dense("decoder", centre + np.exp(log_scale) * z, y)
    np.testing.assert_allclose(decode(z, batch["label"]).reshape(3, 2), 1 / (1 + np.exp(-seen)), rtol=1e-5)
    mean = dense("encoder", np.asarray(batch["x"]).reshape(3, 2), y)[:, :1]
    found = jax.jit(lambda batch: model.encode(variables, batch, KEY))(batch)
    np.testing.assert_allclose(found, (mean - centre) / np.exp(log_scale), rtol=1e-4)


def test_a_vae_gan_draws_from_the_posterior_that_its_rate_is_of():
    """An encoder whose mean is 1 and whose deviation is e^-1, everywhere: 3 * (1 + e^-2 / 2) nats."""
    model = models.vae_gan(shape=SHAPE, latent=3, widths=(1,))
    x = jnp.zeros((1_000, *SHAPE))
    encoder = jax.eval_shape(model.init, KEY, {"x": x})["params"]["encoder"]
    variables = {"params": {"encoder": jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), encoder)}}
    variables["params"]["encoder"]["out"]["bias"] = jnp.repeat(jnp.array([1.0, -1.0]), 3)
    assert model.latent and model.latent.posterior
    posterior = require(model.latent.posterior, Sampler)
    z, _ = jax.jit(lambda v: posterior.draw(v, KEY, 1_000, {"given": x}))(variables)
    shapes = jax.eval_shape(model.init, KEY, {"x": x[:4]})
    other = {c: jax.tree.map(lambda leaf: jnp.ones(leaf.shape), tree) for c, tree in shapes.items()}
    whole = {**other, "params": {**other["params"], **variables["params"]}}
    rate = jax.jit(lambda v: models.vae_gan_terms(model)(v, {"x": x[:4]}, KEY)[0]["rate"])(whole)
    np.testing.assert_allclose(rate, 3 * (1 + np.exp(-2) / 2), rtol=1e-5)
    np.testing.assert_allclose([jnp.mean(z), jnp.std(z)], [1, np.exp(-1)], atol=0.03)


def test_latents_of_layers_are_noise():
    """`decode` of `encode` takes the same way as the posterior means themselves."""
    case = CASES["iwae"]()
    variables = randomise(case.state.variables)
    z = case.model.encode(variables, case.batch, KEY)
    assert z.shape == (16, 6)
    encoder = variables["params"]["encoders_0"]
    hidden = jnp.tanh(case.batch["x"].reshape(16, -1) @ encoder["hidden_0"]["kernel"] + encoder["hidden_0"]["bias"])
    mean = (hidden @ encoder["out"]["kernel"] + encoder["out"]["bias"])[:, :4]
    decoder = variables["params"]["decoders_0"]
    hidden = jnp.tanh(mean @ decoder["hidden_0"]["kernel"] + decoder["hidden_0"]["bias"])
    direct = jax.nn.sigmoid(hidden @ decoder["out"]["kernel"] + decoder["out"]["bias"]).reshape(16, *SHAPE)
    np.testing.assert_allclose(case.model.decode(variables, z), direct, rtol=1e-3, atol=1e-4)


def test_bad_input():
    grey = images()
    with pytest.raises(ValueError, match="of bits, but x has values like 0"):
        models.vae(shape=SHAPE).init(KEY, grey)
    with pytest.raises(ValueError, match=r"x = k / 255, but x has values like 0"):
        models.vae(shape=SHAPE, likelihood=math.discretized_logistic(256)).init(KEY, grey)
    models.vae(shape=SHAPE, likelihood=math.discretized_logistic(17)).init(KEY, grey)
    with pytest.raises(ValueError, match="2 latents, but hidden layers for 1"):
        models.iwae(shape=SHAPE, hidden=((8,),))
    case = CASES["cvae"]()
    with pytest.raises(ValueError, match="needs the condition 'label'"):
        case.model.sample(case.state.variables, KEY, 3)
