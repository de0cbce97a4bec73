"""The 1x1 convolution with an inverse, by its LU factors (Kingma & Dhariwal 2018, arXiv:1807.03039, sec. 3.2)."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import lu, solve_triangular

from genjax_zoo.errors import UserError
from genjax_zoo.math import product
from genjax_zoo.nn.bijections import Bijection, WithLogDet, over_places

Array = jax.Array


class InvertibleConv(Bijection):
    """Multiplies the channels by W = P L (U + diag(s)): P and the signs of s stay, so that W never becomes singular.

    Starts at `kernel`, else at a random rotation.

    Raises:
        UserError: from any method, for a kernel that has no inverse or is not square.
    """

    kernel: np.ndarray | None = None  # [C, C]

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        lower, upper, log_scale, permutation = self._factors(x.shape[-1])
        weights = product(lower, upper)[permutation]
        return product(x, weights.T), over_places(x, log_scale)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        lower, upper, log_scale, permutation = self._factors(y.shape[-1])
        identity = jnp.eye(len(lower), dtype=lower.dtype)
        inverse = solve_triangular(upper, solve_triangular(lower, identity, lower=True, unit_diagonal=True))
        return product(y[..., jnp.argsort(permutation)], inverse.T), over_places(y, -log_scale)

    @nn.compact
    def _factors(self, channels: int) -> tuple[Array, Array, Array, Array]:
        """L, U + diag(s), log |s| and P, as rows of L U."""
        if self.kernel is not None:
            _check(self.kernel, channels)
        start = jnp.eye(channels, dtype=jnp.float32) if self.kernel is None else jnp.asarray(self.kernel, jnp.float32)
        if self.is_initializing() and self.kernel is None:
            start = nn.initializers.orthogonal()(self.make_rng("params"), (channels, channels), jnp.float32)
        p, low, up = lu(start)
        s = jnp.diagonal(up)
        permutation = self.variable("constants", "permutation", lambda: jnp.argmax(p, axis=1)).value
        sign = self.variable("constants", "sign", lambda: jnp.sign(s)).value
        lower = jnp.tril(self.param("lower", lambda _: low), -1) + jnp.eye(channels, dtype=sign.dtype)
        log_scale = self.param("log_scale", lambda _: jnp.log(jnp.abs(s)))
        upper = jnp.triu(self.param("upper", lambda _: jnp.triu(up, 1)), 1)
        return lower, upper + jnp.diag(sign * jnp.exp(log_scale)), log_scale, permutation


def _check(kernel: np.ndarray, channels: int) -> None:
    if kernel.shape != (channels, channels):
        raise UserError(f"The kernel of a 1x1 convolution of {channels} channels is square, not {kernel.shape}.")
    if np.linalg.matrix_rank(kernel) < channels:
        raise UserError("The kernel of an invertible 1x1 convolution is singular; start at one with full rank.")
