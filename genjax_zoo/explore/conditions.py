"""The conditions of what is drawn: `--cond` in words or files, and the run's own data for what it leaves out.

label=3   label=0,1,2   one class for all samples, or some that take turns; so is a single number
code=0.5,-1,2           a vector, for all samples
mask=FILE.npy           an array of any shape, for all samples, or with one more axis: one for each
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Array, Data, Experiment, conditions
from genjax_zoo.errors import Missing, UserError
from genjax_zoo.evals.walk import some_of
from genjax_zoo.explore.latent import examples_of
from genjax_zoo.files import named


def conditions_of(experiment: Experiment, n: int, given: Sequence[str] = (), seed: int = 0) -> dict[str, Array]:
    """The conditions of n samples, [n, ...]: as given, each "name=value", else as the run's own data have them.

    Raises:
        UserError: a condition that the model does not have, no numbers, another shape, or classes that there are not.
        FileNotFoundError: there is no such file.
    """
    spec = conditions(experiment.model.spec)
    words = {}
    for text in given:
        name, _, value = text.partition("=")
        if name not in spec:
            raise UserError(f"The model has no condition '{name}'; it has {sorted(spec) or 'none'}.")
        words[name] = value
    rest = [name for name in spec if name not in words]
    taken = dict(some_of(experiment.data, n, rest, seed)) if rest else {}
    for name, value in words.items():
        taken[name] = _read(name, value, tuple(spec[name].shape), n)
        _check(experiment, name, value, taken[name])
    return {name: jnp.asarray(taken[name], one.dtype) for name, one in spec.items()}


def read_numbers(file: Path) -> np.ndarray:
    """The array in a .npy file.

    Raises:
        UserError: it is no .npy file, a damaged one, or one of something other than numbers.
    """
    with named(file, "is no whole .npy file of numbers"), file.open("rb") as opened:
        found = np.lib.format.read_array(opened, allow_pickle=False)
    if found.dtype.kind not in "biuf":
        raise UserError(f"{file} holds {found.dtype} {found.shape}, and no numbers.")
    return found


def _read(name: str, value: str, shape: tuple[int, ...], n: int) -> np.ndarray:
    """What --cond says of one condition, [n, *shape]."""
    if value.endswith(".npy"):
        file, what = Path(value), shape or "one number"
        if not file.is_file():
            raise Missing(f"There is no {file}; '{name}' is {what}, for all samples or for each.")
        found = read_numbers(file)
        if found.shape not in (shape, (n, *shape)):
            each = f"'{name}' is {what} for all samples, or {(n, *shape)} with one for each"
            raise UserError(f"{file} holds numbers of shape {found.shape}, but {each}.")
        return np.broadcast_to(found, (n, *shape))
    if len(shape) > 1:
        raise UserError(f"The condition '{name}' is an array of shape {shape}; give a file of it, {name}=FILE.npy.")
    try:
        numbers = np.array([float(text) for text in value.split(",")])
    except ValueError:
        how = f"{shape[0]} with commas, or {name}=FILE.npy" if shape else f"{name}=3 or {name}=0,1,2"
        raise UserError(f"--cond {name}={value} has no numbers; write {how}.") from None
    if not shape:
        return np.resize(numbers, n)  # they take turns
    if len(numbers) != shape[0]:
        raise UserError(f"--cond {name}={value} has {len(numbers)} numbers, but '{name}' has {shape[0]}.")
    return np.broadcast_to(numbers, (n, *shape))


def _check(experiment: Experiment, name: str, value: str, found: np.ndarray) -> None:
    """Whether the values of a condition are some that it may have."""
    one = experiment.model.spec[name]
    if not np.isfinite(found).all():
        raise UserError(f"--cond {name}={value}: '{name}' takes finite numbers.")
    if jnp.issubdtype(one.dtype, jnp.integer):
        top = int(np.max(_values_of(experiment.data, name)))
        if np.any((found < 0) | (found > top) | (found != np.round(found))):
            raise UserError(f"--cond {name}={value}: '{name}' is one of 0 ... {top}, as in the run's data.")
    experiment.model.check({name: found.astype(one.dtype)})


def _values_of(data: Data, name: str) -> Any:
    """The values that a condition has in data, or had in data that are gone."""
    known = getattr(data, "seen", None) or getattr(data, "arrays", {})
    return np.asarray(known[name]) if name in known else examples_of(data, 2_000)[name]
