"""Networks whose output i sees only the inputs before i, and flows made of them (MADE, Germain et al. 2015).

Hidden units are sorted by degree, the number of inputs that they may see. Going through x one number at a time, each
step computes only the units that have just become known: D steps cost as much as one pass over the network, where
plain ancestral sampling takes D passes.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.math import Elementwise, sum_per_example
from genjax_zoo.nn.bijections import Bijection, WithLogDet, no_log_det

Array = jax.Array
ChooseNumber = Callable[[Array, Array], Array]  # (index [], parameters [P, B]) -> x_index [B]


class Walk(NamedTuple):
    """How far a walk through x has come, and the masked weights it goes by; arrays have the batch last."""

    x: Array  # [D, n], zero from here on
    units: list[Array]  # of every hidden layer, [H, n]; right as far as their inputs are known
    hidden: list[tuple[Array, Array]]  # every hidden layer's kernel [H, inputs] and biases [H, n]
    last: tuple[Array, Array]  # kernel [D, P, H] and biases [D, P, n]
    direct: Array | None  # from x to the parameters, [D, P, D]
    cond: Array | None


class MaskedMLP(nn.Module):
    """Parameters [B, P, D] of which column i depends on x[:, :i] and on a condition."""

    dimensions: int  # D
    parameters: int  # P
    hidden: tuple[int, ...] = (512, 512)
    activation: Callable[[Array], Array] = nn.relu
    out_init: Callable[..., Array] = nn.initializers.zeros
    direct: bool = False  # parameters are linear in x besides

    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """[B, D] -> [B, P, D]."""
        (*layers, (kernel, bias)), direct = self._weights(cond)
        h = x
        for kernel_h, bias_h in layers:
            h = self.activation(h @ kernel_h + bias_h)
        out = h @ kernel + bias
        if direct is not None:
            out = out + x @ direct
        return out.reshape(len(x), self.parameters, self.dimensions)

    def sequential(self, choose: ChooseNumber, like: Array, cond: Array | None = None) -> Array:
        """Builds x [n, D], as `like` [n, ...], one by one: x_i = choose(i, its parameters given those before)."""

        def one(carry: tuple[Walk, Array], index: Array):
            parameters, walk = self.step(*carry, index)
            chosen = choose(index, parameters).astype(walk.x.dtype)
            return (walk, chosen), chosen

        walk = self.start(like, cond)
        _, x = jax.lax.scan(one, (walk, walk.x[0]), jnp.arange(self.dimensions))
        return x.T

    def start(self, like: Array, cond: Array | None = None) -> Walk:
        """Before the first number of x [n, D], as `like` [n, ...] in what it is sharded by."""
        n = len(like)
        (*layers, (kernel, bias)), direct = self._weights(cond)

        def empty(width: int) -> Array:
            return jnp.zeros_like(like, shape=(width, n), dtype=kernel.dtype)

        def by_dimension(rows: Array) -> Array:
            return rows.reshape(self.parameters, self.dimensions, -1).swapaxes(0, 1)

        def batched(bias: Array) -> Array:
            return jnp.broadcast_to(bias, (n, bias.shape[-1])).T

        return Walk(
            x=empty(self.dimensions),
            units=[empty(width) for width in self.hidden],
            hidden=[(k.T, batched(b)) for k, b in layers],
            last=(by_dimension(kernel.T), by_dimension(batched(bias))),
            direct=None if direct is None else by_dimension(direct.T),
            cond=cond,
        )

    def step(self, walk: Walk, previous: Array, index: Array) -> tuple[Array, Walk]:
        """The parameters [P, n] of x_index, given x_{index - 1} [n], which is not read before the first.

        Of every layer only the units are computed that see x_0 ... x_{index - 1} and no fewer.
        """
        x = walk.x.at[jnp.maximum(index - 1, 0)].set(jnp.where(index == 0, 0, previous))
        below, units = x, []
        for width, (kernel, biases), known in zip(self.hidden, walk.hidden, walk.units):
            starts, size = _blocks(self._degrees(width, walk.cond is not None), self.dimensions)
            at = jnp.asarray(starts)[index]
            now = jax.lax.dynamic_slice_in_dim(kernel, at, size) @ below
            now = self.activation(now + jax.lax.dynamic_slice_in_dim(biases, at, size))
            below = jax.lax.dynamic_update_slice_in_dim(known, now, at, axis=0)
            units.append(below)
        kernel, biases = walk.last
        parameters = kernel[index] @ below + biases[index]
        if walk.direct is not None:
            parameters = parameters + walk.direct[index] @ x
        return parameters, walk._replace(x=x, units=units)

    def sees(self, conditional: bool) -> np.ndarray:
        """Bool [D, D], which numbers the parameters of each depend on: a narrow layer lacks units of some degrees."""
        least = np.arange(1, self.dimensions + 1)  # of a number's units in each layer, the smallest degree
        for width in self.hidden:
            degrees = np.append(self._degrees(width, conditional), self.dimensions)  # which no output sees
            least = degrees[np.searchsorted(degrees, least)]
        index = np.arange(self.dimensions)[:, None]
        return (index.T < index) if self.direct else (least <= index)

    def _degrees(self, width: int, conditional: bool) -> np.ndarray:
        """Of a hidden layer's units: sorted, spread evenly over 1 ... D - 1, or from 0 where a condition is seen."""
        least = 1 if not conditional and self.dimensions > 1 else 0
        return least + np.arange(width) * (self.dimensions - least) // max(width, 1)

    @nn.compact
    def _weights(self, cond: Array | None) -> tuple[list[tuple[Array, Array]], Array | None]:
        """Masked kernels [in, out] and biases [out] of every layer, and the kernel from x to the parameters.

        The first biases hold the condition, [B, out].
        """
        degrees = np.arange(1, self.dimensions + 1)
        weights = []
        for index, width in enumerate((*self.hidden, self.parameters * self.dimensions)):
            is_last = index == len(self.hidden)
            outputs = (
                np.tile(np.arange(self.dimensions), self.parameters)
                if is_last
                else self._degrees(width, cond is not None)
            )
            mask = degrees[:, None] <= outputs
            init = self.out_init if is_last else nn.linear.default_kernel_init
            kernel = self.param(f"kernel_{index}", init, mask.shape, jnp.float32) * mask
            bias = self.param(f"bias_{index}", nn.initializers.zeros, (width,), jnp.float32)
            if index == 0 and cond is not None:
                shape = (cond.shape[-1], width)
                seen = self.param("condition", nn.linear.default_kernel_init, shape, jnp.float32)
                bias = bias + cond @ seen
            weights.append((kernel, bias))
            degrees = outputs
        if not self.direct:
            return weights, None
        mask = np.arange(1, self.dimensions + 1)[:, None] <= degrees
        return weights, self.param("direct", nn.initializers.zeros, mask.shape, jnp.float32) * mask


class MaskedAutoregressive(Bijection):
    """z_i = map(x_i), with parameters that depend on x_0 ... x_{i - 1} (MAF, Papamakarios et al. 2017).

    Forward is one pass; inverse goes through the dimensions one at a time, see `MaskedMLP.sequential`.
    """

    map: Elementwise
    network: MaskedMLP

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        y, log_det = self.map.forward(x, self.network(x, cond))
        return y, no_log_det(x) + sum_per_example(log_det)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
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
