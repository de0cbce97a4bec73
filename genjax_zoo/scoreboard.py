"""A run's scores.json as text for a page: each metric beside its interval and floor, and the leaderboards."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from genjax_zoo.leaderboard import COLUMNS, leaderboard
from genjax_zoo.report.page import Board, Score, short

SHARES = ("precision", "recall", "coverage")  # between 0 and 1


def scores_of(row: Mapping[str, Any]) -> list[Score]:
    """The metrics of one run, in the order of the columns; those not measured give the reason."""
    return [_score(key, row["cells"][key]) for key in COLUMNS if key in row["cells"]]


def protocol_of(row: Mapping[str, Any]) -> str:
    """How a run was measured, in a line."""
    settings = ", ".join(f"{name} {value}" for name, value in row["protocol"].items())
    commit = f"; at commit {row['commit']}" if row.get("commit") else ""
    floor = "A floor is what real examples get against real ones."
    return f"On {row['data']} at step {row['step']:,}: {settings}{commit}. {floor}"


def boards_of(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Board], list[str]]:
    """A leaderboard for each data set with two measured runs or more, and sentences about what is not ranked."""
    data = list(dict.fromkeys(row["data"] for row in rows))
    notes = []
    if len(data) > 1:
        try:
            leaderboard(rows)
        except ValueError as error:
            notes.append(str(error))
    boards = []
    for those in ([row for row in rows if row["data"] == name] for name in data):
        try:
            boards += [_board(leaderboard(those))] if len(those) > 1 else []
        except ValueError as error:
            notes.append(str(error))
    return boards, notes


def _board(table: Mapping[str, Any]) -> Board:
    rows = table["rows"]

    def cell(row: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        return row["cells"].get(key) or {"value": None, "reason": "not measured"}

    shown = [key for key in table["columns"] if any(cell(row, key).get("value") is not None for row in rows)]
    columns = [(_titled(key), table["columns"][key]["better"]) for key in shown]
    best = {key: _best([cell(row, key) for row in rows], table["columns"][key]["better"]) for key in shown}
    comparable = len({str(row.get("protocol")) for row in rows}) == 1
    body = [
        (
            row["run"],
            " · ".join(str(row[name]) for name in ("family", "model") if row.get(name)),
            [_score(key, cell(row, key), best[key] if comparable else None) for key in shown],
        )
        for row in rows
    ]
    absent = [COLUMNS[key].title for key in table["columns"] if key not in shown]
    notes = [*table["notes"], *([f"Of none of these: {', '.join(absent)}."] if absent else [])]
    return Board(table["data"], columns, body, notes)


def _best(cells: Sequence[Mapping[str, Any]], better: str | None) -> float | None:
    """The best of a column's numbers; None where there is no better, or where some are given the label and some not."""
    values = [cell["value"] for cell in cells if cell.get("value") is not None]
    kinds = {"given the label" in (cell.get("kind") or "") for cell in cells if cell.get("value") is not None}
    if better is None or len(values) < 2 or len(kinds) > 1:
        return None
    return min(values) if better == "lower" else max(values)


def _titled(key: str) -> str:
    column = COLUMNS[key]
    return f"{column.title} [{column.unit}]" if column.unit else column.title


def _score(key: str, cell: Mapping[str, Any], best: float | None = None) -> Score:
    value = cell.get("value")
    if value is not None and not math.isfinite(value):
        return Score(_titled(key), reason="not finite")
    if value is None:
        return Score(_titled(key), reason=cell.get("reason") or "not measured")
    known = {name: cell[name] for name in ("value", "floor", "low", "high") if cell.get(name) is not None}
    text = {name: short(number, COLUMNS[key].digits, zeros=True) for name, number in known.items()}
    return Score(
        title=_titled(key),
        text=text["value"],
        value=value,
        kind=cell.get("kind") or "",
        interval=f"{text['low']} to {text['high']}" if "low" in text and "high" in text else "",
        floor=text.get("floor", ""),
        n=f"{cell['n']:,}" if cell.get("n") else "",
        gauge=_gauge(key, known) if "floor" in known else None,
        best=best is not None and value == best,
    )


def _gauge(key: str, known: Mapping[str, float]) -> dict[str, float]:
    """Where the numbers are, on a line from 0 (or the least, below it) to 1 for shares and else to the greatest."""
    low, high = min(0.0, *known.values()), 1.0 if key in SHARES else max(known.values())
    return {name: min(1.0, (number - low) / (high - low or 1.0)) for name, number in known.items()}
