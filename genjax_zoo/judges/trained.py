"""Classifiers with the weights that the package ships, and their checksums and accuracies.

`save(path, eval_variables(state))` wrote each file, of the state that `restore` reads from the run of its experiment.
"""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from genjax_zoo.core import Array, Judge, Model, Of, Variables, behaviour, part, require
from genjax_zoo.errors import UserError
from genjax_zoo.judges.convolutional import image_classifier, sound_classifier

FOLDER = Path(__file__).parent
PART = 50  # examples at a time, whatever the batch: three times as fast on CPU as 2,000, whose windows leave the cache


class Shipped(NamedTuple):
    """A file of weights beside this one."""

    file: str
    sha256: str  # of the file
    accuracy: float  # of these weights, on the protocol's test split


MNIST = Shipped("mnist.npz", "e42d0354da2762136783bdc7f7ccb7fcc13af15b5034e260e6ad19bb63af8a8a", 0.9948)
SPOKEN_DIGIT = Shipped("spoken_digit.npz", "71f9a6bd17a272896653b589351f4a98bd91ce3ced2c5d621e908f7634086619", 0.9072)


@behaviour
class Trained:
    """A trained classifier: what makes features, and what makes classes."""

    name: str  # of the extractor, which a score of its features carries
    accuracy: float  # on the test split, in [0, 1]
    model: Model
    variables: Variables
    features: Callable[[Array], Array]  # x [B, ...] -> [B, F]; compiled
    classify: Callable[[Array], Array]  # x [B, ...] -> logits [B, classes]; compiled


@functools.cache
def mnist() -> Trained:
    """The classifier of grey MNIST: x [B, 28, 28, 1] in [0, 1]; `experiments/classifier_mnist.py` trained it.

    Raises:
        UserError: the file of its weights is not the one that was shipped.
    """
    return _trained("mnist-cnn", image_classifier(), MNIST)


@functools.cache
def spoken_digit() -> Trained:
    """The classifier of spoken digits: x [B, 4096, 1]; `experiments/classifier_spoken_digit.py` trained it.

    Raises:
        UserError: the file of its weights is not the one that was shipped.
    """
    return _trained("spoken-digit-cnn", sound_classifier(), SPOKEN_DIGIT)


def save(path: Path, variables: Variables) -> str:
    """Writes weights as .npz, matrices and kernels in float16, and gives the file's sha256."""
    leaves = {name: np.asarray(leaf) for name, leaf in flatten_dict(dict(variables), sep="/").items()}
    halved = {name: leaf.astype(np.float16) if leaf.ndim > 1 else leaf for name, leaf in leaves.items()}
    np.savez_compressed(path, **halved)  # type: ignore[arg-type]
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read(path: Path, sha256: str) -> Variables:
    """The weights of a file that `save` wrote, in float32.

    Raises:
        UserError: the file has another checksum.
    """
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        raise UserError(f"{path} is not the file that genjax_zoo ships: its checksum differs; install it again.")
    with np.load(path) as leaves, jax.ensure_compile_time_eval():  # arrays even where a traced function asks first
        return unflatten_dict({name: jnp.asarray(leaf, jnp.float32) for name, leaf in leaves.items()}, sep="/")


def _trained(name: str, model: Model, shipped: Shipped) -> Trained:
    variables = read(FOLDER / shipped.file, shipped.sha256)

    def compiled(method: Of[Array]) -> Callable[[Array], Array]:
        def one(variables: Variables, x: Array) -> Array:
            return method(variables, x[None])[0][0]

        run = jax.jit(lambda variables, x: jax.lax.map(functools.partial(one, variables), x, batch_size=PART))
        return functools.partial(run, variables)

    return Trained(
        name=name,
        accuracy=shipped.accuracy,
        model=model,
        variables=variables,
        features=compiled(part(model, Judge, "features")),
        classify=compiled(require(model, Judge).classify),
    )
