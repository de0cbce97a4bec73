"""Writes the pages of numbers, results.md and speed.md, from benchmarks/results/*.json: python docs/build.py.

A file there has a title, a machine, what all its records share (say, a command), and records of `Record`. Its text is
`about`; its `view` is "list", a line of words for a record, or "table", a column for each quantity.
"""

import dataclasses
import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE.parent / "benchmarks/results"
PUBLISHED = HERE.parent / "genjax_zoo/compare/published.json"
STATUS = ("trained", "shortened", "unfinished", "collapsed", "not trained", "measured")
EDITED = "<!-- Written by docs/build.py from benchmarks/results/*.json: change those. -->"


def joined(sign: str, *parts: str) -> str:
    """Those parts that are not empty."""
    return sign.join(part for part in parts if part)


@dataclasses.dataclass(frozen=True)
class Number:
    """One measured number; its digits are those that were noted."""

    of: str  # the quantity
    value: Decimal | int | None  # None where there is none, as `note` says
    unit: str = ""
    error: Decimal | int | None = None  # standard error
    interval: tuple[Decimal | int, Decimal | int] | None = None  # of 95 %
    floor: Decimal | int | None = None  # what real examples get
    step: int | None = None  # of training
    note: str = ""

    def __str__(self) -> str:
        """The value alone, with its error or interval."""
        return (
            (f"{self.value:,}" if self.value is not None else "")
            + (f" +- {self.error:,}" if self.error is not None else "")
            + (f" [{self.interval[0]:,}, {self.interval[1]:,}]" if self.interval else "")
        )

    @property
    def about(self) -> str:
        """The step, the floor and the note."""
        floor = f"floor {self.floor:,}" if self.floor is not None else ""
        return joined("; ", f"step {self.step:,}" if self.step else "", floor, self.note)


@dataclasses.dataclass(frozen=True)
class Record:
    """What one command measured, with its commit and machine; or what is reported, and not measured yet."""

    name: str
    command: str  # as it was run, at that commit
    protocol: str  # the data, and what is measured on them
    numbers: Sequence[Number]
    status: str  # one of STATUS
    commit: Sequence[str]  # none where nothing was trained, or none was noted
    machine: str
    now: str = ""  # the command of today, where its name has changed
    reported: Sequence[str] = ()  # names of entries in compare/published.json
    cost: str = ""
    note: str = ""
    pictures: Sequence[Mapping[str, str]] = ()  # a file, and what it is of


@dataclasses.dataclass(frozen=True)
class Table:
    """A file of results."""

    title: str
    records: Sequence[Record]
    shared: Mapping[str, Any]
    about: str = ""
    view: str = "list"


def read(name: str) -> Table:
    """The table of benchmarks/results/NAME.json.

    Raises:
        TypeError: a record lacks a field, or has one that is unknown.
        ValueError: a status is unknown, or a picture is not there.
    """
    shared = json.loads((RESULTS / f"{name}.json").read_text(), parse_float=Decimal)
    own = {key: shared.pop(key) for key in ("title", "about", "view") if key in shared}
    records = []
    for fields in shared.pop("records"):
        known = {**shared, **fields}
        record = Record(**{**known, "numbers": [Number(**number) for number in known["numbers"]]})
        if record.status not in STATUS:
            raise ValueError(f"{name}.json: '{record.name}' has the status '{record.status}', none of {STATUS}.")
        for picture in record.pictures:
            if not (RESULTS / picture["file"]).exists():
                raise ValueError(f"{name}.json: '{record.name}' names {picture['file']}, which is not there.")
        records.append(record)
    return Table(records=records, shared=shared, **own)


def reported(names: Sequence[str]) -> str:
    """What papers report, in words."""
    known = json.loads(PUBLISHED.read_text(), parse_float=Decimal)
    texts = []
    for name in names:
        entry, variant = known[name], "".join(name.split("/")[2:])
        source = joined(", ", "" if variant in entry["of"] else variant, entry["source"])
        texts.append(f"{entry['value']:,} {entry['of']} ({source})")
    return "; ".join(texts)


def measured(numbers: Sequence[Number]) -> str:
    """Numbers in words; those of one quantity, such as nats and bits/dim, share what is said of them."""
    groups = itertools.groupby(numbers, lambda number: (number.of, number.about))
    return "; ".join(
        f"{of} {', '.join(f'{number} {number.unit}'.strip() for number in some)}" + (f" ({about})" if about else "")
        for (of, about), some in groups
    )


