"""The columns of a leaderboard, and which runs may stand in one."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Column(NamedTuple):
    """What a column shows."""

    title: str
    unit: str  # behind the number, or ""
    better: str | None  # "lower", "higher", or None where there is no better
    digits: int  # significant digits to print


COLUMNS: Mapping[str, Column] = {
    "nats": Column("likelihood", "nats", "lower", 5),
    "bits_per_dim": Column("bits/dim", "", "lower", 4),
    "frechet": Column("Fréchet", "", "lower", 4),
    "kernel_distance": Column("KID", "", "lower", 3),
    "precision": Column("precision", "", "higher", 3),
    "recall": Column("recall", "", "higher", 3),
    "density": Column("density", "", "higher", 3),
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


def leaderboard(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The table of some runs' scores, the best likelihood first.

    Raises:
        ValueError: the runs are of different data.
    """
    data = sorted({row["data"] for row in rows})
    if len(data) > 1:
        raise ValueError(f"Runs on different data cannot stand in one leaderboard: {', '.join(data)}.")

    def nats(row: Mapping[str, Any]) -> float:
        value = row["cells"].get("nats", {}).get("value")
        return float("inf") if value is None else value

    columns = {key: {"title": c.title, "unit": c.unit, "better": c.better} for key, c in COLUMNS.items()}
    return {"data": data[0], "columns": columns, "rows": sorted(rows, key=nats), "notes": []}
