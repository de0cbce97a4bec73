"""How often a classifier is right."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from genjax_zoo.core import Array, Batch, Data, Eval, Judge, Key, Model, Variables, compiled, require
from genjax_zoo.errors import UserError
from genjax_zoo.evals.walk import add_up


def accuracy(data: Data) -> Eval:
    """The share of examples whose likeliest class is their "label".

    Args:
        data: an evaluation split with "label"; every example counts once, padding does not.

    Returns:
        An Eval that gives "accuracy" in [0, 1], and "confusion", one picture of the share of each label (rows) that is
        taken for each class (columns); square roots, so that rare mistakes show. It raises ValueError for a model
        that is no judge.

    Raises:
        UserError: data without "label".
    """
    if "label" not in data.spec:
        raise UserError("accuracy needs labels: load the data with conditions=('label',).")

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        classify = _classify(require(model, Judge))

        def count(batch: Batch, mask: Array, _: Key) -> np.ndarray:
            logits = np.asarray(classify(variables, batch["x"]))
            counts = np.zeros((logits.shape[1],) * 2)
            np.add.at(counts, (np.asarray(batch["label"]), logits.argmax(axis=1)), np.asarray(mask))
            return counts

        counts = add_up(data, key, count)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        picture = np.kron(np.sqrt(share), np.ones((16, 16)))
        return {"accuracy": float(np.trace(counts) / counts.sum()), "confusion": picture[None, ..., None]}

    return run


@compiled
def _classify(judge: Judge):
    @jax.jit
    def run(variables: Variables, x: Array) -> Array:
        return judge.classify(variables, x)[0]

    return run
