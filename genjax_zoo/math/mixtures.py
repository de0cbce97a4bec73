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
    x, channels = x.astype(parameters.dtype), range(x.shape[-1])
    mixture = _Mixture.of(parameters, len(channels))
    log_p = mixture.log_weights + sum(mixture.log_p(x, c, x[..., c : c + 1], levels) for c in channels)
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
    x = x.astype(parameters.dtype)
    mixture = _Mixture.of(parameters, x.shape[-1])
    seen = mixture.log_weights + sum(mixture.log_p(x, c, x[..., c : c + 1], levels) for c in range(channel))
    every = jnp.arange(levels, dtype=parameters.dtype)[:, None]
    log_p = _Mixture.of(parameters[..., None, :], x.shape[-1]).log_p(x[..., None, :], channel, every, levels)
    return jax.nn.logsumexp(jax.nn.log_softmax(seen)[..., None, :] + log_p, axis=-1)


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

    def log_p(self, x: Array, channel: int, level: Array, levels: int) -> Array:
        """Log P(level | component, channels before) of one channel, [..., M]."""
        half = (levels - 1) / 2  # of the range, in levels
        mean = self.means[..., channel, :]
        for before in range(channel):
            coefficient = self.coefficients[..., channel * (channel - 1) // 2 + before, :]
            mean = mean + coefficient * (x[..., before : before + 1] / half - 1)
        log_scale = self.log_scales[..., channel, :] + math.log(half)
        return logistic_bin_log_p(level, half * (mean + 1), log_scale, levels=levels)
