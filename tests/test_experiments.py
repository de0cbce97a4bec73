"""Every experiment, at tiny flags, trains two steps, evaluates, draws and restores."""

import os
from pathlib import Path

import jax
import pytest

from genjax_zoo import cli, restore
from genjax_zoo.data import Resident

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


STEMS = {path.stem for path in EXPERIMENTS}


def marks(stem):
    """Slow are those that read 300 MB of triples, and MNIST's twin of an experiment on the embedded digits."""
    twin = f"{stem.removesuffix('_mnist')}_digits" in STEMS and stem.endswith("_mnist")
    return [pytest.mark.slow] if twin or stem.endswith("stacked_mnist") else []


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem, marks=marks(path.stem)) for path in EXPERIMENTS])
def test_experiment(path, tmp_path, monkeypatch):
    if path.stem.endswith(("mnist", "spoken_digit")) and not os.environ.get("GENJAX_ZOO_DATA"):
        pytest.skip("GENJAX_ZOO_DATA names no folder with mnist/ and spoken_digit/: real files are needed")
    monkeypatch.setattr(Resident, "batches", 1)  # an evaluation walks over one batch, not over all test images
    run = str(tmp_path / "run")
    tiny = ["--steps", "2", "--batch-size", "16", "--log-every", "1", *TINY.get(path.stem, [])]
    cli.console(["train", str(path), "--workdir", run, *tiny])
    experiment, state = restore(run)
    assert int(state.step) == 2
    assert list(tmp_path.glob("run/*.png"))  # samples, or a map of them
    assert experiment.data.at(0)["x"].shape[0] == 16
    assert all(x.is_fully_replicated for x in jax.tree.leaves(state.variables))
