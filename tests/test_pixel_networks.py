"""Networks over pixels: distributions, samples that follow them, what they see, and mutants that the laws notice."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax_zoo import conformance, models
from genjax_zoo.conformance.conditionals import sees_what_it_claims, views_agree
from genjax_zoo.core import Conditionals, require
from genjax_zoo.math import skew, unskew
from genjax_zoo.models.autoregressive import pixel_cnn as cnn
from genjax_zoo.models.autoregressive import pixel_rnn as rnn
from genjax_zoo.nn import pixels

TINY = {
    "gated_pixel_cnn": {"features": 3, "layers": 2, "size": 3},
    "pixel_cnn": {"features": 4, "layers": 2, "size": 3, "head_features": 4},
    "row_lstm": {"features": 2, "layers": 2, "size": 3, "head_features": 4},
    "diagonal_bilstm": {"features": 2, "layers": 2, "size": 3, "head_features": 4},
}
LAYERS = {"pixel_cnn": cnn.MaskedBlock, "row_lstm": rnn.RowLSTM, "diagonal_bilstm": rnn.DiagonalBiLSTM}


def tiny(name, **more):
    """The model over binary images of 3x4, with random parameters, and a batch of three images."""
    model = models.MODELS[name](shape=(3, 4, 1), **{**TINY[name], **more})
    batch = {"x": jax.random.bernoulli(jax.random.key(1), 0.5, (3, 3, 4, 1)).astype(jnp.float32)}
    if "label" in model.spec:
        batch["label"] = jnp.arange(3) % 2
    return model, conformance.randomise(model.init(jax.random.key(0), batch)), batch


@pytest.mark.parametrize("name", TINY)
def test_probabilities_sum_to_one_and_samples_follow_them(name):
    """Over all 4,096 binary images of 3x4."""
    model, variables, _ = tiny(name)
    conformance.probabilities_sum_to_one(model, variables)
    conformance.samples_follow_the_likelihood(model, variables)


def in_float64(law, name, **more):
    model, variables, batch = tiny(name, **more)
    with jax.enable_x64(True):
        law(model, conformance.double_precision(variables), conformance.double_precision(batch))


def of_one(model, variables, batch):
    sees_what_it_claims(model, variables, {"x": batch["x"][:1]})


see = functools.partial(in_float64, of_one)
agree = functools.partial(in_float64, views_agree, classes=2)


@pytest.mark.parametrize("name", TINY)
def test_every_image_is_as_likely_as_its_label_makes_it(name):
    model = models.MODELS[name](shape=(3, 4, 1), classes=2, **TINY[name])
    x = jax.random.bernoulli(jax.random.key(1), 0.5, (3, 3, 4, 1)).astype(jnp.float32)
    shapes = jax.eval_shape(model.init, jax.random.key(0), {"x": x, "label": jnp.zeros(3, jnp.int32)})
    variables = conformance.randomise(jax.tree.map(lambda leaf: np.zeros(leaf.shape, np.float32), shapes))
    nll = jax.jit(lambda label: model.nll(variables, {"x": x, "label": label}, jax.random.key(0))[0]["nll"])
    assert np.min(np.abs(nll(jnp.zeros(3, jnp.int32)) - nll(jnp.ones(3, jnp.int32)))) > 1e-3


@pytest.mark.parametrize("name", LAYERS)
def test_mask_b_in_the_first_layer_is_a_leak(name, monkeypatch):
    """A pixel that sees itself."""
    conv = pixels.MaskedConv
    monkeypatch.setattr(pixels, "MaskedConv", lambda features, size=3, sees_self=True: conv(features, size))
    with pytest.raises(AssertionError, match="the logits of number 0 see number 0"):
        see(name)


@pytest.mark.parametrize("name, module", [("pixel_cnn", cnn), ("row_lstm", rnn), ("diagonal_bilstm", rnn)])
def test_a_cached_row_that_is_off_by_one_is_noticed(name, module, monkeypatch):
    agree(name)
    written = module.write_pixel
    monkeypatch.setattr(module, "write_pixel", lambda row, value, column: written(row, value, column + 1))
    with pytest.raises(AssertionError, match="the cached view's logits are"):
        agree(name)


@pytest.mark.parametrize("name", LAYERS)
def test_a_bias_lost_in_the_cached_view_is_noticed(name, monkeypatch):
    layer = LAYERS[name]
    start, field = layer.start, "biases" if name == "diagonal_bilstm" else "bias"

    def forgetful(self, columns, n, cond):
        state = start(self, columns, n, cond)
        return state._replace(**{field: jax.tree.map(jnp.zeros_like, getattr(state, field))})

    monkeypatch.setattr(layer, "start", forgetful)
    with pytest.raises(AssertionError, match="the cached view's logits are"):
        agree(name)


def test_a_claim_too_wide_or_too_narrow_is_noticed(monkeypatch):
    """The blind spot of PixelCNN is where its claim says."""
    see("pixel_cnn")
    reach = cnn.MaskedBlock.reach
    for claim, noticed in (
        (lambda self, seen: pixels.MaskedConv(1, 5).reach(seen), "do not see"),
        (lambda self, seen: seen, "which is not claimed"),
    ):
        monkeypatch.setattr(cnn.MaskedBlock, "reach", claim)
        with pytest.raises(AssertionError, match=noticed):
            see("pixel_cnn", layers=1)
    monkeypatch.setattr(cnn.MaskedBlock, "reach", reach)


def test_claims():
    """To the right PixelCNN and Row LSTM climb at 45 degrees, to the left by their layers; diagonals hide one pixel."""
    small = {"shape": (6, 9, 1), "size": 3, "layers": 1, "features": 2}

    def seen(name, **more):
        claim = require(models.MODELS[name](**{**small, **more}), Conditionals).sees
        return claim[5 * 9 + 4].reshape(6, 9)  # by the middle of the last row

    up, right = 5 - np.mgrid[:6, :9][0], np.mgrid[:6, :9][1] - 4
    before = (up > 0) | (right < 0)
    np.testing.assert_array_equal(
        seen("pixel_cnn", layers=2), before & (np.abs(right) <= 3) & (up <= 3) & (right <= up)
    )
    np.testing.assert_array_equal(seen("row_lstm", layers=1), before & (right <= up) & (right >= -2 - up))
    diagonal = require(models.diagonal_bilstm(**small), Conditionals).sees
    hidden = np.argwhere(np.tril(np.ones((54, 54), bool), -1) & ~diagonal)
    assert {(int(of) // 9, int(by)) for of, by in hidden} == {(r, 9 * r - 1) for r in range(1, 6)}
    assert {int(of) % 9 for of, _ in hidden} == set(range(7))


@pytest.mark.parametrize("shape", [(2, 3, 5, 2), (4, 1, 3), (1, 4, 1), (3, 2, 5, 2, 1)], ids=str)
def test_skewed_images_come_back(shape):
    x = jax.random.normal(jax.random.key(0), shape)
    skewed, (height, width) = skew(x), shape[-3:-1]
    np.testing.assert_array_equal(unskew(skewed), x)
    wanted = np.zeros(skewed.shape, np.float32)
    assert skewed.shape[-3:-1] == (height, height + width - 1)
    for row in range(height):
        wanted[..., row, row : row + width, :] = x[..., row, :, :]
    np.testing.assert_array_equal(skewed, wanted)


@pytest.mark.parametrize(
    "name, wrong, says",
    [
        ("pixel_cnn", {"size": 4}, "odd and at least 3, not 4"),
        ("row_lstm", {"size": 1}, "odd and at least 3, not 1"),
        ("row_lstm", {"row_size": 2}, "along the row must be odd, not 2"),
        ("diagonal_bilstm", {"shape": (12,)}, "images .H, W, C., not of x of shape"),
    ],
)
def test_what_cannot_be_built_says_so(name, wrong, says):
    with pytest.raises(ValueError, match=says):
        models.MODELS[name](**{"shape": (3, 4, 1), **wrong})