def short(command: str) -> str:
    """A training's command without what they all have."""
    return re.sub(r"^genjax-zoo (train )?", "", re.sub(r"experiments/(\w+)\.py", r"\1", command))


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Markdown, without the columns that are empty."""
    kept = [column for column in range(len(head)) if any(row[column] for row in rows)]
    for row in (head, ["---"] * len(head), *rows):
        yield "| " + " | ".join(row[column].replace("||", r"\|\|") for column in kept) + " |"


def as_list(table: Table) -> Iterator[str]:
    """A line for each record."""
    rows = []
    for record in table.records:
        run = record.name if record.command == table.shared.get("command") else f"`{short(record.command)}`"
        status = {"trained": "trained", "measured": ""}.get(record.status, f"**{record.status}**")
        commit = f"commit {', '.join(record.commit)}" if "commit" not in table.shared and record.commit else ""
        rows.append(
            (
                joined("; now ", run, f"`{short(record.now)}`" if record.now else ""),
                record.protocol,
                measured(record.numbers) or "none",
                reported(record.reported),
                joined("; ", status, record.cost, record.note, commit),
            )
        )
    return table_of(("run", "protocol", "measured", "reported", "state"), rows)


def as_table(table: Table) -> Iterator[str]:
    """A column for each quantity; its unit and floor stand above it where all have the same."""
    columns: dict[str, list[Number]] = {}
    for record in table.records:
        for number in record.numbers:
            columns.setdefault(number.of, []).append(number)
    units = {of: numbers[0].unit for of, numbers in columns.items() if len({n.unit for n in numbers}) == 1}
    floors = {of: f"floor {numbers[0].floor}" for of, numbers in columns.items() if numbers[0].floor is not None}
    rows = []
    for record in table.records:
        cells = {
            n.of: joined(", ", str(n) if n.of in units else joined(" ", str(n), n.unit), n.note) for n in record.numbers
        }
        rows.append((record.name, *(cells.get(of, "") for of in columns)))
    head = (joined(", ", of, units.get(of, ""), floors.get(of, "")) for of in columns)
    return table_of(("", *head), rows)


def gallery(table: Table, a_row: int = 3) -> Iterator[str]:
    """The records' pictures, with captions."""
    of = [(record, picture) for record in table.records for picture in record.pictures]
    for first in range(0, len(of), a_row):
        some = of[first : first + a_row]
        yield ""
        yield "| " + " | ".join(f"{record.name}: {picture['of']}" for record, picture in some) + " |"
        yield "|" + "---|" * len(some)
        images = (f"![{record.name}](../benchmarks/results/{picture['file']})" for record, picture in some)
        yield "| " + " | ".join(images) + " |"


def section(table: Table) -> str:
    """A table with its title, command, commit and machine, and its pictures."""
    command = f"`{table.shared['command']}`" if "command" in table.shared else ""
    commits = table.shared.get("commit", ())
    commit = f"commit {' and '.join(commits)}" if commits else ""
    how = joined("; ", command, table.shared.get("protocol", ""), commit, table.shared["machine"]) + "."
    lines = [f"## {table.title}", "", how[0].upper() + how[1:]]
    lines += ["", table.about] if table.about else []
    body = [*(as_table if table.view == "table" else as_list)(table), *gallery(table)]
    return "\n".join([*lines, "", *body])


RESULTS_ARE = """# Results

Each line has the command as it was run, without `genjax-zoo train` and the folder, and the commit at which it was
run; flags are at the defaults of that commit but for those named. It was `genjax-zoo train experiments/NAME.py FLAGS`
then, and is `genjax-zoo train NAME FLAGS` now, or what is written beside it. Likelihoods are -log p: what papers
report as a log-likelihood has the other sign here. +- is the standard error over whole runs. A single-sample bound is
not an importance-weighted one; compare it with nothing else. `nelbo` is a bound, `nll` is exact.

*trained*: to its end. *shortened*: to the end of fewer steps than the default. **unfinished**: stopped before, or far
from what the paper trains. **not trained**: a few steps only. How fast all that is: [speed.md](speed.md)."""
SPEED_IS = """# Speed

Each table has its command, its commit and its machine; times are the least of runs that take turns. "x" is times as
fast, or times as long, as its column says."""
PAGES = {
    "results.md": (
        RESULTS_ARE,
        ("vae", "flow", "autoregressive", "gan", "judges", "compare_digits", "compare_mnist"),
    ),
    "speed.md": (
        SPEED_IS,
        ("vae_step", "flow_step", "flow_compile", "sampling", "dcgan_step", "causal_step", "large_pages")
        + ("sweep", "metrics", "data"),
    ),
}


def pages() -> dict[str, str]:
    """The text of every page, by its file's name."""
    return {
        page: "\n\n".join([EDITED, intro, *(section(read(name)) for name in names)]) + "\n"
        for page, (intro, names) in PAGES.items()
    }


if __name__ == "__main__":
    for page, text in pages().items():
        (HERE / page).write_text(text)
