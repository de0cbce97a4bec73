"""Penalties on a critic: functions of one round of the game to one number per score.

A score is of an example, or of a pack of examples (see `nn.Packed`); its gradient is with respect to all of these, over
all their numbers. The weight is the Player's: WGAN-GP's lambda as it is, R1's gamma as gamma / 2.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax_zoo.core import TURNS, Array, Key, behaviour
from genjax_zoo.math.devices import mean_over_devices

TINY = 1e-12  # under a square root, whose slope at zero would be infinite


class Round(NamedTuple):
    """What a penalty sees of a critic's turn. P scores are of B = P * pack examples."""

    score: Callable[[Array], Array]  # x [B, ...] -> [P]
    real: Array  # [B, ...]
    fake: Array  # [B, ...]
    real_score: Array  # [P]
    fake_score: Array  # [P]
    key: Key
    memory: Mapping[str, Array]  # what `wrap.with_memory` keeps between turns; empty without it


@behaviour
class Penalty:
    """One penalty, and how it is written."""

    of: Callable[[Round], Array]  # -> [P]
    formula: str
    local: bool = True  # takes gradients with respect to examples: batch norm would mix them


def _slopes(round: Round, x: Array) -> Array:
    """The squared norm of the score's gradient at x [B, ...], [P]."""
    gradients = jax.grad(lambda x: jnp.sum(round.score(x)))(x)
    return jnp.sum(gradients.reshape(len(round.real_score), -1) ** 2, axis=-1)


def _shares(round: Round, key: Key) -> Array:
    """One uniform number per score, broadcast over its examples: [B, 1, ...]."""
    one = jax.random.uniform(key, (len(round.real_score),), round.real.dtype)
    each = jnp.repeat(one, len(round.real) // len(one))
    return each.reshape(-1, *[1] * (round.real.ndim - 1))


def _wgan_gp(round: Round) -> Array:
    share = _shares(round, round.key)
    between = share * round.real + (1 - share) * round.fake
    return (jnp.sqrt(_slopes(round, between) + TINY) - 1) ** 2


def _dragan(round: Round) -> Array:
    k_noise, k_share = jax.random.split(round.key)
    mean = mean_over_devices(jnp.mean(round.real))
    spread = jnp.sqrt(mean_over_devices(jnp.mean((round.real - mean) ** 2)))  # of the whole batch
    noise = 0.5 * spread * jax.random.uniform(k_noise, round.real.shape, round.real.dtype)
    near = round.real + _shares(round, k_share) * noise
    return (jnp.sqrt(_slopes(round, near) + TINY) - 1) ** 2


def _lecam(round: Round) -> Array:
    if not round.memory:
        raise ValueError("LeCam compares scores with those of earlier turns; wrap the model in wrap.with_memory.")
    return (round.real_score - round.memory["fake_score"]) ** 2 + (round.fake_score - round.memory["real_score"]) ** 2


wgan_gp = Penalty(of=_wgan_gp, formula="(|grad D(u x + (1 - u) G(z))| - 1)**2")
"""Gulrajani et al. 2017, arXiv:1704.00028, eq. 3: one u per example, the norm over all of its numbers."""

dragan = Penalty(of=_dragan, formula="(|grad D(x + u noise)| - 1)**2")
"""Kodali et al. 2017, arXiv:1705.07215: around the data, with noise of half their standard deviation."""

r1 = Penalty(of=lambda round: _slopes(round, round.real), formula="|grad D(x)|**2")
"""Mescheder et al. 2018, arXiv:1801.04406, eq. 9, without gamma / 2."""

r2 = Penalty(of=lambda round: _slopes(round, round.fake), formula="|grad D(G(z))|**2")
"""The same at the generator's samples (eq. 10)."""

lecam = Penalty(of=_lecam, formula="(D(x) - mean D(G(z)))**2 + (D(G(z)) - mean D(x))**2", local=False)
"""Tseng et al. 2021, arXiv:2104.03310, eq. 4; the means are over earlier turns."""


def lazy(penalty: Penalty, every: int) -> Penalty:
    """The penalty on one update of `every`, that many times as strong (Karras et al. 2019, arXiv:1912.04958, app. B).

    Needs `wrap.with_memory`, which counts the critic's updates. Mapped over a sweep, both branches are computed.

    Raises:
        ValueError: `every` is below 1; when run, a model without memory.
    """
    if every < 1:
        raise ValueError(f"A lazy penalty comes every 1 turns or more, not {every}.")

    def of(round: Round) -> Array:
        if not round.memory:
            raise ValueError("A lazy penalty counts turns; wrap the model in wrap.with_memory.")
        due = round.memory[TURNS] % every == 0
        return jax.lax.cond(due, lambda: every * penalty.of(round), lambda: jnp.zeros_like(round.real_score))

    return Penalty(of=of, formula=f"{every} * [turn % {every} == 0] * {penalty.formula}", local=penalty.local)
