"""How often a classifier is right."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from genjax_zoo.core import Array, Data, Eval, Judge, Key, Model, Variables, require
from genjax_zoo.errors import UserError
from genjax_zoo.evals.walk import whole


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
    data = whole(data)

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        classify, counts = _classify(require(model, Judge)), np.zeros((0, 0))
        for step in range(data.batches):
            batch, mask = data.at(step), np.asarray(data.mask(step))
            logits = np.asarray(classify(variables, batch["x"]))
            counts = np.zeros((logits.shape[1],) * 2) if counts.size == 0 else counts
            np.add.at(counts, (np.asarray(batch["label"]), logits.argmax(axis=1)), mask)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        picture = np.kron(np.sqrt(share), np.ones((16, 16)))
        return {"accuracy": float(np.trace(counts) / counts.sum()), "confusion": picture[None, ..., None]}

    return run


@functools.cache
def _classify(judge: Judge):
    @jax.jit
    def run(variables: Variables, x: Array) -> Array:
        return judge.classify(variables, x)[0]

    return run
