"""The cells of a leaderboard's row: a number, or the reason why there is none."""

import math
from typing import Any

Cell = dict[str, Any]
Cells = dict[str, Cell]


def number_cell(value: float, *, kind: str | None = None, n: int | None = None, **more: Any) -> Cell:
    """A cell with a number, which is a reason where it is not finite; `more` is "low", "high", "floor" or "source"."""
    if not math.isfinite(value):
        return absent_cell(f"not finite: {value}")
    return {"value": value, "low": None, "high": None, "floor": None, "n": n, "kind": kind, "reason": None, **more}


def absent_cell(reason: str) -> Cell:
    """A cell without a number."""
    return {"value": None, "low": None, "high": None, "floor": None, "n": None, "kind": None, "reason": reason}
