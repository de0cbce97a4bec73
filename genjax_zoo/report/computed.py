"""Pictures and sounds that a run's newest checkpoint can still give: RUN/page/NAME-STEP.png and .wav.

A file's name carries the checkpoint's step, so that nothing is drawn twice, and nothing is out of date.
"""

import math
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from genjax_zoo import draw, evals, explore
from genjax_zoo.core import Experiment, Variables
from genjax_zoo.errors import PROG
from genjax_zoo.explore.conditions import conditions_of
from genjax_zoo.explore.drawing import with_length
from genjax_zoo.runs import read_config, restore
from genjax_zoo.train import eval_variables

SOUNDS, SECONDS = 4, 1.0
CHEAP = 1e12  # multiplications of the sounds of a page: seconds on two cores


def complete(folder: Path) -> list[str]:
    """Draws what a page of the run lacks, and gives sentences about what could not be drawn.

    Raises:
        FileNotFoundError: the folder holds no run.
    """
    read_config(folder)
    try:
        experiment, state = restore(folder)
    except Exception as error:  # of the run's own code or its data, too: the files are still worth a page
        return [f"Nothing was drawn from a checkpoint: {error}"]
    variables, step, notes = eval_variables(state), int(state.step), []
    for about, drawing in (
        ("latent space", latent_space),
        ("reconstructions", reconstructions),
        ("likelihood map", likelihood_map),
        ("sounds", sounds),
    ):
        try:
            notes += drawing(experiment, variables, folder, step)
        except Exception as error:  # one picture less is no reason to have no page
            notes.append(f"No {about}: {error}")
    return notes


def latent_space(experiment: Experiment, variables: Variables, folder: Path, step: int) -> list[str]:
    """Interpolation, traversal and, where examples have latents, their map; what `genjax-zoo latent` drew is kept."""
    latent = experiment.model.latent
    if latent is None or latent.decode is None:
        return ["This model has no latent space to draw."]
    drawn_already = [*folder.glob(f"page/*-{step:07d}.png"), *folder.glob("latent/*.png")]
    newest = max((path.stat().st_mtime for path in (folder / "checkpoints").iterdir()), default=0.0)
    if any(path.stem.startswith("interpolation") and path.stat().st_mtime >= newest for path in drawn_already):
        return []
    examples = explore.examples_of(experiment.data, 2_000)
    rows = min(8, len(examples["x"]) // 2)
    pictures, notes = explore.explore(experiment.model, variables, examples, jax.random.key(0), n=rows)
    for name, (content, more) in pictures.items():
        save = draw.save_map if name == "map" else draw.save_grid
        save(_path(folder, name, step), content, more)
    return notes


def reconstructions(experiment: Experiment, variables: Variables, folder: Path, step: int) -> list[str]:
    """Training examples beside their decoded codes, unless its likelihood is exact, or the run has drawn them."""
    model = experiment.model
    latent, exact = model.latent, model.density is not None and model.density.exact
    lossy = latent is not None and latent.encode is not None and latent.decode is not None and not exact
    if not lossy or (folder / "reconstructions.png").exists() or len(model.spec["x"].shape) != 3:
        return []
    return _evaluated(evals.reconstructions, experiment, variables, _path(folder, "reconstructions", step))


def likelihood_map(experiment: Experiment, variables: Variables, folder: Path, step: int) -> list[str]:
    """Where the bits of training examples go, of an autoregressive model of images."""
    if experiment.model.conditionals is None or len(experiment.model.spec["x"].shape) != 3:
        return []
    return _evaluated(evals.bits_map, experiment, variables, _path(folder, "bits_map", step))


def sounds(experiment: Experiment, variables: Variables, folder: Path, step: int) -> list[str]:
    """A few sounds, where the folder has none and the model is small enough."""
    model, path = experiment.model, _path(folder, "sound", step)
    if not draw.is_sound(model.spec["x"].shape) or model.conditionals is None:
        return []
    if [*folder.glob("*.wav"), *folder.glob(f"page/*-{step:07d}-*.wav")]:
        return []
    parameters = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables["params"]))
    cost = parameters * SOUNDS * SECONDS * draw.RATE
    if cost > CHEAP:
        command = f"{PROG} sample {shlex.quote(str(folder))} -n 4"
        return [f"Sounds would take {cost:.1g} multiplications: draw them with '{command}'."]
    given = conditions_of(experiment, SOUNDS)
    x = with_length(model, SECONDS).sample(variables, jax.random.key(0), SOUNDS, given)
    for index, one in enumerate(np.asarray(x)):
        draw.save_sound(path.with_name(f"{path.stem}-{index}.wav"), one)
    return []


def _evaluated(make: Callable[..., Any], experiment: Experiment, variables: Variables, path: Path) -> list[str]:
    """Draws what an Eval of training examples gives."""
    if not path.exists():
        show = make(experiment.data, n=min(16, experiment.data.batch_size))
        (images,) = show(experiment.model, variables, jax.random.key(0)).values()
        draw.save_grid(path, images, 8)
    return []


def _path(folder: Path, name: str, step: int) -> Path:
    return folder / "page" / f"{name}-{step:07d}.png"
