"""Bytes as the proof of a likelihood: what is compressed comes back, and takes as many bits as the nll claims."""

import dataclasses
import math
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from capable import of
from cases import CASES

from genjax_zoo import data, models
from genjax_zoo.conformance import randomise
from genjax_zoo.core import Conditionals, Model, conditions, total
from genjax_zoo.inference.codec import compress, decompress

KEY = jax.random.key(0)
SCALE = 0.05  # a likelihood so wrong that it calls its data impossible costs no more than the coder's 24 bits a number
AUTOREGRESSIVE = [name for name in CASES if models.MODELS[name].__module__.split(".")[2] == "autoregressive"]
AUTOREGRESSIVE.remove("made")  # of the table: a density, which has no levels to code


def nats_of(case, variables, batch):
    return np.asarray(jax.jit(lambda: total(case.model.nll(variables, batch, KEY)[0]))())


def holds(codes, nats):
    """Within one percent and 64 bits of the nll."""
    bits = np.array([8 * len(code) for code in codes])
    claimed = nats / math.log(2)
    return np.all(bits <= 1.01 * claimed + 64) and np.all(bits >= claimed - 32)


LONG = ("pixel_cnn_pp", "gated_pixel_cnn", "row_lstm")  # to compile, and of views that others have, too


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n in LONG)) for n in AUTOREGRESSIVE])
def test_examples_come_back_in_as_many_bits_as_their_nll(name):
    case = CASES[name]()
    variables = randomise(case.state.variables, scale=SCALE)
    codes = compress(case.model, variables, case.batch, size=6)  # 16 examples: the last part is not full
    np.testing.assert_array_equal(
        decompress(case.model, variables, codes, conditions(case.batch), size=6), case.batch["x"]
    )
    nats = nats_of(case, variables, case.batch)
    assert holds(codes, nats)
    assert not holds(codes, 0.3 * nats - 60)  # control: a likelihood that claims more than it has
    longer = [*codes[:13], codes[13] + b"\x12\x34\x56\x78", *codes[14:]]  # one of several in the last part
    with pytest.raises(ValueError, match="some are left over when all is decoded"):
        decompress(case.model, variables, longer, conditions(case.batch), size=6)
    other = randomise(case.state.variables, seed=1, scale=SCALE)
    assert decompress_differs(case, other, codes)


def decompress_differs(case, variables, codes):
    """Control: with other parameters the bytes are another example's, or none."""
    try:
        found = decompress(case.model, variables, codes, conditions(case.batch), size=6)
    except ValueError:
        return True
    return not np.array_equal(found, case.batch["x"])


def test_bytes_are_as_many_as_a_likelihood_known_by_hand_says():
    """Of two rows of 150 numbers with 8 levels each, likely to be near those above them."""
    columns, scores = 150, -1.5 * np.abs(np.arange(8)[:, None] - np.arange(8))  # [above, own]
    views = Conditionals(
        grid=(2, columns, 1),
        levels=8,
        logits=of(lambda *_: jnp.zeros(0)),
        start=of(lambda v, n, cond: jnp.zeros((n, columns, 1), int)),
        begin_row=of(lambda v, cache, above, row: above),
        step=of(lambda v, cache, previous, row, column: (cache[:, column, 0], cache)),
        choices=of(lambda v, h, levels, channel: jnp.asarray(scores)[h]),
    )
    spec = {"x": jax.ShapeDtypeStruct((2, columns, 1), jnp.float32)}
    model = Model(spec=spec, init=lambda *_: {}, conditionals=views)
    p = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    random, above, rows, nats = np.random.Generator(np.random.PCG64(0)), np.zeros((3, columns), int), [], np.zeros(3)
    for _ in range(2):
        levels = (np.cumsum(p[above], axis=-1) < random.uniform(size=(3, columns, 1))).sum(-1).clip(max=7)
        nats -= np.log(p[above, levels]).sum(axis=1)
        rows.append(levels)
        above = levels
    x = np.stack(rows, axis=1)[..., None] / 7
    codes = compress(model, {}, {"x": jnp.asarray(x)}, size=2)
    np.testing.assert_allclose(decompress(model, {}, codes, size=2), x, atol=1e-6)
    bits = np.array([8 * len(code) for code in codes])
    np.testing.assert_array_less(np.abs(bits - nats / math.log(2)), 0.01 * bits + 32)  # and a word
    assert np.all(bits > 300)


@pytest.mark.slow
def test_a_thousand_real_images():
    """With a network of some width at its first parameters: a likelihood need not be good to be true."""
    if not os.environ.get("GENJAX_ZOO_DATA"):
        pytest.skip("GENJAX_ZOO_DATA names no folder with mnist_static/: real files are needed")
    model = models.gated_pixel_cnn(shape=(28, 28, 1), features=16, layers=4)
    batch = data.load("mnist-static", "test", batch_size=1_000).at(0)
    variables = model.init(KEY, batch)
    codes = compress(model, variables, batch, size=500)
    np.testing.assert_array_equal(decompress(model, variables, codes, size=500), batch["x"])
    nats = np.asarray(jax.jit(lambda: total(model.nll(variables, batch, KEY)[0]))())
    assert holds(codes, nats)


def test_bad_input():
    case = CASES["gated_pixel_cnn"]()
    variables, few = case.state.variables, {name: value[:2] for name, value in case.batch.items()}
    with pytest.raises(ValueError, match="takes the 3 levels k / 2"):
        compress(case.model, variables, {**few, "x": few["x"] + 0.1})
    with pytest.raises(ValueError, match="size must be 1 or more, not 0"):
        compress(case.model, variables, few, size=0)
    with pytest.raises(ValueError, match="whole number of words"):
        decompress(case.model, variables, [b"abc"], conditions(few))
    with pytest.raises(ValueError, match="no 'conditionals'"):
        compress(dataclasses.replace(case.model, conditionals=None), variables, few)
    with pytest.raises(ValueError, match="needs the condition 'label'"):
        decompress(case.model, variables, compress(case.model, variables, few), {})
