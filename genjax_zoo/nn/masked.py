"""Networks whose output i sees only the inputs before i, and flows made of them (MADE, Germain et al. 2015).

Hidden units are sorted by degree, the number of inputs that they may see. Going through x one number at a time, each
step computes only the units that have just become known: D steps cost as much as one pass over the network, where
plain ancestral sampling takes D passes.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.math import Elementwise, sum_per_example
from genjax_zoo.nn.bijections import Bijection, Mapped, no_log_det

Array = jax.Array
Choose = Callable[[Array, Array], Array]  # (index [], parameters [P, B]) -> x_index [B]


class MaskedMLP(nn.Module):
    """Parameters [B, P, D] of which column i depends on x[:, :i] and on a condition."""

    dimensions: int  # D
    parameters: int  # P
    hidden: tuple[int, ...] = (512, 512)
    activation: Callable[[Array], Array] = nn.relu
    out_init: Callable[..., Array] = nn.initializers.zeros

    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """[B, D] -> [B, P, D]."""
        *layers, (kernel, bias) = self._weights(cond)
        h = x
        for kernel_h, bias_h in layers:
            h = self.activation(h @ kernel_h + bias_h)
        return (h @ kernel + bias).reshape(len(x), self.parameters, self.dimensions)

    def sequential(self, choose: Choose, like: Array, cond: Array | None = None) -> Array:
        """Builds x [n, D], as `like` [n, ...], one by one: x_i = choose(i, its parameters given those before)."""
        n = len(like)
        *layers, (kernel, bias) = self._weights(cond)
        rows = [(k.T, jnp.broadcast_to(b, (n, b.shape[-1])).T) for k, b in layers]  # [out, in], [out, n]
        by_dimension = (self.dimensions, self.parameters)
        last = kernel.T.reshape(*by_dimension[::-1], -1).swapaxes(0, 1)  # [D, P, H]
        offset = jnp.broadcast_to(bias, (n, bias.shape[-1])).T.reshape(*by_dimension[::-1], n).swapaxes(0, 1)
        blocks = [_blocks(self._degrees(width, cond), self.dimensions) for width in self.hidden]

        def advance(index: Array, below: Array, states: list[Array]) -> list[Array]:
            """The units of every layer that see x_0 ... x_index and no more."""
            new = []
            for (weights, biases), (starts, size), state in zip(rows, blocks, states):
                at = jnp.asarray(starts)[index]
                weights = jax.lax.dynamic_slice_in_dim(weights, at, size)
                known = self.activation(weights @ below + jax.lax.dynamic_slice_in_dim(biases, at, size))
                below = jax.lax.dynamic_update_slice_in_dim(state, known, at, axis=0)
                new.append(below)
            return new

        def one(carry: tuple[Array, list[Array]], index: Array):
            x, states = carry
            top = states[-1] if states else x
            chosen = choose(index, last[index] @ top + offset[index])
            x = x.at[index].set(chosen.astype(x.dtype))
            return (x, advance(index + 1, x, states)), None

        def empty(width: int) -> Array:
            return jnp.zeros_like(like, shape=(width, n), dtype=kernel.dtype)  # sharded as `like` is

        x = empty(self.dimensions)
        states = advance(jnp.zeros((), jnp.int32), x, [empty(width) for width in self.hidden])
        (x, _), _ = jax.lax.scan(one, (x, states), jnp.arange(self.dimensions))
        return x.T

    def _degrees(self, width: int, cond: Array | None) -> np.ndarray:
        """Of a hidden layer's units: sorted, spread evenly over 1 ... D - 1, or from 0 where a condition is seen."""
        least = 1 if cond is None and self.dimensions > 1 else 0
        return least + np.arange(width) * (self.dimensions - least) // max(width, 1)

    @nn.compact
    def _weights(self, cond: Array | None) -> list[tuple[Array, Array]]:
        """Masked kernels [in, out] and biases [out] of every layer; the first biases hold the condition, [B, out]."""
        degrees = np.arange(1, self.dimensions + 1)
        weights = []
        for index, width in enumerate((*self.hidden, self.parameters * self.dimensions)):
            is_last = index == len(self.hidden)
            outputs = np.tile(np.arange(self.dimensions), self.parameters) if is_last else self._degrees(width, cond)
            mask = degrees[:, None] <= outputs
            init = self.out_init if is_last else nn.linear.default_kernel_init
            kernel = self.param(f"kernel_{index}", init, mask.shape) * mask
            bias = self.param(f"bias_{index}", nn.initializers.zeros, (width,))
            if index == 0 and cond is not None:
                seen = self.param("condition", nn.linear.default_kernel_init, (cond.shape[-1], width))
                bias = bias + cond @ seen
            weights.append((kernel, bias))
            degrees = outputs
        return weights


class MaskedAutoregressive(Bijection):
    """z_i = map(x_i), with parameters that depend on x_0 ... x_{i - 1} (MAF, Papamakarios et al. 2017).

    Forward is one pass; inverse goes through the dimensions one at a time, see `MaskedMLP.sequential`.
    """

    map: Elementwise
    network: MaskedMLP

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> Mapped:
        y, log_det = self.map.forward(x, self.network(x, cond))
        return y, no_log_det(x) + sum_per_example(log_det)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> Mapped:
        columns = y.T
        x = self.network.sequential(lambda i, p: self.map.inverse(columns[i], p)[0], y, cond)
        return x, -self.forward(x, cond, train)[1]


def _blocks(degrees: np.ndarray, dimensions: int) -> tuple[np.ndarray, int]:
    """Where the units of degree 0 ... D begin, and how many to compute at once: as many as the most common degree has.

    A block that holds units of later degrees computes them too early, and again when their turn comes; until then the
    masks keep them from being seen.
    """
    starts = np.searchsorted(degrees, np.arange(dimensions + 1))
    size = int(np.bincount(degrees).max())
    return np.minimum(starts, len(degrees) - size), size
