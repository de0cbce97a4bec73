"""The transforms of data against their formulas, by hypothesis."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from genjax_zoo import data, math, models, wrap

seeds = st.integers(0, 2**31 - 1)
levels = st.lists(st.integers(0, 255), min_size=1, max_size=50)
quick = settings(deadline=None, max_examples=40)


def keys_of(seed, n=1):
    return jax.random.split(jax.random.key(seed), n)


@quick
@given(k=levels, seed=seeds)
def test_dequantizing_and_quantizing_is_a_round_trip(k, seed):
    k = np.array(k + [255], np.uint8)
    x = np.asarray(data.dequantize({"x": jnp.asarray(k)[None]}, keys_of(seed))["x"][0])
    assert (x >= 0).all() and (x < 1).all()
    np.testing.assert_array_equal(np.floor(x * 256), k)
    assert (np.floor((x + 1 / 256) * 256) != k).all()  # control


@quick
@given(x=st.lists(st.floats(0, 1), min_size=1, max_size=20), alpha=st.sampled_from((1e-6, 0.05)))
def test_logit_and_its_jacobian(x, alpha):
    """Against the inverse, and against autodiff, in float64."""
    x = np.array(x)
    y, log_det = math.logit(x, alpha)
    np.testing.assert_allclose(math.logit_inverse(y, alpha), x, atol=1e-9)
    with jax.enable_x64(True):
        slope = jax.vmap(jax.grad(lambda x: math.logit(x, alpha)[0]))(jnp.asarray(x))
        np.testing.assert_allclose(log_det, np.log(slope), rtol=1e-9)
        assert not np.allclose(-log_det, np.log(slope))  # control: a flipped sign


def test_logit_keeps_its_digits_in_float32_near_one():
    x = np.float32(1 - 2.0**-24)
    exact, _ = math.logit(np.array([x], np.float64), 1e-6)
    ours = math.logit(jnp.array([x]), 1e-6)[0]
    p = np.float32(1e-6) + np.float32(1 - 2e-6) * x
    assert abs(ours[0] - exact[0]) < 1e-5 < abs(np.log(p) - np.log1p(-p) - exact[0])  # control: by 1 - p


def test_the_protocol_and_the_wrapper_use_one_formula():
    """-log p of y from mnist-logit, less the log-Jacobian, is the wrapped model's of x."""
    model = models.vae(shape=(4, 4, 1), latent=2, hidden=(8,), likelihood=math.gaussian(1.0))
    wrapped = wrap.logit_space(model, 0.05)
    x = jax.random.uniform(jax.random.key(0), (3, 4, 4, 1))
    variables = model.init(jax.random.key(1), {"x": x})
    y, log_det = math.logit(x, 0.05)
    inner, _ = model.nelbo(variables, {"x": y}, jax.random.key(2))
    outer, _ = wrapped.nelbo(variables, {"x": x}, jax.random.key(2))
    np.testing.assert_allclose(sum(inner.values()) - log_det.sum((1, 2, 3)), sum(outer.values()), rtol=1e-5)


def test_mu_law_is_its_formula():
    """Every 16-bit sample against the formula written out, and every code survives decoding."""
    samples = np.arange(-(2**15), 2**15) / 2**15
    expected = [round_half_up((np.sign(s) * np.log(1 + 255 * abs(s)) / np.log(256) + 1) / 2 * 255) for s in samples]
    codes = math.mu_law(samples)
    np.testing.assert_array_equal(codes, expected)
    assert (np.diff(codes) >= 0).all() and codes[0] == 0 and codes[-1] == 255 and codes[2**15] == 128
    every = np.arange(256)
    np.testing.assert_array_equal(math.mu_law(math.mu_law_inverse(every)), every)
    np.testing.assert_array_equal(math.mu_law(math.mu_law_inverse(jnp.arange(256))), every)
    error = np.abs(math.mu_law_inverse(codes) - samples)
    assert error.max() < 0.022 and error[np.abs(samples) < 0.01].max() < 0.0005


def round_half_up(x):
    return int(np.floor(x + 0.5))


@quick
@given(k=st.integers(0, 255), seed=seeds)
@example(k=255, seed=0)
@example(k=0, seed=0)
def test_binarization_frequencies(k, seed):
    n = 4_000
    bits = np.asarray(data.binarize({"x": jnp.full((4, n // 4), k, jnp.uint8)}, keys_of(seed, 4))["x"])
    if k in (0, 255):
        assert (bits == k // 255).all()
    else:
        assert stats.binomtest(int(bits.sum()), n, k / 255).pvalue > 1e-7


def test_uniform_noise():
    """Uniform, uncorrelated between examples and between places, another for every key."""
    noise = np.asarray(data.uniform(keys_of(0, 300), (20, 20))).reshape(300, 400)
    assert noise.min() >= 0 and noise.max() < 1
    assert stats.kstest(noise.ravel(), "uniform").pvalue > 1e-4
    bits = (noise.ravel()[:, None] * 2.0 ** np.arange(1, 25)).astype(np.int64) % 2
    assert np.abs(bits.mean(0) - 0.5).max() < 5 * 0.5 / np.sqrt(noise.size)
    for rows in (noise, noise.T):
        correlation = np.corrcoef(rows) - np.eye(len(rows))
        assert np.abs(correlation).max() < 6 / np.sqrt(rows.shape[1])
    assert abs(np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]) < 0.015
    assert len({row.tobytes() for row in noise}) == 300


@pytest.mark.parametrize("levels", (2, 17, 256))
def test_scale(levels):
    x = data.scale(levels)({"x": jnp.arange(levels, dtype=jnp.uint8)[None]}, keys_of(0))["x"][0]
    np.testing.assert_allclose(x, np.arange(levels) / (levels - 1), rtol=2e-7)  # XLA multiplies by 1 / (levels - 1)
