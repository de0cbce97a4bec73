"""The discretized mixture of logistics over the levels of a pixel (Salimans et al. 2017, PixelCNN++, sec. 2.1-2.2).

One of M components is drawn for a pixel as a whole. In it, each channel is a logistic over the bins of its levels,
whose mean is linear in the channels before. Means and scales are in the paper's units: the levels reach from -1 to 1.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax_zoo.math.densities import logistic_bin_log_p, sum_per_example

Array = jax.Array
LEAST_LOG_SCALE = -7.0  # Salimans et al. 2017


def logistic_mixture_parameters(channels: int, components: int) -> int:
    """Numbers of one pixel's mixture: of each component a weight, C means, C scales and C (C - 1) / 2 coefficients."""
    return components * (1 + 2 * channels + channels * (channels - 1) // 2)


def logistic_mixture_nll(parameters: Array, x: Array, *, levels: int) -> Array:
    """-log P(x) of all pixels: parameters [B, ..., P], x of int levels [B, ..., C] -> nats [B]."""
    log_p = _Mixture.of(parameters, x.shape[-1]).joint(x.astype(parameters.dtype), x.shape[-1], levels)
    return -sum_per_example(jax.nn.logsumexp(log_p, axis=-1))


def logistic_mixture_logits(parameters: Array, x: Array, channel: int, *, levels: int) -> Array:
    """Log-probabilities of all levels of one channel, given those before it: they sum to one.

    Args:
        parameters: [..., P].
        x: int levels [..., C], of which only the channels before are read.
        channel: which one.
        levels: K, of every channel.

    Returns:
        [..., K].
    """
    mixture, x = _Mixture.of(parameters, x.shape[-1]), x.astype(parameters.dtype)
    mean, log_scale = mixture.logistic(x, channel, levels)
    every = jnp.arange(levels, dtype=parameters.dtype)
    log_p = logistic_bin_log_p(every, mean[..., None], log_scale[..., None], levels=levels)  # [..., M, K]: K is fast
    seen = jax.nn.log_softmax(mixture.joint(x, channel, levels))
    return jax.nn.logsumexp(seen[..., None] + log_p, axis=-2)


class _Mixture(NamedTuple):
    log_weights: Array  # [..., M]
    means: Array  # [..., C, M]
    log_scales: Array  # [..., C, M]
    coefficients: Array  # [..., C (C - 1) / 2, M]: of channel 1 by 0, of 2 by 0 and 1, ...

    @classmethod
    def of(cls, parameters: Array, channels: int) -> "_Mixture":
        components = parameters.shape[-1] // logistic_mixture_parameters(channels, 1)
        rows = parameters.reshape(*parameters.shape[:-1], -1, components)
        weights, means, scales, coefficients = jnp.split(rows, [1, 1 + channels, 1 + 2 * channels], axis=-2)
        floored = jnp.maximum(scales, LEAST_LOG_SCALE)
        return cls(jax.nn.log_softmax(weights[..., 0, :]), means, floored, jnp.tanh(coefficients))

    def joint(self, x: Array, channels: int, levels: int) -> Array:
        """Log P(component, the first so many channels), [..., M]."""
        log_p = self.log_weights
        for channel in range(channels):
            level = x[..., channel, None]
            log_p = log_p + logistic_bin_log_p(level, *self.logistic(x, channel, levels), levels=levels)
        return log_p

    def logistic(self, x: Array, channel: int, levels: int) -> tuple[Array, Array]:
        """Mean and log scale of one channel given those before, in units of levels, [..., M]."""
        half = (levels - 1) / 2  # of the range
        mean = self.means[..., channel, :]
        for before in range(channel):
            coefficient = self.coefficients[..., channel * (channel - 1) // 2 + before, :]
            mean = mean + coefficient * (x[..., before, None] / half - 1)
        return half * (mean + 1), self.log_scales[..., channel, :] + math.log(half)
