"""How many of the 1,000 modes of Stacked MNIST are drawn, and how evenly (Srivastava et al. 2017; Lin et al. 2018)."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo import judges
from genjax_zoo.core import NO_CONDITION, Array, Batch, Eval, Key, Model, Sampler, Variables, require
from genjax_zoo.errors import UserError
from genjax_zoo.evals.estimate import Estimate, estimate, report, resample
from genjax_zoo.evals.samples import draw

MODES = 1_000
FLOORS = 10  # draws of real examples that a floor is the mean of
FREQUENCIES = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)  # of the 60,000 training labels of MNIST


def mode_count(labels: np.ndarray, *, resamples: int = 100) -> Estimate:
    """How many different labels there are."""
    counts, n = _counts(labels, int(np.max(labels, initial=0)) + 1, resamples)
    return estimate(np.sum(counts > 0, axis=1), n, least=1, most=n)


def mode_kl(labels: np.ndarray, modes: int = MODES, *, resamples: int = 100) -> Estimate:
    """KL(shares of the labels || uniform over the modes), nats: 0 if all are drawn alike, log `modes` if only one is.

    It is biased upwards, by about (modes - 1) / 2n: even perfect samples have a floor.

    Args:
        labels: int [n], in 0 ... modes - 1.
        modes: how many there could be.
        resamples: of the interval.

    Raises:
        UserError: no labels, or one outside.
    """
    counts, n = _counts(labels, modes, resamples)
    share = counts / n
    terms = np.where(share > 0, share * np.log(np.where(share > 0, share, 1)), 0)
    return estimate(math.log(modes) + terms.sum(axis=1), n, least=0.0, most=math.log(modes))


def stacked_labels(classify: Callable[[Array], Array], x: Array) -> Array:
    """The digits of images [n, 28, 28, 3] in [0, 1], classified channel by channel, as a number: int32 [n] below 1000.

    Raises:
        UserError: images of another shape.
    """
    if x.shape[1:] != (28, 28, 3):
        raise UserError(f"Stacked MNIST has images of (28, 28, 3), not {x.shape[1:]}.")
    grey = jnp.moveaxis(x, -1, 1).reshape(-1, 28, 28, 1)
    digits = jnp.argmax(classify(grey), axis=-1).reshape(-1, 3)
    return (digits @ jnp.array([100, 10, 1])).astype(jnp.int32)


def stacked_modes(
    n: int = 26_000,
    *,
    classify: Callable[[Array], Array] | None = None,
    chunk: int = 500,
    cond: Batch = NO_CONDITION,
) -> Eval:
    """The modes that n samples reach, by the zoo's own MNIST classifier.

    The floor is of n triples drawn with MNIST's own class frequencies: 0.0237 +- 0.001 nats at n = 26,000.

    Args:
        n: samples; 26,000 is what papers take.
        classify: grey images [B, 28, 28, 1] -> logits [B, 10]; `judges.mnist().classify` by default.
        chunk: samples at a time.
        cond: the conditions of n samples.

    Returns:
        An Eval of "modes" and "mode_kl" in nats, each with "/low", "/high" and "/floor", and "modes/n". It raises
        ValueError for a model without a sampler, or of other images.

    Raises:
        UserError: n or chunk below 1; conditions of another number of samples.
    """
    if n < 1 or chunk < 1:
        raise UserError(f"Modes are counted in 1 or more samples, in chunks of 1 or more, not {n} and {chunk}.")
    if wrong := {name: len(value) for name, value in cond.items() if len(value) != n}:
        raise UserError(f"{n} samples need a condition each, but there are {wrong}.")

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        require(model, Sampler)
        judge = classify or judges.mnist().classify
        label = jax.jit(lambda x: stacked_labels(judge, x))
        size = min(chunk, n)
        sample, parts = draw(model, size), []
        for step in range(-(-n // size)):
            given = {name: value[(step * size + np.arange(size)) % n] for name, value in cond.items()}
            parts.append(np.asarray(label(sample(variables, jax.random.fold_in(key, step), given))))
        labels = np.concatenate(parts)[:n]
        real = [_real_labels(n, seed) for seed in range(FLOORS)]
        numbers = {"modes/n": n}
        for what, metric in {"modes": mode_count, "mode_kl": mode_kl}.items():
            floor = np.mean([metric(one, resamples=0).value for one in real])
            numbers |= report(what, metric(labels), float(floor))
        return numbers

    return run


def _real_labels(n: int, seed: int = 0) -> np.ndarray:
    """The labels of n triples of random MNIST digits."""
    share = np.array(FREQUENCIES) / sum(FREQUENCIES)
    return np.random.Generator(np.random.PCG64(seed)).choice(10, size=(n, 3), p=share) @ [100, 10, 1]


def _counts(labels: np.ndarray, modes: int, resamples: int) -> tuple[np.ndarray, int]:
    """How often each mode is drawn, in the labels and in each resample, [1 + resamples, modes]."""
    labels = np.asarray(labels)
    if labels.ndim != 1 or len(labels) == 0 or labels.min() < 0 or labels.max() >= modes:
        raise UserError(f"Labels need the shape [n], one or more in 0 ... {modes - 1}; got {labels.shape}.")
    weights = resample(len(labels), resamples)
    return np.stack([np.bincount(labels, row, modes) for row in weights]), len(labels)
