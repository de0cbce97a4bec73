"""Array functions against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genjax_zoo import math

KEY = jax.random.key(0)


@pytest.mark.parametrize("levels", (2, 17, 256))
def test_discretized_logistic_sums_to_one(levels):
    x = jnp.linspace(0, 1, levels)[:, None]
    with jax.enable_x64(True):
        x = jnp.linspace(0, 1, levels, dtype=jnp.float64)[:, None]
        for mean, log_scale in ((0.5, -2.0), (0.0, -7.0), (1.3, 0.5), (0.21, -4.0)):
            parameters = jnp.full_like(x, mean), jnp.full_like(x, log_scale)
            nll = math.discretized_logistic_nll(x, *parameters, levels=levels)
            assert abs(float(jnp.sum(jnp.exp(-nll))) - 1) < 1e-9


@pytest.mark.parametrize("likelihood", (math.bernoulli, math.discretized_logistic(3)), ids=("bernoulli", "logistic"))
def test_samples_follow_their_likelihood(likelihood):
    levels = 2 if likelihood is math.bernoulli else 3
    output = 0.7 * jax.random.normal(jax.random.key(2), (1, 1, likelihood.parameters))
    x = jnp.linspace(0, 1, levels)
    p = [float(jnp.exp(-likelihood.nll(output, value.reshape(1, 1, 1))[0])) for value in x]
    n = 40_000
    draws = likelihood.sample(KEY, jnp.broadcast_to(output, (n, *output.shape[1:])))
    counts = np.bincount(np.asarray(jnp.round(draws.ravel() * (levels - 1))).astype(int), minlength=levels)
    np.testing.assert_allclose(counts / n, p, atol=5 * 0.5 / np.sqrt(n))


@settings(deadline=None, max_examples=20)
@given(mean=st.floats(-2, 2), log_std=st.floats(-1.5, 0.7))
def test_gaussian_kl_is_the_mean_log_ratio(mean, log_std):
    shape = jnp.full((1, 1), mean), jnp.full((1, 1), log_std)
    # Gauss-Hermite quadrature is exact here: the log ratio is a quadratic in the noise
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    z = jnp.asarray(mean + np.exp(log_std) * nodes, jnp.float32)[:, None]
    ratio = math.gaussian_nll(z, jnp.zeros_like(z), jnp.zeros_like(z)) - math.gaussian_nll(z, *shape)
    expected = float(np.sum(weights * np.asarray(ratio)) / np.sum(weights))
    assert math.gaussian_kl(*shape)[0] == pytest.approx(expected, abs=2e-4, rel=1e-4)


def test_gradients_survive_extreme_parameters():
    def loss(mean, log_scale, x):
        return jnp.sum(math.discretized_logistic_nll(x, mean, log_scale, levels=256))

    for mean in (-1e3, -1.0, 0.5, 1e3):
        for x in (0.0, 0.5, 1.0):
            gradients = jax.grad(loss, (0, 1))(jnp.full((1, 1), mean), jnp.full((1, 1), -7.0), jnp.full((1, 1), x))
            assert all(jnp.isfinite(g).all() for g in gradients)


def test_the_mean_of_even_odds_is_half_way():
    np.testing.assert_allclose(math.categorical(5).mean(jnp.zeros((2, 1, 5))), 0.5, rtol=1e-6)
