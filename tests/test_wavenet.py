"""WaveNet beyond the laws: what they notice in its cached view, lengths, and sound as files."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, compiled
from PIL import Image

from genjax_zoo import cli, conformance, draw, evals, models, wrap
from genjax_zoo.conformance import randomise
from genjax_zoo.core import Conditionals, require
from genjax_zoo.data.resident import Resident
from genjax_zoo.data.wav import read_wav
from genjax_zoo.explore import drawing
from genjax_zoo.inference.sampling import _inverted, cached, draw_levels, naive, values_of
from genjax_zoo.math import mu_law, mu_law_inverse, spectrogram
from genjax_zoo.math.convolve import convolve_causal

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def tiny():
    case = CASES["wavenet"]()
    return dataclasses.replace(case, model=compiled(case.model)), randomise(case.state.variables)


def read_one_place_off(views):
    """Every ring is read one place from where it was written."""

    def step(variables, cache, *place):
        (h, _), _ = views.step(variables, cache._replace(rings=jnp.roll(cache.rings, 1, axis=0)), *place)
        (_, after), variables = views.step(variables, cache, *place)
        return (h, after), variables

    return dataclasses.replace(views, step=step)


def rings_keep_turning(views):
    """What is written lands one place further."""

    def step(variables, cache, *place):
        (h, after), variables = views.step(variables, cache, *place)
        return (h, after._replace(rings=jnp.roll(after.rings, 1, axis=0))), variables

    return dataclasses.replace(views, step=step)


def without_biases(views):
    """The gates' biases are lost in the cached view alone, as in ibab/tensorflow-wavenet#125."""

    def start(variables, n, cond):
        cache, variables = views.start(variables, n, cond)
        return cache._replace(biases=0 * cache.biases), variables

    return dataclasses.replace(views, start=start)


@pytest.mark.parametrize("broken", [read_one_place_off, rings_keep_turning, without_biases])
def test_the_law_notices(tiny, broken):
    case, _ = tiny
    model = dataclasses.replace(case.model, conditionals=broken(case.model.conditionals))
    with pytest.raises(AssertionError, match="cached"):
        conformance.cached_view_is_the_network(dataclasses.replace(case, model=model))


@pytest.mark.parametrize("layers, block, reach", [(4, 2, 7), (5, 3, 11)])
def test_a_sample_depends_on_as_many_before_as_the_dilations_reach(layers, block, reach):
    """1 + 1 + 2 + 1 + 2 and 1 + 1 + 2 + 4 + 1 + 2: one for the shift, and every dilation."""
    settings = {"features": 4, "gates": 4, "skip": 8, "levels": 3, "conditions": {}}
    model = models.wavenet(length=14, layers=layers, block=block, **settings)
    x = jnp.tile(jnp.array([0.0, 1.0]), 7)[:, None]
    variables, views = randomise(model.init(KEY, {"x": x[None]}), scale=0.7), require(model, Conditionals)
    others = jnp.concatenate([x[None], jnp.abs(x - jnp.eye(14)[:, :, None])])  # the last 14 each have one changed
    logits = jax.jit(lambda x: views.logits(variables, {"x": x})[0][:, 0, -1])(others)
    changes = np.any(np.asarray(logits[1:] != logits[0]).reshape(14, -1), axis=1)
    wanted = [13 - reach <= place < 13 for place in range(14)]
    assert list(changes) == wanted == list(views.sees[-1])


def test_the_papers_blocks_reach_1024_samples_each():
    """van den Oord et al. 2016, sec. 2.1: dilations of 1 ... 512; every block more adds 1,023."""
    for layers, reach in ((10, 1_024), (20, 2_047)):
        assert require(models.wavenet(length=2_100, layers=layers), Conditionals).sees[-1].sum() == reach


def test_padding_does_not_count(tiny):
    """The nll of the first samples is that of a model of just their length, whatever follows them."""
    case, variables = tiny
    lengths = jnp.where(jnp.arange(16) % 2, 19, 13)
    noise = jnp.where(jnp.arange(19)[:, None] < lengths[:, None, None], 0.0, 0.25)
    batch = {**case.batch, "x": jnp.abs(case.batch["x"] - noise), "length": lengths}
    assert jnp.any(batch["x"] != case.batch["x"])
    found = case.model.nll(variables, batch, KEY)[0]["nll"]
    for i, length in ((0, 13), (1, 19), (2, 13)):
        cut = {name: value[i : i + 1] for name, value in case.batch.items()}
        cut["x"] = cut["x"][:, :length]
        own = case.model.of_length(length).nll(variables, cut, KEY)[0]["nll"]
        np.testing.assert_allclose(found[i], own[0], rtol=1e-5)
    full = case.model.nll(variables, {**case.batch, "length": jnp.full(16, 19)}, KEY)[0]["nll"]
    np.testing.assert_array_equal(full, case.model.nll(variables, case.batch, KEY)[0]["nll"])


