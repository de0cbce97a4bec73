"""Likelihoods and bounds over a whole data set."""

import functools
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import (
    Array,
    Batch,
    Data,
    Density,
    Eval,
    Explained,
    Key,
    Model,
    Variables,
    compiled,
    part,
    require,
    total,
)
from genjax_zoo.errors import UserError
from genjax_zoo.evals.support import check_padding, counted_terms, numbers_of, stranger_sentence, support_of
from genjax_zoo.evals.walk import add_up, collect, walk, whole
from genjax_zoo.files import telling


def likelihood(data: Data, *, leave_out: tuple[str, ...] = ()) -> Eval:
    """The mean over a data set of "nll", or of "nelbo" where a model has no exact likelihood.

    Args:
        data: an evaluation split; every example counts once, padding does not.
        leave_out: terms that do not count: without "logit" it is the likelihood in logit space, as MAF reports it.

    Returns:
        An Eval that gives the total in nats per example as "nll" or "nelbo"; the same as "bits/dim", for each number of
        x that is the example's own, unless it is a density of which there are none (see `data.Support`); and every
        term. A term that is none of the model's own does not enter the total, and is named. It raises ValueError for a
        model without a likelihood, one of another support than the data's, or one that counts padding.
    """
    data = whole(data)

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        density, support = require(model, Density), support_of(model, data)
        sums_of = _masked_sums(density)

        first, mask, noise = next(walk(data, key))
        check_padding(lambda given: total(sums_of(variables, given, mask, noise)["terms"]), first)
        sums = jax.device_get(add_up(data, key, lambda *given: sums_of(variables, *given)))
        own = own_terms(density.terms, tuple(sums["terms"]))
        kept = {term: value for term, value in sums["terms"].items() if term not in leave_out}
        means = {term: float(value / sums["count"]) for term, value in kept.items()}
        nats = sum(value for term, value in means.items() if term in own)
        bits = None if leave_out else support.bits(nats, float(sums["numbers"] / sums["count"]))
        return {density.name: nats, **({} if bits is None else {"bits/dim": bits}), **means}

    return run


@compiled
def own_terms(terms_of: Explained, names: tuple[str, ...]) -> list[str]:
    """The names of the terms that make up a likelihood; strangers among them are named once."""
    own, strangers = counted_terms(terms_of, names)
    if strangers:
        telling.get()(stranger_sentence(strangers))
    return own


def likelihood_of(terms_of: Explained, variables: Variables, batch: Batch, key: Key) -> Array:
    """The nats of each example, [B]: the sum of the model's own terms."""
    terms, _ = terms_of(variables, batch, key, train=False)
    return total({name: terms[name] for name in own_terms(terms_of, tuple(terms))})


def nats_per_example(model: Model, variables: Variables, key: Key, data: Data) -> np.ndarray:
    """The likelihood of every example of a split, whose mean `likelihood` gives with the same key: nats [N].

    Raises:
        UserError: a model without a likelihood, or with one that counts padding.
    """
    nats_of = functools.partial(_totals(require(model, Density)), variables)
    first, _, noise = next(walk(data, key))
    check_padding(lambda given: nats_of(given, noise), first)
    return collect(data, key, nats_of)


def bits_per_sample(data: Data) -> Eval:
    """The mean "bits/sample" over all of a data set's own samples, for sequences that are padded to one length.

    Args:
        data: an evaluation split with the entry "length"; padding does not count, neither samples nor examples. The
            model's likelihood must be of the first "length" samples, as that of `models.wavenet` is; it is refused
            where it is not.

    Returns:
        An Eval that gives "bits/sample", and "nll" or "nelbo" in nats per example, as `likelihood` does. It raises
        ValueError for a model without a likelihood, or data without "length".
    """
    if "length" not in data.spec:
        raise UserError("bits_per_sample needs each example's length: load the data with conditions=('length', ...).")

    def of(batch: Batch, mask: Array, _: Key) -> tuple[float, float]:
        return float(jnp.sum(mask * batch["length"])), float(jnp.sum(mask))

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        nats = likelihood(data)(model, variables, key)
        name = require(model, Density).name
        samples, examples = add_up(data, key, of)
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
        An Eval that gives "iw-<k>" in nats per example, and "iw-<k>/bits/dim" as `likelihood` does. It raises
        ValueError for a model without `density.weigh`, or one of another support than the data's.

    Raises:
        UserError: k or chunk below 1.
    """
    if k < 1 or chunk < 1:
        raise UserError(f"An importance-weighted bound needs k and chunk of 1 or more, not {k} and {chunk}.")
    data = whole(data)

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        bound_of, support = _importance_weighted(model, k, min(chunk, k)), support_of(model, data)

        def of(batch: Batch, mask: Array, noise: Key) -> tuple[float, ...]:
            each = (bound_of(variables, batch, noise), numbers_of(batch), 1.0)
            return tuple(float(jnp.sum(mask * one)) for one in each)

        total, numbers, count = add_up(data, key, of)
        bits = support.bits(total / count, numbers / count)
        return {f"iw-{k}": total / count, **({} if bits is None else {f"iw-{k}/bits/dim": bits})}

    return run


@compiled
def _importance_weighted(model: Model, k: int, chunk: int):
    weigh, (whole, rest) = part(model, Density, "weigh"), divmod(k, chunk)

    @jax.jit
    def run(variables: Variables, batch: Batch, key: Key) -> Array:
        def some(total: Array, index: Array, n: int) -> Array:
            drawn, _ = weigh(variables, batch, jax.random.fold_in(key, index), n)
            return jnp.logaddexp(total, jax.nn.logsumexp(drawn, axis=0))

        total = jnp.full(len(batch["x"]), -jnp.inf)
        total = jax.lax.fori_loop(0, whole, lambda index, total: some(total, index, chunk), total)
        return math.log(k) - (some(total, jnp.asarray(whole), rest) if rest else total)

    return run


@compiled
def _totals(density: Density):
    return jax.jit(functools.partial(likelihood_of, density.terms))


@compiled
def _masked_sums(density: Density):
    @jax.jit
    def run(variables: Variables, batch: Batch, mask: Array, key: Key):
        terms, _ = density.terms(variables, batch, key, train=False)
        return {
            "count": jnp.sum(mask),
            "numbers": jnp.sum(mask * numbers_of(batch)),
            "terms": {name: jnp.sum(mask * value) for name, value in terms.items()},
        }

    return run
