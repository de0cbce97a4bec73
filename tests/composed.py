"""The experiments of experiments/composed at tiny sizes."""

import functools
from pathlib import Path

import jax

from genjax_zoo.conformance.case import randomise
from genjax_zoo.runs.source import load_module

FOLDER = Path(__file__).parent.parent / "experiments" / "composed"
VAE = {"latent": 2, "hidden": 6}
TINY = {
    "tcvae_digits": VAE,
    "aae_digits": VAE,
    "wae_digits": VAE,
    "infogan_digits": {"codes": 3, "noise": 2, "widths": (4, 6)},
    "flow_gan_points": {"layers": 2, "hidden": 6},
    "flow_prior_digits": {"latent": 3, "hidden": 6, "layers": 2, "flow_hidden": 5},
    "iaf_posterior_digits": {"latent": 3, "hidden": 6, "features": 4, "flow_hidden": 7},
    "m2_digits": {**VAE, "widths": (3, 4), "labels": 600},
    "conditional_flow_points": {"layers": 2, "hidden": 6},
    "flow_matching_points": {"hidden": 6, "euler": 3},
    "optimizers_digits": VAE,
    "notebook": {"layers": 2, "hidden": 6},
}
OF_TWO_RUNS = {"distillation_teacher": {"layers": 2, "hidden": 6}, "distillation_points": {"layers": 2, "hidden": 6}}


@functools.cache
def module(name):
    return load_module(FOLDER / f"{name}.py")


@functools.cache
def made(name):
    return module(name).experiment(**TINY[name], batch_size=16, steps=2, seed=3)


@functools.cache
def variables_of(name):
    """With noise on parameters and on batch statistics, whose variances stay positive."""
    experiment = made(name)
    variables = randomise(experiment.model.init(jax.random.key(1), experiment.data.at(0)), scale=0.2)
    stats = randomise({"params": variables.get("batch_stats", {})}, seed=1)["params"]
    return {**variables, **({"batch_stats": jax.tree.map(abs, stats)} if stats else {})}
