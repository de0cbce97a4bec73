"""Whose features judge samples: the classifier that knows the data, Inception, a user's function, or x itself."""

import functools
import hashlib
import math
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp

from genjax_zoo import judges
from genjax_zoo.core import Array, behaviour
from genjax_zoo.errors import Missing, UserError, explain_errors
from genjax_zoo.judges import inception
from genjax_zoo.runs.source import load_module, modules_beside

MOST = 1_024  # numbers of x that are features as they are; a covariance of more is too large
GREY = ("mnist", "mnist-static", "mnist-dynamic", "mnist-deq")


@behaviour
class FeatureJudge:
    """What makes features of x, and its name, which every score carries."""

    name: str
    features: Callable[[Array], Array]  # x [B, ...] -> [B, F]
    classify: Callable[[Array], Array] | None = None  # x -> logits [B, classes]


def judge_of(data: str, shape: tuple[int, ...]) -> FeatureJudge:
    """The judge that knows a protocol's data best, of those that are shipped.

    Args:
        data: the protocol's name.
        shape: of one x.
    """
    if data in GREY:
        return FeatureJudge(name="mnist-cnn", features=judges.mnist().features, classify=judges.mnist().classify)
    if data == "stacked-mnist":
        return FeatureJudge(name="mnist-cnn of each colour", features=_each_colour)
    if data == "spoken-digit" and shape == (4_096, 1):
        known = judges.spoken_digit()
        return FeatureJudge(name=known.name, features=known.features, classify=known.classify)
    if math.prod(shape) <= MOST:
        return FeatureJudge(name={1: "points", 3: "pixels"}.get(len(shape), "numbers"), features=_as_they_are)
    small = (16, 16, shape[-1]) if len(shape) == 3 else (512, *shape[1:])
    return FeatureJudge(
        name=f"{'pixels' if len(shape) == 3 else 'numbers'} of {'x'.join(map(str, small))}",
        features=jax.jit(lambda x: _as_they_are(jax.image.resize(x, (len(x), *small), "linear"))),
    )


def judge_of_file(path: Path, shape: tuple[int, ...]) -> FeatureJudge:
    """A user's own: a Python file with a function `features`, x [B, ...] -> [B, F].

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it has no such function, or one that gives another shape.
    """
    if not path.is_file():
        raise Missing(f"There is no features file {path}.")
    if path.suffix != ".py":
        raise UserError(f"The features file {path} must be Python (.py), with a function features(x) -> [B, F].")
    function: Callable[[Array], Array] | None = getattr(load_module(path), "features", None)
    if not callable(function):
        raise UserError(f"The features file {path} has no function 'features'; write one of x [B, ...] -> [B, F].")
    with explain_errors(f"The function 'features' of {path} cannot be run", path):
        given = jnp.shape(function(jnp.zeros((3, *shape))))
    if len(given) != 2 or given[0] != 3:
        raise UserError(
            f"The features file {path} gives the shape {given} for 3 examples of {shape}; it must give [3, F]."
        )
    text = b"".join(file.read_bytes() for file in (path, *modules_beside(path).values()))
    digest = hashlib.sha256(text).hexdigest()[:8]  # another text is another judge
    return FeatureJudge(name=f"{path.stem}@{digest}", features=function)


def judge_of_inception(path: Path, x: Array) -> FeatureJudge:
    """Inception with the published weights of FID, whose Fréchet distance alone may be called that.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it holds other weights; or x [B, ...], some real examples, are no images in [0, 1].
    """
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or not bool(jnp.all((x >= 0) & (x <= 1))):
        raise UserError(
            f"Inception sees images [H, W, 1 or 3] in [0, 1], but x has the shape {x.shape[1:]} and goes from "
            f"{float(x.min()):.3g} to {float(x.max()):.3g}; leave out --inception-weights."
        )
    return FeatureJudge(name=inception.NAME, features=functools.partial(inception.features, inception.read(path)))


def _as_they_are(x: Array) -> Array:
    return x.reshape(len(x), -1)


def _each_colour(x: Array) -> Array:
    """The features of the three digits, one behind the other."""
    return jnp.concatenate([judges.mnist().features(x[..., colour, None]) for colour in range(3)], axis=1)
