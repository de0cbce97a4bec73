"""The columns of a leaderboard, and which runs may stand in one.

A row is a run's scores.json. Each of its cells has a "value", or a "reason" why there is none; "low" and "high" bound
its 95 % interval, "floor" is the same metric of real examples against real ones, "n" how many were measured, and "kind"
says what the number is where that matters: "exact" or "bound" for likelihoods, "reported" for a paper's.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from genjax_zoo.errors import UserError

Row = Mapping[str, Any]
SCORES = "scores.json"  # in a run folder
INCEPTION = "inception-2015"  # the extractor whose Fréchet distance is FID


class Column(NamedTuple):
    """How to read a number."""

    title: str
    unit: str  # behind the number, or ""
    better: str | None  # "lower", "higher", or None where there is no better
    digits: int  # significant digits to print


COLUMNS: Mapping[str, Column] = {
    "nats": Column("likelihood", "nats", "lower", 5),  # nll or its bound per example; the cell's kind says which
    "bits_per_dim": Column("bits/dim", "", "lower", 4),
    "frechet": Column("Fréchet", "", "lower", 4),
    "kernel_distance": Column(
        "kernel distance", "", "lower", 3
    ),  # unbiased MMD^2; its features are named in the protocol
    "precision": Column("precision", "", "higher", 3),
    "recall": Column("recall", "", "higher", 3),
    "density": Column("density", "", None, 3),  # 1 is best: a collapsed model reaches more
    "coverage": Column("coverage", "", "higher", 3),
    "memorisation": Column("memorisation", "", None, 3),
    "class_score": Column("class score", "", "higher", 3),
    "modes": Column("modes", "", "higher", 4),
    "mode_kl": Column("mode KL", "nats", "lower", 3),
    "samples_per_s": Column("samples/s", "", "higher", 3),
    "examples_per_s": Column("train examples/s", "", "higher", 3),
    "parameters": Column("parameters", "", None, 3),
    "compile_s": Column("compile", "s", "lower", 3),
    "peak_memory_mb": Column("peak memory", "MB", "lower", 4),
    "reported": Column("published", "", None, 4),
}


def leaderboard(rows: Sequence[Row]) -> dict[str, Any]:
    """Puts runs of one data set side by side.

    Args:
        rows: of scores.json files.

    Returns:
        "data" and "protocol", which all runs share; "columns", by key: "title", "unit", "better", and "best", the
        places of the rows that no other beats by more than their intervals; "floors", by key; "rows", smallest Fréchet
        distance first; and "notes", sentences.

    Raises:
        UserError: no rows, or rows of different data or of different protocols.
    """
    if not rows:
        raise UserError("A leaderboard needs one run or more.")
    _check_comparable(rows)
    rows = sorted(rows, key=_order)
    columns = {
        key: {"title": _title(key, rows), "unit": c.unit, "better": c.better, "best": _best(key, rows)}
        for key, c in COLUMNS.items()
    }
    floors = {key: cell["floor"] for row in reversed(rows) for key, cell in row["cells"].items() if _has(cell, "floor")}
    return {
        "data": rows[0]["data"],
        "protocol": rows[0]["protocol"],
        "columns": columns,
        "floors": floors,
        "rows": list(rows),
        "notes": _notes(rows),
    }


def number(key: str, value: float, digits: int | None = None) -> str:
    """A value with the column's significant digits, or as many as are given."""
    digits = digits or COLUMNS[key].digits
    if abs(value) >= 10**digits:
        return f"{float(f'{value:.{digits}g}'):,.0f}"
    return f"{value:#.{digits}g}".rstrip(".")


def _check_comparable(rows: Sequence[Row]) -> None:
    by_data: dict[str, list[str]] = {}
    for row in rows:
        by_data.setdefault(row["data"], []).append(row["run"])
    if len(by_data) > 1:
        groups = "; ".join(f"{', '.join(runs)} of {data}" for data, runs in by_data.items())
        raise UserError(
            f"These runs are of different data: {groups}. A likelihood is of one space, levels, bits or densities, and "
            f"a distance of one set of real examples, so neither ranks across them; compare runs of one data set."
        )
    first = rows[0]
    for row in rows[1:]:
        if row["protocol"] != first["protocol"]:
            one, other = first["protocol"], row["protocol"]
            differs = [name for name in {**one, **other} if one.get(name) != other.get(name)]
            told = ", ".join(f"{name} {one.get(name)} and {other.get(name)}" for name in differs)
            raise UserError(
                f"{first['run']} and {row['run']} were measured by different protocols: {told}. Distances depend on "
                f"n and k; measure both by one 'genjax-zoo compare'."
            )


def _order(row: Row) -> tuple[bool, float, str]:
    value = row["cells"]["frechet"]["value"]
    return value is None, value or 0.0, row["run"]


def _title(key: str, rows: Sequence[Row]) -> str:
    """Only Inception's distances may be called FID and KID."""
    own = {"frechet": "FID", "kernel_distance": "KID"} if rows[0]["protocol"]["features"] == INCEPTION else {}
    return own.get(key, COLUMNS[key].title)


def _has(cell: Mapping[str, Any], entry: str) -> bool:
    return cell.get(entry) is not None


def _given(cell: Mapping[str, Any]) -> str:
    """What a likelihood is given: those given the label are of another quantity than those that are not."""
    return (cell.get("kind") or "").partition("given ")[2]


def _best(key: str, rows: Sequence[Row]) -> list[int]:
    """The rows that no other of the same kind beats by more than both intervals."""
    better = COLUMNS[key].better
    if better is None:
        return []
    sign = 1 if better == "lower" else -1
    groups: dict[str, list[tuple[float, float, int]]] = {}
    for place, row in enumerate(rows):
        cell = row["cells"][key]
        if _has(cell, "value"):
            low, high = (cell[end] if _has(cell, end) else cell["value"] for end in ("low", "high"))
            ends = sorted((sign * low, sign * high))
            groups.setdefault(_given(cell), []).append((*ends, place))
    return sorted(
        place for group in groups.values() for low, _, place in group if low <= min(high for _, high, _ in group)
    )


def _notes(rows: Sequence[Row]) -> list[str]:
    kinds = {cell["kind"] for row in rows if (cell := row["cells"]["nats"])["value"] is not None}
    notes = []
    if len({kind.partition(" ")[0] for kind in kinds}) > 1:
        notes.append(
            "Exact likelihoods and bounds stand in one column: a model with a bound is at least as good as its number."
        )
    given = {kind.partition("given ")[2] for kind in kinds}
    if len(given) > 1:
        named = " and ".join(sorted(g for g in given if g))
        notes.append(
            f"Likelihoods given {named} are not ranked against those that are not: a model that is told more needs "
            f"fewer nats, by at most what it is told (log 10 = 2.3 nats for one of ten labels)."
        )
    machines = " and ".join(sorted({row.get("machine", "an unknown machine") for row in rows}))
    notes.append(
        f"Samples/s, compile (of the train step, without a cache) and peak memory (of the train step, as XLA plans it) "
        f"are of {machines}; train examples/s are of the machines that trained the runs."
    )
    told: dict[str, list[str]] = {}
    for row in rows:
        for note in row.get("notes", ()):
            told.setdefault(note, []).append(row["run"])
    return notes + [f"{', '.join(dict.fromkeys(runs))}: {note}" for note, runs in told.items()]
