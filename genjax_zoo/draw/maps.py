"""Points in the plane, coloured by label."""

from pathlib import Path
from typing import Any

import numpy as np

from genjax_zoo.files import whole


def save_map(path: Path, points: Any, labels: Any | None = None) -> None:
    """Draws points [N, 2] as a PNG, each label [N] in a colour of its own."""
    from matplotlib.figure import Figure  # slow to import; a Figure of its own leaves the user's pyplot alone

    points = np.asarray(points)
    figure = Figure(figsize=(6, 6))
    axis = figure.add_axes((0.08, 0.06, 0.9, 0.92))
    if labels is None:
        axis.scatter(*points.T, s=6, alpha=0.6, linewidths=0)
    else:
        labels = np.asarray(labels)
        for index, label in enumerate(np.unique(labels)):
            of_label = points[labels == label].T
            axis.scatter(*of_label, s=6, alpha=0.7, linewidths=0, color=f"C{index % 10}", label=str(label))
        axis.legend(markerscale=3, fontsize=8, frameon=False)
    axis.set_aspect("equal", adjustable="datalim")
    axis.tick_params(labelsize=8)
    with whole(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=100)
