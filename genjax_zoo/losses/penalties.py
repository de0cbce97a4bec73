"""Penalties on a critic: functions of one round of the game to one number per score.

A score is of an example, or of a pack of examples (see `nn.Packed`); its gradient is with respect to all of these, over
all their numbers. The weight is the Player's: WGAN-GP's lambda as it is, R1's gamma as gamma / 2.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from genjax_zoo.core import TURNS, Array, Key, PyTree, behaviour
from genjax_zoo.errors import UserError
from genjax_zoo.math.devices import mean_over_devices

Examples = PyTree  # what a critic sees: an array [B, ...], or a tuple of such
TINY = 1e-12  # under a square root, whose slope at zero would be infinite


class Round(NamedTuple):
    """What a penalty sees of a critic's turn. P scores are of B = P * pack examples."""

    score: Callable[[Examples], Array]  # x [B, ...] -> [P]
    real: Examples  # [B, ...]
    fake: Examples  # [B, ...]
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


def count(x: Examples) -> int:
    """B of what a critic sees."""
    return len(jax.tree.leaves(x)[0])


def _slopes(round: Round, x: Examples) -> Array:
    """The squared norm of the score's gradient at x [B, ...], [P]."""
    gradients = jax.grad(lambda x: jnp.sum(round.score(x)))(x)
    own = [leaf.reshape(len(round.real_score), -1) for leaf in jax.tree.leaves(gradients)]
    return jnp.sum(jnp.concatenate(own, axis=-1) ** 2, axis=-1)


def _shares(round: Round, key: Key) -> Callable[[Array], Array]:
    """One uniform number per score, for its examples x [B, ...]: [B, 1, ...]."""
    one = jax.random.uniform(key, (len(round.real_score),), jax.tree.leaves(round.real)[0].dtype)
    each = jnp.repeat(one, count(round.real) // len(one))
    return lambda x: each.reshape(-1, *[1] * (x.ndim - 1))


def _wgan_gp(round: Round) -> Array:
    share = _shares(round, round.key)
    between = jax.tree.map(lambda x, y: share(x) * x + (1 - share(x)) * y, round.real, round.fake)
    return (jnp.sqrt(_slopes(round, between) + TINY) - 1) ** 2


def _dragan(round: Round) -> Array:
    k_noise, k_share = jax.random.split(round.key)
    share = _shares(round, k_share)

    def near(x: Array, key: Key) -> Array:
        mean = mean_over_devices(jnp.mean(x))
        spread = jnp.sqrt(mean_over_devices(jnp.mean((x - mean) ** 2)))  # of the whole batch
        return x + share(x) * 0.5 * spread * jax.random.uniform(key, x.shape, x.dtype)

    leaves, tree = jax.tree.flatten(round.real)
    noisy = [near(x, jax.random.fold_in(k_noise, index)) for index, x in enumerate(leaves)]
    return (jnp.sqrt(_slopes(round, jax.tree.unflatten(tree, noisy)) + TINY) - 1) ** 2


def _lecam(round: Round) -> Array:
    if not round.memory:
        raise UserError("LeCam compares scores with those of earlier turns; wrap the model in wrap.with_memory.")
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
        UserError: `every` is below 1; when run, a model without memory.
    """
    if every < 1:
        raise UserError(f"A lazy penalty comes every 1 turns or more, not {every}.")

    def of(round: Round) -> Array:
        if not round.memory:
            raise UserError("A lazy penalty counts turns; wrap the model in wrap.with_memory.")
        due = round.memory[TURNS] % every == 0
        return jax.lax.cond(due, lambda: every * penalty.of(round), lambda: jnp.zeros_like(round.real_score))

    return Penalty(of=of, formula=f"{every} * [turn % {every} == 0] * {penalty.formula}", local=penalty.local)
