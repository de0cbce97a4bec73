"""MADE: masked autoencoder for distribution estimation (Germain et al. 2015, arXiv:1502.03509).

p(x) = prod_i p(x_i | x_0 ... x_{i - 1}), all conditionals in one pass. With bits it is the model of the paper, in one
order and with one mask; with Gaussians or mixtures of them the baseline of MAF (Papamakarios et al. 2017).
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Key, Model, Terms, factory
from genjax_zoo.errors import UserError
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.math import Likelihood, Shape, gaussian_mixture
from genjax_zoo.models.autoregressive.autoregressive import autoregressive
from genjax_zoo.nn import (
    NO_CONDITIONS,
    Conditions,
    MaskedMLP,
    classes_of,
    condition_spec,
    embed_conditions,
    with_classes,
)
from genjax_zoo.nn.masked import Walk


class MADE(nn.Module):
    """Network "network"."""

    shape: Shape
    likelihood: Likelihood
    network: MaskedMLP  # x [B, D] -> parameters [B, P, D]
    conditions: Conditions
    formulas = {"nll": "-sum_i log p(x_i | x_1, ..., x_{i-1})"}

    def __call__(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        return self.nll(batch, key, train)

    def nll(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        """Minus the log of the product of all conditionals, nats [B]."""
        flat = batch["x"].reshape(len(batch["x"]), -1)
        output = self.network(flat, embed_conditions(batch, self.conditions)).swapaxes(1, 2)  # [B, D, P]
        return {"nll": self.likelihood.nll(output, flat[..., None])}

    def sample(self, key: Key, n: int, cond: Batch, train: bool = False) -> Array:
        """One number after another, each step at the cost of its own units."""

        def draw(index: Array, parameters: Array) -> Array:
            return self.likelihood.sample(jax.random.fold_in(key, index), parameters.T)[:, 0]

        flat = self.network.sequential(draw, jnp.zeros(n, jnp.float32), embed_conditions(cond, self.conditions))
        return flat.reshape(n, *self.shape)


class LevelsMADE(nn.Module):
    """Logits of every level given those before it, (0, the network's); both views, of x as one row."""

    levels: int  # K
    masked: MaskedMLP  # x [B, D] -> [B, K - 1, D]

    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """Levels int [B, 1, D, 1] -> [B, 1, D, 1, K]."""
        logits = self.masked(self._values(x.reshape(len(x), -1)), cond)
        return _first_is_zero(logits.swapaxes(1, 2))[:, None, :, None]

    def start(self, n: int, columns: int, cond: Array | None = None) -> Walk:
        """Before the first number."""
        return self.masked.start(jnp.zeros(n), cond)

    def begin_row(self, walk: Walk, above: Array, row: Array) -> Walk:
        """There is one row."""
        return walk

    def step(self, walk: Walk, previous: Array, row: Array, column: Array) -> tuple[Array, Walk]:
        """Past the number before, int [n, 1]; the network's logits [n, K - 1]."""
        parameters, walk = self.masked.step(walk, self._values(previous[:, 0]), column)
        return parameters.T, walk

    def choices(self, h: Array, x: Array, channel: int) -> Array:
        """Logits [n, K]."""
        return _first_is_zero(h)

    def _values(self, levels: Array) -> Array:
        return levels / (self.levels - 1)


@factory("Germain et al. 2015, arXiv:1502.03509")
def made(
    *,
    shape: Shape,
    hidden: tuple[int, ...] = (1_024, 1_024),
    levels: int | None = None,
    likelihood: Likelihood | None = None,
    direct: bool = False,
    activation: Callable[[Array], Array] = nn.relu,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
) -> Model:
    """The model of x as a flat vector, in raster order.

    Term: "nll" (nats). Network: "network".

    Args:
        shape: the shape of x.
        hidden: widths of the layers.
        levels: grey levels of every number, K, 2 for the bits of the paper; None is a density of continuous x.
        likelihood: the distribution of a continuous number given those before it; None is one Gaussian, and
            `gaussian_mixture(10)` is MADE-MoG.
        direct: whether x is connected with the output past the hidden layers as well.
        activation: the function between layers.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.

    Raises:
        UserError: fewer than two levels, or both levels and a likelihood.
    """

    def network(parameters: int) -> MaskedMLP:
        init = nn.linear.default_kernel_init
        return MaskedMLP(math.prod(shape), parameters, hidden, activation, init, direct)

    given = with_classes(conditions, classes)
    if levels is None:
        one = likelihood or gaussian_mixture(1)
        spec = {**image_spec(shape), **condition_spec(given)}
        return from_linen(MADE(shape, one, network(one.parameters), given), spec, classes=classes_of(given))
    if likelihood is not None:
        raise UserError(f"Give levels={levels} or a likelihood of continuous numbers, not both.")
    masked = network(levels - 1)
    return autoregressive(
        LevelsMADE(levels, masked),
        shape=shape,
        levels=levels,
        grid=(1, math.prod(shape), 1),
        conditions=given,
        sees=lambda rows, columns: masked.sees(bool(given)),
    )


def _first_is_zero(logits: Array) -> Array:
    """[..., K - 1] -> [..., K]."""
    return jnp.pad(logits, [(0, 0)] * (logits.ndim - 1) + [(1, 0)])
