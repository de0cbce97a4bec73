"""Observation models p(x | decoder's output), as values: what a decoder must emit and what its output means."""

import dataclasses
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.errors import UserError
from genjax_zoo.math.densities import bernoulli_nll, discretized_logistic_nll, gaussian_nll, product, sum_per_example
from genjax_zoo.math.levels import level_of, no_levels

Array = jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Likelihood:
    """p(x | output), where the decoder's output has `parameters` numbers per number of x, on the last axis."""

    parameters: int
    nll: Callable[[Array, Array], Array]  # (output [B, ..., C * parameters], x [B, ..., C]) -> nats [B]
    mean: Callable[[Array], Array]  # output -> E[x]
    sample: Callable[[Array, Array], Array]  # (key, output) -> x
    check: Callable[[np.ndarray], None] = lambda x: None  # raises ValueError for an x that has no likelihood
    levels: int | None = None  # K: a probability of x = k / (K - 1); None is a density

    def outputs(self, shape: tuple[int, ...]) -> int:
        """How many numbers a decoder must emit for an x of this shape."""
        return math.prod(shape) * self.parameters


def _check_bits(x: np.ndarray) -> None:
    grey = x[(x != 0) & (x != 1)]
    if grey.size:
        raise UserError(
            f"A Bernoulli likelihood is of bits, but x has values like {float(grey[0]):.4g}; "
            f"load binarized data such as 'mnist-dynamic', or use likelihood=discretized_logistic(levels)."
        )


bernoulli = Likelihood(
    parameters=1,
    nll=bernoulli_nll,
    mean=jax.nn.sigmoid,
    sample=lambda key, logits: jax.random.bernoulli(key, jax.nn.sigmoid(logits)).astype(logits.dtype),
    check=_check_bits,
    levels=2,
)


def categorical(levels: int) -> Likelihood:
    """Free probabilities for each of the levels k / (levels - 1) of every number of x."""

    def by_level(output: Array) -> Array:
        return output.reshape(*output.shape[:-1], -1, levels)

    def nll(output: Array, x: Array) -> Array:
        logits = by_level(output)
        chosen = jax.nn.one_hot(level_of(x, levels), levels, dtype=logits.dtype)  # a gather is slower on CPU
        return sum_per_example(jax.nn.logsumexp(logits, axis=-1) - jnp.sum(logits * chosen, axis=-1))

    def mean(output: Array) -> Array:
        return product(jax.nn.softmax(by_level(output), axis=-1), jnp.linspace(0, 1, levels, dtype=output.dtype))

    def sample(key: Array, output: Array) -> Array:
        return jax.random.categorical(key, by_level(output)).astype(output.dtype) / (levels - 1)

    return Likelihood(
        parameters=levels,
        nll=nll,
        mean=mean,
        sample=sample,
        check=functools.partial(check_levels, levels),
        levels=levels,
    )


def check_levels(levels: int, x: np.ndarray) -> None:
    """Checks that every number of x is a level k / (levels - 1).

    Raises:
        UserError: one is not.
    """
    between = no_levels(x, levels)
    if between.size:
        raise UserError(
            f"A likelihood of {levels} levels is of x = k / {levels - 1}, but x has values like "
            f"{float(between[0]):.4g}; load data with these levels, or name its levels in the model."
        )


def discretized_logistic(levels: int = 256) -> Likelihood:
    """A logistic for every number of x, integrated over the bins of `levels` grey levels in [0, 1]."""

    def split(output: Array) -> tuple[Array, Array]:
        mean, log_scale = jnp.split(output, 2, axis=-1)
        return jax.nn.sigmoid(mean), jnp.clip(log_scale - 2.0, -7.0, 3.0)  # floor of Salimans et al. 2017

    def mean(output: Array) -> Array:
        """E[x] = sum_k P(x > k / (levels - 1)) / (levels - 1); x is clipped, so it is not the logistic's."""
        centre, log_scale = split(output)
        scale = jnp.exp(-log_scale)

        def add(above: Array, border: Array) -> tuple[Array, None]:
            return above + jax.nn.sigmoid((centre - border) * scale), None

        borders = ((jnp.arange(levels - 1) + 0.5) / (levels - 1)).astype(centre.dtype)
        above, _ = jax.lax.scan(add, jnp.zeros_like(centre), borders)
        return above / (levels - 1)

    def sample(key: Array, output: Array) -> Array:
        mean, log_scale = split(output)
        x = mean + jnp.exp(log_scale) * jax.random.logistic(key, mean.shape, mean.dtype)
        return jnp.round(jnp.clip(x, 0.0, 1.0) * (levels - 1)) / (levels - 1)

    return Likelihood(
        parameters=2,
        nll=lambda output, x: discretized_logistic_nll(x, *split(output), levels=levels),
        mean=mean,
        sample=sample,
        check=functools.partial(check_levels, levels),
        levels=levels,
    )


def gaussian(std: float = 1.0) -> Likelihood:
    """A Gaussian of fixed width around the decoder's output; a density, for continuous x."""
    log_std = functools.partial(jnp.full_like, fill_value=float(jnp.log(std)))
    return Likelihood(
        parameters=1,
        nll=lambda output, x: gaussian_nll(x, output, log_std(output)),
        mean=lambda output: output,
        sample=lambda key, output: output + std * jax.random.normal(key, output.shape, output.dtype),
    )


def gaussian_mixture(components: int = 10) -> Likelihood:
    """A mixture of Gaussians for every number of x; a density, for continuous x (Bishop 1994; MADE-MoG in MAF).

    Raises:
        UserError: fewer than one component.
    """
    if components < 1:
        raise UserError(f"A mixture needs one component or more, not {components}.")

    def split(output: Array) -> tuple[Array, Array, Array]:
        """Logits, means and log standard deviations, each [..., C, K]."""
        parts = output.reshape(*output.shape[:-1], -1, 3, components)
        return parts[..., 0, :], parts[..., 1, :], jnp.maximum(parts[..., 2, :], -7.0)

    def nll(output: Array, x: Array) -> Array:
        logits, mean, log_std = split(output)
        z = (x[..., None] - mean) * jnp.exp(-log_std)
        log_p = jax.nn.log_softmax(logits, axis=-1) - 0.5 * z**2 - log_std - 0.5 * math.log(2 * math.pi)
        return -sum_per_example(jax.nn.logsumexp(log_p, axis=-1))

    def sample(key: Array, output: Array) -> Array:
        k_component, k_noise = jax.random.split(key)
        logits, mean, log_std = split(output)
        chosen = jax.random.categorical(k_component, logits)[..., None]
        mean, log_std = (jnp.take_along_axis(part, chosen, axis=-1)[..., 0] for part in (mean, log_std))
        return mean + jnp.exp(log_std) * jax.random.normal(k_noise, mean.shape, mean.dtype)

    def mean(output: Array) -> Array:
        logits, mean, _ = split(output)
        return jnp.sum(jax.nn.softmax(logits, axis=-1) * mean, axis=-1)

    return Likelihood(parameters=3 * components, nll=nll, mean=mean, sample=sample)
