"""genjax-zoo latent: draws a run's latent space."""

from pathlib import Path
from typing import Annotated, Literal

import tyro

from genjax_zoo.cli.parsing import stands_for
from genjax_zoo.errors import UserError, check_number, check_place


def latent(
    run: Annotated[Path, tyro.conf.Positional],
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 8,
    steps: int = 9,
    dimensions: Annotated[tuple[int, ...], stands_for("those that vary most")] = (),
    span: float = 3.0,
    path: Literal["slerp", "lerp"] = "slerp",
    examples: int = 2_000,
    seed: int = 0,
    checkpoint: str = "latest",
    out: Annotated[Path | None, stands_for("RUN/latent")] = None,
    trust: bool = False,
    debug: bool = False,
) -> None:
    """Draw a run's latent space: interpolations, traversals, labels in it, a map, inversions where nothing encodes.

    Args:
        run: the run folder.
        n: rows of a picture.
        steps: pictures on each way.
        dimensions: which to traverse.
        span: how far to traverse, in the prior's standard deviations.
        path: how to interpolate: slerp (great circles) or lerp (straight lines).
        examples: of the training data, for the map and the means of labels.
        seed: of what is drawn.
        checkpoint: latest, best, or a step.
        out: the folder of the pictures.
        trust: run the code in the folder although another user made it; asked once.
        debug: show the traceback of an error.
    """
    for name, value, least in (("n", n, 1), ("steps", steps, 2), ("examples", examples, 2)):
        if value < least:
            raise UserError(f"--{name} must be at least {least}, not {value}.")
    check_number("seed", seed)
    check_number("span", span)
    import jax

    from genjax_zoo import explore
    from genjax_zoo.inference import latent as ways
    from genjax_zoo.runs import read_config, restore
    from genjax_zoo.train import eval_variables

    read_config(run)
    check_place(out or run / "latent", "--out")
    experiment, state = restore(run, checkpoint=checkpoint, trust=trust)
    pictures, notes = explore.explore(
        experiment.model,
        eval_variables(state),
        explore.examples_of(experiment.data, examples),
        jax.random.key(seed),
        n=n,
        steps=steps,
        dimensions=dimensions,
        span=span,
        path=getattr(ways, path),
    )
    for file in explore.save(out or run / "latent", pictures):
        print(file)
    for note in notes:
        print(note)
