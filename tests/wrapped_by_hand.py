"""Wrappers by hand: transform the data, call the model inside, add the log-determinant."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from genjax_zoo import compose, wrap
from genjax_zoo.core import (
    FROZEN,
    Model,
    behaviour,
)
from genjax_zoo.math import logit, logit_inverse, tile
from genjax_zoo.wrap import precision

KEY, SHAPE, LEVELS, K = jax.random.key(0), (2, 2, 1), 5, 3
SIZE = math.prod(SHAPE)


# ---- wrappers, and what each is by hand ----


def unchanged(x, key):
    return x, jnp.zeros(len(x))


@behaviour
class ByHand:
    """A wrapper, (model, its variables) -> Model, and what it is by hand: where nothing is said, nothing changes."""

    wrapper: Callable[[Model, Any], Model] = lambda model, variables: model
    into: Callable[[Any, Any], Any] = unchanged  # x and a key, of noise, -> y and log |det dy/dx| [B]
    back: Callable[[Any], Any] = lambda y: y
    shown: Callable[[Any], Any] = lambda batch: batch  # the batch outside
    told: Callable[[Any, int], Any] = lambda batch, n: batch  # what that is inside
    held: Callable[[Any], Any] = lambda variables: variables  # the variables outside
    noise: bool = False  # whether a key is split for it
    temperature: float = 1.0
    trains: bool = True

    def inside(self, batch, key):
        """The batch and the key of the model inside, and the log-determinant."""
        k_noise, k_model = jax.random.split(key) if self.noise else (key, key)
        batch = self.told(batch, len(batch["x"]))
        y, log_det = self.into(batch["x"], k_noise)
        return {**batch, "x": y}, k_model, log_det

    def log_w(self, model, variables, batch, key, k):
        """Log weights [k, B] of a batch outside; the noise belongs to each draw."""
        rows = k
        if self.noise:
            batch, k = {name: tile(value, k) for name, value in batch.items()}, 1
        inner, key, log_det = self.inside(batch, key)
        return (model.log_weights(variables, inner, key, k) + log_det).reshape(rows, -1)

    def drawn(self, model, variables, key, n, cond):
        """Samples, as the model inside draws them."""
        return model.sample(variables, key, n, self.told(cond, n), temperature=self.temperature)


def scale_into(x, key):
    return (x - 0.25) * -3.0, jnp.full(len(x), SIZE * math.log(3))


def scale_back(y):
    return y / -3.0 + 0.25


def logit_into(x, key):
    y, log_det = logit(x, 0.1)
    return y, jnp.sum(log_det, axis=(1, 2, 3))


def logit_back(y):
    return logit_inverse(y, 0.1)


def noise_into(x, key):
    y = ((LEVELS - 1) * x + jax.random.uniform(key, x.shape)) / LEVELS
    return y, jnp.full(len(x), -SIZE * math.log(LEVELS))


def noise_back(y):
    return jnp.clip(jnp.floor(LEVELS * y), 0, LEVELS - 1) / (LEVELS - 1)


def noise_and_logit_into(x, key):
    y, of_noise = noise_into(x, key)
    z, of_logit = logit_into(y, key)
    return z, of_noise + of_logit


def under_a_name(variables):
    return {c: {f"mine/{net}": tree for net, tree in nets.items()} for c, nets in variables.items()}


def constant(variables):
    names = sorted({net for nets in variables.values() for net in nets})
    return {
        "params": {},
        FROZEN: {net: {c: nets[net] for c, nets in variables.items() if net in nets} for net in names},
    }


def without(batch, name):
    return {n: value for n, value in batch.items() if n != name}


def always_two(batch, n):
    return {**batch, "label": jnp.full(n, 2)}


def scaled(model, variables):
    return wrap.scaled(model, shift=0.25, scale=-3.0)


WRAPPERS = {
    "scaled": ByHand(wrapper=scaled, into=scale_into, back=scale_back),
    "logit_space": ByHand(wrapper=lambda model, v: wrap.logit_space(model, 0.1), into=logit_into, back=logit_back),
    "dequantized": ByHand(
        wrapper=lambda model, v: wrap.dequantized(model, LEVELS), into=noise_into, back=noise_back, noise=True
    ),
    "conditioned": ByHand(
        wrapper=lambda model, v: wrap.conditioned(model, label=2),
        shown=lambda batch: without(batch, "label"),
        told=always_two,
    ),
    "renamed": ByHand(  # what is still called "label" is another's
        wrapper=lambda model, v: wrap.renamed(model, label="y"),
        shown=lambda batch: {**batch, "y": 2 - batch["label"]},
        told=lambda batch, n: {**without(batch, "y"), "label": batch["y"]},
    ),
    "tempered": ByHand(wrapper=lambda model, v: wrap.tempered(model, 0.5), temperature=0.5),
    "with_memory": ByHand(wrapper=lambda model, v: wrap.with_memory(model)),
    "scope": ByHand(wrapper=lambda model, v: compose.scope(model, "mine"), held=under_a_name),
    "frozen": ByHand(wrapper=compose.frozen, held=constant, trains=False),
    "in_precision": ByHand(wrapper=lambda model, v: precision.in_precision(model, jnp.float32)),
    "scaled, fixed, under a name": ByHand(
        wrapper=lambda model, v: compose.scope(wrap.conditioned(scaled(model, v), label=2), "mine"),
        into=scale_into,
        back=scale_back,
        shown=lambda batch: without(batch, "label"),
        told=always_two,
        held=under_a_name,
    ),
    "levels of a constant in logit space": ByHand(
        wrapper=lambda model, v: wrap.dequantized(wrap.logit_space(compose.frozen(model, v), 0.1), LEVELS),
        into=noise_and_logit_into,
        back=lambda y: noise_back(logit_back(y)),
        held=constant,
        noise=True,
        trains=False,
    ),
}
