"""What neighbours in feature space say: precision, recall, density, coverage, and copies of training examples."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Array
from genjax_zoo.evals.estimate import Estimate, checked, estimate, mean, resampled
from genjax_zoo.evals.frechet import AT_ONCE


class Neighbourhoods(NamedTuple):
    """What `neighbourhoods` counts, before any mean; a ball reaches to the k-th nearest of its own kind."""

    precision: np.ndarray  # bool [n']: the sample is in some real example's ball
    recall: np.ndarray  # bool [n]: the real example is in some sample's ball
    density: np.ndarray  # float [n']: how many real balls the sample is in, over k
    coverage: np.ndarray  # bool [n]: some sample is in the real example's ball


def neighbourhoods(real: np.ndarray, fake: np.ndarray, *, k: int = 5, at_once: int = AT_ONCE) -> Neighbourhoods:
    """Who is in whose ball.

    Precision and recall are of Kynkaanniemi et al. 2019 (arXiv:1904.06991), density and coverage of Naeem et al. 2020
    (arXiv:2002.09797). For equal distributions density is 1 on average and coverage 1 - 2^-k.

    Args:
        real: features [n, F].
        fake: features [n', F].
        k: neighbours.
        at_once: distances in memory at a time.

    Raises:
        ValueError: k below 1; features of another shape, not finite, or fewer than k + 1 of them.
    """
    real, fake = _centred(k, real=real, fake=fake)
    radii, fake_radii = (_radii(x, k, _rows(x, at_once)) for x in (real, fake))
    inside, recall, coverage = _crossed(real, fake, radii, fake_radii, _rows(fake, at_once))
    inside = np.asarray(inside)
    return Neighbourhoods(inside > 0, np.asarray(recall), inside / k, np.asarray(coverage))


def prdc(real: np.ndarray, fake: np.ndarray, *, k: int = 5, resamples: int = 100) -> dict[str, Estimate]:
    """The means of `neighbourhoods` by name; the intervals are of the examples that each mean goes over.

    Raises:
        ValueError: as `neighbourhoods` does.
    """
    found = neighbourhoods(real, fake, k=k)
    return {name: mean(values, resamples) for name, values in found._asdict().items()}


def nearest(train: np.ndarray, x: np.ndarray, *, at_once: int = AT_ONCE) -> tuple[np.ndarray, np.ndarray]:
    """The nearest training example of each x.

    Args:
        train: features [N, F].
        x: features [n, F].
        at_once: distances in memory at a time.

    Returns:
        Distances [n], of the pairs themselves, so that a copy is at 0; and indices into `train` [n].

    Raises:
        ValueError: features of another shape, or not finite.
    """
    train, x = checked(1, train=train, x=x)
    centre = train.mean(axis=0)
    index = np.asarray(_nearest(x - centre, train - centre, _rows(train, at_once)))
    return np.linalg.norm(x - train[index], axis=1), index


def memorisation(train: np.ndarray, test: np.ndarray, fake: np.ndarray, *, resamples: int = 100) -> Estimate:
    """How far samples are from the nearest training example, over how far test examples are.

    It is 1 for samples as new as test examples, and 0 for copies.

    Args:
        train: features [N, F].
        test: features [n, F].
        fake: features [n', F].
        resamples: of the interval, over test examples and samples.

    Raises:
        ValueError: features of another shape, or not finite; test examples that are all training examples.
    """
    near, known = nearest(train, fake)[0], nearest(train, test)[0]
    if not known.any():
        raise ValueError("Every test example is a training example; give those that the model was not trained on.")
    ours, theirs = (resampled(len(d), resamples, seed) @ d / len(d) for seed, d in enumerate((near, known)))
    return estimate(ours / np.maximum(theirs, np.finfo(np.float32).tiny), len(fake))


def _centred(k: int, **features: np.ndarray) -> list[np.ndarray]:
    """Features less their common mean: the shorter they are, the fewer digits a difference of squares loses."""
    if k < 1:
        raise ValueError(f"Neighbourhoods need k of 1 or more, not {k}.")
    arrays = checked(k + 1, **features)
    centre = arrays[0].mean(axis=0)
    return [x - centre for x in arrays]


def _rows(x: np.ndarray, at_once: int) -> int:
    return max(1, at_once // len(x))


def _in_rows(x: Array, rows: int) -> Array:
    """[n, ...] -> [chunks, rows, ...], filled up with nan."""
    short = -len(x) % rows
    return jnp.pad(x, ((0, short), *((0, 0) for _ in x.shape[1:])), constant_values=jnp.nan).reshape(
        -1, rows, *x.shape[1:]
    )


def _squared_distances(x: Array, y: Array) -> Array:
    """[n, F], [m, F] -> [n, m]; in full float32 on every platform."""
    product = jnp.matmul(x, y.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.maximum(jnp.sum(x**2, axis=1)[:, None] + jnp.sum(y**2, axis=1) - 2 * product, 0)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _radii(x: Array, k: int, rows: int) -> Array:
    """The squared distance of each example's k-th nearest other, [n]."""

    def some(part: tuple[Array, Array]) -> Array:
        x_part, index = part
        squares = _squared_distances(x_part, x)
        squares = jnp.where(index[:, None] == jnp.arange(len(x)), jnp.inf, squares)

        def further(_: Array, least: Array) -> Array:
            """The next larger distance while fewer than k are this large; a sort takes ten times as long."""
            enough = jnp.sum(squares <= least[:, None], axis=1) >= k
            beyond = jnp.min(jnp.where(squares > least[:, None], squares, jnp.inf), axis=1)
            return jnp.where(enough, least, beyond)

        return jax.lax.fori_loop(0, k, further, jnp.full(len(x_part), -1.0, x_part.dtype))

    rows = min(rows, len(x))
    index = jnp.arange(-(-len(x) // rows) * rows).reshape(-1, rows)
    return jax.lax.map(some, (_in_rows(x, rows), index)).reshape(-1)[: len(x)]


@functools.partial(jax.jit, static_argnums=4)
def _crossed(real: Array, fake: Array, radii: Array, fake_radii: Array, rows: int) -> tuple[Array, Array, Array]:
    """How many real balls each sample is in [n']; recall and coverage of each real example [n]."""
    rows = min(rows, len(real))

    def some(inside: Array, part: tuple[Array, Array]) -> tuple[Array, tuple[Array, Array]]:
        x, radius = part
        squares = _squared_distances(x, fake)  # nan, which is in no ball, where filled up
        within = squares < radius[:, None]
        return inside + jnp.sum(within, axis=0), (jnp.any(squares < fake_radii, axis=1), jnp.any(within, axis=1))

    parts = _in_rows(real, rows), _in_rows(radii, rows)
    inside, (recall, coverage) = jax.lax.scan(some, jnp.zeros(len(fake), jnp.int32), parts)
    return inside, recall.reshape(-1)[: len(real)], coverage.reshape(-1)[: len(real)]


@functools.partial(jax.jit, static_argnums=2)
def _nearest(x: Array, train: Array, rows: int) -> Array:
    rows = min(rows, len(x))
    index = jax.lax.map(lambda part: jnp.argmin(_squared_distances(part, train), axis=1), _in_rows(x, rows))
    return index.reshape(-1)[: len(x)]
