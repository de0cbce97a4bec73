"""Training curves from metrics.jsonl: one panel per term, players and evaluations together."""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from genjax_zoo.files import read_log, whole

SKIPPED = ("step", "steps/s", "examples/s", "warning")
MOST = 2**1023  # of a whole number that a float can hold

Points = list[tuple[int, float]]  # (step, value), in the order of the file


def read_curves(metrics: Path) -> tuple[dict[str, dict[str, Points]], list[tuple[int, str]]]:
    """What a run has logged: term -> source -> points, and its warnings, the last about rows that cannot be read.

    A last line that is still being written is left out; so is a file that is not there yet.
    """
    panels: dict[str, dict[str, Points]] = defaultdict(lambda: defaultdict(list))
    rows, damaged = read_log(metrics)
    warnings = [(row["step"], row["warning"]) for row in rows if isinstance(row.get("warning"), str)]
    for row in rows:
        for name, value in row.items():
            if name not in SKIPPED and (
                type(value) is float and not math.isnan(value) or type(value) is int and abs(value) < MOST
            ):
                source, _, term = name.removeprefix("eval/").partition("/")
                panels[term][source].append((row["step"], value))
    if damaged:
        last = rows[-1]["step"] if rows else 0
        warnings.append((last, f"{metrics.name} has {damaged} rows that cannot be read; they are left out."))
    return panels, warnings


def thinned(points: Sequence[tuple[int, float]], most: int = 400) -> Points:
    """At most `most` of the points: the first, the last, and the extremes of even stretches between; finite ones."""
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    if len(finite) <= most:
        return finite
    first, *inner, last = finite
    stretches = max(1, (most - 2) // 2)
    kept = [first]
    for index in range(stretches):
        part = inner[index * len(inner) // stretches : (index + 1) * len(inner) // stretches]
        low, high = (choose(range(len(part)), key=lambda i: part[i][1]) for choose in (min, max))
        kept += [part[i] for i in sorted({low, high})]
    return [*kept, last]


def save_curves(metrics: Path, path: Path) -> None:
    """Draws one panel per term, players and evaluations together, as a PNG; nothing where there are no numbers yet."""
    from matplotlib.figure import Figure  # slow to import; a Figure of its own leaves the user's pyplot alone

    panels, _ = read_curves(metrics)
    if not panels:
        return
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    width, height = 4.2 * columns, 2.8 * rows  # inches
    figure = Figure(figsize=(width, height))  # margins by hand: a layout engine draws everything several times
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    figure.subplots_adjust(0.5 / width, 0.5 / height, 1 - 0.2 / width, 1 - 0.35 / height, wspace=0.22, hspace=0.45)
    for axis, (term, lines) in zip(axes, panels.items()):
        for source, points in lines.items():
            axis.plot(*zip(*points), label=source, marker="." if len(points) < 20 else None, linewidth=1)
        axis.set_title(term, fontsize=10)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.legend(fontsize=8, frameon=False)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    with whole(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=90)
