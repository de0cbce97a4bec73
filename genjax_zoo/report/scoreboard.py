"""A run's scores.json as text for a page: each metric beside its interval and floor, and the leaderboards."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from genjax_zoo.compare.leaderboard import leaderboard, number
from genjax_zoo.errors import UserError
from genjax_zoo.report.page import Board, Score

SHARES = ("precision", "recall", "coverage")  # between 0 and 1

Row = Mapping[str, Any]


def scores_of(row: Row) -> list[Score]:
    """The metrics of one run, in the order of the columns; those not measured give the reason."""
    columns = leaderboard([row])["columns"]
    return [_score(key, columns[key], row["cells"][key]) for key in columns]


def protocol_of(row: Row) -> str:
    """How a run was measured, in a few sentences."""
    where = f", on {row['machine']}" if row.get("machine") else ""
    measured = f"On {row['data']} at step {row['step']:,}, at commit {row['commit']}{where}: {_settings(row)}."
    floor = "A floor is what real examples get against real ones."
    return " ".join([measured, floor, *row.get("notes", ())])


def boards_of(rows: Sequence[Row]) -> tuple[list[Board], list[str]]:
    """A leaderboard of each two rows or more of the same data and protocol, and sentences about what is not ranked."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(json.dumps([row["data"], row["protocol"]], sort_keys=True), []).append(row)
    notes = []
    if len(groups) > 1:
        try:
            leaderboard(rows)
        except UserError as error:
            notes = [str(error)]
    return [_board(leaderboard(group)) for group in groups.values() if len(group) > 1], notes


def _board(table: Mapping[str, Any]) -> Board:
    rows, columns = table["rows"], table["columns"]
    shown = [key for key in columns if any(row["cells"][key]["value"] is not None for row in rows)]
    body = [
        (
            row["run"],
            " · ".join(row[name] for name in ("family", "model")),
            [_score(key, columns[key], row["cells"][key], place in columns[key]["best"]) for key in shown],
        )
        for place, row in enumerate(rows)
    ]
    empty = [f"{columns[key]['title']} ({rows[0]['cells'][key]['reason']})" for key in columns if key not in shown]
    return Board(
        data=table["data"],
        protocol=_settings(table),
        columns=[(_titled(columns[key]), columns[key]["better"]) for key in shown],
        rows=body,
        floors=[number(key, table["floors"][key]) if key in table["floors"] else "" for key in shown],
        notes=[*table["notes"], *([f"No run has a number for {', '.join(empty)}."] if empty else [])],
    )


def _settings(row: Row) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in row["protocol"].items())


def _titled(column: Mapping[str, Any]) -> str:
    return f"{column['title']} [{column['unit']}]" if column["unit"] else column["title"]


def _score(key: str, column: Mapping[str, Any], cell: Mapping[str, Any], best: bool = False) -> Score:
    if cell["value"] is None:
        return Score(_titled(column), reason=cell["reason"])
    known = {name: cell[name] for name in ("value", "floor", "low", "high") if cell[name] is not None}
    text = {name: number(key, value) for name, value in known.items()}
    return Score(
        title=_titled(column),
        text=text["value"],
        value=cell["value"],
        kind=", ".join(filter(None, (cell["kind"], cell.get("source")))),
        interval=f"{text['low']} to {text['high']}" if "low" in text and "high" in text else "",
        floor=text.get("floor", ""),
        n=f"{cell['n']:,}" if cell["n"] else "",
        gauge=_gauge(key, known) if "floor" in known else None,
        best=best,
    )


def _gauge(key: str, known: Mapping[str, float]) -> dict[str, float]:
    """Where the numbers are, on a line from 0 (or the least, below it) to 1 for shares and else to the greatest."""
    low, high = min(0.0, *known.values()), 1.0 if key in SHARES else max(known.values())
    return {name: min(1.0, (value - low) / (high - low or 1.0)) for name, value in known.items()}
