"""Bounds are bounds: against the closed form of a linear-Gaussian VAE, and their gradients against each other."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES
from scipy.special import logsumexp

from genjax_zoo import data, evals, losses, math, models, wrap
from genjax_zoo.conformance import randomise
from genjax_zoo.core import Density, Explained, Latent, Model, part, require

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
            terms, _ = model.nelbo(variables, batch, key)
            return weights[0] * terms["distortion"] + weights[1] * terms["rate"]

        return jnp.mean(jax.lax.map(one, keys, batch_size=100), axis=0)

    return np.asarray(run(jax.random.split(KEY, keys)))


def test_bound_is_exact_at_the_true_posterior_and_above_elsewhere():
    model, variables, batch, exact = linear_gaussian()
    np.testing.assert_allclose(mean_bound(model, variables, batch), exact, atol=0.1)
    encoder = randomise({"params": variables["params"]["encoder"]}, scale=0.3)["params"]
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
        assert set(found) == {f"iw-{k}"}  # a density of real numbers has no bits


def ramp():
    """The density prod 2 x_i on [0, 1)^3: its mass over a level's cell is (2 k + 1) / levels^2."""

    def weigh(variables, batch, key, k, *, train=False):
        return jnp.broadcast_to(jnp.sum(jnp.log(2 * batch["x"]), axis=1), (k, len(batch["x"]))), variables

    def terms(variables, batch, key, *, train=False):
        return {"ramp": -weigh(variables, batch, key, 1)[0][0]}, variables

    density = Density(terms=Explained(terms=terms), exact=True, weigh=weigh)
    return Model(spec={"x": jax.ShapeDtypeStruct((3,), FLOAT)}, init=lambda key, batch: {}, density=density)


def test_weights_of_levels_have_the_mean_of_their_mass():
    """Of every level, by hand; and their mean logarithm is minus the nelbo: to five standard errors."""
    level, draws = np.array([[0, 0, 0], [0, 2, 4], [4, 3, 1], [4, 4, 4], [4, 4, 4]]), 4_000
    model, batch = wrap.dequantized(ramp(), levels=5), {"x": jnp.asarray(level / 4, FLOAT)}
    log_w, nelbo = jax.jit(
        lambda key: (
            model.log_weights({}, batch, key, draws),
            jax.vmap(lambda key: sum(model.nelbo({}, batch, key)[0].values()))(jax.random.split(key, draws)),
        )
    )(KEY)
    share = np.exp(np.asarray(log_w, np.float64)) / np.prod((2 * level + 1) / 25, axis=1)  # [draws, 5], 1 on average
    assert np.all(np.abs(share.mean(0) - 1) < 5 * share.std(0) / np.sqrt(draws))
    gap = np.asarray(log_w + nelbo, np.float64)
    assert np.all(np.abs(gap.mean(0)) < 5 * gap.std(0) / np.sqrt(draws) + 1e-5)  # rounding, of one noise
    for wrong in (share * np.exp(1), share**2):  # controls: an offset of one nat, twice the logarithm
        assert np.any(np.abs(wrong.mean(0) - 1) > 5 * wrong.std(0) / np.sqrt(draws))
    draws_differ(log_w[:, 3:])


def draws_differ(log_w):
    """The weights [k, 2] of one example twice: neither draws nor examples share their noise."""
    a, b = np.asarray(log_w, np.float64).T
    assert np.std(a) > 0 and np.std(b) > 0, "all draws are one"
    chance = 5 / np.sqrt(len(a))  # five standard deviations of the correlation of as many independent pairs
    for one, other in ((a, b), (a[1:], a[:-1]), (b[1:], b[:-1]), (a[1:], b[:-1])):
        assert abs(np.corrcoef(one, other)[0, 1]) < chance, "draws are not independent"


