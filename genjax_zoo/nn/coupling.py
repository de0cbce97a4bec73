"""Couplings: part of x is changed by a map whose parameters a network reads off the rest (Dinh et al. 2014, 2016)."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.errors import UserError
from genjax_zoo.math import Elementwise, Shape, sum_per_example
from genjax_zoo.nn.bijections import Bijection, WithLogDet, no_log_det, with_condition
from genjax_zoo.nn.dense import MLP

Array = jax.Array


class Coupling(Bijection):
    """Keeps the first half of the last axis and changes the second; then the two swap places.

    So that the next coupling changes what this one kept. The network takes [B, ..., kept(D)] (and a condition) to
    [B, ..., map.parameters * (D - kept(D))].
    """

    map: Elementwise
    network: nn.Module

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        kept, changed = jnp.split(x, [x.shape[-1] // 2], axis=-1)
        changed, log_det = self.map.forward(changed, self._parameters(kept, cond, train))
        return jnp.concatenate([changed, kept], axis=-1), no_log_det(x) + sum_per_example(log_det)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        changed, kept = jnp.split(y, [(y.shape[-1] + 1) // 2], axis=-1)
        changed, log_det = self.map.inverse(changed, self._parameters(kept, cond, train))
        return jnp.concatenate([kept, changed], axis=-1), no_log_det(y) + sum_per_example(log_det)

    def _parameters(self, kept: Array, cond: Array | None, train: bool) -> Array:
        return group_parameters(self.network(with_condition(kept, cond), train), self.map.parameters)


class Checkerboard(Bijection):
    """Keeps the pixels of one colour of a checkerboard and changes the others (Dinh et al. 2016, sec. 3.4).

    The network takes the kept pixels and their mask, [B, H, W, C + 1] (and a condition), to [B, H, W, P * C].
    """

    map: Elementwise
    network: nn.Module
    odd: bool = False  # which colour is kept

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        kept, parameters = self._parameters(x, cond, train)
        y, log_det = self.map.forward(x, parameters)
        return jnp.where(kept, x, y), no_log_det(x) + sum_per_example(jnp.where(kept, 0, log_det))

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        kept, parameters = self._parameters(y, cond, train)
        x, log_det = self.map.inverse(y, parameters)
        return jnp.where(kept, y, x), no_log_det(y) + sum_per_example(jnp.where(kept, 0, log_det))

    def _parameters(self, x: Array, cond: Array | None, train: bool) -> tuple[Array, Array]:
        rows, columns = jnp.mgrid[: x.shape[1], : x.shape[2]]
        kept = ((rows + columns) % 2 == int(self.odd))[..., None]
        mask = jnp.broadcast_to(kept, (*x.shape[:-1], 1)).astype(x.dtype)
        seen = jnp.concatenate([jnp.where(kept, x, 0), mask], axis=-1)
        return kept, group_parameters(self.network(with_condition(seen, cond), train), self.map.parameters)


class Conditional(Bijection):
    """An elementwise map of all of x, with parameters that a network reads off something else: what `cond` is here."""

    map: Elementwise
    network: nn.Module

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        y, log_det = self.map.forward(x, group_parameters(self.network(cond, train), self.map.parameters))
        return y, no_log_det(x) + sum_per_example(log_det)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        x, log_det = self.map.inverse(y, group_parameters(self.network(cond, train), self.map.parameters))
        return x, no_log_det(y) + sum_per_example(log_det)


def group_parameters(output: Array, parameters: int) -> Array:
    """A network's output [B, ..., P * C] as the parameters of a map, [B, ..., P, C]."""
    return output.reshape(*output.shape[:-1], parameters, -1)


def conditioner(
    dimensions: int, map: Elementwise, hidden: tuple[int, ...], activation: Callable[[Array], Array] = nn.relu
) -> MLP:
    """The network of a coupling over [B, D], which starts at zero."""
    changed = dimensions - dimensions // 2
    return MLP(hidden, map.parameters * changed, activation, out_init=nn.initializers.zeros)


def check_dimensions(shape: Shape) -> None:
    """Checks that there is something to keep and something to change.

    Raises:
        UserError: x is one number.
    """
    if math.prod(shape) < 2:
        raise UserError("A coupling keeps some numbers and changes others: x needs two numbers or more, not one.")
