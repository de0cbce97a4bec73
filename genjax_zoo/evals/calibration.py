"""Whether a model's conditionals mean what they say: the probability integral transform (Dawid 1984)."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Array, Batch, Conditionals, Data, Eval, Key, Model, Variables, compiled, require
from genjax_zoo.evals.estimate import estimate, report, resample
from genjax_zoo.evals.support import numbers_of
from genjax_zoo.evals.walk import size, walk, whole
from genjax_zoo.inference.sampling import levels_of

BINS = 1_024


def pit(views: Conditionals, variables: Variables, batch: Batch, key: Key) -> Array:
    """P(X_i < x_i | those before) + u P(x_i | those before), u ~ U[0, 1): uniform if the conditionals are right.

    Randomised as in Czado et al. 2009, because levels are discrete; uniform numbers [B, *grid].
    """
    p = jax.nn.softmax(views.logits(variables, batch)[0])
    level = levels_of(views, batch["x"])[..., None]
    own = jnp.take_along_axis(p, level, axis=-1)[..., 0]
    below = jnp.sum(jnp.where(jnp.arange(views.levels) < level, p, 0), axis=-1)
    return below + jax.random.uniform(key, own.shape) * own


def ks_distance(shares: np.ndarray) -> np.ndarray:
    """The largest distance from the diagonal of the distribution in equal bins of [0, 1]: [..., bins] -> [...].

    That of Kolmogorov and Smirnov, but looked at between bins only.
    """
    cumulated = np.cumsum(shares, axis=-1) / np.sum(shares, axis=-1, keepdims=True)
    return np.abs(cumulated - (np.arange(shares.shape[-1]) + 1) / shares.shape[-1]).max(axis=-1)


def calibration(data: Data, *, resamples: int = 100) -> Eval:
    """How far the conditionals of a data set's numbers are from calibrated.

    Args:
        data: an evaluation split; every example counts once, padding does not, neither examples nor samples.
        resamples: of the interval, over whole examples, because numbers of one depend on each other.

    Returns:
        An Eval of "pit_ks" in [0, 1], the distance of the transform's distribution from uniform; its interval; its
        floor, that of as many uniform numbers; and "pit_ks/n", how many numbers. It raises ValueError for a model
        without `conditionals`.
    """
    data = whole(data)

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        views = require(model, Conditionals)
        weights = resample(size(data), resamples)
        counts, done = np.zeros((2, len(weights), BINS)), 0
        for batch, mask, k_batch in walk(data, key):
            own, some = np.asarray(mask) == 1, _count(views)(variables, batch, k_batch)
            for total, one in zip(counts, some):
                total += weights[:, done : done + own.sum()] @ np.asarray(one)[own]
            done += own.sum()
        found, floor = (estimate(ks_distance(total), int(total[0].sum()), least=0.0, most=1.0) for total in counts)
        return {**report("pit_ks", found, floor.value), "pit_ks/n": found.n}

    return run


@compiled
def _count(views: Conditionals):
    """(variables, batch, key) -> how many of each example's numbers are in each bin, and of as many uniform ones."""

    @jax.jit
    def run(variables: Variables, batch: Batch, key: Key) -> tuple[Array, Array]:
        k_pit, k_uniform = jax.random.split(key)
        u = pit(views, variables, batch, k_pit).reshape(len(batch["x"]), -1)
        own = jnp.arange(u.shape[1]) < numbers_of(batch)[:, None]  # a sequence's come first
        return _histograms(u, own), _histograms(jax.random.uniform(k_uniform, u.shape), own)

    return run


def _histograms(u: Array, own: Array) -> Array:
    """[B, D] in [0, 1], and which of them count -> [B, BINS]."""
    index = jnp.minimum(u * BINS, BINS - 1).astype(jnp.int32)
    return jax.vmap(lambda one, counts: jnp.zeros(BINS).at[one].add(counts))(index, own)
