"""Evaluations: run, named where they fail, and tried before the first step."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from genjax_zoo.core import Eval, Experiment, TrainState, Variables
from genjax_zoo.errors import UserError
from genjax_zoo.train.health import better_by_batch
from genjax_zoo.train.log import Sink
from genjax_zoo.train.step import eval_variables


def evaluate(experiment: Experiment, state: TrainState, sinks: Sequence[Sink] = ()) -> Mapping[str, float]:
    """Runs every evaluation; returns the numbers, and shows numbers and images to the sinks.

    Raises:
        UserError: an evaluation fails; or the experiment's `best` is none of their numbers.
    """
    results: dict[str, Any] = {}
    for name, run in experiment.evals.items():
        with _naming(name):
            found = _asked(experiment, run, eval_variables(state))
            for entry, value in found.items():
                results[f"{name}/{entry}"] = np.asarray(value) if np.ndim(value) else float(value)
    images = {name: value for name, value in results.items() if np.ndim(value) > 0}
    numbers = {name: value for name, value in results.items() if np.ndim(value) == 0}
    if experiment.best is not None:
        _check_best(experiment.best, numbers)
    for sink in sinks:
        sink.show(int(state.step), numbers, images)
    sound_alarms(experiment, int(state.step), numbers, sinks)
    if sinks and (sentence := better_by_batch(experiment, state)):
        for sink in sinks:
            sink.warn(int(state.step), sentence)
    return numbers


def try_evaluations(experiment: Experiment, state: TrainState, *, drawn: bool = True) -> None:
    """Traces every evaluation up to where it looks into its arrays, so that what fails does so before training.

    Args:
        experiment: has the evaluations.
        state: gives the variables.
        drawn: whether arrays that they give are drawn, and so must be pictures.

    Raises:
        UserError: an evaluation fails; or the experiment's `best` is none of their numbers.
    """
    numbers: dict[str, Any] | None = {}
    for name, run in experiment.evals.items():

        def traced(variables: Variables, run: Eval = run) -> Mapping[str, Any]:
            # what a user's evaluation computes of other things than the variables it may keep: there it is computed
            ours = getattr(run, "__module__", "").startswith("genjax_zoo.")
            with contextlib.nullcontext() if ours else jax.ensure_compile_time_eval():
                return _asked(experiment, run, variables)

        try:
            found = jax.eval_shape(traced, eval_variables(state))
        except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
            numbers = None  # it may have any
        except Exception:  # tracing may be what it cannot stand
            with _naming(name):
                _asked(experiment, run, eval_variables(state))
            numbers = None
        else:
            for entry, value in found.items() if drawn else ():
                if np.ndim(value) and (np.ndim(value) != 4 or value.shape[-1] not in (1, 3) or 0 in value.shape):
                    raise UserError(
                        f"The evaluation '{name}' gives '{entry}' of shape {value.shape}, which is no picture "
                        f"[n, H, W, C] of 1 or 3 channels; leave it out."
                    )
            if numbers is not None:
                numbers |= {f"{name}/{entry}": value for entry, value in found.items() if np.ndim(value) == 0}
    if experiment.best is not None and numbers is not None:
        _check_best(experiment.best, numbers)


def _asked(experiment: Experiment, run: Eval, variables: Variables) -> Mapping[str, Any]:
    found = run(experiment.model, variables, jax.random.key(experiment.seed))
    if not isinstance(found, Mapping):
        raise TypeError(f"it gives {type(found).__name__}, not a mapping of names to numbers and images")
    return found


@contextlib.contextmanager
def _naming(name: str) -> Iterator[None]:
    """Lets what an evaluation raises name it."""
    try:
        yield
    except FileNotFoundError:  # of data that are gone
        raise
    except Exception as error:
        said = str(error).strip() or type(error).__name__
        said = said if isinstance(error, ValueError) else f"{type(error).__name__}: {said.splitlines()[0]}"
        raise UserError(
            f"The evaluation '{name}' fails ({said.rstrip('.')}); mend it in the experiment, or leave it out."
        ) from error


def _check_best(best: str, numbers: Mapping[str, Any]) -> None:
    if best not in numbers:
        raise UserError(f"best='{best}' is no number that the evaluations give: {sorted(numbers)}.")


def sound_alarms(experiment: Experiment, step: int, numbers: Mapping[str, float], sinks: Sequence[Sink]) -> None:
    """Tells the sinks what the experiment's alarms say of these numbers."""
    for sentence in filter(None, (alarm(numbers) for alarm in experiment.alarms)):
        for sink in sinks:
            sink.warn(step, sentence)
