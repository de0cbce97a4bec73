"""An experiment from its file and its flags, and whether its parts fit, before anything is written."""

import contextlib
import contextvars
import dataclasses
import functools
import inspect
import numbers
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from genjax_zoo import data
from genjax_zoo.core import Eval, Experiment, Key, Model, Variables
from genjax_zoo.errors import CADENCE, Missing, UserError, check_number, explain_errors
from genjax_zoo.runs.made import batch_of
from genjax_zoo.runs.source import in_a_sentence, load_module
from genjax_zoo.train.border import check_data
from genjax_zoo.train.parallel import check_divides, data_mesh
from genjax_zoo.train.players import weights_by_player
from genjax_zoo.wrap.precision import half_precision

Precision = Literal["float32", "bf16"]
Make = Callable[..., Experiment]
OF_EVERY_RUN = ("steps", "seed", *CADENCE)


class Rebuilt(NamedTuple):
    """A run whose experiment is made again."""

    folder: Path
    began: Path | None  # the directory where it was started


_rebuilt: contextvars.ContextVar[Rebuilt | None] = contextvars.ContextVar("rebuilt", default=None)


@contextlib.contextmanager
def rebuild(folder: Path, config: Mapping[str, Any]) -> Iterator[None]:
    """For the time of a `with`, an experiment is made that made the run of this folder and config.json."""
    began = config.get("directory")
    token = _rebuilt.set(Rebuilt(folder, Path(began) if isinstance(began, str) else None))
    try:
        yield
    finally:
        _rebuilt.reset(token)


def folder_rebuilt() -> Path | None:
    """The folder of the run whose experiment is made again just now."""
    run = _rebuilt.get()
    return run and run.folder


def find_folder(folder: Path, holds: str) -> Path:
    """A folder that an experiment names: where it is not here, from where the run that is made again was started.

    Raises:
        FileNotFoundError: it is in neither place.
    """
    run = _rebuilt.get()
    if run is None or run.began is None or (folder / holds).exists():
        return folder
    if (run.began / folder / holds).exists():
        return run.began / folder
    raise Missing(
        f"{run.folder} is made of {folder}, which is neither here nor in {run.began}, where it was started; bring it "
        f"back."
    )


def build(make: Make, flags: Mapping[str, Any], kept: data.Kept = data.NOTHING) -> Experiment:
    """Calls an experiment's function with those of the flags that are its arguments.

    Its data, and those that its evaluations load later, are looked for in the flags' `data_dir`, and where a run that
    is given found them.

    Raises:
        UserError: a flag that is senseless, whatever the function raises, or it returns no Experiment.
    """
    _check_devices()
    known, file = parameters(make), _file_of(make)
    for name, value in flags.items():
        for number in value if isinstance(value, list | tuple) else [value]:
            check_number(name, number, known[name].default if name in known else None)
    own = {name: value for name, value in flags.items() if name in known}
    asked = {n: v for n, v in own.items() if v is not None or n not in OF_EVERY_RUN}  # of older runs, a flag not given
    given = {name: _declared(value, known[name].default) for name, value in asked.items()}
    changed = " ".join(f"--{n.replace('_', '-')} {v}" for n, v in given.items() if v != known[n].default)
    folder = None if "data_dir" in known else flags.get("data_dir")
    with (
        explain_errors(f"{file.name}{changed and ' with '}{changed} cannot be built", file),
        in_a_sentence(ImportError, SyntaxError),  # of what it imports only now
        data.look_in(folder, kept),
    ):
        experiment: Any = make(**given)
    if not isinstance(experiment, Experiment):
        kind = type(experiment).__name__
        raise UserError(f"The function 'experiment' of {file.name} returns {kind}, and not an Experiment.")
    if not isinstance(experiment.evals, Mapping):
        raise UserError(f"'evals' must map names to evaluations, not be {experiment.evals!r}.")
    for name in OF_EVERY_RUN:
        if not isinstance(value := getattr(experiment, name), numbers.Integral):
            raise UserError(f"'{name}' must be a whole number, not {value!r}.")
    evals = {name: _looking(folder, kept, run) for name, run in experiment.evals.items()}
    return dataclasses.replace(experiment, evals=evals)


def check_heard(make: Make, flags: Mapping[str, Any], experiment: Experiment) -> None:
    """Checks that the arguments `steps` and `seed` of an experiment's function arrive in what it returns.

    Raises:
        UserError: one does not.
    """
    for name, one in parameters(make).items():
        value = flags.get(name, one.default)
        if name in ("steps", "seed") and value is not None and value != (own := getattr(experiment, name)):
            raise UserError(
                f"--{name} {value} does not reach the Experiment of {_file_of(make).name}, which has {name}={own}; "
                f"pass it on, {name}={name}."
            )


