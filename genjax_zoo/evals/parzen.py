"""The Parzen window estimate, kept to show that it misleads (Theis et al. 2016, arXiv:1511.01844)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Array
from genjax_zoo.evals.estimate import Estimate, checked, mean

SIGMAS = tuple(np.logspace(-1, 0, 10).tolist())  # those of Goodfellow et al. 2014


def parzen(
    fake: np.ndarray,
    valid: np.ndarray,
    test: np.ndarray,
    *,
    sigmas: Sequence[float] = SIGMAS,
    resamples: int = 100,
    at_once: int = 2**22,
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
        ValueError: arrays of another shape, not finite, or no width above 0.
    """
    fake, valid, test = checked(1, fake=fake, valid=valid, test=test)
    if not sigmas or min(sigmas) <= 0:
        raise ValueError(f"Parzen windows need widths above 0, not {tuple(sigmas)}.")
    means = [float(np.mean(_log_densities(fake, valid, sigma, at_once))) for sigma in sigmas]
    return mean(_log_densities(fake, test, sigmas[int(np.argmax(means))], at_once), resamples)


def _log_densities(fake: np.ndarray, x: np.ndarray, sigma: float, at_once: int) -> np.ndarray:
    """Nats [m]."""
    centre = fake.mean(axis=0)
    rows = min(max(1, at_once // len(fake)), len(x))
    filled = np.pad(x - centre, ((0, -len(x) % rows), (0, 0)))
    parts = [_some(part, fake - centre, sigma) for part in np.split(filled, len(filled) // rows)]
    return np.concatenate(parts)[: len(x)].astype(np.float64)


@jax.jit
def _some(x: Array, fake: Array, sigma: Array) -> Array:
    product = jnp.matmul(x, fake.T, precision=jax.lax.Precision.HIGHEST)
    squares = jnp.sum(x**2, axis=1)[:, None] + jnp.sum(fake**2, axis=1) - 2 * product
    normalizer = jnp.log(len(fake)) + x.shape[1] * (jnp.log(sigma) + 0.5 * jnp.log(2 * jnp.pi))
    return jax.nn.logsumexp(-0.5 * jnp.maximum(squares, 0) / sigma**2, axis=1) - normalizer
