"""Bijections: layers with an inverse, which both give the log-determinant of their Jacobian.

`forward` goes from data to latents, `inverse` back. Both take (x, cond, train), with cond [B, K] or None, and give the
result and log |det| of the map just taken, [B], nats. A layer made of layers is a fold over theirs.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.math import squeeze, unsqueeze
from genjax_zoo.math.devices import mean_over_devices
from genjax_zoo.nn.norm import check_places

Array = jax.Array
WithLogDet = tuple[Array, Array]


class Bijection(nn.Module):
    """What the layers here have in common; for half precision they are not networks, but hold networks."""

    exact = True  # computed in the type of its input, whatever the precision of the networks in it

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        """From data to latents."""
        raise NotImplementedError

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        """From latents to data."""
        raise NotImplementedError


class Chain(Bijection):
    """Bijections one after another."""

    layers: tuple[Bijection, ...]

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        total = no_log_det(x)
        for layer in self.layers:
            x, log_det = layer.forward(x, cond, train)
            total = total + log_det
        return x, total

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        total = no_log_det(y)
        for layer in self.layers[::-1]:
            y, log_det = layer.inverse(y, cond, train)
            total = total + log_det
        return y, total


class Stack(Bijection):
    """The same layer `count` times, each with parameters of its own, in one scan: compile time does not grow.

    `unroll` layers at a time are compiled out; `count` of them is no loop at all. The parameters are the same.
    """

    layer: Bijection
    count: int
    unroll: int = 1

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        return self._scan("forward", x, cond, train)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        return self._scan("inverse", y, cond, train)

    def _scan(self, method: str, x: Array, cond: Array | None, train: bool) -> WithLogDet:
        def one(layer: Any, carry: WithLogDet, _: None) -> tuple[WithLogDet, None]:
            x, total = carry
            x, log_det = getattr(layer, method)(x, cond, train)
            return (x, total + log_det), None

        scan = nn.scan(
            one,
            variable_axes={"params": 0, "batch_stats": 0, "constants": 0},
            split_rngs={"params": True, "dropout": True},
            length=self.count,
            reverse=method == "inverse",
            unroll=self.unroll,
        )
        carry, _ = scan(self.layer, (x, no_log_det(x)), None)  # type: ignore[arg-type]
        return carry


class Inverse(Bijection):
    """A bijection turned round."""

    of: Bijection

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        return self.of.inverse(x, cond, train)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        return self.of.forward(y, cond, train)


class Flatten(Bijection):
    """[B, *shape] -> [B, D]."""

    shape: tuple[int, ...]

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        return x.reshape(len(x), -1), no_log_det(x)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        return y.reshape(len(y), *self.shape), no_log_det(y)


class Squeeze(Bijection):
    """[B, H, W, C] -> [B, H / 2, W / 2, 4 C]."""

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        return squeeze(x), no_log_det(x)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        return unsqueeze(y), no_log_det(y)


class Reverse(Bijection):
    """The last axis from its end to its beginning."""

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        return x[..., ::-1], no_log_det(x)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        return y[..., ::-1], no_log_det(y)


class EvenOdd(Bijection):
    """The even places of the last axis, then the odd ones."""

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        return jnp.concatenate([x[..., ::2], x[..., 1::2]], axis=-1), no_log_det(x)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        size = y.shape[-1]
        even, odd = jnp.split(y, [(size + 1) // 2], axis=-1)
        odd = jnp.pad(odd, [(0, 0)] * (y.ndim - 1) + [(0, size % 2)])
        return jnp.stack([even, odd], axis=-1).reshape(*y.shape[:-1], -1)[..., :size], no_log_det(y)


class Scale(Bijection):
    """Multiplies every number of the last axis by exp(log_scale) (NICE, Dinh et al. 2014, sec. 3.3)."""

    @nn.compact
    def _log_scale(self, features: int) -> Array:
        return self.param("log_scale", nn.initializers.zeros, (features,), jnp.float32)

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        log_scale = self._log_scale(x.shape[-1])
        return x * jnp.exp(log_scale), over_places(x, log_scale)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        log_scale = self._log_scale(y.shape[-1])
        return y * jnp.exp(-log_scale), over_places(y, -log_scale)


class ActNorm(Bijection):
    """X standardised by the first batch, then x * exp(log_scale) + shift per channel, which starts as nothing.

    Kingma & Dhariwal 2018 (Glow, arXiv:1807.03039), sec. 3.1, where the first batch sets shift and scale themselves:
    the same maps, but here a step of the optimizer is the same in any units of x, and around any offset. A channel that
    is constant in the first batch has no scale; `from_linen` refuses it in a sentence.
    """

    @nn.compact
    def _parameters(self, x: Array) -> tuple[Array, Array, Array]:
        """Mean, shift and log of the scale, [C]."""
        mean, log_std = _measured(self, x)
        shift = self.param("shift", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        log_scale = self.param("log_scale", nn.initializers.zeros, x.shape[-1:], jnp.float32)
        return mean, shift, log_scale - log_std

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        mean, shift, log_scale = self._parameters(x)
        return (x - mean) * jnp.exp(log_scale) + shift, over_places(x, log_scale)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        mean, shift, log_scale = self._parameters(y)
        return (y - shift) * jnp.exp(-log_scale) + mean, over_places(y, -log_scale)


class BatchNorm(Bijection):
    """Batch normalisation as a bijection (Dinh et al. 2016, sec. 3.7).

    In training, forward normalises by the statistics of the whole batch, over all devices, so that an example's density
    depends on the batch. Otherwise, and for every inverse, the moving averages stand for them. These start at the
    first batch, in whose standard deviations they and epsilon are, so that nothing depends on the units of x. A channel
    that is constant in the first batch has none; `from_linen` refuses it in a sentence.

    Raises:
        UserError: from forward in training, for a batch that has one number of each channel.
    """

    momentum: float = 0.95
    epsilon: float = 1e-4

    @nn.compact
    def _parameters(self, x: Array, train: bool) -> tuple[Array, Array, Array]:
        """Mean, shift and log of the scale, [C]."""
        features, axes = x.shape[-1:], tuple(range(x.ndim - 1))
        log_scale = self.param("log_scale", nn.initializers.zeros, features, jnp.float32)
        shift = self.param("shift", nn.initializers.zeros, features, jnp.float32)
        first, log_std = _measured(self, x)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, features, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, features, jnp.float32)
        mean, var = running_mean.value, running_var.value
        if train and not self.is_initializing():
            check_places(x)
            standard = (x - first) * jnp.exp(-log_std)
            mean = mean_over_devices(jnp.mean(standard, axis=axes))
            var = mean_over_devices(jnp.mean((standard - mean) ** 2, axis=axes))
            running_mean.value += (1 - self.momentum) * (mean - running_mean.value)
            running_var.value += (1 - self.momentum) * (var - running_var.value)
        log_scale = log_scale - log_std - 0.5 * jnp.log(var + self.epsilon)
        return first + mean * jnp.exp(log_std), shift, log_scale

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        mean, shift, log_scale = self._parameters(x, train)
        return (x - mean) * jnp.exp(log_scale) + shift, over_places(x, log_scale)

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        mean, shift, log_scale = self._parameters(y, False)
        return (y - shift) * jnp.exp(-log_scale) + mean, over_places(y, -log_scale)


def _measured(module: nn.Module, x: Array) -> tuple[Array, Array]:
    """The first batch's mean and log standard deviation, [C]: constants of the module."""
    mean = module.variable("constants", "mean", lambda: spread(x)[0])
    log_std = module.variable("constants", "log_std", lambda: spread(x)[1])
    return mean.value, log_std.value


