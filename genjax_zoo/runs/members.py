"""A sweep's members: a run and a folder per combination of numbers and seed; and the table of what they reached."""

import dataclasses
import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genjax_zoo import runs
from genjax_zoo.core import Experiment
from genjax_zoo.data import Resident, Streamed
from genjax_zoo.errors import UserError
from genjax_zoo.files import whole
from genjax_zoo.train.alike import alike

Flags = Mapping[str, Any]
Row = dict[str, Any]


@dataclasses.dataclass
class Member:
    """One run of a sweep."""

    flags: Flags
    numbers: Mapping[str, float]  # the swept ones
    folder: Path
    experiment: Experiment
    results: Mapping[str, float] = dataclasses.field(default_factory=dict)  # of the last evaluation
    failed: str = ""  # why it left the sweep, if it did


def plan(
    make: runs.Make, flags: Flags, grid: Mapping[str, Sequence[float]], seeds: Sequence[int], folder: Path
) -> list[Member]:
    """The members of a sweep: every combination of the swept numbers, with every seed.

    Args:
        make: the experiment's function.
        flags: those that all members share.
        grid: flag -> its values.
        seeds: of each combination; none leaves the flags' own, or the experiment's.
        folder: holds one run folder per member.

    Raises:
        UserError: a seed or a value comes twice.
    """
    for name, values in {"seed": seeds, **grid}.items():
        if len(set(values)) < len(values):
            raise UserError(f"--{name.replace('_', '-')} has a value twice; give each once.")
    members = []
    for values in itertools.product(*grid.values()):
        numbers = dict(zip(grid, values))
        first: Experiment | None = None
        for seed in seeds or [None]:
            own = {**flags, **numbers, **({} if seed is None else {"seed": seed})}
            experiment = runs.in_precision(runs.build(make, own), own.get("precision", "float32"))
            experiment = runs.at_pace(experiment, own)
            first = first or share_parts(experiment, *(m.experiment for m in members[:1]))
            experiment = share_parts(experiment, first)
            name = ",".join(f"{k}={number_text(v)}" for k, v in {**numbers, "seed": experiment.seed}.items())
            members.append(Member(own, numbers, folder / name, experiment))
    return members


def share_parts(experiment: Experiment, *others: Experiment) -> Experiment:
    """The experiment with the parts of others that do the same: these are compiled, and kept in memory, once."""
    for other in others:
        same = {name: getattr(other, name) for name in ("model", "players", "data") if _alike(experiment, other, name)}
        evals = {
            name: other.evals[name] if name in other.evals and alike(run, other.evals[name]) else run
            for name, run in experiment.evals.items()
        }
        experiment = dataclasses.replace(experiment, evals=evals, **same)
        own: Any = experiment.data
        known: Any = other.data
        if type(own) in (Resident, Streamed) and type(own) is type(known) and alike(own.arrays, known.arrays):
            experiment = dataclasses.replace(experiment, data=dataclasses.replace(own, arrays=known.arrays))
    return experiment


def _alike(one: Experiment, other: Experiment, part: str) -> bool:
    return alike(getattr(one, part), getattr(other, part))


def number_text(number: float) -> str:
    """A number in a folder's name: in six digits, or as many as tell it from any other."""
    return f"{number:g}" if float(f"{number:g}") == number else repr(number)


def check_folders(members: Sequence[Member], check: Callable[[Member], None]) -> None:
    """Checks that a start agrees with each member's folder.

    Args:
        members: from `plan`.
        check: `run.check_run` of a member.

    Raises:
        UserError: one does not agree, or the folder of the sweep holds a run itself.
    """
    folder = members[0].folder.parent
    if (folder / runs.CONFIG).exists():
        raise UserError(f"{folder} holds a single run, not a sweep; name another --workdir.")
    for m in members:
        check(m)


def table(members: Sequence[Member]) -> list[Row]:
    """A row per combination of numbers: each result's mean and standard error over the seeds that stayed finite."""
    rows = []
    for values, group in itertools.groupby(members, key=lambda m: tuple(m.numbers.items())):
        seeds = list(group)
        kept = [m for m in seeds if not m.failed]
        names = list(kept[0].results) if kept else []
        summary = {}
        for name in names:
            found = np.array([m.results[name] for m in kept])
            error = float(found.std(ddof=1) / math.sqrt(len(found))) if len(found) > 1 else None
            summary[name] = {"mean": float(found.mean()), "standard_error": error, "values": found.tolist()}
        failed = {m.folder.name: m.failed for m in seeds if m.failed}
        rows.append({"numbers": dict(values), "seeds": len(seeds), "failed": failed, "results": summary})
    return rows


def print_table(console: Any, rows: Sequence[Row]) -> None:
    """The table for people: mean +- standard error; a combination is a row, or a column where rows would be cut."""
    names = list(dict.fromkeys(name for row in rows for name in row["results"]))
    headings = [*rows[0]["numbers"], "seeds", *names]
    body = [_cells(row, names) for row in rows]
    for lines in _fitting(console, headings, body):
        console.print(lines)
    for row in rows:
        for folder, reason in row["failed"].items():
            console.print(f"{folder} left the sweep. {reason}", highlight=False, markup=False, soft_wrap=True)


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    cells = [*map(number_text, row["numbers"].values()), f"{row['seeds'] - len(row['failed'])}"]
    for name in names:
        found = row["results"].get(name, {"mean": math.nan, "standard_error": None})
        error = "" if found["standard_error"] is None else f" +- {found['standard_error']:.2g}"
        cells.append(f"{found['mean']:.4g}{error}")
    return cells


def _fitting(console: Any, headings: Sequence[str], body: Sequence[Sequence[str]]) -> list[Any]:
    """Tables in which no cell is cut: as it is; on its side, in as many parts as that takes; or line by line."""
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    def drawn(head: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
        shown = Table()
        for title in head:
            shown.add_column(Text(title), no_wrap=True)
        for line in lines:
            shown.add_row(*map(Text, line))
        return shown

    def fits(shown: Table) -> bool:
        return Measurement.get(console, console.options.update(width=10**6), shown).maximum <= console.width

    upright = drawn(headings, body)
    if fits(upright):
        return [upright]
    for many in range(len(body), 0, -1):
        parts = [list(zip(headings, *body[i : i + many])) for i in range(0, len(body), many)]
        tables = [drawn(part[0], part[1:]) for part in parts]
        if all(map(fits, tables)):
            return tables
    return [Text("\n".join(f"{h} {c}" for h, c in zip(headings, row)), overflow="fold") for row in body]


def save_table(folder: Path, rows: Sequence[Row]) -> Path:
    """Writes sweep.json."""
    path = folder / "sweep.json"
    with whole(path) as unfinished:
        unfinished.write_text(json.dumps(rows, indent=2) + "\n")
    return path
