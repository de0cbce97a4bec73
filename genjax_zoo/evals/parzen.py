"""The Parzen window estimate, kept to show that it misleads (Theis et al. 2016, arXiv:1511.01844)."""

from collections.abc import Sequence

import numpy as np

from genjax_zoo.errors import UserError
from genjax_zoo.evals.distances import AT_ONCE, squared_distances
from genjax_zoo.evals.estimate import Estimate, check_features, mean

SIGMAS = tuple(np.logspace(-1, 0, 10).tolist())  # those of Goodfellow et al. 2014


def parzen(
    fake: np.ndarray,
    valid: np.ndarray,
    test: np.ndarray,
    *,
    sigmas: Sequence[float] = SIGMAS,
    resamples: int = 100,
    at_once: int = AT_ONCE,
) -> Estimate:
    """The mean log-density of test examples under a Gaussian on each sample, nats.

    Papers report it of 10,000 samples of MNIST. It is no likelihood: blurred samples beat draws of the data itself,
    and k-means centres beat both (Theis et al. 2016, table 1).

    Args:
        fake: samples [n, D], flat; in the units of the data.
        valid: examples that choose the Gaussians' width.
        test: examples [m, D].
        sigmas: widths to choose from.
        resamples: of the interval, over test examples.
        at_once: distances in memory at a time.

    Raises:
        UserError: arrays of another shape, not finite, or no width above 0.
    """
    fake, valid, test = check_features(1, fake=fake, valid=valid, test=test)
    if not sigmas or min(sigmas) <= 0:
        raise UserError(f"Parzen windows need widths above 0, not {tuple(sigmas)}.")
    best = sigmas[int(np.argmax(_log_densities(fake, valid, sigmas, at_once).mean(axis=1)))]
    return mean(_log_densities(fake, test, [best], at_once)[0], resamples)


def _log_densities(fake: np.ndarray, x: np.ndarray, sigmas: Sequence[float], at_once: int) -> np.ndarray:
    """Nats [sigmas, m]."""
    from scipy.special import logsumexp  # slow to import

    kernels = [
        [logsumexp(-0.5 * squares / sigma**2, axis=1) for sigma in sigmas]
        for _, squares in squared_distances(x, fake, at_once)
    ]
    widths = np.array(sigmas)[:, None]
    return np.concatenate(kernels, axis=1) - np.log(len(fake)) - x.shape[1] * np.log(widths * np.sqrt(2 * np.pi))
