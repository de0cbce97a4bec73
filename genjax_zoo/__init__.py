"""genjax_zoo: a JAX functional zoo of deep generative models.

Model, Player, TrainState, Experiment    the four values everything is made of
fit, restore, main                       train an experiment, read a run back, make a file a command
from_linen, from_nnx, pure, log_prob    own modules as models and functions; a density for other JAX programs
compose, conformance, data, evals, inference, judges, losses, math, models, nn, train, wrap
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
__all__ = [*_HOME, *_MODULES]  # type: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Imports on first use, so that the command line can answer without importing jax."""
    if name in _MODULES:
        return importlib.import_module(f"genjax_zoo.{name}")
    if name in _HOME:
        return getattr(importlib.import_module(f"genjax_zoo.{_HOME[name]}"), name)
    raise AttributeError(f"module 'genjax_zoo' has no attribute '{name}'")
