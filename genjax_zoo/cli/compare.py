"""genjax-zoo compare: puts runs of one data set side by side."""

from pathlib import Path
from typing import Annotated

import tyro

from genjax_zoo.cli.parsing import stands_for
from genjax_zoo.errors import UserError, check_number


def compare(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, stands_for("those of --all")] = (),
    all: Annotated[Path | None, stands_for("the runs that are named")] = None,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 5_000,
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 5,
    mode_samples: Annotated[int | None, stands_for("26,000 of Stacked MNIST, 2,500 of points")] = None,
    checkpoint: str = "latest",
    seed: int = 0,
    features: Annotated[Path | None, stands_for("the judge that knows the data")] = None,
    inception_weights: Annotated[Path | None, stands_for("no FID")] = None,
    out: Annotated[Path | None, stands_for("leaderboard.json beside the runs")] = None,
    fresh: bool = False,
    trust: bool = False,
    debug: bool = False,
) -> None:
    """Put runs of one data set side by side: likelihoods, distances of samples, modes, speeds, each beside its floor.

    What is measured of a run is kept in RUN/scores.json, and used again while its step, the code's commit and these
    flags stay the same.

    Args:
        runs: run folders; a sweep's is all of its members.
        all: a folder, all of whose runs are compared; those of each data set with each other.
        n: samples, at most half as many as the test split has.
        k: neighbours, of precision, recall, density and coverage.
        mode_samples: in which modes are counted.
        checkpoint: latest, best, or a step.
        seed: of what is drawn.
        features: a Python file with a function features(x) -> [B, F].
        inception_weights: a file of Inception's weights, for FID: see genjax_zoo/judges/inception.py.
        out: a .json file.
        fresh: measure again.
        trust: run the code in the folders although another user made them; asked once.
        debug: show the traceback of an error.
    """
    if out is not None and out.suffix != ".json":
        raise UserError(f"Cannot write '{out}': --out must end in .json.")
    if mode_samples is not None and mode_samples < 1:
        raise UserError(f"--mode-samples must be at least 1, not {mode_samples}.")
    check_number("seed", seed)
    from genjax_zoo.compare.measures import Measurement
    from genjax_zoo.compare.table import compare_runs
    from genjax_zoo.runs.trust import trust as trust_run

    for folder in [*runs, *(all.iterdir() if all and all.is_dir() else ())] if trust else ():
        trust_run(folder)
    asked = Measurement(n, k, seed, mode_samples, features, inception_weights)
    compare_runs(runs, asked, all=all, checkpoint=checkpoint, out=out, fresh=fresh)
