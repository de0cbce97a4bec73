"""What `genjax-zoo compare` does: measures runs, prints their leaderboard, and writes it as JSON."""

import functools
import itertools
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from genjax_zoo.compare.leaderboard import COLUMNS, leaderboard, number
from genjax_zoo.compare.measures import Measurement
from genjax_zoo.compare.scores import data_of, score
from genjax_zoo.errors import Missing, UserError
from genjax_zoo.files import whole
from genjax_zoo.runs import CONFIG
from genjax_zoo.runs.naming import expand_sweeps, members_of, names_of, sentence_about

NARROWEST = 15  # characters of a run's column
OTHERS = 31  # of the titles' and the real data's


def compare_runs(
    runs: Sequence[Path],
    asked: Measurement,
    *,
    all: Path | None = None,
    checkpoint: str = "latest",
    out: Path | None = None,
    fresh: bool = False,
    console: Console | None = None,
) -> list[Path]:
    """Compares runs, and gives the JSON files: one, or of a whole folder one per data set.

    Raises:
        UserError: no runs; runs of different data, unless they are a whole folder; or see `scores.score`.
        FileNotFoundError: a folder holds no run, or no checkpoint.
    """
    if console is None:
        console = Console() if Console().is_terminal else Console(width=200)  # a file has room
    groups, left = _grouped(runs, all)
    for sentence in left:
        _say(console, f"Left out: {sentence}")
    files = []
    every = [folder for folders in groups.values() for folder in folders]
    names = dict(zip(every, names_of(every)))
    warn = functools.partial(_say, console)
    for data, folders in groups.items():
        rows = []
        for folder in folders:
            _say(console, f"Measuring {folder} ...")
            row = score(folder, asked, checkpoint=checkpoint, fresh=fresh, warn=warn)
            rows.append({**row, "run": names[folder]})
        board = leaderboard(rows)
        if any(row.get("content") != rows[0].get("content") for row in rows):
            differ = f"The runs were judged on data of one name, '{data}', but of different content: do not rank them."
            board = {**board, "notes": [*board["notes"], differ]}
        show(console, board)
        path = out or Path(os.path.commonpath([folder.resolve().parent for folder in folders])) / "leaderboard.json"
        if len(groups) > 1:
            path = path.with_stem(f"{path.stem}-{data.partition('/')[0]}")
        try:
            if kept := _set_aside(path, board):
                _say(console, f"{path} was of other runs or another protocol: it is kept as {kept}.")
            with whole(path) as unfinished:
                unfinished.write_text(json.dumps(board, indent=2, allow_nan=False) + "\n")
        except OSError as error:
            _say(console, f"{path} cannot be written ({error.strerror}); name a file that can with --out.")
        else:
            _say(console, str(path))
            files.append(path)
    return files


def _set_aside(path: Path, board: Mapping[str, Any]) -> Path | None:
    """Gives another name to a file that holds more than the board that takes its place."""
    if not path.exists():
        return None
    try:
        old = json.loads(path.read_text())
        same = all(old[name] == board[name] for name in ("data", "protocol"))
        covered = same and {row["run"] for row in old["rows"]} <= {row["run"] for row in board["rows"]}
    except (ValueError, KeyError, TypeError):  # no leaderboard
        covered = False
    if covered:
        return None
    kept = next(one for i in itertools.count(1) if not (one := path.with_stem(f"{path.stem}.{i}")).exists())
    return path.rename(kept)


