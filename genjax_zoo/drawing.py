"""What `genjax-zoo sample RUN` draws and writes: images, points, sounds."""

import contextlib
import functools
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import rich.progress

from genjax_zoo import report, wrap
from genjax_zoo.core import NO_CONDITION, Array, Batch, Experiment, Key, Model, Variables, changed, replaced, require
from genjax_zoo.evals.samples import draw
from genjax_zoo.evals.walk import some_of
from genjax_zoo.explore import conditions_of
from genjax_zoo.files import whole
from genjax_zoo.run import restore
from genjax_zoo.sampling import Choose, cached, checked_prefix, completed, drawn, reporting, values_of
from genjax_zoo.train import eval_variables


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
        ValueError: an unknown condition or checkpoint, `seconds` of what is no sound, a temperature not above 0,
            a setting that the model has no use for, or a prefix that does not fit.
    """
    experiment, state = restore(run, checkpoint=checkpoint, trust=trust)
    given = conditions_of(experiment, n, cond, seed)
    model = experiment.model if seconds is None else lasting(experiment.model, seconds)
    variables, key = eval_variables(state), jax.random.key(seed)
    if model.conditionals is None:
        if not (top_k is top_p is prefix is keep is None):
            raise ValueError("--top-k, --top-p, --prefix and --keep are for autoregressive models; this run's is none.")
        model = model if temperature == 1 else wrap.tempered(model, temperature)
        x = draw(decoded(model) if mean else model, n)(variables, key, given)
    elif mean:
        raise ValueError("--mean is for models with a decoder; this run's draws one number after another.")
    elif replaced(model, "sample"):
        if temperature != 1 or not (top_k is top_p is prefix is keep is None):
            raise ValueError("This run's model has a `sample` of its own, which takes no --temperature, --top-k, ...")
        x = draw(model, n)(variables, key, given)
    else:
        choose = drawn(key, temperature=temperature, top_k=top_k, top_p=top_p)
        if (start := beginning(experiment, model, n, prefix, keep, seed)) is not None:
            choose = completed(choose, *checked_prefix(model.conditionals, start, n))
        with _bar() as tell:
            x = one_by_one(model, variables, n, choose, given, tell=tell)
    return int(state.step), save(path, x)


def decoded(model: Model) -> Model:
    """The model whose samples are decoded draws from its prior, E[x | z], without the noise of p(x | z).

    Raises:
        ValueError: the model has no `decode` or no `sample_prior`.
    """
    decode, sample_prior = require(model, "decode", "sample_prior")

    def sample(variables: Variables, key: Key, n: int, cond: Batch = NO_CONDITION) -> Array:
        return decode(variables, sample_prior(variables, key, n, cond), cond)

    return changed(model, sample=sample)


def one_by_one(
    model: Model,
    variables: Variables,
    n: int,
    choose: Choose,
    cond: Batch = NO_CONDITION,
    *,
    tell: Callable[[int, int], None] | None = None,
) -> Array:
    """Draws from an autoregressive model, x [n, ...], each number as `choose` says (see sampling.drawn).

    Args:
        model: has `conditionals`.
        variables: its own.
        n: how many.
        choose: chooses a level of one number of all draws.
        cond: the conditions of the n draws.
        tell: is called with (numbers in all, drawn so far) about a hundred times, from inside the compiled loop.

    Raises:
        ValueError: a model without `conditionals`.
    """
    (views,) = require(model, "conditionals")
    count = math.prod(views.grid)
    if tell is not None:
        choose = reporting(choose, functools.partial(tell, count), max(1, count // 100))

    @jax.jit
    def draw(variables: Variables, cond: Batch) -> Array:
        return values_of(model, cached(views, variables, n, choose, cond))

    x = draw(variables, cond)
    jax.effects_barrier()  # all has been told
    return x


def beginning(
    experiment: Experiment, model: Model, n: int, file: Path | None, keep: float | None, seed: int = 0
) -> Array | None:
    """The first numbers of what is drawn, x [n or 1, m]: of a file, or a share of the run's own data, or None.

    The run's own data are the examples whose conditions `conditions_of` gives with the same seed.

    Raises:
        ValueError: both are given, the share is outside [0, 1], or the file is no .npy and no .wav, or of another rate.
    """
    if file is not None and keep is not None:
        raise ValueError("Give --prefix or --keep, not both.")
    if file is not None and not file.is_file():
        raise FileNotFoundError(f"There is no {file}; --prefix takes a .npy file of x in raster order, or a .wav file.")
    if file is not None and file.suffix == ".wav":
        return jnp.asarray(report.read_sound(file)).reshape(1, -1)
    if file is not None:
        return jnp.asarray(_numbers_of(file, n))
    if keep is None:
        return None
    if not 0 <= keep <= 1:
        raise ValueError(f"--keep is a share in [0, 1], not {keep:g}.")
    own = jnp.asarray(some_of(experiment.data, n, ["x"], seed)["x"]).reshape(n, -1)
    return own[:, : min(round(keep * own.shape[1]), math.prod(model.conditionals.grid))]


def _numbers_of(file: Path, n: int) -> np.ndarray:
    """A .npy file as the first numbers of n examples, [n or 1, m]."""
    if file.suffix != ".npy":
        raise ValueError(f"Cannot read '{file}': --prefix takes a .npy file of x in raster order, or a .wav file.")
    try:
        with file.open("rb") as opened:
            given = np.lib.format.read_array(opened, allow_pickle=False)
    except (ValueError, EOFError, TypeError) as error:  # NumPy's, of a file that is damaged
        raise ValueError(f"{file} is no whole .npy file of numbers: {str(error).splitlines()[0]}.") from None
    if given.dtype.kind not in "biuf" or given.ndim == 0:
        raise ValueError(f"{file} holds {given.dtype} {given.shape}, and not numbers in raster order.")
    return given.reshape(len(given) if given.ndim > 1 and len(given) == n else 1, -1)


def lasting(model: Model, seconds: float) -> Model:
    """The same model of sounds that last so many seconds.

    Raises:
        ValueError: the model is not of sound, or sound without a sample.
    """
    shape = model.spec["x"].shape
    if not report.is_sound(shape) or model.of_length is None:
        raise ValueError(f"--seconds is for models of sound, but x of this run has the shape {shape}.")
    (of_length,) = require(model, "of_length")
    length = round(seconds * report.RATE)
    if length < 1:
        raise ValueError(f"--seconds must be above 0, not {seconds:g}.")
    return of_length(length)


def save(path: Path, x: Array) -> list[Path]:
    """Writes x [n, ...] as .npy or .png, and beside a .png of sounds each as STEM-<i>.wav; gives the paths."""
    if path.suffix == ".npy":
        with whole(path) as unfinished:
            np.save(unfinished, np.asarray(x))
        return [path]
    report.save_samples(path, x)
    if not report.is_sound(x.shape[1:]):
        return [path]
    sounds = [path.with_name(f"{path.stem}-{index}.wav") for index in range(len(x))]
    for file, one in zip(sounds, np.asarray(x)):
        report.save_sound(file, one)
    return [path, *sounds]


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[int, int], None]]:
    """A progress bar, where there is a terminal, to `tell` how far a draw is."""
    shown = rich.progress.Progress(transient=True, disable=not sys.stdout.isatty())
    task = shown.add_task("drawing", total=None)
    with shown:
        yield lambda count, done: shown.update(task, total=count, completed=done)
