"""Bounds are bounds: against the closed form of a linear-Gaussian VAE, and their gradients against each other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax_zoo import data, evals, losses, math, models, wrap
from genjax_zoo.conformance import randomised

pytestmark = pytest.mark.usefixtures("quick_compilation")

KEY = jax.random.key(0)
FLOAT = jnp.float32

# A linear VAE with orthogonal loadings: its posterior is a diagonal Gaussian, so that the bound can be tight.
STD, LATENT, DIMENSIONS = 0.5, 2, 5


def linear_gaussian():
    rng = np.random.default_rng(1)
    loadings = np.linalg.qr(rng.normal(size=(DIMENSIONS, LATENT)))[0] * [1.5, 0.7]  # [D, Z]
    offset = rng.normal(size=DIMENSIONS)
    scales = (loadings**2).sum(0)
    gain = loadings / (scales + STD**2)
    log_std = 0.5 * np.log(STD**2 / (scales + STD**2))
    model = models.vae(shape=(1, 1, DIMENSIONS), latent=LATENT, hidden=(), likelihood=math.gaussian(STD))
    encoder = {"kernel": np.hstack([gain, 0 * gain]), "bias": np.hstack([-offset @ gain, log_std])}
    params = {"encoder": {"out": encoder}, "decoder": {"out": {"kernel": loadings.T, "bias": offset}}}
    covariance = loadings @ loadings.T + STD**2 * np.eye(DIMENSIONS)
    x = rng.multivariate_normal(offset, covariance, size=64)
    centred = x - offset
    quadratic = np.einsum("bi,ij,bj->b", centred, np.linalg.inv(covariance), centred)
    exact = 0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1])
    variables = jax.tree.map(lambda a: jnp.asarray(a, FLOAT), {"params": params})
    return model, variables, {"x": jnp.asarray(x, FLOAT).reshape(-1, 1, 1, DIMENSIONS)}, exact


def mean_bound(model, variables, batch, keys=4_000, weights=(1.0, 1.0)):
    @jax.jit
    def run(keys):
        def one(key):
            terms, _ = model.nelbo(variables, batch, key, False)
            return weights[0] * terms["distortion"] + weights[1] * terms["rate"]

        return jnp.mean(jax.lax.map(one, keys, batch_size=100), axis=0)

    return np.asarray(run(jax.random.split(KEY, keys)))


def test_bound_is_exact_at_the_true_posterior_and_above_elsewhere():
    model, variables, batch, exact = linear_gaussian()
    np.testing.assert_allclose(mean_bound(model, variables, batch), exact, atol=0.1)
    encoder = randomised({"params": variables["params"]["encoder"]}, scale=0.3)["params"]
    other = {"params": {**variables["params"], "encoder": encoder}}
    assert np.all(mean_bound(model, other, batch) > exact - 0.1)
    assert np.mean(mean_bound(model, other, batch)) > np.mean(exact) + 0.1


def test_bound_controls():
    model, variables, batch, exact = linear_gaussian()
    for wrong in ((1.0, 0.5), (1.0, 0.0), (0.5, 1.0)):
        assert np.abs(mean_bound(model, variables, batch, weights=wrong) - exact).max() > 0.2


@functools.cache
def elsewhere():
    """The linear-Gaussian VAE with a posterior that is somewhat off, and wider than the true one."""
    model, variables, batch, exact = linear_gaussian()
    layer = variables["params"]["encoder"]["out"]
    off = 0.15 * jax.random.normal(KEY, layer["kernel"].shape).at[:, LATENT:].set(0)
    wider = {"kernel": layer["kernel"] + off, "bias": layer["bias"].at[LATENT:].add(0.3)}
    return model, {"params": {**variables["params"], "encoder": {"out": wider}}}, batch, exact


def test_weights_are_the_likelihood_at_the_true_posterior():
    """Every single draw; also through the wrappers, whose change of variables they carry."""
    model, variables, batch, exact = linear_gaussian()
    drawn = model.log_weights(variables, batch, KEY, 5)
    np.testing.assert_allclose(drawn, np.broadcast_to(-exact, (5, 64)), rtol=1e-4, atol=1e-4)
    assert np.abs(drawn + 2 * exact).max() > 1  # control
    x = {"x": batch["x"] / 2 + 1}
    wrapped = wrap.scaled(model, shift=1.0, scale=2.0).log_weights(variables, x, KEY, 5)
    np.testing.assert_allclose(wrapped, drawn + DIMENSIONS * np.log(2), rtol=1e-4, atol=1e-4)


def test_importance_weighted_bounds_fall_to_the_exact_value():
    """nelbo >= iw-1 >= iw-5 >= ... >= exact, by evals.iw_bound, with padding and a partial chunk."""
    model, variables, batch, exact = elsewhere()
    whole = data.Resident(arrays=batch, transform=lambda raw, keys: raw, batch_size=48, seed=0, train=False)
    bounds = [evals.iw_bound(whole, k=k, chunk=300)(model, variables, KEY)[f"iw-{k}"] for k in (1, 5, 50, 1_000)]
    nelbo = mean_bound(model, variables, batch).mean()
    assert abs(bounds[0] - nelbo) < 1.0  # one draw for each of 64 examples
    assert all(looser > tighter for looser, tighter in zip(bounds, bounds[1:]))
    assert exact.mean() - 0.02 < bounds[-1] < exact.mean() + 0.02 < nelbo
    model, variables, _, _ = linear_gaussian()
    for k, chunk in ((7, 3), (4, 50)):
        found = evals.iw_bound(whole, k=k, chunk=chunk)(model, variables, KEY)
        assert found[f"iw-{k}"] == pytest.approx(exact.mean(), rel=1e-4)
        assert found[f"iw-{k}/bits/dim"] == pytest.approx(exact.mean() / (DIMENSIONS * np.log(2)), rel=1e-4)


def test_dequantization_noise_is_drawn_with_the_weights():
    """The bound over it tightens with k, too: iw-k of grey levels falls below the nelbo."""
    inner = models.vae(shape=(2, 2, 1), latent=2, hidden=(4,), likelihood=math.gaussian(0.1))
    model = wrap.dequantized(inner, levels=4)
    grey = {"x": jnp.round(jax.random.uniform(KEY, (32, 2, 2, 1)) * 3) / 3}
    variables = randomised(model.init(KEY, grey), scale=0.3)
    split = data.Resident(arrays=grey, transform=lambda raw, keys: raw, batch_size=32, seed=0, train=False)
    bounds = [evals.iw_bound(split, k=k)(model, variables, KEY)[f"iw-{k}"] for k in (1, 10, 200)]
    assert bounds[0] > bounds[1] > bounds[2]
    one = jax.vmap(lambda key: model.log_weights(variables, grey, key, 1)[0])(jax.random.split(KEY, 2_000))
    terms = jax.vmap(lambda key: sum(model.nelbo(variables, grey, key, False)[0].values()))(
        jax.random.split(KEY, 2_000)
    )
    assert float(-one.mean()) == pytest.approx(float(terms.mean()), rel=0.02)  # type: ignore[union-attr]


ESTIMATORS = (losses.reparameterized, losses.sticking_the_landing, losses.doubly_reparameterized)


def gradients(model, variables, batch, estimator, k, keys=3_000):
    """Values [keys], and the gradients of every draw of keys."""
    term = losses.importance_weighted(model, k=k, estimator=estimator)

    def objective(params, key):
        return term({"params": params}, batch, key, True)[0]["iw_nelbo"].mean()

    step = jax.jit(
        lambda keys: jax.lax.map(
            lambda key: jax.value_and_grad(objective)(variables["params"], key), keys, batch_size=100
        )
    )
    return step(jax.random.split(KEY, keys))


def test_estimators_agree():
    """One value; DReG's gradients have the mean of autodiff's, with less variance in the encoder."""
    model, variables, batch, _ = elsewhere()
    found = {e: gradients(model, variables, batch, e, k=8) for e in ESTIMATORS}
    values, slopes = found[losses.reparameterized]
    for estimator in ESTIMATORS[1:]:
        np.testing.assert_allclose(found[estimator][0], values, rtol=1e-4)
    others = found[losses.doubly_reparameterized][1]
    for network in ("encoder", "decoder"):
        for ours, reference in zip(jax.tree.leaves(others[network]), jax.tree.leaves(slopes[network])):
            error = np.std(np.asarray(ours - reference), axis=0) / np.sqrt(len(values))
            z = np.abs(np.mean(np.asarray(ours - reference), axis=0)) / (error + 1e-6)
            assert z.max() < 5
    spread = [sum(float(x.var(0).sum()) for x in jax.tree.leaves(s["encoder"])) for s in (slopes, others)]
    assert spread[1] < 0.7 * spread[0]
    halved = jax.tree.map(lambda x: 0.5 * x, others["encoder"])  # control: a factor is lost
    z = [
        np.abs(np.mean(np.asarray(a - b), 0)) / (np.std(np.asarray(a - b), 0) / np.sqrt(len(values)) + 1e-6)
        for a, b in zip(jax.tree.leaves(halved), jax.tree.leaves(slopes["encoder"]))
    ]
    assert max(x.max() for x in z) > 10


def test_no_variance_is_left_at_the_true_posterior():
    """Sticking the landing: the encoder's gradient is zero for every draw; autodiff's is not."""
    model, variables, batch, _ = linear_gaussian()
    for estimator, limit in ((losses.sticking_the_landing, True), (losses.reparameterized, False)):
        _, slopes = gradients(model, variables, batch, estimator, k=1, keys=20)
        largest = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(slopes["encoder"]))
        assert (largest < 1e-4) == limit


def test_active_units():
    """A dimension that the encoder leaves out is not active; padding would have added some variance."""
    model, variables, batch, _ = linear_gaussian()
    split = data.Resident(arrays=batch, transform=lambda raw, keys: raw, batch_size=48, seed=0, train=False)
    layer = variables["params"]["encoder"]["out"]
    for dead in range(LATENT + 1):
        kernel = layer["kernel"].at[:, :dead].multiply(1e-3)
        encoder = {"out": {**layer, "kernel": kernel}}
        found = evals.active_units(split)(model, {"params": {**variables["params"], "encoder": encoder}}, KEY)
        assert found == {"active_units": LATENT - dead}


def test_bad_input():
    model, variables, batch, _ = linear_gaussian()
    split = data.Resident(arrays=batch, transform=lambda raw, keys: raw, batch_size=8, seed=0, train=False)
    for make in (lambda: evals.iw_bound(split, k=0), lambda: losses.importance_weighted(model, k=0)):
        with pytest.raises(ValueError, match="1 or more, not 0"):
            make()
    gan = models.dcgan(shape=(8, 8, 1), latent=2, widths=(4,))
    with pytest.raises(ValueError, match="no 'log_weights'"):
        losses.importance_weighted(gan, k=2)
    with pytest.raises(ValueError, match="no 'log_weights'"):
        evals.iw_bound(split)(gan, variables, KEY)