def show(console: Console, board: Mapping[str, Any]) -> None:
    """Prints a leaderboard: metrics are rows, runs are columns, as many beside each other as fit."""
    rows, protocol = board["rows"], board["protocol"]
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in protocol.items())
    lacked = [key for key in COLUMNS if _all_lack(key, rows)]
    tables = -(-len(rows) // max(1, (console.width - OTHERS) // (NARROWEST + 2)))
    fit = -(-len(rows) // tables)
    wide = console.width - OTHERS >= fit * (2 * NARROWEST + 2)
    for start in range(0, len(rows), fit):
        places = range(start, min(start + fit, len(rows)))
        shown = Table(title=f"{board['data']}: {told}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        shown.add_column("", no_wrap=True)
        for row in rows[start : start + fit]:
            shown.add_column(Text(f"{row['run']}\n{row['family']}\nstep {row['step']:,}"), overflow="fold")
        shown.add_column("real data")
        for key, column in board["columns"].items():
            if key not in lacked:
                cells = [
                    _cell(key, rows[place]["cells"][key], place in column["best"], protocol["n"], wide)
                    for place in places
                ]
                floor = number(key, board["floors"][key]) if key in board["floors"] else ""
                shown.add_row(_heading(column), *cells, floor)
        console.print(shown)
    for key in lacked:
        _say(console, f"No number for {board['columns'][key]['title']}: {rows[0]['cells'][key]['reason']}.")
    for note in board["notes"]:
        _say(console, note)
    _say(console, "Bold: no other is better by more than the 95 % intervals. Real data: the test split against itself.")


def _grouped(runs: Sequence[Path], all: Path | None) -> tuple[dict[str, list[Path]], list[str]]:
    """Folders by their data, and sentences about those of `all` that cannot be compared."""
    if all is None:
        if not runs:
            raise UserError("Name the runs to compare, or --all with the folder that they are in.")
        return _one_group(expand_sweeps(runs)), []
    found = sorted(path.parent for path in all.glob(f"*/{CONFIG}"))
    if not found:
        raise UserError(f"{all} has no run folders in it (none with a {CONFIG}); name the folder above the runs.")
    groups: dict[str, list[Path]] = {}
    sweeps = {path: members_of(path) for path in sorted(all.iterdir()) if path.is_dir()}
    left = [f"{sentence_about(path, members)}." for path, members in sweeps.items() if members and path not in runs]
    for folder in expand_sweeps([*runs, *found]):
        try:
            if not any((folder / "checkpoints").glob("[0-9]*")):
                raise Missing(f"{folder} has no checkpoint yet.")
            groups.setdefault(data_of(folder), []).append(folder)
        except (UserError, FileNotFoundError) as error:
            left.append(str(error))
    return groups, left


def _one_group(runs: Sequence[Path]) -> dict[str, list[Path]]:
    """All runs as one group, refused before anything is measured where they are of different data."""
    data = [data_of(folder) for folder in runs]
    if len(set(data)) > 1:
        leaderboard([{"run": name, "data": of} for name, of in zip(names_of(runs), data)])  # says why not
    return {data[0]: list(runs)}


def _all_lack(key: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    return len({row["cells"][key]["reason"] for row in rows}) == 1 and rows[0]["cells"][key]["value"] is None


def _heading(column: Mapping[str, Any]) -> Text:
    arrow = {"lower": " \u2193", "higher": " \u2191", None: ""}[column["better"]]
    return Text(column["title"] + (f", {column['unit']}" if column["unit"] else "") + arrow)


def _cell(key: str, cell: Mapping[str, Any], best: bool, n: int, wide: bool) -> Text:
    """The number and its interval; below, what kind it is, and of how many where they are not the protocol's n."""
    if cell["value"] is None:
        return Text(cell["reason"], style="dim italic")
    ends = None
    if cell["low"] is not None and cell["low"] < cell["high"]:
        ends = f"[{', '.join(number(key, cell[end], COLUMNS[key].digits - 1) for end in ('low', 'high'))}]"
    size = f"n = {cell['n']:,}" if cell["n"] not in (None, n) else None
    more = ", ".join(filter(None, (cell["kind"], cell.get("source"), size)))
    below = f"{ends}\n{more}" if ends and more else ends or more
    lines = Text(number(key, cell["value"]), style="bold" if best else "")
    return lines.append(f"{' ' if ends and wide else chr(10)}{below}" if below else "", style="not bold dim")


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, highlight=False, markup=False, soft_wrap=True)
