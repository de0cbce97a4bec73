"""The mixture of logistics is a distribution; the streams leak nothing; controls that do are noticed."""

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from genjax_zoo import models
from genjax_zoo.conformance import conditionals, double_precision
from genjax_zoo.core import Conditionals, require
from genjax_zoo.math import logistic_mixture_logits, logistic_mixture_nll, logistic_mixture_parameters
from genjax_zoo.nn import Streams, shifted

KEY = jax.random.key(0)
TINY = {"features": 2, "blocks": 1, "scales": 2, "components": 2}


def drawn_parameters(seed, channels, components, n=6, scale=1.0):
    rng = np.random.default_rng(seed)
    return scale * rng.normal(size=(n, logistic_mixture_parameters(channels, components)))


def randomised(model, batch, seed=0, scale=0.3):
    """Variables of noise alone: quicker than `init`, whose every leaf is compiled."""
    leaves, tree = jax.tree.flatten(jax.eval_shape(model.init, KEY, batch))
    rng = np.random.default_rng(seed)
    return jax.tree.unflatten(tree, [jnp.asarray(scale * rng.normal(size=x.shape), x.dtype) for x in leaves])


@functools.cache
def tiny(shape=(2, 4, 1), levels=2, **settings):
    """A model, its randomised variables, and a batch of levels."""
    model = models.pixel_cnn_pp(shape=shape, levels=levels, **{**TINY, **settings})
    x = np.random.default_rng(1).integers(0, levels, (3, *shape)) / (levels - 1)
    batch = {"x": jnp.asarray(x, jnp.float32)}
    return model, randomised(model, batch), batch


