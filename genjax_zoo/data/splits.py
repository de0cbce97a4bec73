"""The splits of one data set, loaded together."""

from functools import partial
from typing import NamedTuple

from genjax_zoo import data
from genjax_zoo.data.resident import Resident, Streamed


class Splits(NamedTuple):
    """What an experiment trains on, and what it is evaluated on."""

    train: Resident | Streamed
    test: Resident | Streamed
    valid: Resident | Streamed | None = None


def splits(
    name: str,
    *,
    batch_size: int,
    seed: int,
    eval_batch_size: int = 250,
    conditions: tuple[str, ...] = (),
    valid: bool = True,
) -> Splits:
    """Training, validation and test split of a data set, each as `load` gives it.

    Args:
        name: a name that `load` knows.
        batch_size: training examples in a batch, over all devices.
        seed: orders the training examples and draws their noise.
        eval_batch_size: examples in a batch of the two others.
        conditions: entries to keep besides "x", such as "label".
        valid: whether there is a validation split.

    Raises:
        UserError: what `load` raises.
    """
    held_out = partial(data.load, name, batch_size=eval_batch_size, conditions=conditions)
    train = data.load(name, "train", batch_size=batch_size, conditions=conditions, seed=seed)
    return Splits(train, held_out("test"), held_out("valid") if valid else None)
