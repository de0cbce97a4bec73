"""How much of a code book is in use."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from genjax_zoo.core import Array, Batch, Data, Eval, Key, Model, Variables, compiled
from genjax_zoo.errors import UserError
from genjax_zoo.evals.walk import collect


def code_book(data: Data) -> Eval:
    """The use of a code book over a whole data set.

    Args:
        data: an evaluation split; every example counts once, padding does not.

    Returns:
        An Eval that gives "perplexity", exp of the entropy of the codes' shares (at most K, all alike), and
        "codes_used". It raises ValueError for a model without `codes`.
    """

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        if model.codes is None:
            by = model.left_out.get("codes")
            raise UserError(f"This model has no 'codes', no code book.{f' It was left out by {by}.' if by else ''}")
        codes_of = _codes(model)
        counts = np.bincount(collect(data, key, lambda batch, _: codes_of(variables, batch)).ravel())
        share = counts[counts > 0] / counts.sum()
        return {"perplexity": float(np.exp(-np.sum(share * np.log(share)))), "codes_used": float(np.sum(counts > 0))}

    return run


@compiled
def _codes(model: Model):
    codes = model.codes
    assert codes is not None

    @jax.jit
    def run(variables: Variables, batch: Batch) -> Array:
        return codes(variables, batch)[0]

    return run
