"""Fixed maps of single numbers, on NumPy or JAX arrays: the logit of pixels and the mu-law of sound."""

import math
import numbers
from typing import Any

import jax
import jax.numpy as jnp

from genjax_zoo.errors import UserError


def logit(x: Any, alpha: float) -> tuple[Any, Any]:
    """Takes [0, 1] to the reals: y = log p - log(1 - p), p = alpha + (1 - 2 alpha) x (Dinh et al. 2016, sec. 4.1).

    Args:
        x: floats in [0, 1].
        alpha: keeps y finite; 1e-6 for MNIST and 0.05 for CIFAR-10 (Papamakarios et al. 2017).

    Returns:
        y, and log |dy/dx| of every element, nats.
    """
    xp = x.__array_namespace__()
    log_p = xp.log(alpha + (1 - 2 * alpha) * x)
    log_q = xp.log(alpha + (1 - 2 * alpha) * (1 - x))  # not 1 - p: that has lost its digits where p is near 1
    return log_p - log_q, math.log(1 - 2 * alpha) - log_p - log_q


def logit_inverse(y: Any, alpha: float) -> Any:
    """The x in [0, 1] of a y of `logit`."""
    xp = y.__array_namespace__()
    return xp.clip((0.5 * (1 + xp.tanh(0.5 * y)) - alpha) / (1 - 2 * alpha), 0, 1)


def mu_law(x: Any, levels: int = 256) -> Any:
    """Codes of sound: sign(x) log(1 + mu |x|) / log(1 + mu), mu = levels - 1, rounded (ITU-T G.711's curve).

    Args:
        x: floats in [-1, 1]; what lies outside is clipped.
        levels: how many codes.

    Returns:
        int32 in 0 ... levels - 1; silence is levels // 2.
    """
    xp, mu = x.__array_namespace__(), levels - 1
    x = xp.clip(x, -1, 1)
    y = xp.sign(x) * xp.log1p(mu * xp.abs(x)) / math.log1p(mu)  # in [-1, 1]
    return xp.floor((y + 1) / 2 * mu + 0.5).astype(xp.int32)


def mu_law_inverse(codes: Any, levels: int = 256) -> Any:
    """The sound in [-1, 1] of the codes of `mu_law`, or of numbers between them."""
    xp, mu = codes.__array_namespace__(), levels - 1
    y = 2 * (codes / mu) - 1
    return xp.sign(y) * xp.expm1(xp.abs(y) * math.log1p(mu)) / mu


def tile(x: jax.Array, k: int) -> jax.Array:
    """A batch k times, one after another: [B, ...] -> [k * B, ...]."""
    return jnp.broadcast_to(x, (k, *x.shape)).reshape(-1, *x.shape[1:])


@jax.custom_vjp
def tilt_gradient(x: jax.Array, by: jax.Array) -> jax.Array:
    """Just x, whose gradient is multiplied by `by` on its way back."""
    return x


def _tilted_forward(x: jax.Array, by: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x, by


def _tilted_backward(by: jax.Array, gradient: jax.Array) -> tuple[jax.Array, None]:
    return gradient * by, None


tilt_gradient.defvjp(_tilted_forward, _tilted_backward)


def check_temperature(temperature: float) -> None:
    """Checks what draws are made colder or hotter by.

    Raises:
        UserError: it is no number above 0, or infinite.
    """
    if not isinstance(temperature, numbers.Real) or not 0 < temperature < math.inf:
        raise UserError(f"A temperature is above 0{' and finite' * (temperature == math.inf)}, not {temperature}.")