def sounds(batch, size=5, **entries):
    arrays = {**batch, **entries}
    return Resident(arrays=arrays, transform=lambda raw, keys: raw, batch_size=size, seed=0, train=False)


def test_bits_per_sample_counts_every_own_sample_once(tiny):
    case, variables = tiny
    lengths = jnp.arange(16, dtype=jnp.int32) + 4
    split = sounds(case.batch, length=lengths)  # 16 examples in batches of 5: the last one wraps around
    nats = case.model.nll(variables, {**case.batch, "length": lengths}, KEY)[0]["nll"]
    result = evals.bits_per_sample(split)(case.model, variables, KEY)
    assert result["bits/sample"] == pytest.approx(float(nats.sum() / lengths.sum()) / np.log(2), rel=1e-5)
    assert result["nll"] == pytest.approx(float(nats.mean()), rel=1e-5)
    with pytest.raises(ValueError, match="load the data with conditions"):
        evals.bits_per_sample(sounds(case.batch))


@pytest.mark.parametrize("length", [1, 7, 45])
def test_sounds_of_another_length(tiny, length):
    """The same parameters draw longer and shorter sounds, which begin alike, by both views."""
    case, variables = tiny
    model, cond = case.model.of_length(length), {"label": jnp.array([0, 2]), "speaker": jnp.array([1, 1])}
    whole, stepped = (draw(model.conditionals, variables, 2, draw_levels(KEY), cond) for draw in (naive, cached))
    np.testing.assert_array_equal(whole, stepped)
    np.testing.assert_array_equal(values_of(model, whole), model.sample(variables, KEY, 2, cond))
    x = model.sample(variables, KEY, 2, cond)
    assert x.shape == (2, length, 1) == (2, *model.spec["x"].shape)
    usual, shared = case.model.sample(variables, KEY, 2, cond), min(length, 19)
    np.testing.assert_array_equal(x[:, :shared], usual[:, :shared])
    of_length = wrap.conditioned(case.model, label=2).of_length
    assert of_length is not None
    fixed = of_length(length)
    assert set(fixed.spec) == {"x", "speaker"}
    drew = fixed.sample(variables, KEY, 2, {"speaker": jnp.array([1, 1])})
    np.testing.assert_array_equal(drew[1], x[1])


def test_a_probability_of_levels_has_no_change_of_variables(tiny):
    """Neither views nor lengths could follow one."""
    case, _ = tiny
    with pytest.raises(ValueError, match="a probability of 5 levels"):
        wrap.scaled(case.model, shift=0.0, scale=2.0)
    with pytest.raises(ValueError, match="a probability of 5 levels"):
        wrap.dequantized(case.model, levels=5)


@pytest.mark.parametrize("dilation", [1, 3, 8, 20])
def test_causal_convolution_is_the_dilated_convolution(dilation):
    x, kernel = (jax.random.normal(key, shape) for key, shape in zip(jax.random.split(KEY), [(2, 9, 3), (3, 3, 4)]))
    wanted = jax.lax.conv_general_dilated(
        x, kernel, (1,), ((2 * dilation, 0),), rhs_dilation=(dilation,), dimension_numbers=("NWC", "WIO", "NWC")
    )
    np.testing.assert_allclose(convolve_causal(x, kernel, dilation), wanted, atol=1e-5)


def test_draws_have_probability():
    """At both ends of [0, 1), a draw is a level that has some."""
    logits = jnp.where(jnp.arange(257) % 5 == 2, 0.1 * jnp.arange(257.0), -jnp.inf)
    last = np.nextafter(np.float32(1), np.float32(0))
    for u, wanted in ((0.0, 2), (float(last), 252)):
        assert int(_inverted(logits[None], jnp.full((1, 1), u))[0]) == wanted
    u = jax.random.uniform(KEY, (20_000, 1))
    assert np.all(np.asarray(_inverted(jnp.tile(logits, (20_000, 1)), u)) % 5 == 2)


