"""Draws from conditionals: sharpened, cut off, continued, and told about while they run."""

import functools
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES

from genjax_zoo import cli, evals, models, runs, wrap
from genjax_zoo.conformance import all_bits, probabilities_sum_to_one, randomise, samples_follow_the_likelihood
from genjax_zoo.core import Conditionals, Sampler, conditions, require
from genjax_zoo.data import Resident, load
from genjax_zoo.evals.walk import some_of
from genjax_zoo.inference.sampling import (
    cached,
    draw_levels,
    keep_known,
    levels_of,
    levels_of_prefix,
    naive,
    report_every,
    values_of,
)
from genjax_zoo.train.checkpoint import Checkpoints

KEY = jax.random.key(0)


@functools.cache
def bits():
    """Gated PixelCNN over 3x4 bits."""
    model = models.gated_pixel_cnn(shape=(3, 4, 1), features=4, layers=3, size=3)
    return model, randomise(model.init(KEY, {"x": all_bits(model)[:4]}), scale=0.6)


@functools.cache
def colours():
    """The case with two channels, three levels and labels."""
    case = CASES["gated_pixel_cnn"]()
    return case.model, randomise(case.state.variables), case.batch


def frequencies(choose, logits, n=40_000):
    """How often each level is chosen."""
    keys = jnp.arange(n)
    chosen = jax.jit(jax.vmap(lambda index: choose(index, logits[None])[0]))(keys)
    return np.bincount(np.asarray(chosen), minlength=len(logits)) / n


def test_all_states_sum_to_one_and_samples_have_their_frequencies():
    model, variables = bits()
    probabilities_sum_to_one(model, variables)
    samples_follow_the_likelihood(model, variables)


LOGITS = jnp.array([2.0, 1.0, 0.5, -1.0, -3.0])


@pytest.mark.parametrize(
    "settings, wanted",
    [
        ({}, LOGITS),
        ({"temperature": 0.5}, 2 * LOGITS),
        ({"temperature": 3.0}, LOGITS / 3),
        ({"top_k": 2}, LOGITS.at[2:].set(-jnp.inf)),
        ({"top_p": 0.7}, LOGITS.at[2:].set(-jnp.inf)),  # the likeliest alone has 0.607
        ({"top_p": 0.5}, LOGITS.at[1:].set(-jnp.inf)),
        ({"top_p": 1.0}, LOGITS),
        ({"top_k": 1}, LOGITS.at[1:].set(-jnp.inf)),
        ({"top_k": 5}, LOGITS),
        ({"top_k": 3, "temperature": 2.0}, (LOGITS / 2).at[3:].set(-jnp.inf)),
    ],
)
def test_draws_have_the_frequencies_that_settings_call_for(settings, wanted):
    p = np.asarray(jax.nn.softmax(wanted))
    found = frequencies(draw_levels(KEY, **settings), LOGITS)
    assert np.all(np.abs(found - p) < 5 * np.sqrt(p * (1 - p) / 40_000) + 1e-9)
    if settings not in ({}, {"top_p": 1.0}, {"top_k": 5}):
        assert np.abs(found - np.asarray(jax.nn.softmax(LOGITS))).max() > 0.02  # control


def shares(logits, **settings):
    choose = draw_levels(jax.random.key(0), **settings)
    levels = choose(jnp.asarray(0), jnp.broadcast_to(jnp.asarray(logits, jnp.float32), (20_000, len(logits))))
    return np.bincount(levels, minlength=len(logits)) / len(levels)


def test_ties_are_cut_where_the_count_says():
    """Of equals the lower levels are kept, so that top_k leaves k and top_p the least that hold enough."""
    assert shares([0.0] * 8, top_k=1)[0] == 1
    for settings in ({"top_k": 2}, {"top_p": 0.6}):  # 0.644, 0.237, 0.087, 0.032 are of other logits
        found = shares([2, 1, 1, 0], **settings)
        np.testing.assert_allclose(found, [np.e / (1 + np.e), 1 / (1 + np.e), 0, 0], atol=0.015)
    np.testing.assert_allclose(shares([2, 1, 1, 0], top_p=1.0), jax.nn.softmax(jnp.array([2.0, 1, 1, 0])), atol=0.015)


@pytest.mark.parametrize("temperature", [1e-3, 1e-10, 1e-37, 1e-38, 1e-40, 1e-46, 1e-300])
def test_the_coldest_draw_is_the_likeliest(temperature):
    """Logits divided by so little are infinite, and the difference of two infinities is nothing."""
    for logits in ([1, 2, 5], [-7, -3, -1], [300, 0, 301]):
        assert shares(logits, temperature=temperature)[2] == 1
    np.testing.assert_allclose(shares([1, 2, 5], temperature=1e38), 1 / 3, atol=0.015)


