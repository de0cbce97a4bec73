"""The border between data and model: what does not fit is said of the data, before the first step.

Looked at are the first batch, the conditions of all examples, and, of data on the device, the examples that hold the
smallest and the largest number of an entry; so the cost is that of reading the data once.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Data, Model
from genjax_zoo.data.arrays import REPAIR
from genjax_zoo.data.resident import not_finite

MOST_BYTES = 2**30  # of conditions that stay with the host


def check_data(model: Model, data: Data) -> None:
    """Checks what a model is trained on.

    Raises:
        ValueError: NaN or infinity in the data, with the entry and the first example; labels that the model does not
            have, or an x outside of its range.
    """
    arrays: Mapping[str, Any] = getattr(data, "arrays", {})
    small = {n: a for n, a in arrays.items() if n != "x" and np.dtype(a.dtype).itemsize * np.prod(a.shape) < MOST_BYTES}
    at_hand = {n: np.asarray(a) for n, a in (arrays if data.resident else small).items()}
    if wrong := not_finite(at_hand):
        raise ValueError(f"The data are not finite: {wrong}; {REPAIR}.")
    if wrong := not_finite_at(data, 0):
        raise ValueError(f"The data are not finite: {wrong}; {REPAIR}.")
    wanted = data.spec
    model.check({n: np.asarray(x) for n, x in data.at(0).items()})
    model.check({n: a for n, a in at_hand.items() if n != "x" and n in wanted and a.dtype == wanted[n].dtype})
    if "x" in at_hand:
        flat = at_hand["x"].reshape(len(at_hand["x"]), -1)
        extremes = [int(index) // flat.shape[1] for index in (flat.argmin(), flat.argmax())]
        raw = {n: jnp.asarray(a[extremes]) for n, a in at_hand.items()}
        model.check({n: np.asarray(x) for n, x in data.finish(raw, 0).items()})


def not_finite_at(data: Data, step: int) -> str | None:
    """Says which entry of the batch of a step holds the first NaN or infinity, as the model sees it; None if none does.

    The example is numbered as in the data where they know its number, else by its place in the batch.
    """
    batch = {name: np.asarray(value) for name, value in data.at(step).items()}
    if (wrong := not_finite(batch)) is None:
        return None
    numbers = getattr(data, "examples", None)
    if numbers is None:
        return f"in the batch of step {step} {wrong}"
    order = np.argsort(numbers(step), kind="stable")
    return not_finite({name: value[order] for name, value in batch.items()}, numbers=np.asarray(numbers(step))[order])
