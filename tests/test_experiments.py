"""Every experiment, at tiny flags, trains two steps, evaluates, draws and restores; slowly files and some others."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import optax
import pytest

from genjax_zoo import (
    Player,
    UserError,
    cli,
    data,
    evals,
    gan_experiment,
    likelihood_experiment,
    losses,
    models,
    restore,
)
from genjax_zoo.cli.flags import parse_experiment
from genjax_zoo.data import Resident
from genjax_zoo.runs import build, check, create_state_of, load_experiment
from genjax_zoo.train import make_step

ROOT = Path(__file__).parent.parent
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.py"))
TINY = {
    "glow": ["--scales", "1", "--depth", "1", "--width", "4"],
    "multiscale_real_nvp_mnist": ["--scales", "1", "--width", "2", "--blocks", "1"],
    "nice_mnist": ["--layers", "2", "--hidden", "8"],
    "maf_mnist": ["--layers", "2", "--hidden", "8"],
    "made_binary_mnist": ["--hidden", "8", "8"],
    "nade_mnist": ["--hidden", "8"],
    "made_mnist": ["--components", "2", "--hidden", "8"],
    "neural_spline_points": ["--autoregressive", "--layers", "2", "--hidden", "8", "--bins", "3"],
    "iaf_points": ["--layers", "2", "--hidden", "8"],
    "dcgan_stacked_mnist": ["--mode-samples", "100", "--width", "4"],
    "r3gan_stacked_mnist": ["--mode-samples", "100", "--width", "16", "--blocks", "1"],
    "gan_mnist": ["--adversary", "wasserstein", "--wgan-gp", "10"],
    "sngan_digits": ["--features", "4", "--augment"],
    "projection_gan_digits": ["--features", "4"],
    "gan_points": ["--pack", "2"],
    "r3gan_points": ["--hidden", "8"],
    "iwae_mnist": ["--k", "2", "--layers", "2", "--test-k", "2"],
    "ladder_vae_mnist": ["--layers", "1", "--features", "4", "--latent", "2", "--blocks", "1", "--test-k", "1"],
    "vq_vae_mnist": ["--codes", "8", "--prior-features", "4", "--prior-layers", "1"],
    "wavenet_spoken_digit": ["--window", "2048", "--layers", "2", "--features", "4", "--skip", "4"],
    "vae_digits": ["--hidden", "8"],
    "cvae_digits": ["--hidden", "8"],
    **{f"image_gpt_{data}": ["--features", "4", "--layers", "1", "--heads", "1"] for data in ("digits", "mnist")},
    "gated_pixel_cnn_digits": ["--layers", "1", "--features", "2"],
    **{f"{name}_mnist": ["--layers", "1", "--features", "2"] for name in ("gated_pixel_cnn", "pixel_cnn", "pixel_rnn")},
    **{
        f"pixel_cnn_pp_{data}": ["--features", "2", "--blocks", "1", "--scales", "1", "--components", "2"]
        for data in ("digits", "mnist")
    },
    "vamp_prior_mnist": ["--pseudo-inputs", "8", "--test-k", "2"],
}
OTHERWISE = {"glow": ["--data", "mnist"], "maf_mnist": ["--coupling"], "pixel_rnn_mnist": ["--row"]}
CASES = {path.stem: (path, []) for path in EXPERIMENTS}
CASES |= {
    f"{path.stem} {more[-1]}": (path, more) for path in EXPERIMENTS for more in [OTHERWISE.get(path.stem)] if more
}

# Their families train two steps by another experiment here.
TRACED = {"beta_vae_digits", "iaf_points", "image_gpt_digits", "pixel_cnn_pp_digits"}
TRACED |= {"projection_gan_digits", "r3gan_points", "sngan_digits", "neural_spline_points", "vae_gan_digits"}
TRACED |= {"cvae_digits", "dcgan_digits"}


def of_files(name):
    return name.endswith("spoken_digit") or "mnist" in name


def slow(name):
    return of_files(name) or name in TRACED


def flags(name):
    path, more = CASES[name]
    return ["--steps", "2", "--batch-size", "16", "--log-every", "1", *TINY.get(path.stem, []), *more]


def skip_without_files():
    if not os.environ.get("GENJAX_ZOO_DATA"):
        pytest.skip("GENJAX_ZOO_DATA names no folder with mnist/ and spoken_digit/: real files are needed")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * slow(name)) for name in CASES])
def test_experiment(name, tmp_path, monkeypatch):
    if of_files(name):
        skip_without_files()
    monkeypatch.setattr(Resident, "batches", 1)  # an evaluation walks over one batch, not over all test images
    run = str(tmp_path / "run")
    cli.console(["train", str(CASES[name][0]), "--workdir", run, *flags(name)])
    experiment, state = restore(run)
    assert int(state.step) == 2
    assert list(tmp_path.glob("run/*.png"))  # samples, or a map of them
    assert experiment.data.at(0)["x"].shape[0] == 16
    assert all(x.is_fully_replicated for x in jax.tree.leaves(state.variables))


@pytest.mark.parametrize("name", [name for name in CASES if slow(name) and "stacked" not in name])
def test_an_experiment_fits_together(name):
    """Data, model, players and a step, in shapes and types; `pytest -m slow` trains them, too."""
    if of_files(name):
        skip_without_files()
    path, _ = CASES[name]
    make = load_experiment(path)
    given, _ = parse_experiment(make, path, flags(name))
    experiment = build(make, given)
    check(experiment)
    state = jax.eval_shape(lambda: create_state_of(experiment))
    batch = {name: jax.ShapeDtypeStruct((16, *one.shape), one.dtype) for name, one in experiment.data.spec.items()}
    after, metrics = jax.eval_shape(make_step(experiment.players), state, batch)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert all(value.shape == () for value in metrics.values())


def test_a_likelihood_experiment_watches_its_splits():
    model = models.vae(shape=(8, 8, 1), latent=2, hidden=(4,))
    players = {"vae": Player(terms=model.nelbo, tx=optax.sgd(1e-3))}
    digits = data.splits("digits", batch_size=16, seed=3, eval_batch_size=50)
    made = likelihood_experiment(model, players, digits, steps=2, seed=3, reconstructions=4, eval_every=7)
    assert list(made.evals) == ["valid", "test", "samples", "reconstructions"] and made.best == "valid/nelbo"
    assert (made.steps, made.seed, made.eval_every, made.save_every) == (2, 3, 7, 1_000)
    assert made.data is digits.train and digits.train.seed == 3 and digits.test.batch_size == 50
    units = {"units": evals.active_units(digits.test)}
    made = likelihood_experiment(model, players, digits._replace(valid=None), steps=2, seed=3, samples=None, more=units)
    assert list(made.evals) == ["test", "units"] and made.best is None
    assert likelihood_experiment(model, players, digits, steps=2, seed=3, best=False).best is None
    with pytest.raises(UserError, match="likelihood|density"):
        likelihood_experiment(models.gan(shape=(8, 8, 1)), players, digits, steps=2, seed=3)


def test_a_gan_experiment_has_two_players():
    model = models.gan(shape=(8, 8, 1))
    game = losses.adversarial(model, r1=losses.r1)
    source, tx = data.load("digits", "train", batch_size=16), optax.sgd(1e-3)
    made = gan_experiment(model, game, tx, source, steps=2, seed=3, penalties={"r1": 0.5}, critic_every=2, ema=0.9)
    critic, generator = made.players.values()
    assert list(made.players) == ["critic", "generator"] and (critic.terms, generator.terms) == game
    assert critic.weights == {"adversarial": 1.0, "r1": 0.5} and generator.weights == {"adversarial": 1.0}
    assert (critic.owns, critic.every, critic.ema) == (("discriminator",), 2, 0.0)
    assert (generator.owns, generator.every, generator.ema) == (("generator",), 1, 0.9)