def test_wav_and_spectrogram(tmp_path):
    """Codes come back from a WAV file, and a tone is at its frequency, as loud as it is."""
    codes = np.arange(256).repeat(3)
    draw.save_sound(tmp_path / "x.wav", codes[:, None] / 255)
    samples = read_wav((tmp_path / "x.wav").read_bytes(), "x.wav")
    np.testing.assert_array_equal(mu_law(samples / 2**15), codes)
    np.testing.assert_allclose(samples / 2**15, mu_law_inverse(codes), atol=2**-15)
    tone = 0.5 * jnp.sin(2 * jnp.pi * 1_000 / draw.RATE * jnp.arange(1_000))
    decibels = spectrogram(jnp.stack([tone, 0 * tone]))
    assert decibels.shape == (2, 129, 12)
    assert np.all(np.argmax(decibels[0], axis=0) == 32)  # of 129 up to 4 kHz
    np.testing.assert_allclose(decibels[0, 32], 20 * np.log10(0.5), atol=0.01)
    np.testing.assert_array_equal(decibels[1], -80)
    draw.save_samples(tmp_path / "x.png", jax.random.uniform(KEY, (5, 100, 1)))  # shorter than a window
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.png", "x.wav"]
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (1_200, 370)


MINE = """
import jax.numpy as jnp, optax
from genjax_zoo import Experiment, Player, evals, models
from genjax_zoo.core import Conditionals, require
from genjax_zoo.data.resident import Resident

def experiment():
    model = models.wavenet(length=24, levels=256, layers=2, features=4, gates=4, skip=4, conditions={"speaker": 3})
    arrays = {"x": jnp.full((16, 24, 1), 128 / 255), "speaker": jnp.arange(16) % 3, "length": jnp.full(16, 20)}
    sounds = Resident(arrays=arrays, transform=lambda raw, keys: raw, batch_size=16, seed=0, train=True)
    player = Player(terms=model.nll, weights={"nll": 1.0}, tx=optax.adam(1e-2))
    drawn = evals.sample_spectrograms(n=2, cond={"speaker": jnp.arange(2)})
    return Experiment(
        model=model, players={"model": player}, data=sounds, steps=2,
        evals={"test": evals.bits_per_sample(sounds), "samples": drawn},
    )
"""


def test_a_run_of_sound(tmp_path, monkeypatch, capsys):
    """Train, evaluate and listen: WAV files of the seconds asked for beside one picture."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    cli.console(["train", "mine.py"])
    run = tmp_path / "runs/mine"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert 4 < rows[-1]["eval/test/bits/sample"] < 12
    assert (run / "samples.png").exists()
    capsys.readouterr()
    cli.console(["sample", "runs/mine", "-n", "3", "--seconds", "0.05", "--seed", "7", "--cond", "speaker=2"])
    assert "samples-7.png, runs/mine/samples-7-0.wav ..." in capsys.readouterr().out
    for index in range(3):
        assert read_wav((run / f"samples-7-{index}.wav").read_bytes(), "").shape == (400,)
    cli.console(["sample", "runs/mine", "-n", "2", "--out", "x.npy"])
    assert np.load("x.npy").shape == (2, 24, 1)
    with pytest.raises(SystemExit):
        cli.console(["sample", "runs/mine", "--seconds", "0"])
    assert "--seconds must be above 0, not 0." in capsys.readouterr().err


def test_progress_is_told(tiny):
    (_, variables), model, told = tiny, CASES["wavenet"]().model, []
    cond = {"label": jnp.zeros(1, int), "speaker": jnp.zeros(1, int)}
    model.sample(variables, KEY, 1, cond, tell=lambda count, done: told.append((count, done)))
    jax.effects_barrier()
    assert told == [(19, done) for done in range(1, 20)]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"length": 0}, "length must be at least 1, not 0"),
        ({"gates": 5}, "gates must be even"),
        ({"conditions": {"length": 3}}, "'length' is no condition"),
        ({"conditions": {"speaker": 0}}, "'speaker' needs one class or more, not 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        models.wavenet(**settings)


def test_bad_input(tiny):
    case, variables = tiny
    with pytest.raises(ValueError, match=r"--seconds is for models of sound, .* shape \(3, 5, 2\)"):
        drawing.with_length(CASES["gated_pixel_cnn"]().model, 1.0)
    with pytest.raises(ValueError, match="needs the condition 'speaker'"):
        case.model.sample(variables, KEY, 2, {"label": jnp.zeros(2, int)})
