"""What `genjax-zoo sample RUN` draws and writes: images, points, sounds."""

import contextlib
import dataclasses
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import rich.progress

from genjax_zoo import draw
from genjax_zoo.core import (
    NO_CONDITION,
    Array,
    Batch,
    Conditionals,
    Experiment,
    Key,
    Latent,
    Model,
    Sampler,
    Variables,
    part,
    require,
)
from genjax_zoo.errors import Missing, UserError
from genjax_zoo.evals.walk import some_of
from genjax_zoo.explore.conditions import conditions_of, read_numbers
from genjax_zoo.files import whole
from genjax_zoo.inference.sampling import SETTINGS
from genjax_zoo.math import check_temperature
from genjax_zoo.runs import restore
from genjax_zoo.train import eval_variables

FLAGS = {"temperature": "temperature", "top_k": "top_k", "top_p": "top_p", "prefix": "prefix", "keep": "prefix"}


def draw_run(
    run: Path,
    path: Path,
    n: int,
    *,
    seed: int = 0,
    cond: Sequence[str] = (),
    seconds: float | None = None,
    temperature: float = 1.0,
    mean: bool = False,
    top_k: int | None = None,
    top_p: float | None = None,
    prefix: Path | None = None,
    keep: float | None = None,
    checkpoint: str = "latest",
    trust: bool = False,
) -> tuple[int, list[Path]]:
    """Draws n samples from a run and writes them; gives the step they are of, and the files (see `save`).

    With `mean` each is E[x | z], the decoder's mean, in place of a draw from p(x | z).

    Raises:
        UserError: an unknown condition or checkpoint, `seconds` of what is no sound, a temperature not above 0,
            a setting that the model's sampler does not take, or a prefix that does not fit.
    """
    experiment, state = restore(run, checkpoint=checkpoint, trust=trust)
    given = conditions_of(experiment, n, cond, seed)
    model = experiment.model if seconds is None else with_length(experiment.model, seconds)
    model = without_noise(model) if mean else model
    sampler = require(model, Sampler)
    check_temperature(temperature)
    settings: dict[str, Any] = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    settings = {name: value for name, value in settings.items() if value != SETTINGS[name]}
    begins = {name: value for name, value in (("prefix", prefix), ("keep", keep)) if value is not None}
    _check_taken(sampler, [*settings, *begins])
    if begins:
        settings["prefix"] = prefix_of(experiment, model, n, prefix, keep, seed)
    with _bar() as tell:
        settings |= {"tell": tell} if "tell" in sampler.settings else {}
        draw = jax.jit(lambda v, key, cond: sampler.draw(v, key, n, cond, **settings)[0])
        x = draw(eval_variables(state), jax.random.key(seed), given)
        jax.effects_barrier()  # all has been told
    return int(state.step), save(path, x)


def _check_taken(sampler: Sampler, flags: Sequence[str]) -> None:
    """Whether a sampler has a setting for each of these flags."""
    takes = [flag for flag, setting in FLAGS.items() if setting in sampler.settings]
    for flag in flags:
        if flag not in takes:
            known = ", ".join(map(_dashed, takes)) or "no setting"
            raise UserError(f"This run's sampler takes no {_dashed(flag)}; it takes {known}.")


def _dashed(flag: str) -> str:
    return f"--{flag.replace('_', '-')}"


def without_noise(model: Model) -> Model:
    """The model whose samples are decoded draws from its prior, E[x | z], without the noise of p(x | z).

    Raises:
        UserError: the model has no `latent.decode` or no `latent.prior`.
    """
    part(model, Latent, "decode")
    prior = require(model, Latent).prior

    def draw(
        variables: Variables, key: Key, n: int, cond: Batch = NO_CONDITION, *, train: bool = False, **settings: Any
    ) -> tuple[Array, Variables]:
        z = model.sample_prior(variables, key, n, cond, **settings)
        return model.decode(variables, z, cond), variables

    settings = prior.sampler.settings if prior is not None and prior.sampler is not None else {}
    return dataclasses.replace(model, sampler=Sampler(draw=draw, settings=settings))


def prefix_of(
    experiment: Experiment, model: Model, n: int, file: Path | None, keep: float | None, seed: int = 0
) -> Array | None:
    """The first numbers of what is drawn, x [n or 1, m]: of a file, or a share of the run's own data, or None.

    The run's own data are the examples whose conditions `conditions_of` gives with the same seed.

    Raises:
        UserError: both are given, the share is outside [0, 1], or the file is no .npy and no .wav, or of another rate.
    """
    if file is not None and keep is not None:
        raise UserError("Give --prefix or --keep, not both.")
    if file is not None and not file.is_file():
        raise Missing(f"There is no {file}; --prefix takes a .npy file of x in raster order, or a .wav file.")
    if file is not None and file.suffix == ".wav":
        return jnp.asarray(draw.read_sound(file)).reshape(1, -1)
    if file is not None:
        return jnp.asarray(_numbers_of(file, n))
    if keep is None:
        return None
    if not 0 <= keep <= 1:
        raise UserError(f"--keep is a share in [0, 1], not {keep:g}.")
    own = jnp.asarray(some_of(experiment.data, n, ["x"], seed)["x"]).reshape(n, -1)
    return own[:, : min(round(keep * own.shape[1]), math.prod(require(model, Conditionals).grid))]


def _numbers_of(file: Path, n: int) -> np.ndarray:
    """A .npy file as the first numbers of n examples, [n or 1, m]."""
    if file.suffix != ".npy":
        raise UserError(f"Cannot read '{file}': --prefix takes a .npy file of x in raster order, or a .wav file.")
    given = read_numbers(file)
    if given.ndim == 0:
        raise UserError(f"{file} holds one number, and not numbers in raster order.")
    return given.reshape(len(given) if given.ndim > 1 and len(given) == n else 1, -1)


def with_length(model: Model, seconds: float) -> Model:
    """The same model of sounds that last so many seconds.

    Raises:
        UserError: the model is not of sound, or sound without a sample.
    """
    shape = model.spec["x"].shape
    if not draw.is_sound(shape) or model.of_length is None:
        raise UserError(f"--seconds is for models of sound, but x of this run has the shape {shape}.")
    length = round(seconds * draw.RATE)
    if length < 1:
        raise UserError(f"--seconds must be above 0, not {seconds:g}.")
    return model.of_length(length)


def save(path: Path, x: Array) -> list[Path]:
    """Writes x [n, ...] as .npy or .png, and beside a .png of sounds each as STEM-<i>.wav; gives the paths."""
    if path.suffix == ".npy":
        with whole(path) as unfinished:
            np.save(unfinished, np.asarray(x))
        return [path]
    draw.save_samples(path, x)
    if not draw.is_sound(x.shape[1:]):
        return [path]
    sounds = [path.with_name(f"{path.stem}-{index}.wav") for index in range(len(x))]
    for file, one in zip(sounds, np.asarray(x)):
        draw.save_sound(file, one)
    return [path, *sounds]


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar, where there is a terminal, to `tell` how far a draw is."""
    shown = rich.progress.Progress(transient=True, disable=not sys.stdout.isatty())
    task = shown.add_task("drawing", total=None)
    with shown:
        yield lambda count, done: shown.update(task, total=count, completed=done)
