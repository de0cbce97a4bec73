"""genjax-zoo eval: runs an experiment's evaluations on a checkpoint."""

from pathlib import Path
from typing import Annotated

import tyro


def evaluate(
    run: Annotated[Path, tyro.conf.Positional], checkpoint: str = "latest", trust: bool = False, debug: bool = False
) -> None:
    """Run an experiment's evaluations on a checkpoint, and print the numbers.

    Args:
        run: the run folder.
        checkpoint: latest, best, or a step.
        trust: run the code in the folder although another user made it; asked once.
        debug: show the traceback of an error.
    """
    from genjax_zoo.evals.support import unit
    from genjax_zoo.runs import restore
    from genjax_zoo.train.evaluating import evaluate as run_evals

    experiment, state = restore(run, checkpoint=checkpoint, trust=trust)
    print(f"step {int(state.step):,}")
    for name, value in run_evals(experiment, state).items():
        print(f"{name:32} {value:.4f}{unit(experiment.model, name)}")