@pytest.mark.parametrize("channels, levels", [(1, 256), (3, 256), (3, 2), (2, 5)])
def test_bins_sum_to_one_everywhere(channels, levels):
    """Means far outside, scales from below the floor to beyond every range: the tails are the outer bins' own."""
    parameters = np.zeros((7, 7, 1 + 2 * channels + channels * (channels - 1) // 2, 2))
    parameters[..., 1 : 1 + channels, :] = np.array([-1e6, -30, -1, 0.1234, 1, 30, 1e6])[:, None, None, None]
    scales = np.array([-1e6, -7, -3, 0, 20, 80, 1e6])[:, None, None]
    parameters[..., 1 + channels : 1 + 2 * channels, :] = scales
    parameters[..., 0, :] = [3, -2]
    flat = jnp.asarray(parameters.reshape(7, 7, -1), jnp.float32)
    x = jnp.broadcast_to(jnp.arange(channels) % levels, (7, 7, channels))
    for channel in range(channels):
        logits = logistic_mixture_logits(flat, x, channel, levels=levels)
        assert logits.shape == (7, 7, levels)
        np.testing.assert_allclose(np.exp(np.asarray(logits, np.float64)).sum(-1), 1, atol=3e-5)


def by_scipy(parameters, x, levels, channels, components):
    """-log P(x) of one pixel by the definition, with cumulative distributions in float64."""
    rows = parameters.reshape(-1, components)
    unit = 2 * x / (levels - 1) - 1
    log_p = special.log_softmax(rows[0])
    for c in range(channels):
        first = 1 + 2 * channels + c * (c - 1) // 2
        mean = rows[1 + c] + sum(np.tanh(rows[first + b]) * unit[b] for b in range(c))
        logistic = stats.logistic(mean, np.exp(np.maximum(rows[1 + channels + c], -7)))
        upper = np.inf if x[c] == levels - 1 else unit[c] + 1 / (levels - 1)
        lower = -np.inf if x[c] == 0 else unit[c] - 1 / (levels - 1)
        left, right = logistic.cdf(upper) - logistic.cdf(lower), logistic.sf(lower) - logistic.sf(upper)
        log_p = log_p + np.log(np.where(unit[c] < mean, left, right))
    return -np.asarray(special.logsumexp(log_p))


@pytest.mark.parametrize("channels, levels", [(1, 256), (3, 256), (4, 3)])
def test_nll_is_that_of_the_paper_and_of_the_logits(channels, levels):
    parameters = drawn_parameters(0, channels, 3, n=40)
    x = np.random.default_rng(1).integers(0, levels, (40, channels))
    x[0], x[1] = 0, levels - 1
    wanted = [by_scipy(p, one, levels, channels, 3) for p, one in zip(parameters, x)]
    with jax.enable_x64(True):
        found = logistic_mixture_nll(jnp.asarray(parameters), jnp.asarray(x), levels=levels)
        np.testing.assert_allclose(found, wanted, rtol=1e-9)
        of = functools.partial(logistic_mixture_logits, jnp.asarray(parameters), jnp.asarray(x), levels=levels)
        chain = sum(of(c)[np.arange(40), x[:, c]] for c in range(channels))
        np.testing.assert_allclose(-np.asarray(chain), wanted, rtol=1e-9)


def test_conditionals_do_not_read_their_own_channel():
    parameters, x = jnp.asarray(drawn_parameters(0, 3, 2), jnp.float32), jnp.arange(18).reshape(6, 3) % 5
    for channel in range(3):
        moved = x.at[:, channel:].set(4 - x[:, channel:])
        first, second = (logistic_mixture_logits(parameters, levels, channel, levels=5) for levels in (x, moved))
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("scale", [1.0, 1e2, 1e6])
def test_gradients_are_finite_at_extreme_parameters(scale):
    parameters = jnp.asarray(drawn_parameters(0, 3, 4, n=200, scale=scale), jnp.float32)
    x = jnp.asarray(np.random.default_rng(2).integers(0, 256, (200, 3)))
    nll, gradients = jax.value_and_grad(lambda p: jnp.sum(logistic_mixture_nll(p, x, levels=256)))(parameters)
    assert np.isfinite(nll) and np.all(np.isfinite(gradients))
    assert np.all(np.any(gradients != 0, axis=-1))


@pytest.mark.parametrize("shape, levels", [((2, 4, 1), 2), ((2, 2, 1), 3), ((2, 2, 2), 2)])
def test_all_images_sum_to_one(shape, levels):
    model, variables, _ = tiny(shape, levels)
    states = np.array(list(itertools.product(range(levels), repeat=int(np.prod(shape)))))
    x = jnp.asarray(states / (levels - 1), jnp.float32).reshape(-1, *shape)
    nll = jax.jit(lambda v, b: model.nll(v, b, KEY)[0]["nll"])(variables, {"x": x})
    assert abs(np.exp(-np.asarray(nll, np.float64)).sum() - 1) < 1e-5


def views_agree(**settings):
    model, variables, batch = tiny(**settings)
    with jax.enable_x64(True):
        conditionals.views_agree(model, double_precision(variables), double_precision(batch))


def sees_what_it_claims(**settings):
    model, variables, batch = tiny.__wrapped__(**settings)  # a new one: `jit` would remember the honest functions
    one = {name: value[:1] for name, value in batch.items()}
    with jax.enable_x64(True):
        conditionals.sees_what_it_claims(model, double_precision(variables), double_precision(one))


@pytest.mark.parametrize("scales, shape", [(1, (3, 9, 1)), (3, (8, 4, 3))])
def test_cached_view_at_other_scales(scales, shape):
    views_agree(shape=shape, scales=scales, levels=3)


@pytest.mark.parametrize(
    "scales, shape, all_before", [(1, (3, 9, 1), False), (2, (4, 10, 2), False), (2, (4, 6, 1), True)]
)
def test_sees_what_it_claims(scales, shape, all_before):
    sees = require(models.pixel_cnn_pp(shape=shape, **{**TINY, "scales": scales}), Conditionals).sees
    assert np.array_equal(sees, np.tril(np.ones_like(sees), -1)) == all_before
    sees_what_it_claims(shape=shape, scales=scales)


def test_control_a_coarse_place_reused_one_column_too_long(monkeypatch):
    honest = Streams._coarser_step

    def late(self, now, x, row, column):
        return honest(self, now, x, row, jnp.maximum(column - 1, 0))

    monkeypatch.setattr(Streams, "_coarser_step", late)
    with pytest.raises(AssertionError, match="from the network's"):
        views_agree()


def test_control_a_coarse_row_that_begins_too_late(monkeypatch):
    honest = Streams._begin_coarser_row

    def late(self, now, x, row, cond):
        return honest(self, now, x, row + 1, cond)

    monkeypatch.setattr(Streams, "_begin_coarser_row", late)
    with pytest.raises(AssertionError, match="from the network's"):
        views_agree()


def test_control_leaks(monkeypatch):
    """The honest network leaks nothing; one stream shifted by one less sees the number itself."""
    sees_what_it_claims()
    for shift in ("shift_down", "shift_right"):
        with monkeypatch.context() as patch:
            patch.setattr(f"genjax_zoo.models.autoregressive.pixel_cnn_pp.{shift}", lambda x: x)
            with pytest.raises(AssertionError, match="see number"):
                sees_what_it_claims()


def test_control_a_strided_convolution_that_looks_ahead(monkeypatch):
    honest = shifted.convolve

    def ahead(x, kernel, padding, stride=1):
        return honest(x, kernel, ((0, 1), (0, 1)) if stride == 2 else padding, stride)

    monkeypatch.setattr(shifted, "convolve", ahead)
    with pytest.raises(AssertionError, match="see number"):
        sees_what_it_claims()


def test_doubling_is_a_transposed_convolution():
    """By its definition: every coarse place adds its 2x3 (vertical) or 2x2 (horizontal) window."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 1, 2, 3, 2)), jnp.float32)
    module = shifted.Double(2)
    params: Any = module.init(KEY, (x[0], x[1]))["params"]
    streams_up: Any = module.apply({"params": params}, (x[0], x[1]))
    even, odd = (np.asarray(params[name]["kernel"]) for name in ("even", "odd"))
    taps = np.stack([odd[0, 1], even, odd[0, 0]]).reshape(3, 2, 2, 2)  # column, input, row, feature
    places = np.asarray(params["places"]["kernel"]).reshape(2, 2, 2, 2)  # input, row, column, feature
    wanted, squares = np.zeros((4, 8, 2)), np.zeros((4, 6, 2))
    for row, column in np.ndindex(2, 3):
        for a, k in np.ndindex(2, 3):
            wanted[2 * row + a, 2 * column + k] += np.asarray(x[0, 0, row, column]) @ taps[k, :, a]
        for a, b in np.ndindex(2, 2):
            squares[2 * row + a, 2 * column + b] += np.asarray(x[1, 0, row, column]) @ places[:, a, b]
    np.testing.assert_allclose(streams_up[0][0], wanted[:, 1:7], atol=1e-5)
    np.testing.assert_allclose(streams_up[1][0], squares, atol=1e-5)


def test_dropout_is_of_training_and_of_its_key():
    model, variables, batch = tiny(dropout=0.5)
    nll = jax.jit(lambda key, train: model.nll(variables, batch, key, train=train)[0]["nll"], static_argnums=1)
    other = jax.random.key(1)
    np.testing.assert_array_equal(nll(KEY, False), nll(other, False))
    assert np.all(nll(KEY, True) != nll(other, True)) and np.all(nll(KEY, True) != nll(KEY, False))
    np.testing.assert_array_equal(nll(KEY, True), nll(KEY, True))


@pytest.mark.parametrize(
    "settings, sentence",
    [
        ({"shape": (6, 8, 1)}, "An image of 6x8 cannot be halved 2 times; use fewer scales"),
        ({"shape": (8, 9, 1)}, "An image of 8x9 cannot be halved"),
        ({"shape": (8,)}, "images"),
        ({"shape": (8, 8, 1), "levels": 1}, "two or more"),
        ({"shape": (8, 8, 1), "components": 0}, "components must be at least 1, not 0"),
        ({"shape": (8, 8, 1), "scales": 0}, "scales must be at least 1, not 0"),
        ({"shape": (8, 8, 1), "dropout": 1.0}, r"in \[0, 1\), not 1.0"),
    ],
)
def test_bad_settings(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        models.pixel_cnn_pp(**settings)


def test_values_between_levels_are_refused():
    model, _, batch = tiny()
    with pytest.raises(ValueError, match="2 levels"):
        model.init(KEY, {"x": batch["x"] + 0.3})
