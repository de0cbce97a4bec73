"""The border between data and model: what does not fit is said of the data, before the first step.

Looked at are the first batch, the conditions of all examples, and, of data on the device, the examples that hold the
smallest and the largest number of an entry; so the cost is that of reading the data once.
"""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from genjax_zoo.core import Batch, Data, Model
from genjax_zoo.data.arrays import REPAIR
from genjax_zoo.data.resident import not_finite
from genjax_zoo.errors import UserError

MOST_BYTES = 2**30  # of conditions that stay with the host


def check_data(model: Model, data: Data) -> None:
    """Checks what a model is trained on.

    Raises:
        UserError: NaN or infinity in the data, with the entry and the first example; labels that the model does not
            have, or an x outside of its range.
    """
    arrays: Mapping[str, Any] = getattr(data, "arrays", {})
    small = {n: a for n, a in arrays.items() if n != "x" and np.dtype(a.dtype).itemsize * np.prod(a.shape) < MOST_BYTES}
    at_hand = {n: np.asarray(a) for n, a in (arrays if data.resident else small).items()}
    if wrong := not_finite(at_hand):
        raise UserError(f"The data are not finite: {wrong}; {REPAIR}.")
    if data.resident and "x" in at_hand:
        flat = at_hand["x"].reshape(len(at_hand["x"]), -1)
        extremes = np.array([flat.argmin(), flat.argmax()]) // flat.shape[1]
        batches = [{n: np.asarray(x) for n, x in batch.items()} for batch in _seen(data, extremes)]
    else:
        batches = [{n: np.asarray(x) for n, x in data.at(0).items()}]
    if wrong := _not_finite_in(data, 0, batches[0]):
        raise UserError(f"The data are not finite: {wrong}; {REPAIR}.")
    spec = data.spec
    given = {n: a for n, a in at_hand.items() if n != "x" and n in spec and a.dtype == spec[n].dtype}
    for batch in (*batches, given):
        model.check(batch)


@jax.jit
def _seen(data: Any, examples: Any) -> tuple[Batch, Batch]:
    """The first batch, and these examples, as the model sees them."""
    return data.at(0), data.finish({name: array[examples] for name, array in data.arrays.items()}, 0)


def not_finite_at(data: Data, step: int) -> str | None:
    """Says which entry of the batch of a step holds the first NaN or infinity, as the model sees it; None if none does.

    The example is numbered as in the data where they know its number, else by its place in the batch.
    """
    return _not_finite_in(data, step, {name: np.asarray(value) for name, value in data.at(step).items()})


def _not_finite_in(data: Data, step: int, batch: Mapping[str, np.ndarray]) -> str | None:
    if (wrong := not_finite(batch)) is None:
        return None
    if (numbers := getattr(data, "examples", None)) is None:
        return f"in the batch of step {step} {wrong}"
    order = np.argsort(numbers(step), kind="stable")
    return not_finite({name: value[order] for name, value in batch.items()}, numbers=numbers(step)[order])
