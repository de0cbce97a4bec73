"""Training curves from metrics.jsonl."""

import json
from collections import defaultdict
from pathlib import Path

SKIPPED = ("step", "steps/s", "examples/s", "warning")


def save_curves(metrics: Path, path: Path) -> None:
    """Draws one panel per term, players and evaluations together, as a PNG; nothing where there are no numbers yet."""
    from matplotlib.figure import Figure  # slow to import; a Figure of its own leaves the user's pyplot alone

    panels: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(lambda: defaultdict(list))
    for row in map(json.loads, metrics.read_text().splitlines()):
        for name, value in row.items():
            if name not in SKIPPED:
                source, _, term = name.removeprefix("eval/").partition("/")
                panels[term][source].append((row["step"], value))
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
    unfinished = path.with_suffix(".tmp")
    figure.savefig(unfinished, format="png", dpi=90)
    unfinished.replace(path)
