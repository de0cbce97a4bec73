"""Negative log-likelihoods and divergences, in nats, one number per example."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

Array = jax.Array
Gaussian = tuple[Array, Array]  # mean and log standard deviation, [B, ...]


def gaussian_of(parameters: Any) -> Gaussian:
    """A network's output [B, ..., 2 * D] as the mean and log standard deviation of a Gaussian, both [B, ..., D]."""
    mean, log_std = jnp.split(parameters, 2, axis=-1)
    return mean, log_std


def sum_per_example(x: Array) -> Array:
    """Sums all axes but the first: [B, ...] -> [B].

    On CPU by a product with ones: XLA computes what it sums itself one number at a time, several times slower.
    """
    flat = x.reshape(len(x), -1)
    ones = jnp.ones(flat.shape[1], x.dtype)
    return jax.lax.platform_dependent(flat, ones, cpu=product, default=lambda flat, ones: jnp.sum(flat, axis=1))


def product(a: Array, b: Array) -> Array:
    """The matrix product a @ b in the full precision of its type, on every accelerator: for densities and their like.

    By default GPUs multiply in TensorFloat-32 and TPUs in bfloat16, which is good enough for networks alone.
    """
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def bernoulli_nll(logits: Array, x: Array) -> Array:
    """-log p(x) of independent bits with the given log-odds; x in {0, 1}, both [B, ...] -> [B].

    A grey value in (0, 1) gives a cross-entropy that is no likelihood.
    """
    softplus = jnp.maximum(logits, 0) + jnp.log(1 + jnp.exp(-jnp.abs(logits)))  # to an absolute 1e-7, as its sum is
    return sum_per_example(softplus - x * logits)


def gaussian_nll(x: Array, mean: Array, log_std: Array) -> Array:
    """-log N(x; mean, exp(log_std)^2) of a diagonal Gaussian, all [B, ...] -> [B]."""
    z = (x - mean) * jnp.exp(-log_std)
    return sum_per_example(0.5 * z**2 + log_std + 0.5 * math.log(2 * math.pi))


def logistic_nll(x: Array) -> Array:
    """-log of the standard logistic density, [B, ...] -> [B]."""
    return sum_per_example(x + 2 * jax.nn.softplus(-x))


def gaussian_kl(mean: Array, log_std: Array) -> Array:
    """KL(N(mean, exp(log_std)^2) || N(0, I)), all [B, ...] -> [B]; Kingma & Welling 2013, appendix B."""
    return sum_per_example(0.5 * (jnp.exp(2 * log_std) + mean**2 - 1) - log_std)


def gaussian_mixture_nll(x: Array, means: Array, log_stds: Array) -> Array:
    """-log of the mean of K diagonal Gaussians: x [B, D], means and log_stds [K, D] -> [B].

    Distances are summed over one dimension after another, so that nothing of size [B, K, D] exists; as matrix products
    of expanded squares they would cancel where components are sharp.
    """

    @jax.checkpoint
    def one(squares: Array, of_dimension: tuple[Array, Array, Array]) -> tuple[Array, None]:
        x, mean, log_std = of_dimension  # [B], [K], [K]
        return squares + ((x[:, None] - mean) * jnp.exp(-log_std)) ** 2, None

    squares = jnp.zeros_like(x, shape=(len(x), len(means)))
    squares, _ = jax.lax.scan(one, squares, (x.T, means.T, log_stds.T))
    constant = jnp.sum(log_stds, axis=-1) + 0.5 * math.log(2 * math.pi) * x.shape[-1]
    return math.log(len(means)) - jax.nn.logsumexp(-0.5 * squares - constant, axis=-1)


def logistic_bin_log_p(level: Array, mean: Array, log_scale: Array, *, levels: int) -> Array:
    """Log P of single bins of a logistic distribution, elementwise, in nats; all arguments in units of levels.

    Each of the levels 0 ... levels - 1 owns the half to both sides of it, and the outer bins reach to infinity, so the
    probabilities of all levels sum to 1 (Salimans et al. 2017, PixelCNN++, sec. 2.1). In these units a level minus its
    mean is exact where it matters, so that neighbouring bins share their border in float32, too.
    """
    scale = jnp.exp(-log_scale)
    upper = (level - mean + 0.5) * scale
    lower = (level - mean - 0.5) * scale
    # log(sigmoid(upper) - sigmoid(lower)), stable where both are near 0, near 1, or as near as to be one number
    width = jnp.log(-jnp.expm1(-jnp.exp(-jnp.minimum(log_scale, 30.0))))
    width = jnp.where(log_scale < 30, width, -log_scale)
    log_p = jax.nn.log_sigmoid(upper) + jax.nn.log_sigmoid(-lower) + width
    log_p = jnp.where(level < 0.5, jax.nn.log_sigmoid(upper), log_p)
    return jnp.where(level > levels - 1.5, jax.nn.log_sigmoid(-lower), log_p)


def discretized_logistic_nll(x: Array, mean: Array, log_scale: Array, *, levels: int) -> Array:
    """-log P(x) of a logistic distribution integrated over one bin per level, all [B, ...] -> [B].

    The levels are 0, 1/(levels - 1), ..., 1; see `logistic_bin_log_p`.
    """
    top = levels - 1
    return -sum_per_example(logistic_bin_log_p(x * top, mean * top, log_scale + math.log(top), levels=levels))


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Prior:
    """A fixed distribution of independent numbers, of any shape."""

    nll: Callable[[Array], Array]  # z [B, ...] -> nats [B]
    sample: Callable[[Array, tuple[int, ...]], Array]  # (key, shape) -> z


normal = Prior(
    nll=lambda z: gaussian_nll(z, jnp.zeros((), z.dtype), jnp.zeros((), z.dtype)),
    sample=jax.random.normal,
)
logistic = Prior(nll=logistic_nll, sample=jax.random.logistic)
