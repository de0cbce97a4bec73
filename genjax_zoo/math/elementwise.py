"""Invertible maps of single numbers, with parameters: what couplings and autoregressive flows do to each number.

Each gives (y, log |dy/dx|) of every number, and is finite with finite gradients for any finite x and parameters.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax_zoo.errors import UserError

Array = jax.Array


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Elementwise:
    """An increasing map with `parameters` numbers per number of x; parameters of zero make it the identity."""

    parameters: int
    forward: Callable[[Array, Array], tuple[Array, Array]]  # x [..., N], parameters [..., P, N] -> y, log |dy/dx|
    inverse: Callable[[Array, Array], tuple[Array, Array]]  # y, parameters -> x, log |dx/dy|


additive = Elementwise(
    parameters=1,
    forward=lambda x, p: (x + p[..., 0, :], jnp.zeros_like(x)),
    inverse=lambda y, p: (y - p[..., 0, :], jnp.zeros_like(y)),
)


def bound_log_scale(raw: Array, bound: float = 3.0) -> Array:
    """A log-scale in (-bound, bound): the tanh of Dinh et al. 2016, sec. 3.6, of fixed height and slope 1 at zero."""
    return bound * jnp.tanh(raw / bound)


def affine(log_scale: Callable[[Array], Array] = bound_log_scale) -> Elementwise:
    """Y = x * exp(log_scale(s)) + t, of the parameters (t, s)."""

    def forward(x: Array, p: Array) -> tuple[Array, Array]:
        t, s = jnp.unstack(p, axis=-2)
        s = log_scale(s)
        return x * jnp.exp(s) + t, s

    def inverse(y: Array, p: Array) -> tuple[Array, Array]:
        t, s = jnp.unstack(p, axis=-2)
        s = log_scale(s)
        return (y - t) * jnp.exp(-s), -s

    return Elementwise(parameters=2, forward=forward, inverse=inverse)


def rational_quadratic(bins: int = 8, bound: float = 3.0) -> Elementwise:
    """A monotone rational-quadratic spline on [-bound, bound], the identity outside (Durkan et al. 2019, sec. 3.1).

    Args:
        bins: K; there are 3 K - 1 parameters: K widths, K heights, K - 1 slopes at the inner knots.
        bound: of the interval; data beyond it are left as they are.

    Raises:
        UserError: fewer than two bins, so many that none can be 1e-3 of the interval wide, or no interval.
    """
    least = 1e-3  # of a bin's width and height, as a share of the interval, and of a slope
    if not 2 <= bins < 1 / least or bound <= 0:
        raise UserError(f"A spline needs 2 ... {int(1 / least) - 1} bins and a bound above 0, not {bins} and {bound}.")
    flat = math.log(math.expm1(1 - least))  # softplus of it and the least slope make 1

    def knots(p: Array) -> tuple[Array, ...]:
        """Left edges and sizes of the bins in x and in y, and the slopes at both ends of each: all [..., K, N]."""

        def edges(raw: Array) -> tuple[Array, Array]:
            share = least + (1 - least * bins) * jax.nn.softmax(raw, axis=-2)
            right = 2 * bound * jnp.cumsum(share, axis=-2) - bound
            left = jnp.concatenate([jnp.full_like(right[..., :1, :], -bound), right[..., :-1, :]], axis=-2)
            right = jnp.concatenate([right[..., :-1, :], jnp.full_like(right[..., :1, :], bound)], axis=-2)
            return left, right - left

        inner = least + jax.nn.softplus(p[..., 2 * bins :, :] + flat)
        one = jnp.ones_like(inner[..., :1, :])
        slopes = jnp.concatenate([one, inner, one], axis=-2)
        return *edges(p[..., :bins, :]), *edges(p[..., bins : 2 * bins, :]), slopes[..., :-1, :], slopes[..., 1:, :]

    def bin_of(x: Array, left: Array, values: tuple[Array, ...]) -> list[Array]:
        """The values of the bin that x is in; sums with a mask, as gathers are slow on CPU."""
        index = jnp.sum(x[..., None, :] >= left[..., 1:, :], axis=-2)
        chosen = index[..., None, :] == jnp.arange(bins)[:, None]
        return [jnp.sum(jnp.where(chosen, value, 0), axis=-2) for value in values]

    def log_slope(t: Array, slope: Array, start: Array, end: Array, bend: Array) -> Array:
        """Equation 5 of the paper."""
        numerator = end * t**2 + 2 * slope * t * (1 - t) + start * (1 - t) ** 2
        return 2 * jnp.log(slope) + jnp.log(numerator) - 2 * jnp.log(slope + bend * t * (1 - t))

    def wide(x: Array, p: Array) -> tuple[Array, Array, Array]:
        """In float32 at least, and x inside the interval, so that no gradient is of what is thrown away."""
        kind = jnp.promote_types(x.dtype, jnp.float32)
        return jnp.clip(x.astype(kind), -bound, bound), p.astype(kind), jnp.abs(x) <= bound

    def forward(x: Array, p: Array) -> tuple[Array, Array]:
        inner, p, inside = wide(x, p)
        all_knots = knots(p)
        left, width, bottom, height, start, end = bin_of(inner, all_knots[0], all_knots)
        slope, t = height / width, (inner - left) / width
        bend = end + start - 2 * slope
        y = bottom + height * (slope * t**2 + start * t * (1 - t)) / (slope + bend * t * (1 - t))
        log_det = log_slope(t, slope, start, end, bend)
        return jnp.where(inside, y.astype(x.dtype), x), jnp.where(inside, log_det, 0.0)

    def inverse(y: Array, p: Array) -> tuple[Array, Array]:
        inner, p, inside = wide(y, p)
        all_knots = knots(p)
        left, width, bottom, height, start, end = bin_of(inner, all_knots[2], all_knots)
        slope, above = height / width, inner - bottom
        bend = end + start - 2 * slope
        a = height * (slope - start) + above * bend  # equations 6 to 8
        b = height * start - above * bend
        c = -slope * above
        root = jnp.sqrt(jnp.maximum(b**2 - 4 * a * c, jnp.finfo(b.dtype).tiny))
        t = jnp.clip(2 * c / (-b - root), 0, 1)
        log_det = -log_slope(t, slope, start, end, bend)
        return jnp.where(inside, (left + t * width).astype(y.dtype), y), jnp.where(inside, log_det, 0.0)

    return Elementwise(parameters=3 * bins - 1, forward=forward, inverse=inverse)
