"""Likelihoods and bounds over a whole data set."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Data, Eval, Key, Model, TermFn, Variables, dimensions, likelihood_terms


def likelihood(data: Data) -> Eval:
    """The mean over a data set of "nll", or of "nelbo" where a model has no exact likelihood.

    Args:
        data: an evaluation split; every example counts once, padding does not.

    Returns:
        An Eval that gives the total in nats per example as "nll" or "nelbo", the same as "bits/dim", and every term.
        It raises ValueError for a model without a likelihood.
    """

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        name, terms_of = likelihood_terms(model)
        sums_of, sums = _masked_sums(terms_of), None
        for step in range(data.batches):
            part = sums_of(variables, data.at(step), data.mask(step), jax.random.fold_in(key, step))
            sums = part if sums is None else jax.tree.map(jnp.add, sums, part)
        sums = jax.device_get(sums)
        means = {term: float(value / sums["count"]) for term, value in sums["terms"].items()}
        nats = sum(means.values())
        return {name: nats, "bits/dim": nats / (dimensions(model.spec) * math.log(2)), **means}

    return run


@functools.cache
def _masked_sums(terms_of: TermFn):
    @jax.jit
    def run(variables: Variables, batch: Batch, mask: Array, key: Key):
        terms, _ = terms_of(variables, batch, key, False)
        return {"count": jnp.sum(mask), "terms": {name: jnp.sum(mask * value) for name, value in terms.items()}}

    return run
