"""Distances between the distributions of features: Fréchet's, and the kernel distance.

No network's features are meant by themselves, so a score is named by its extractor: `frechet[mnist-cnn]`. It is an FID
(Heusel et al. 2017) only where Inception made the features.
"""

import numpy as np

from genjax_zoo.evals.distances import AT_ONCE
from genjax_zoo.evals.estimate import Estimate, check_features, estimate, resample


def frechet(real: np.ndarray, fake: np.ndarray, *, resamples: int = 100) -> Estimate:
    """The squared Fréchet distance of the Gaussians with the features' moments (Dowson & Landau 1982).

    |m - m'|^2 + tr(S) + tr(S') - 2 tr((S^1/2 S' S^1/2)^1/2), in float64. The last trace is the sum of the singular
    values of R R'^T for any roots S = R^T R and S' = R'^T R', which need no more rows than there are examples. It is
    biased upwards, the more the fewer the examples: compare it at one n only, and with its floor.

    Args:
        real: [n, F].
        fake: [n', F].
        resamples: of the interval.

    Raises:
        UserError: features of another shape, fewer than 2 of them, or not finite.
    """
    real, fake = check_features(real=real, fake=fake)
    weights = [resample(len(x), resamples, seed) for seed, x in enumerate((real, fake))]
    values = [_between(real, one, fake, other) for one, other in zip(*weights)]
    return estimate(np.array(values), len(fake), least=0.0)


def _between(real: np.ndarray, weights: np.ndarray, fake: np.ndarray, other_weights: np.ndarray) -> float:
    mean, root = _moments(real, weights)
    other, other_root = _moments(fake, other_weights)
    cross = np.linalg.svd(root @ other_root.T, compute_uv=False).sum()
    apart = np.sum((mean - other) ** 2) + np.sum(root**2) + np.sum(other_root**2) - 2 * cross
    return max(float(apart), 0.0)  # of equals, rounding may leave less


def _moments(x: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean [F] of weighted examples, and a root [r, F] of their covariance, r at most n and F."""
    x, weights = x[weights > 0].astype(np.float64), weights[weights > 0].astype(np.float64)
    mean = weights @ x / weights.sum()
    root = (x - mean) * np.sqrt(weights / (weights.sum() - 1))[:, None]
    if len(root) > root.shape[1]:
        values, vectors = np.linalg.eigh(root.T @ root)
        root = np.sqrt(np.maximum(values, 0))[:, None] * vectors.T
    return mean, root


def kernel_distance(real: np.ndarray, fake: np.ndarray, *, resamples: int = 100, at_once: int = AT_ONCE) -> Estimate:
    """The unbiased squared MMD with the kernel (x . y / F + 1)^3, as in KID (Binkowski et al. 2018, arXiv:1801.01401).

    Unbiased, it is 0 on average for equal distributions, and may be negative.

    Args:
        real: [n, F].
        fake: [n', F].
        resamples: of the interval; pairs of an example with its own copy do not count.
        at_once: numbers of the kernel matrix in memory at a time.

    Raises:
        UserError: features of another shape, fewer than 2 of them, or not finite.
    """
    real, fake = (x.astype(np.float64) for x in check_features(real=real, fake=fake))
    w_real, w_fake = (resample(len(x), resamples, seed).astype(np.float64) for seed, x in enumerate((real, fake)))
    centre = real.mean(axis=0)
    real, fake = real - centre, fake - centre

    def within(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        own = _kernel(np.sum(x**2, axis=1), x @ centre, x @ centre, centre)
        pairs = w.sum(axis=1) ** 2 - (w**2).sum(axis=1)
        return (_kernel_sums(x, x, w, w, centre, at_once) - (w**2) @ own) / pairs

    across = _kernel_sums(real, fake, w_real, w_fake, centre, at_once) / (len(real) * len(fake))
    return estimate(within(real, w_real) + within(fake, w_fake) - 2 * across, len(fake))


def _kernel(product: np.ndarray, x: np.ndarray, y: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """(x . y / F + 1)^3 less that of two centres, which cancels, from products of x and y as they lie about the centre.

    Far from zero the kernels are alike in all their first digits, and without the common part the others are kept.
    """
    origin = centre @ centre / len(centre) + 1
    more = (product + x + y) / len(centre)
    return more * (3 * origin**2 + more * (3 * origin + more))


def _kernel_sums(
    x: np.ndarray, y: np.ndarray, w_x: np.ndarray, w_y: np.ndarray, centre: np.ndarray, at_once: int
) -> np.ndarray:
    """sum_ij w_i k(x_i, y_j) w_j of every row of weights, [R]."""
    rows, sums = max(1, at_once // len(y)), np.zeros(len(w_x))
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        kernel = _kernel(part @ y.T, (part @ centre)[:, None], y @ centre, centre)
        sums += np.einsum("ri,ri->r", w_x[:, start : start + rows], w_y @ kernel.T)
    return sums
