"""genjax_zoo: a JAX functional zoo of deep generative models.

Model                    what a model can do, as pure functions
Player                   named terms with their weights, an optimizer, and the networks that it writes
TrainState               the arrays of a training, which a checkpoint holds
Experiment               a model, its players and their data
fit                      trains an experiment
restore                  reads a run back
main                     makes a file with an experiment a command
likelihood_experiment    what experiments with a likelihood share
gan_experiment           what experiments with a GAN share
from_linen               a Flax Linen module as a Model
from_nnx                 a Flax NNX module as a Model
pure                     a module's method as a function of variables
log_prob                 a model's log-density, for other JAX programs
UserError                what a user can mend, in one sentence

models                   the zoo: one factory for each
losses                   of scores, and as terms that any model can be trained by
wrap                     models of other data, with fixed conditions, or at a temperature
compose                  models made of models
nn                       layers without probability
math                     densities, observation models and transforms
data                     the data sets, and one's own
train                    one step, its devices, and what is made of a state
evals                    likelihoods, and how samples compare with real examples
inference                sampling place by place, ways through a latent space, lossless codes
judges                   classifiers whose features judge samples
conformance              the laws that a model can be held to
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genjax_zoo import compose as compose
    from genjax_zoo import conformance as conformance
    from genjax_zoo import data as data
    from genjax_zoo import evals as evals
    from genjax_zoo import inference as inference
    from genjax_zoo import judges as judges
    from genjax_zoo import losses as losses
    from genjax_zoo import math as math
    from genjax_zoo import models as models
    from genjax_zoo import nn as nn
    from genjax_zoo import train as train
    from genjax_zoo import wrap as wrap
    from genjax_zoo.cli import main as main
    from genjax_zoo.core import Experiment as Experiment
    from genjax_zoo.core import Model as Model
    from genjax_zoo.core import Player as Player
    from genjax_zoo.core import TrainState as TrainState
    from genjax_zoo.core import log_prob as log_prob
    from genjax_zoo.errors import UserError as UserError
    from genjax_zoo.evals import gan_experiment as gan_experiment
    from genjax_zoo.evals import likelihood_experiment as likelihood_experiment
    from genjax_zoo.linen import from_linen as from_linen
    from genjax_zoo.linen import pure as pure
    from genjax_zoo.nnx import from_nnx as from_nnx
    from genjax_zoo.runs import fit as fit
    from genjax_zoo.runs import restore as restore

_HOME = {
    "Experiment": "core",
    "Model": "core",
    "Player": "core",
    "TrainState": "core",
    "UserError": "errors",
    "fit": "runs",
    "from_linen": "linen",
    "from_nnx": "nnx",
    "gan_experiment": "evals",
    "likelihood_experiment": "evals",
    "log_prob": "core",
    "main": "cli",
    "pure": "linen",
    "restore": "runs",
}
_MODULES = (
    "compose",
    "conformance",
    "data",
    "evals",
    "inference",
    "judges",
    "losses",
    "math",
    "models",
    "nn",
    "train",
    "wrap",
)
_FORMER = {"classifiers": "judges", "latent": "inference.latent"}  # as the files in older run folders import them
__all__ = [*_HOME, *_MODULES]  # type: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Imports on first use, so that the command line can answer without importing jax."""
    if name in _MODULES:
        return importlib.import_module(f"genjax_zoo.{name}")
    if name in _FORMER:
        return importlib.import_module(f"genjax_zoo.{_FORMER[name]}")
    if name in _HOME:
        return getattr(importlib.import_module(f"genjax_zoo.{_HOME[name]}"), name)
    raise AttributeError(f"module 'genjax_zoo' has no attribute '{name}'")


def __dir__() -> list[str]:
    """The public names, for Tab and help()."""
    return __all__
