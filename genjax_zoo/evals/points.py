"""Mode coverage of points in the plane, whose modes are known."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from genjax_zoo.core import NO_CONDITION, Batch, Eval, Key, Model, Variables
from genjax_zoo.evals.samples import draw


def mode_coverage(means: np.ndarray, sigma: float, n: int = 2_500, cond: Batch = NO_CONDITION) -> Eval:
    """An Eval of how many modes samples reach, and how evenly (Lin et al. 2018, arXiv:1712.04086, sec. 4.1).

    Args:
        means: [K, D], the modes.
        sigma: their standard deviation.
        n: samples to draw.
        cond: the conditions of n examples.

    Returns:
        An Eval that gives "modes", "high_quality" and "reverse_kl"; see `count_modes`.
    """

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        return count_modes(np.asarray(draw(model, n)(variables, key, cond)), means, sigma)

    return run


def modes_floor(means: np.ndarray, sigma: float, n: int, draws: int = 10) -> Mapping[str, float]:
    """What `count_modes` gives of n real points, the mean of some draws."""
    found = []
    for seed in range(draws):
        random = np.random.Generator(np.random.PCG64([seed, n]))
        noise = sigma * random.standard_normal((n, means.shape[1]))
        found.append(count_modes(means[random.integers(len(means), size=n)] + noise, means, sigma))
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def count_modes(x: np.ndarray, means: np.ndarray, sigma: float) -> Mapping[str, float]:
    """Samples x [N, D] against the modes of a mixture of K round Gaussians.

    Returns:
        "high_quality", the share within 3 sigma of a mode; "modes" with at least one of these; and "reverse_kl", nats,
        of their counts from the uniform distribution: log K where one mode holds all, and (K - 1) / 2 N at best.
    """
    distance = np.linalg.norm(x[:, None].astype(np.float64) - means, axis=-1)
    good = distance.min(axis=1) < 3 * sigma
    counts = np.bincount(distance.argmin(axis=1)[good], minlength=len(means))
    share = counts[counts > 0] / max(1, counts.sum())
    kl = float(np.sum(share * np.log(share * len(means)))) if len(share) else float("inf")
    return {"modes": float(np.sum(counts > 0)), "high_quality": float(np.mean(good)), "reverse_kl": kl}