def spread(x: Array) -> tuple[Array, Array]:
    """Mean and log standard deviation of each channel of x [B, ..., C], both [C]; -inf where it is constant.

    From differences to the first number, in units of the largest: neither an offset nor the units of x cost digits.
    What differs by rounding alone is constant.
    """
    flat = x.reshape(-1, x.shape[-1])
    apart = flat - flat[0]
    unit = jnp.max(jnp.abs(apart), axis=0)
    unit = jnp.where(unit > 2 * jnp.finfo(x.dtype).eps * jnp.max(jnp.abs(flat), axis=0), unit, 0)
    share = apart / jnp.where(unit > 0, unit, 1)
    mean = jnp.mean(share, axis=0)
    return flat[0] + unit * mean, jnp.log(unit) + 0.5 * jnp.log(jnp.mean((share - mean) ** 2, axis=0))


def no_log_det(x: Array) -> Array:
    """The log-determinant of a map that keeps volumes, zeros [B], in float32 at least; sharded as x is."""
    return jnp.zeros_like(x, shape=(len(x),), dtype=jnp.promote_types(x.dtype, jnp.float32))


def over_places(x: Array, log_scale: Array) -> Array:
    """The log-determinant of scaling the channels of x [B, ..., C] by exp(log_scale [C]) at every place, [B]."""
    return no_log_det(x) + math.prod(x.shape[1:-1]) * jnp.sum(log_scale)


def with_condition(x: Array, cond: Array | None) -> Array:
    """The input x [B, ..., C] of a network with its condition [B, K] at every place, [B, ..., C + K]."""
    if cond is None:
        return x
    planes = cond.reshape(len(x), *[1] * (x.ndim - 2), -1)
    return jnp.concatenate([x, jnp.broadcast_to(planes, (*x.shape[:-1], planes.shape[-1]))], axis=-1)
