"""Likelihoods and bounds over a whole data set."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import (
    Array,
    Batch,
    Data,
    Eval,
    Key,
    Model,
    TermFn,
    Variables,
    dimensions,
    likelihood_terms,
    require,
    total,
)


def likelihood(data: Data, *, leave_out: tuple[str, ...] = ()) -> Eval:
    """The mean over a data set of "nll", or of "nelbo" where a model has no exact likelihood.

    Args:
        data: an evaluation split; every example counts once, padding does not.
        leave_out: terms that do not count: without "logit" it is the likelihood in logit space, as MAF reports it.

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
        kept = {term: value for term, value in sums["terms"].items() if term not in leave_out}
        means = {term: float(value / sums["count"]) for term, value in kept.items()}
        nats = sum(means.values())
        return {name: nats, "bits/dim": nats / (dimensions(model.spec) * math.log(2)), **means}

    return run


def nats_per_example(model: Model, variables: Variables, key: Key, data: Data) -> np.ndarray:
    """The likelihood of every example of a split, whose mean `likelihood` gives with the same key: nats [N].

    Raises:
        ValueError: a model without a likelihood.
    """
    nats_of = _totals(likelihood_terms(model)[1])
    parts = []
    for step in range(data.batches):
        own = np.asarray(data.mask(step)) == 1
        parts.append(np.asarray(nats_of(variables, data.at(step), jax.random.fold_in(key, step)))[own])
    return np.concatenate(parts)


def bits_per_sample(data: Data) -> Eval:
    """The mean "bits/sample" over all of a data set's own samples, for sequences that are padded to one length.

    Args:
        data: an evaluation split with the entry "length"; padding does not count, neither samples nor examples. The
            model's likelihood must be of the first "length" samples, as that of `models.wavenet` is.

    Returns:
        An Eval that gives "bits/sample", and "nll" or "nelbo" in nats per example, as `likelihood` does. It raises
        ValueError for a model without a likelihood, or data without "length".
    """
    if "length" not in data.spec:
        raise ValueError("bits_per_sample needs each example's length: load the data with conditions=('length', ...).")

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        nats = likelihood(data)(model, variables, key)
        name, _ = likelihood_terms(model)
        samples, examples = 0.0, 0.0
        for step in range(data.batches):
            mask = data.mask(step)
            samples += float(jnp.sum(mask * data.at(step)["length"]))
            examples += float(jnp.sum(mask))
        return {name: nats[name], "bits/sample": nats[name] * examples / (samples * math.log(2))}

    return run


def iw_bound(data: Data, *, k: int = 5_000, chunk: int = 50) -> Eval:
    """The importance-weighted bound -log mean_k p(x, z) / q(z | x) (Burda et al. 2015, arXiv:1509.00519).

    Bounds of different k are different numbers: compare those of one k only.

    Args:
        data: an evaluation split; every example counts once, padding does not.
        k: draws of z per example.
        chunk: draws at a time; memory does not grow with k.

    Returns:
        An Eval that gives "iw-<k>" in nats per example, and "iw-<k>/bits/dim". It raises ValueError for a model without
        `log_weights`.

    Raises:
        ValueError: k or chunk below 1.
    """
    if k < 1 or chunk < 1:
        raise ValueError(f"An importance-weighted bound needs k and chunk of 1 or more, not {k} and {chunk}.")

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        (log_weights,) = require(model, "log_weights")
        bound_of, total, count = _importance_weighted(log_weights, k, min(chunk, k)), 0.0, 0.0
        for step in range(data.batches):
            mask = data.mask(step)
            bound = bound_of(variables, data.at(step), jax.random.fold_in(key, step))
            total, count = total + float(jnp.sum(mask * bound)), count + float(jnp.sum(mask))
        nats = total / count
        return {f"iw-{k}": nats, f"iw-{k}/bits/dim": nats / (dimensions(model.spec) * math.log(2))}

    return run


@functools.cache
def _importance_weighted(log_weights: Callable[..., Array], k: int, chunk: int):
    whole, rest = divmod(k, chunk)

    @jax.jit
    def run(variables: Variables, batch: Batch, key: Key) -> Array:
        def some(total: Array, index: Array, n: int) -> Array:
            drawn = log_weights(variables, batch, jax.random.fold_in(key, index), n)
            return jnp.logaddexp(total, jax.nn.logsumexp(drawn, axis=0))

        total = jnp.full(len(batch["x"]), -jnp.inf)
        total = jax.lax.fori_loop(0, whole, lambda index, total: some(total, index, chunk), total)
        return math.log(k) - (some(total, jnp.asarray(whole), rest) if rest else total)

    return run


@functools.cache
def _totals(terms_of: TermFn):
    return jax.jit(lambda variables, batch, key: total(terms_of(variables, batch, key, False)[0]))


@functools.cache
def _masked_sums(terms_of: TermFn):
    @jax.jit
    def run(variables: Variables, batch: Batch, mask: Array, key: Key):
        terms, _ = terms_of(variables, batch, key, False)
        return {"count": jnp.sum(mask), "terms": {name: jnp.sum(mask * value) for name, value in terms.items()}}

    return run
