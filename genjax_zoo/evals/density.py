"""Densities in the plane: against the true one, and as pictures."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import NO_CONDITION, Array, Batch, Data, Eval, Key, Model, Variables, compiled
from genjax_zoo.evals.likelihood import likelihood_of
from genjax_zoo.evals.samples import draw
from genjax_zoo.evals.walk import add_up

LogDensity = Callable[[np.ndarray], np.ndarray]  # points [N, 2] -> nats [N]


def divergence(data: Data, log_density: LogDensity) -> Eval:
    """KL(true || model), as the mean over a test set of log p_true(x) - log p(x).

    It is the nll less the entropy, without the part of the noise that the two share.

    Args:
        data: an evaluation split; every example counts once, padding does not.
        log_density: the true one, such as `partial(data.log_density, "grid25")`.

    Returns:
        An Eval that gives "kl" in nats. It raises ValueError for a model without an exact likelihood.
    """

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        nll = _nll(model)

        def of(batch: Batch, mask: Array, _: Key) -> tuple[float, float]:
            own = np.asarray(mask, np.float64)
            known = np.where(own > 0, log_density(np.asarray(batch["x"])), 0.0)
            gap = own * (known + np.asarray(nll(variables, batch, key), np.float64))
            return float(np.sum(gap)), float(np.sum(own))

        gap, count = add_up(data, key, of)
        return {"kl": gap / count}

    return run


def density_map(
    log_density: LogDensity | None = None,
    *,
    bound: float = 5.0,
    points: int = 200,
    n: int = 50_000,
    cond: Batch = NO_CONDITION,
) -> Eval:
    """An Eval of "density", pictures side by side: the model's density, its samples, and the true density.

    All are of [-bound, bound]^2, on one scale, which is of square roots, so that thin tails show.

    Args:
        log_density: the true one, or None to leave it out.
        bound: of the square.
        points: on each side.
        n: samples to count.
        cond: the conditions of one example, [1, ...].

    Returns:
        An Eval that gives one picture [1, points, 2 or 3 * points, 3] in [0, 1]. It raises ValueError for a model
        without an exact likelihood, or without a sampler.
    """
    centres = bound * ((2 * np.arange(points) + 1) / points - 1)
    grid = np.stack(np.meshgrid(centres, centres[::-1]), axis=-1).reshape(-1, 2).astype(np.float32)  # y goes up

    def run(model: Model, variables: Variables, key: Key) -> dict[str, Any]:
        from matplotlib import colormaps  # slow to import

        def repeated(count: int) -> Batch:
            return {name: jnp.broadcast_to(value, (count, *value.shape[1:])) for name, value in cond.items()}

        own = np.exp(-np.asarray(_nll(model)(variables, {"x": grid, **repeated(len(grid))}, key)))
        x = np.asarray(draw(model, n)(variables, key, repeated(n)))
        panels = [own, _histogram(x, bound, points)]
        if log_density is not None:
            panels.append(np.exp(log_density(grid)))
        brightest = np.quantile(panels[-1], 0.999)
        shades = [np.sqrt(np.clip(panel / brightest, 0, 1)).reshape(points, points) for panel in panels]
        return {"density": colormaps["magma"](np.concatenate(shades, axis=1))[None, ..., :3]}

    return run


def sample_map(*, bound: float = 5.0, points: int = 200, n: int = 20_000, cond: Batch = NO_CONDITION) -> Eval:
    """An Eval of "map", where samples in [-bound, bound]^2 fall: one picture [1, points, points, 3] in [0, 1].

    Args:
        bound: of the square.
        points: on each side.
        n: samples to count.
        cond: the conditions of n examples.

    Returns:
        An Eval. It raises ValueError for a model without a sampler.
    """

    def run(model: Model, variables: Variables, key: Key) -> dict[str, Any]:
        from matplotlib import colormaps  # slow to import

        density = _histogram(np.asarray(draw(model, n)(variables, key, cond)), bound, points)
        shades = np.sqrt(density / max(density.max(), 1e-12)).reshape(points, points)
        return {"map": colormaps["magma"](shades)[None, ..., :3]}

    return run


def _histogram(x: np.ndarray, bound: float, points: int) -> np.ndarray:
    """The density of samples [N, 2] on a grid, rows from above, [points * points]."""
    edges = np.linspace(-bound, bound, points + 1)
    counts = np.histogram2d(x[:, 1], x[:, 0], bins=(edges, edges))[0][::-1]
    return counts.ravel() / (len(x) * (2 * bound / points) ** 2)


@compiled
def _nll(model: Model) -> Callable[..., Any]:
    """(variables, batch, key) -> nats [B], compiled once."""
    nll = model.nll
    return jax.jit(lambda variables, batch, key: likelihood_of(nll, variables, batch, key))
