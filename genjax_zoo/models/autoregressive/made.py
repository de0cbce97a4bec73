"""MADE: masked autoencoder for distribution estimation (Germain et al. 2015, arXiv:1502.03509).

p(x) = prod_i p(x_i | x_0 ... x_{i - 1}), all conditionals in one pass. With Gaussians or mixtures of them it is the
baseline of MAF (Papamakarios et al. 2017), with bits the model of the paper.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Key, Model, Terms, conditions
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.math import Likelihood, gaussian_mixture
from genjax_zoo.nn import MaskedMLP

Shape = tuple[int, ...]


class MADE(nn.Module):
    """Network "network"."""

    shape: Shape
    likelihood: Likelihood
    network: MaskedMLP  # x [B, D] -> parameters [B, P, D]
    classes: int = 0

    def __call__(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        return self.nll(batch, key, train)

    def nll(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        """Minus the log of the product of all conditionals, nats [B]."""
        flat = batch["x"].reshape(len(batch["x"]), -1)
        output = self.network(flat, self._given(conditions(batch))).swapaxes(1, 2)  # [B, D, P]
        return {"nll": self.likelihood.nll(output, flat[..., None])}

    def sample(self, key: Key, n: int, cond: Batch, train: bool = False) -> Array:
        """One number after another, each step at the cost of its own units."""

        def draw(index: Array, parameters: Array) -> Array:
            return self.likelihood.sample(jax.random.fold_in(key, index), parameters.T)[:, 0]

        return self.network.sequential(draw, jnp.zeros(n), self._given(cond)).reshape(n, *self.shape)

    def _given(self, cond: Batch) -> Array | None:
        return jax.nn.one_hot(cond["label"], self.classes) if self.classes else None


def made(
    *,
    shape: Shape,
    hidden: tuple[int, ...] = (1_024, 1_024),
    likelihood: Likelihood | None = None,
    activation: Callable[[Array], Array] = nn.relu,
    classes: int = 0,
) -> Model:
    """The model of x as a flat vector, in raster order.

    Args:
        shape: of x.
        hidden: widths of the layers.
        likelihood: of one number given those before it; None is one Gaussian. `gaussian_mixture(10)` is MADE-MoG.
        activation: between layers.
        classes: of a label that the density is given, or 0.
    """
    one = likelihood or gaussian_mixture(1)
    network = MaskedMLP(math.prod(shape), one.parameters, hidden, activation, nn.linear.default_kernel_init)
    return from_linen(MADE(shape, one, network, classes), image_spec(shape, labelled=classes > 0))