@pytest.mark.parametrize("name", [name for name, make in CASES.items() if (d := make().model.density) and d.weigh])
def test_every_draw_of_a_bound_has_noise_of_its_own(name):
    case = CASES[name]()
    twice = {entry: jnp.repeat(value[:1], 2, axis=0) for entry, value in case.batch.items()}
    ones = jax.tree.map(lambda x: np.ones(x.shape, x.dtype), jax.eval_shape(case.model.init, KEY, case.batch))
    variables = randomise({**ones, "params": jax.tree.map(np.zeros_like, ones["params"])})
    draws_differ(jax.jit(lambda variables: case.model.log_weights(variables, twice, KEY, 200))(variables))


def test_draws_control():
    drawn = np.random.default_rng(0).normal(size=(200, 2))
    draws_differ(drawn)
    with pytest.raises(AssertionError, match="all draws are one"):
        draws_differ(np.repeat(drawn[:1], 200, axis=0))
    for shared in (drawn[:, :1] + [0, 1], np.repeat(drawn[:100], 2, axis=0)):  # between examples; by two and two
        with pytest.raises(AssertionError, match="not independent"):
            draws_differ(shared)


def test_chunks_of_a_bound_have_draws_of_their_own():
    """Weights that are uniform in [0, 1): -log of their mean is log 2, and of one alone 1 on average."""

    def weigh(variables, batch, key, k, *, train=False):
        return jnp.log(jax.random.uniform(key, (k, len(batch["x"])))), variables

    split = data.Resident(
        arrays={"x": jnp.zeros((600, 1))}, transform=lambda raw, keys: raw, batch_size=400, seed=0, train=False
    )
    density = dataclasses.replace(require(ramp(), Density), weigh=weigh)
    model = dataclasses.replace(ramp(), spec=split.spec, density=density)
    one, many = (evals.iw_bound(split, k=k, chunk=1)(model, {}, KEY)[f"iw-{k}"] for k in (1, 100))
    assert abs(one - 1) < 5 / np.sqrt(600)  # -log of a uniform number has the standard deviation 1
    error = 1 / np.sqrt(3 * 100)  # of the mean of 100 uniform numbers, relative; half its square is the bound's bias
    assert abs(many - np.log(2) - error**2 / 2) < 5 * error / np.sqrt(600)


def test_rates_of_a_ladder_are_the_formula():
    """KL of Gaussians that depend on nothing, layer by layer: log s/t + (t^2 + (m - n)^2) / 2 s^2 - 1/2 of each."""
    model = models.ladder_vae(shape=(8, 8, 1), layers=2, latent=2, features=4, blocks=1)
    batch, rng = {"x": jnp.zeros((3, 8, 8, 1))}, np.random.default_rng(0)
    zeros = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), jax.eval_shape(model.init, KEY, batch))
    q = rng.normal(scale=0.7, size=(2, 4))  # of each layer: two means, then two log standard deviations
    p = rng.normal(scale=0.7, size=(2, 4))
    top_down = zeros["params"]["top_down"]
    top_down["q_0"]["bias"][...], top_down["q_1"]["bias"][...] = q
    top_down["p_0"]["bias"][...], top_down["prior"][...] = p
    terms = jax.jit(lambda v: model.nelbo(v, batch, KEY)[0])(zeros)
    for layer, places in enumerate((2 * 2, 1)):
        (m, log_t), (n, log_s) = np.split(q[layer], 2), np.split(p[layer], 2)
        exact = places * np.sum(log_s - log_t + (np.exp(2 * log_t) + (m - n) ** 2) / (2 * np.exp(2 * log_s)) - 0.5)
        np.testing.assert_allclose(terms[f"rate_{layer + 1}"], np.full(3, exact), rtol=1e-5)
    np.testing.assert_allclose(terms["distortion"], np.full(3, 64 * np.log(2)), rtol=1e-5)  # even odds


ESTIMATORS = (losses.reparameterized, losses.sticking_the_landing, losses.doubly_reparameterized)


def test_the_term_is_minus_the_log_of_the_mean_weight():
    model, variables, batch, _ = elsewhere()
    terms = [losses.importance_weighted(model, k=3, estimator=estimator) for estimator in ESTIMATORS]
    log_w, values = jax.jit(
        lambda key: (
            model.log_weights(variables, batch, key, 3),
            [term(variables, batch, key, train=True)[0]["iw_nelbo"] for term in terms],
        )
    )(KEY)
    for value in values:
        np.testing.assert_allclose(value, np.log(3) - logsumexp(np.asarray(log_w, np.float64), axis=0), rtol=1e-5)


