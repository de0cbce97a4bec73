"""A run read back: the experiment that made it, and its state; also within an experiment that freezes them."""

import contextlib
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from genjax_zoo import data, errors
from genjax_zoo.core import Experiment, TrainState, Variables
from genjax_zoo.errors import Missing, UserError
from genjax_zoo.files import telling
from genjax_zoo.runs.building import Make, build, find_folder, folder_rebuilt, load_experiment, parameters, rebuild
from genjax_zoo.runs.folder import CONDITIONS, CONFIG, SOURCE, read_config
from genjax_zoo.runs.made import check_made, shapes_of
from genjax_zoo.runs.trust import check_trusted
from genjax_zoo.runs.trust import trust as trust_run
from genjax_zoo.train.checkpoint import Damaged, open_checkpoints
from genjax_zoo.train.parallel import data_mesh
from genjax_zoo.train.step import eval_variables

TRIES = 5  # of a reader, while training removes what it has chosen


class Restored(tuple[Experiment, TrainState]):
    """A run's experiment and state, and where they are from: what `compose.frozen` takes of a teacher."""

    origin: str  # "runs/teacher, step 400"

    def __new__(cls, experiment: Experiment, state: TrainState, origin: str) -> "Restored":
        """Puts them together."""
        made = super().__new__(cls, (experiment, state))
        made.origin = origin
        return made

    @property
    def experiment(self) -> Experiment:
        """What made the run."""
        return self[0]

    @property
    def state(self) -> TrainState:
        """All of it, as it was saved."""
        return self[1]

    @property
    def variables(self) -> Variables:
        """Those to evaluate with."""
        return eval_variables(self[1])


def restore(
    workdir: str | Path,
    *,
    checkpoint: str = "latest",
    experiment: Experiment | Make | None = None,
    trust: bool = False,
) -> Restored:
    """Reads a run back: the experiment that made it, and its state on this machine's devices.

    Within an experiment it reads the run of a teacher, whose folder is then looked for from where training was started,
    wherever the student is read. Where the teacher's checkpoint is gone, and the student has one, what was frozen is in
    that: here stand shapes, filled with NaN, and a sentence says so.

    Args:
        workdir: the run folder.
        checkpoint: "latest", "best", or a step.
        experiment: what made it, or a function that gives it from the run's flags; the run's own file by default.
        trust: runs its code although another user made the folder; remembered.

    Returns:
        (experiment, state), with the attribute `origin`, and `variables` to evaluate with.

    Raises:
        FileNotFoundError: no such run, it has no checkpoint yet, or `fit` made it and no experiment is given.
        UserError: no such checkpoint, a damaged one, or one of another experiment; or another user made the folder,
            and nobody said to trust it.
    """
    folder = find_folder(Path(workdir), CONFIG)
    if trust:
        trust_run(folder)
    if experiment is None:
        experiment = _as_begun(experiment_of(folder), folder)
    else:
        given = isinstance(experiment, Experiment)
        experiment = experiment if given else build(experiment, read_config(folder)["flags"])
        check_made(folder, experiment)
    with errors.explain_errors(f"The flags in {folder / CONFIG} make no model"):
        target = target_of(shapes_of(experiment), data_mesh())
    for _ in range(TRIES):
        with contextlib.ExitStack() as opened:
            try:
                checkpoints = opened.enter_context(open_checkpoints(folder, best=experiment.best))
                step = checkpoints.choose(str(checkpoint))
            except UserError as error:
                if (student := folder_rebuilt()) is None or not any((student / "checkpoints").glob("[0-9]*")):
                    raise
                telling.get()(f"{error} What {student} has frozen of it is read from its own checkpoints.")
                return Restored(experiment, _without_values(target), f"{workdir}, whose checkpoint is gone")
            try:
                return Restored(experiment, checkpoints.restore(step, target), f"{workdir}, step {step:,}")
            except Damaged:
                if (folder / "checkpoints" / str(step)).is_dir():
                    raise  # else its trainer has gone on, and removed it
    raise UserError(f"The checkpoints of {folder} are removed faster than they are read; raise its --save-every.")


def _as_begun(experiment: Experiment, folder: Path) -> Experiment:
    """The experiment, whose card says where its constants came from: at its first start, whatever they are by now."""
    frozen = tuple((read_config(folder).get("card") or {}).get("frozen") or ())
    card = dataclasses.replace(experiment.model.card, frozen=frozen or experiment.model.card.frozen)
    return dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, card=card))


def _without_values(target: TrainState) -> TrainState:
    """A state of these shapes, NaN where it can be: what is computed by it shows."""

    def filled(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jax.random.key(0)
        return jnp.full(leaf.shape, jnp.nan if jnp.issubdtype(leaf.dtype, jnp.inexact) else 0, leaf.dtype)

    return jax.tree.map(filled, target)


def experiment_of(folder: Path) -> Experiment:
    """The experiment that made a run, on its own data; where they are gone, on what the folder keeps of them.

    Warns of data that have changed since.

    Raises:
        FileNotFoundError: the folder holds no run, or the experiment reads what is not there.
        UserError: its file cannot be loaded.
    """
    config = read_config(folder)
    if config["experiment"] is None:
        raise Missing(
            f"The run {folder} was made by fit from Python: it has no {SOURCE}; read it with "
            f"restore('{folder}', experiment=...)."
        )
    check_trusted(folder)
    make = load_experiment(folder / SOURCE)
    kept = data.Kept(config.get("data", {}), folder / CONDITIONS)
    with data.note_loads() as seen, rebuild(folder, config):
        try:
            experiment = build(make, config["flags"], kept)
            if "seed" not in parameters(make) and isinstance(seed := config["flags"].get("seed"), int):
                experiment = dataclasses.replace(experiment, seed=seed)  # of an older run, which had the flag
        except Missing:
            raise
        except UserError as error:
            what = f"The flags in {folder / CONFIG} do not make an experiment"
            raise UserError(f"{what}: {str(error).rstrip('.')}; mend {folder / SOURCE}.") from error
    if changed := data.changes(kept.entries, describe_data(seen, experiment)):
        telling.get()(f"The data of the run {folder} have changed since it was trained: {changed}.")
    return experiment


def describe_data(seen: Mapping[str, Any], experiment: Experiment) -> dict[str, Any]:
    """What a run keeps of the data that were loaded for an experiment, and of those that it trains on."""
    by_hand = {} if getattr(experiment.data, "origin", None) else {"data": experiment.data}
    return data.describe({**seen, **by_hand})


def target_of(state: TrainState, mesh: Mesh) -> TrainState:
    """What a checkpoint is read into: the shapes of a state, on every device."""
    sharding = NamedSharding(mesh, PartitionSpec())
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), state)
