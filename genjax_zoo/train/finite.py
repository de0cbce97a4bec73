"""What a call's metrics say: their means, and whether a turn stopped being finite."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from genjax_zoo.errors import UserError
from genjax_zoo.train.step import FLAGS


class Diverged(UserError):
    """A loss or an update stopped being finite, at a step."""

    def __init__(self, step: int, what: str):
        super().__init__(f"Step {step}: {what}")
        self.step = step


def means_over_steps(fetched: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The means of several calls' metrics, each [steps], over the turns that were taken."""
    rows = {name: np.concatenate([np.atleast_1d(m[name]) for m in fetched]) for name in fetched[0]}
    played = {name: rows[f"{name.rpartition('/')[0]}/played"] == 1 for name in rows}
    return {
        name: float(np.mean(values[played[name]]))
        for name, values in rows.items()
        if name.rpartition("/")[2] not in FLAGS and np.any(played[name])
    }


def check_finite(start: int, metrics: Mapping[str, Any], leaves: Mapping[str, Sequence[str]]) -> None:
    """Looks through one call's metrics, each [steps].

    Raises:
        Diverged: a player's turn was not finite, with the step, the player, the term, and the first leaf of its
            gradient that was not.
    """
    for name, finite in metrics.items():
        player, _, entry = name.rpartition("/")
        if entry != "finite" or np.all(finite):
            continue
        row = int(np.argmin(finite))
        terms = [
            term.rpartition("/")[2]
            for term, values in metrics.items()
            if term.startswith(f"{player}/") and not np.isfinite(np.atleast_1d(values)[row])
        ]
        named = [t for t in terms if t not in ("loss", "grad_norm")] or [
            "grad_norm" if "grad_norm" in terms else "loss" if "loss" in terms else "update"
        ]
        leaf = leaves[player][int(np.atleast_1d(metrics[f"{player}/broken"])[row])]
        where = f" (first in the gradient of {leaf})" if "grad_norm" in terms else ""
        where = f" (first in {leaf})" if named == ["update"] else where
        raise Diverged(start + row, f"'{named[0]}' of player '{player}' is not finite{where}")
