"""genjax-zoo explain: prints what each player minimises."""

from pathlib import Path
from typing import Annotated

import tyro

from genjax_zoo.cli.flags import everything_of, parse_experiment


def explain(file: Annotated[str, tyro.conf.Positional]) -> None:
    """Print what each player minimises, as formulas with their weights; takes the flags of `train`.

    Args:
        file: a Python file with a function `experiment`, such as experiments/r3gan_points.py.
    """


def run(file: Path, argv: list[str]) -> None:
    """Prints each player's objective."""
    from genjax_zoo import runs
    from genjax_zoo.runs.objective import explain as explained

    make, flags, run = parse_experiment(file, argv)
    print(explained(runs.build(make, everything_of(flags, run))))