@pytest.mark.parametrize(
    "settings, p",
    [
        ({"temperature": 0.5, "top_p": 0.75}, [4 / 5, 1 / 5, 0, 0]),  # of 36, 9, 4, 1 of 50; the likeliest has 0.72
        ({"temperature": 0.5, "top_p": 0.7}, [1, 0, 0, 0]),
        ({"top_p": 0.7}, [2 / 3, 1 / 3, 0, 0]),
        ({"temperature": 0.5, "top_k": 2, "top_p": 0.75}, [1, 0, 0, 0]),  # of what top_k leaves the likeliest has 0.8
    ],
)
def test_the_nucleus_is_of_the_tempered_probabilities(settings, p):
    """Four levels of probability 6, 3, 2, 1 of 12: half the temperature squares them."""
    found = frequencies(draw_levels(KEY, **settings), jnp.log(jnp.array([6.0, 3.0, 2.0, 1.0])))
    assert np.all(np.abs(found - p) < 5 * np.sqrt(np.array(p) * (1 - np.array(p)) / 40_000) + 1e-9)


def test_what_is_known_stays_and_the_rest_follows_it():
    model, variables, batch = colours()
    views, cond = require(model, Conditionals), conditions(batch)
    levels = levels_of(views, batch["x"])
    known = (jnp.arange(30) < 13).reshape(views.grid)
    for sampler in (cached, naive):
        found = jax.jit(
            lambda key, sampler=sampler: sampler(
                views, variables, 16, keep_known(draw_levels(key), levels, known), cond
            )
        )(KEY)
        np.testing.assert_array_equal(jnp.where(known, found, 0), jnp.where(known, levels, 0))
        assert np.any(found != levels)
    given, mask = levels_of_prefix(views, batch["x"].reshape(16, -1)[:, :13], 16)
    np.testing.assert_array_equal(mask, known)
    np.testing.assert_array_equal(jnp.where(mask, given, 0), jnp.where(known, levels, 0))


def test_completions_have_the_conditional_probability():
    """Of 2^12 states, given the first seven bits: the rest is as frequent as Bayes says."""
    model, variables = bits()
    views, n, states = require(model, Conditionals), 20_000, all_bits(model)
    nll = model.nll(variables, {"x": states}, KEY)[0]["nll"]
    prefix = states[37].reshape(-1)[:7]
    fits = jnp.all(states.reshape(len(states), -1)[:, :7] == prefix, axis=1)
    p = np.asarray(jnp.where(fits, jnp.exp(-nll), 0))
    p = p[np.asarray(fits)] / p.sum()
    given, known = levels_of_prefix(views, prefix[None], n)
    found = jax.jit(lambda: cached(views, variables, n, keep_known(draw_levels(KEY), given, known)))()
    rest = np.asarray(found).reshape(n, -1)[:, 7:]
    order = np.asarray(states.reshape(len(states), -1)[fits][:, 7:], int) @ 2 ** np.arange(5)
    share = np.bincount(rest @ 2 ** np.arange(5), minlength=32)[order] / n
    assert np.all(np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-3)


def test_progress_is_told_from_inside_the_loop():
    model, variables = bits()
    told, views = [], require(model, Conditionals)
    found = jax.jit(lambda: cached(views, variables, 3, report_every(draw_levels(KEY), told.append, every=5)))()
    jax.effects_barrier()
    assert told == [5, 10]
    np.testing.assert_array_equal(found, cached(views, variables, 3, draw_levels(KEY)))


def test_settings_of_the_sampler_are_those_of_the_choice():
    """A sampler's settings are those of `draw_levels`, `levels_of_prefix` and `report_every`, under wrappers, too."""
    model, variables, batch = colours()
    views, cond, sampler = require(model, Conditionals), conditions(batch), require(model, Sampler)
    assert sampler.settings == {"temperature": 1.0, "top_k": None, "top_p": None, "prefix": None, "tell": None}
    several: list[dict[str, Any]] = [{}, {"temperature": 0.3}, {"top_k": 2}, {"top_p": 0.6, "temperature": 2.0}]
    for how in several:
        wanted = values_of(model, cached(views, variables, 16, draw_levels(KEY, **how), cond))
        np.testing.assert_array_equal(model.sample(variables, KEY, 16, cond, **how), wanted)
    prefix, told = batch["x"].reshape(16, -1)[:, :13], []
    found = model.sample(variables, KEY, 16, cond, prefix=prefix, tell=lambda count, done: told.append((count, done)))
    jax.effects_barrier()
    np.testing.assert_array_equal(found.reshape(16, -1)[:, :13], prefix)
    assert sorted(told) == [(30, done) for done in range(1, 31)]
    colder = wrap.tempered(wrap.conditioned(model, label=1), 0.5)
    wanted = model.sample(variables, KEY, 4, {"label": jnp.ones(4, int)}, temperature=0.25)
    np.testing.assert_array_equal(colder.sample(variables, KEY, 4, temperature=0.5), wanted)
    assert np.any(wanted != model.sample(variables, KEY, 4, {"label": jnp.ones(4, int)}))


