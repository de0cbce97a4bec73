"""Every experiment, at tiny flags, trains two steps, evaluates, draws and restores; slowly files and some others."""

import os
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from genjax_zoo import cli, restore
from genjax_zoo.cli.flags import parse_experiment
from genjax_zoo.data import Resident
from genjax_zoo.runs import build, check, create_state_of
from genjax_zoo.train import make_step

ROOT = Path(__file__).parent.parent
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.py"))
TINY = {
    "glow_digits": ["--levels", "1", "--depth", "1", "--width", "4"],
    "glow_mnist": ["--levels", "1", "--depth", "1", "--width", "4"],
    "multiscale_real_nvp_mnist": ["--scales", "1", "--width", "2", "--blocks", "1"],
    "nice_mnist": ["--layers", "2", "--hidden", "8"],
    "real_nvp_mnist": ["--layers", "2", "--hidden", "8"],
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
    **{
        f"{name}_mnist": ["--layers", "1", "--features", "2"]
        for name in ("gated_pixel_cnn", "pixel_cnn", "row_lstm", "diagonal_bilstm")
    },
    **{
        f"pixel_cnn_pp_{data}": ["--features", "2", "--blocks", "1", "--scales", "1", "--components", "2"]
        for data in ("digits", "mnist")
    },
    "vamp_prior_mnist": ["--pseudo-inputs", "8", "--test-k", "2"],
}


# Their families train two steps by another experiment here.
TRACED = {"beta_vae_digits", "iaf_points", "image_gpt_digits", "pixel_cnn_pp_digits"}
TRACED |= {"projection_gan_digits", "r3gan_points", "sngan_digits"}


def of_files(path):
    return path.stem.endswith(("mnist", "spoken_digit"))


def slow(path):
    return of_files(path) or path.stem in TRACED


def flags(path):
    return ["--steps", "2", "--batch-size", "16", "--log-every", "1", *TINY.get(path.stem, [])]


def skip_without_files():
    if not os.environ.get("GENJAX_ZOO_DATA"):
        pytest.skip("GENJAX_ZOO_DATA names no folder with mnist/ and spoken_digit/: real files are needed")


@pytest.mark.parametrize("path", [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] * slow(p)) for p in EXPERIMENTS])
def test_experiment(path, tmp_path, monkeypatch):
    if of_files(path):
        skip_without_files()
    monkeypatch.setattr(Resident, "batches", 1)  # an evaluation walks over one batch, not over all test images
    run = str(tmp_path / "run")
    cli.console(["train", str(path), "--workdir", run, *flags(path)])
    experiment, state = restore(run)
    assert int(state.step) == 2
    assert list(tmp_path.glob("run/*.png"))  # samples, or a map of them
    assert experiment.data.at(0)["x"].shape[0] == 16
    assert all(x.is_fully_replicated for x in jax.tree.leaves(state.variables))


@pytest.mark.parametrize(
    "path", [pytest.param(p, id=p.stem) for p in EXPERIMENTS if slow(p) and "stacked" not in p.stem]
)
def test_an_experiment_fits_together(path):
    """Data, model, players and a step, in shapes and types; `pytest -m slow` trains them, too."""
    if of_files(path):
        skip_without_files()
    make, given, run = parse_experiment(path, flags(path))
    experiment = build(make, {**given, "steps": run.steps})
    check(experiment)
    state = jax.eval_shape(lambda: create_state_of(experiment))
    batch = {name: jax.ShapeDtypeStruct((16, *one.shape), one.dtype) for name, one in experiment.data.spec.items()}
    after, metrics = jax.eval_shape(make_step(experiment.players), state, batch)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert all(value.shape == () for value in metrics.values())