def gradients(model, variables, batch, estimator, k, keys=3_000):
    """Values [keys], and the gradients of every draw of keys."""
    term = losses.importance_weighted(model, k=k, estimator=estimator)

    def objective(params, key):
        return term({"params": params}, batch, key, train=True)[0]["iw_nelbo"].mean()

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


@pytest.mark.parametrize("name", ("iwae", pytest.param("ladder_vae", marks=pytest.mark.slow)))
def test_active_units_of_deeper_layers_are_of_their_own_posterior_means(name):
    """Burda's statistic against float64 over many draws of `log_weights`'s own posteriors; draws are no activity."""
    case = CASES[name]()
    variables, batch = randomise(case.state.variables, scale=0.2), case.batch
    many = np.asarray(part(case.model, Latent, "means")(variables, batch, jax.random.key(5), 2_000)[0], np.float64)
    variances = np.sort(np.var(many.reshape(len(many), -1), axis=0))
    gaps = np.diff(np.log(variances + 1e-12))
    cut = len(gaps) // 4 + np.argmax(gaps[len(gaps) // 4 :])  # where no unit is near
    threshold = float(np.sqrt(variances[cut] * variances[cut + 1]))
    split = data.Resident(arrays=batch, transform=lambda raw, keys: raw, batch_size=16, seed=0, train=False)
    found = evals.active_units(split, threshold=threshold, draws=64)(case.model, variables, KEY)
    assert found == {"active_units": np.sum(variances > threshold)}


def itself(variables, batch, key, *, train=False):
    return batch["x"], variables


def test_draws_are_no_activity():
    """A second layer that only follows the noise of the first one, whose mean is the same for every x: not active."""
    split = data.Resident(
        arrays={"x": jnp.arange(2_000.0)[:, None]},
        transform=lambda raw, keys: raw,
        batch_size=2_000,
        seed=0,
        train=False,
    )

    def means(variables, batch, key, k, *, train=False):
        upper = jnp.mean(jax.random.normal(key, (k, len(batch["x"]), 1)), axis=0)
        return jnp.concatenate([batch["x"] / 100, upper], axis=1), variables

    model = dataclasses.replace(ramp(), latent=Latent(encode=itself, means=means))
    assert evals.active_units(split, draws=8)(model, {}, KEY) == {"active_units": 1}  # 1 / 8 of variance is of draws


def test_a_unit_is_active_above_the_threshold():
    """The variance of the codes themselves, over the examples that are there: one just below 0.01, one just above."""
    signs = np.resize([1.0, -1.0], 20)[:, None]  # so that a number's variance is its square
    split = data.Resident(
        arrays={"x": jnp.asarray(signs * [0.0998, 0.1002, 0.125, -0.5], FLOAT)},
        transform=lambda raw, keys: raw,
        batch_size=15,  # half of the last batch is padding
        seed=0,
        train=False,
    )
    model = dataclasses.replace(ramp(), latent=Latent(encode=itself))
    assert evals.active_units(split)(model, {}, KEY) == {"active_units": 3}
    assert evals.active_units(split, threshold=0.015625)(model, {}, KEY) == {"active_units": 1}  # 0.125^2 is not above


def test_bad_input():
    model, variables, batch, _ = linear_gaussian()
    split = data.Resident(arrays=batch, transform=lambda raw, keys: raw, batch_size=8, seed=0, train=False)
    for make in (lambda: evals.iw_bound(split, k=0), lambda: losses.importance_weighted(model, k=0)):
        with pytest.raises(ValueError, match="1 or more, not 0"):
            make()
    gan = models.dcgan(shape=(8, 8, 1), latent=2, widths=(4,))
    with pytest.raises(ValueError, match="no 'density'; it has sampler, latent, critic"):
        losses.importance_weighted(gan, k=2)
    with pytest.raises(ValueError, match="no 'density'; it has sampler, latent, critic"):
        evals.iw_bound(split)(gan, variables, KEY)
