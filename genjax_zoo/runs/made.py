"""What made a run, as far as numbers and shapes tell: for `fit` from Python, which knows no experiment's file."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from genjax_zoo import data
from genjax_zoo.core import Batch, Experiment, Spec, TrainState
from genjax_zoo.errors import UserError
from genjax_zoo.files import telling
from genjax_zoo.runs.folder import CONFIG, origins, provenance, read_config, write_config
from genjax_zoo.train.players import weights_by_player
from genjax_zoo.train.step import create_state, first_state


def create_state_of(experiment: Experiment) -> TrainState:
    """The experiment's state before its first step."""
    return create_state(experiment.model, experiment.players, jax.random.key(experiment.seed), experiment.data.at(0))


def shapes_of(experiment: Experiment) -> TrainState:
    """The shapes of its state, also where its data are gone."""

    def first(batch: Batch) -> TrainState:
        return first_state(experiment.model, experiment.players, jax.random.key(experiment.seed), batch)

    return jax.eval_shape(first, batch_of(experiment))


def batch_of(experiment: Experiment) -> Spec:
    """The shapes of a batch, with what its data have besides their spec."""
    size, source = experiment.data.batch_size, experiment.data
    if isinstance(source, data.Absent):
        return {name: jax.ShapeDtypeStruct((size, *one.shape), one.dtype) for name, one in source.spec.items()}
    return jax.eval_shape(lambda s: s.at(0), source) if source.resident else jax.eval_shape(lambda: source.at(0))


def check_made(folder: Path, experiment: Experiment) -> None:
    """Checks an experiment against the one that made a run, as far as its config.json tells.

    Raises:
        UserError: it has another seed, batch size, spec, players or parameters; or the folder holds something else.
    """
    if not (folder / CONFIG).exists():
        return
    config = read_config(folder)
    if "made" in config:
        old, now = config["made"], describe_made(experiment)
    else:  # by a file, which `restore` knows
        asked = config["flags"].get("seed")
        old, now = {"seed": str(asked)}, {"seed": str(experiment.seed if asked is not None else None)}
    for name in old | now:
        if old.get(name) != now.get(name):
            change = f"{name} was {old.get(name)} and is {now.get(name)}"
            raise UserError(f"The run {folder} was made by another experiment: {change}; name another folder.")


def write_made(folder: Path, experiment: Experiment, flags: Mapping[str, Any]) -> None:
    """Writes what is known of a run that `fit` made, unless its folder says more already: no file made it."""
    config = read_config(folder) if (folder / CONFIG).exists() else {"experiment": None, "history": []}
    if config["experiment"] is not None:
        return
    names = ("steps", "seed", "save_every", "eval_every", "log_every", "steps_per_call")
    flags = {**{name: getattr(experiment, name) for name in names}, **flags, "data_dir": data.folder()}
    read = data.describe({"data": experiment.data})
    if changed := data.changes(config.get("data", {}), read):
        telling.get()(f"The data of the run {folder} have changed since it began: {changed}.")
    history = [*config["history"], provenance(Path.cwd() / "a script")]
    known = {**config, **origins(config, experiment.model.card)}
    write_config(folder, {**known, "flags": flags, "history": history, "made": describe_made(experiment), "data": read})


def describe_made(experiment: Experiment) -> dict[str, str]:
    """What tells an experiment from another, as text: its numbers, and the shape of each parameter."""
    told = {"seed": experiment.seed, "batch size": experiment.data.batch_size}
    told |= {f"'{name}'": f"{one.dtype} {one.shape}" for name, one in experiment.model.spec.items()}
    weights = weights_by_player(experiment.model, experiment.players, batch_of(experiment))
    for name, player in experiment.players.items():
        told |= {f"{field} of player '{name}'": getattr(player, field) for field in ("owns", "every", "ema")}
        told |= {
            f"the weight of '{term}' of player '{name}'": "a schedule" if callable(weight) else float(weight)
            for term, weight in weights[name].items()
        }
    shapes = jax.tree_util.tree_leaves_with_path(shapes_of(experiment).variables["params"])
    told |= {f"the shape of {jax.tree_util.keystr(path, simple=True, separator='/')}": x.shape for path, x in shapes}
    return {name: str(value) for name, value in told.items()}