def test_maps_of_bits_and_completions():
    """The bits of the map sum to the nll; completions keep what is given."""
    model, variables, batch = colours()
    variables = jax.tree.map(lambda x: 0.05 * x, variables)  # near even odds: no number is white
    split = Resident(arrays=dict(batch), transform=lambda raw, keys: raw, batch_size=16, seed=0, train=False)
    with pytest.raises(ValueError, match="16 examples, fewer than 17"):
        evals.bits_map(split, n=17)(model, variables, KEY)
    shown = evals.bits_map(split, n=4)(model, variables, KEY)["bits_map"]
    nll = model.nll(variables, batch, KEY)[0]["nll"][:4]
    bits = shown.reshape(4, 2, *batch["x"].shape[1:])[:, 1, ..., 0] * 4 * np.log2(3)
    assert bits.max() < 4 * np.log2(3)
    np.testing.assert_allclose(bits.sum((1, 2)), nll / np.log(2), rtol=1e-4)
    assert bits.max() > bits.min() + 1e-3
    shown = evals.completions(split, n=4, keep=0.4, draws=2)(model, variables, KEY)["completions"]
    shown = shown.reshape(4, 4, -1)
    for column in range(4):
        np.testing.assert_array_equal(shown[:, column, :12], batch["x"][:4].reshape(4, -1)[:, :12])
    assert not np.array_equal(shown[:, 2], shown[:, 3]), "both draws go on alike"


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"temperature": 0.0}, "temperature is above 0, not 0.0"),
        ({"temperature": -1.0}, "temperature is above 0"),
        ({"top_k": 0}, "top_k must be at least 1"),
        ({"top_k": 6}, "top_k is 6, but there are only 5 levels"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\]"),
        ({"top_p": 1.5}, r"top_p must be in \(0, 1\]"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(ValueError, match=message):
        draw_levels(KEY, **settings)(jnp.zeros((), int), LOGITS[None])


def test_bad_input():
    model, variables, batch = colours()
    views = require(model, Conditionals)
    with pytest.raises(ValueError, match="prefix has 31 numbers, but an example only 30"):
        levels_of_prefix(views, jnp.zeros((1, 31)), 1)
    with pytest.raises(ValueError, match="none of the 3 levels k / 2"):
        levels_of_prefix(views, jnp.full((1, 4), 0.3), 1)
    with pytest.raises(ValueError, match="3 levels is of x = k / 2, but x has values like 0.3"):
        model.init(KEY, {**batch, "x": batch["x"] * 0 + 0.3})
    with pytest.raises(ValueError, match="share to keep must be in"):
        evals.completions(None, keep=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="size must be odd, not 4"):
        models.gated_pixel_cnn(shape=(4, 4, 1), size=4)
    with pytest.raises(ValueError, match="two or more, not 1"):
        models.gated_pixel_cnn(shape=(4, 4, 1), levels=1)
    with pytest.raises(ValueError, match=r"of images \[H, W, C\]"):
        models.gated_pixel_cnn(shape=(16,))


def test_the_command_draws_completes_and_refuses(tmp_path, capsys, monkeypatch):
    """`sample` of an autoregressive run: settings, a prefix, a share of the run's own data, and one sentence each."""
    folder, out = str(tmp_path / "run"), tmp_path / "x.npy"
    file = Path(__file__).parent.parent / "experiments" / "gated_pixel_cnn_digits.py"
    monkeypatch.setattr(Resident, "batches", 1)
    tiny = ["--steps", "1", "--batch-size", "16", "--layers", "1", "--features", "2"]
    cli.console(["train", str(file), "--workdir", folder, *tiny])

    def draw(*more):
        cli.console(["sample", folder, "-n", "3", "--out", str(out), "--cond", "label=1,2,3", *more])
        return np.load(out)

    assert not np.array_equal(draw(), draw("--temperature", "0.3"))
    coldest = draw("--top-k", "1")
    np.testing.assert_array_equal(coldest, draw("--top-k", "1", "--seed", "5"))
    np.save(tmp_path / "begin.npy", coldest[0].reshape(-1)[:20])
    begun = draw("--prefix", str(tmp_path / "begin.npy"))
    np.testing.assert_array_equal(begun.reshape(3, -1)[:, :20], np.tile(coldest[0].reshape(-1)[:20], (3, 1)))
    own = some_of(load("digits", "train", batch_size=16), 3, ["x"])["x"].reshape(3, -1)
    kept = draw("--keep", "0.5").reshape(3, -1)
    np.testing.assert_array_equal(kept[:, :32], own[:, :32])
    assert np.any(kept[:, 32:] != own[:, 32:], axis=1).all()
    np.save(tmp_path / "each.npy", own[:, :7])
    np.testing.assert_array_equal(draw("--prefix", str(tmp_path / "each.npy")).reshape(3, -1)[:, :7], own[:, :7])
    out.unlink()
    np.save(tmp_path / "long.npy", np.zeros(65))
    for more, sentence in [
        (["--prefix", str(tmp_path / "long.npy")], "The prefix has 65 numbers, but an example only 64; give fewer."),
        (["--prefix", "x.txt"], "takes a .npy file of x in raster order, or a .wav file."),
        (["--prefix", str(tmp_path / "long.npy"), "--keep", "0.5"], "Give --prefix or --keep, not both."),
        (["--keep", "2"], "--keep is a share in [0, 1], not 2."),
        (["--temperature", "0"], "A temperature is above 0, not 0.0."),
        (["--top-k", "18"], "top_k is 18, but there are only 17 levels."),
        (["--top-p", "0"], "top_p must be in (0, 1], not 0.0."),
        (["--seconds", "2"], "--seconds is for models of sound"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            draw(*more)
        assert stopped.value.code == 2 and sentence in " ".join(capsys.readouterr().err.split())
        assert not out.exists()


FLOW = """
import jax, jax.numpy as jnp, optax
from genjax_zoo import Experiment, Model, Player, data
from genjax_zoo.core import Density, Explained, Sampler

def experiment():
    train = data.load("ring8", "train", batch_size=16)

    def draw(variables, key, n, cond={}, *, train=False, temperature=1.0):
        return temperature * jax.random.normal(key, (n, 2)) * jnp.array([3.0, -0.5]) + 1, variables

    nll = lambda variables, batch, key, *, train=False: ({"nll": jnp.zeros(len(batch["x"]))}, variables)
    model = Model(
        spec=train.spec,
        init=lambda key, batch: {"params": {"net": {"w": jnp.zeros(())}}},
        density=Density(terms=Explained(terms=nll, rest="nats"), exact=True),
        sampler=Sampler(draw=draw, settings={"temperature": 1.0}),
    )
    player = Player(terms=model.nll, weights={"nll": 1.0}, tx=optax.sgd(0.1))
    return Experiment(model=model, players={"one": player}, data=train, steps=2)
"""


def test_the_command_tempers_a_flow(tmp_path, capsys):
    """x = a z + 1, so that a temperature multiplies what x has beyond 1; of the same draws."""
    (tmp_path / "flow.py").write_text(FLOW)
    folder, out = tmp_path / "run", tmp_path / "x.npy"
    runs.open_run(folder, tmp_path / "flow.py", {})
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(1, runs.create_state_of(runs.build(runs.load_experiment(folder / "experiment.py"), {})), {})

    def beyond(*more):
        cli.console(["sample", str(folder), "-n", "500", "--out", str(out), *more])
        return np.load(out) - 1

    plain = beyond()
    assert np.all(np.abs(plain.std(0) / [3, 0.5] - 1) < 5 / np.sqrt(2 * 500))
    for temperature in (0.5, 2.0):
        np.testing.assert_allclose(beyond("--temperature", str(temperature)), temperature * plain, atol=1e-5)
    np.testing.assert_array_equal(beyond("--temperature", "1"), plain)
    out.unlink()
    for more, sentence in [
        (["--temperature", "0"], "A temperature is above 0, not 0.0."),
        (["--top-k", "3"], "This run's sampler takes no --top-k; it takes --temperature."),
        (["--prefix", "x.npy"], "This run's sampler takes no --prefix; it takes --temperature."),
        (["--keep", "0.5"], "This run's sampler takes no --keep; it takes --temperature."),
        (["--mean"], "This model has no 'latent'; it has density, sampler."),
    ]:
        with pytest.raises(SystemExit) as stopped:
            beyond(*more)
        assert stopped.value.code == 2 and sentence in " ".join(capsys.readouterr().err.split())
        assert not out.exists()