def _looking(folder: str | None, kept: data.Kept, run: Eval) -> Eval:
    made = _rebuilt.get()

    @functools.wraps(run)
    def evaluate(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        token = _rebuilt.set(made)
        try:
            with data.look_in(folder, kept):
                return run(model, variables, key)
        finally:
            _rebuilt.reset(token)

    return evaluate


def _check_devices() -> None:
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # the latter of a CUDA that is not installed
        why = (str(error).splitlines() or ["its plugin is not installed"])[0]
        wanted = jax.config.jax_platforms  # type: ignore[attr-defined]
        advice = "unset it, or install JAX for that device"
        raise UserError(f"JAX has no device of JAX_PLATFORMS={wanted} ({why}); {advice}.") from None


def _file_of(make: Make) -> Path:
    code = getattr(inspect.unwrap(make), "__code__", None)
    return Path(code.co_filename if code else "experiment")


def _declared(value: Any, default: Any) -> Any:
    """A flag's value as the function takes it: config.json, being JSON, knows lists alone."""
    if not isinstance(value, list) or isinstance(default, list):
        return value
    return tuple(_declared(one, None) for one in value)


def parameters(make: Make) -> Mapping[str, inspect.Parameter]:
    """An experiment function's own arguments, which are its flags."""
    return inspect.signature(make).parameters


def flags_at_default(make: Make, flags: Mapping[str, Any]) -> set[str]:
    """The flags of an experiment's own that have its defaults."""
    return {name for name, one in parameters(make).items() if name in flags and flags[name] == one.default}


def load_experiment(path: Path) -> Make:
    """The function `experiment` of a Python file.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it has no function `experiment`, is no Python, imports what is not there, or raises.
    """
    if not path.is_file():
        raise Missing(f"There is no experiment file {path}.")
    module = load_module(path)
    if not callable(getattr(module, "experiment", None)):
        raise UserError(f"{path} has no function 'experiment'; write one that returns an Experiment.")
    return module.experiment


def at_pace(experiment: Experiment, cadence: Mapping[str, Any]) -> Experiment:
    """The experiment, logged, evaluated, saved and compiled as often as is said; what is None it says itself.

    Args:
        experiment: any.
        cadence: numbers of steps, by the names of the experiment's fields; other names are left alone.
    """
    return dataclasses.replace(experiment, **{n: cadence[n] for n in CADENCE if cadence.get(n) is not None})


def in_precision(experiment: Experiment, precision: Precision) -> Experiment:
    """The experiment with its networks computed in bfloat16, or as it is."""
    if precision == "float32":
        return experiment
    once = functools.cache(half_precision)  # players that share terms go on to
    lowered = {n: dataclasses.replace(p, terms=once(p.terms)) for n, p in experiment.players.items()}
    return dataclasses.replace(experiment, players=lowered)


def check(experiment: Experiment, mesh: Mesh | None = None) -> None:
    """Checks that data, model, players and devices fit, before anything is written.

    Raises:
        UserError: they do not; or the data have NaN, infinity, or values that the model is not of.
    """
    for name in ("steps", "seed", *CADENCE):
        check_number(name, getattr(experiment, name))
    check_divides(mesh or data_mesh(), experiment.data.batch_size)
    with explain_errors("The data's transforms cannot be run"):
        wanted, given = experiment.model.spec, experiment.data.spec
    for name, one in wanted.items():
        if name not in given:
            raise UserError(f"The model needs '{name}', but the data has {sorted(given)}.")
        if given[name].shape != one.shape:
            raise UserError(
                f"The model expects '{name}' of shape {one.shape}, but the data has {given[name].shape}; "
                f"build the model with the data's shape{_channel(given[name].shape, one.shape)}."
            )
        if jnp.issubdtype(one.dtype, jnp.integer) and not jnp.issubdtype(given[name].dtype, jnp.integer):
            raise UserError(
                f"The model expects '{name}' as integers, but the data has {given[name].dtype}; give it as int32."
            )
    with explain_errors("The model, its players and a batch of its data do not fit"):
        weights_by_player(experiment.model, experiment.players, batch_of(experiment))
    check_data(experiment.model, experiment.data)


def _channel(given: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    return ", or give the data a last axis of 1, x[..., None]" if (*given, 1) == wanted else ""
