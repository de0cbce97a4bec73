"""How much of a latent space is in use."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from genjax_zoo.core import Array, Batch, Data, Eval, Key, Latent, Model, Variables, compiled, part, require
from genjax_zoo.evals.walk import collect


def active_units(data: Data, *, threshold: float = 0.01, draws: int = 16) -> Eval:
    """Latent dimensions whose posterior mean varies with x: Var_x E_q[z_i] > threshold (Burda et al. 2015, sec. 5).

    A deeper layer's mean is over draws of the layers that it is given. The covariance of two such means, of draws of
    their own, is the variance of the expectation itself: the variance of the draws is not in it.

    Args:
        data: an evaluation split; every example counts once, padding does not.
        threshold: of the variance.
        draws: for each of the two means, of layered models.

    Returns:
        An Eval that gives "active_units", of all numbers of the latent. It raises ValueError for a model without
        `encode`.
    """

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        means = functools.partial(_means(model, draws), variables)
        first, second = (both.astype(np.float64) for both in collect(data, key, means))
        covariance = np.mean((first - first.mean(axis=0)) * (second - second.mean(axis=0)), axis=0)
        return {"active_units": float(np.sum(covariance > threshold))}

    return run


@compiled
def _means(model: Model, draws: int):
    """(variables, batch, key) -> two estimates of E_q[z | x], [B, D] each; one and the same where it is known."""
    encode, means = part(model, Latent, "encode"), require(model, Latent).means

    @jax.jit
    def run(variables: Variables, batch: Batch, key: Key) -> tuple[Array, ...]:
        if means is None:
            both = [encode(variables, batch, key)[0]] * 2
        else:
            both = [means(variables, batch, key, draws)[0] for key in jax.random.split(key)]
        return tuple(z.reshape(len(z), -1) for z in both)

    return run
