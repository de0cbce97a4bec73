"""The page about some runs: one HTML file that loads nothing from anywhere.

`render` is a pure function of what `Page` holds. All text of a run is escaped, and the page's own policy lets no other
script run than its own, whose digest it names.
"""

import base64
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from genjax_zoo.draw.curves import Points
from genjax_zoo.report.embed import Embedded

TEMPLATES = Path(__file__).parent / "templates"
LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT = 46, 8, 8, 24, 360, 200  # of a plot, in its own units; page.js reads them


@dataclass(frozen=True)
class Picture:
    """One picture, or several of one thing over training."""

    title: str
    caption: str
    frames: Sequence[tuple[int | None, Embedded]]  # step, if it is known; the last is shown first


@dataclass(frozen=True)
class Sound:
    """A sound beside its spectrogram."""

    title: str
    seconds: float
    sound: Embedded
    spectrogram: Embedded


@dataclass(frozen=True)
class Panel:
    """The curves of one term."""

    title: str
    lines: Mapping[str, Points]  # source -> finite points, at least one


@dataclass(frozen=True)
class Score:
    """A metric of a run: a number as text beside what it is to be compared with, or the reason why there is none."""

    title: str
    text: str = ""  # of the number
    value: float | None = None  # what to sort by
    kind: str = ""  # "exact", "bound", ...
    interval: str = ""
    floor: str = ""
    n: str = ""
    reason: str = ""
    gauge: Mapping[str, float] | None = None  # where value, floor, low and high are between 0 and 1, to draw them
    best: bool = False


@dataclass(frozen=True)
class Run:
    """What the page says of one run."""

    name: str
    lead: str  # one line about it
    card: Mapping[str, str]
    flags: Mapping[str, str]
    thumbnail: Embedded | None = None
    pictures: Sequence[Picture] = ()
    sounds: Sequence[Sound] = ()
    panels: Sequence[Panel] = ()
    scores: Sequence[Score] = ()
    protocol: str = ""
    warnings: Sequence[tuple[int, str]] = ()
    notes: Sequence[str] = ()  # what is not here, and why


@dataclass(frozen=True)
class Board:
    """A leaderboard of runs on the same data."""

    data: str
    protocol: str  # how all were measured
    columns: Sequence[tuple[str, str | None]]  # title with unit, and what is better there
    rows: Sequence[tuple[str, str, Sequence[Score]]]  # run, model, a score for each column
    floors: Sequence[str]  # of real examples against real ones, for each column
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class Page:
    """All that a page holds."""

    title: str
    made: str  # when, and by what
    runs: Sequence[Run]
    boards: Sequence[Board] = ()
    notes: Sequence[str] = ()
    watched: str | None = None  # names this state of the run; the page asks the server for another


def render(page: Page) -> str:
    """The page as HTML."""
    css, script = ((TEMPLATES / name).read_text("utf-8") for name in ("page.css", "page.js"))
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_of"] = data_of
    environment.globals |= {"plot": plot, "frame": (LEFT, RIGHT, TOP, BOTTOM, WIDTH, HEIGHT)}
    template = environment.get_template("page.html.j2")
    policy = (
        f"default-src 'none'; img-src data:; media-src data:; connect-src {'self' if page.watched else 'none'!r}; "
        f"style-src '{_digest(css)}'; script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    return template.render(page=page, css=css, script=script, policy=policy)


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def data_of(run: Run) -> list[list[dict[str, Any]]]:
    """The points of a run's panels, for the page's script to draw again: six digits are more than a screen shows."""
    return [
        [
            {"x": [step for step, _ in points], "y": [float(f"{value:.6g}") for _, value in points]}
            for points in panel.lines.values()
        ]
        for panel in run.panels
    ]


def plot(panel: Panel) -> dict[str, Any]:
    """A panel as drawn before any zoom: its lines' points, and ticks as (place, text)."""
    steps = [step for points in panel.lines.values() for step, _ in points]
    x0, x1 = _spread(min(steps), max(steps), 0.02)
    y0, y1 = _spread(*_heights(panel, min(steps), max(steps)), 0.05)

    def across(step: float) -> float:
        return round((step - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT), 1)

    def down(value: float) -> float:
        return round((1 - (value - y0) / (y1 - y0)) * (HEIGHT - TOP - BOTTOM), 1)

    return {
        "lines": [" ".join(f"{across(s):g},{down(v):g}" for s, v in points) for points in panel.lines.values()],
        "x": [(across(tick), short(tick)) for tick in ticks(x0, x1)],
        "y": [(down(tick), short(tick)) for tick in ticks(y0, y1)],
    }


def _heights(panel: Panel, first: int, last: int) -> tuple[float, float]:
    """The least and greatest value; a steep start may run off the plot where all else would look flat beside it."""
    settled = first + 0.05 * (last - first)
    values = [value for points in panel.lines.values() for _, value in points]
    later = [value for points in panel.lines.values() for step, value in points if step >= settled]
    if 0 < 4 * (max(later) - min(later)) < max(values) - min(values):
        values = later
    return min(values), max(values)


def _spread(low: float, high: float, margin: float) -> tuple[float, float]:
    """An axis that holds low and high, with a share of margin; around them where they are one."""
    if low == high:
        half = abs(low) / 2 or 1.0
        return low - half, high + half
    return low - margin * (high - low), high + margin * (high - low)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most `most` + 1 round numbers, evenly spaced, from low to high."""
    rough = (high - low) / most
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    return [float(f"{i * step:.12g}") for i in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A number for an axis, in few letters: 450000 is 450k."""
    for size, scale, letter in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if abs(value) >= size:
            return f"{value / scale:.4g}{letter}"
    return f"{value:.4g}"
