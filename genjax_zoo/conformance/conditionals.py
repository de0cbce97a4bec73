"""Whether conditionals see what came before and nothing else, and whether a model's two views are one."""

from typing import Any

import jax
import numpy as np

from genjax_zoo.core import Batch, Conditionals, Model, Variables, conditions, dimensions, require, total
from genjax_zoo.inference.sampling import cached, draw_levels, levels_of, log_probabilities, logits_by_steps, naive

TINY = 1e-12  # in float64: below it nothing has moved


def influence(model: Model, variables: Variables, one: Batch) -> np.ndarray:
    """How far each number's logits move when another number goes to its next level, [D, D]: (of, by).

    Args:
        model: has `conditionals`.
        variables: its own; call this under jax.enable_x64 with all of them in float64.
        one: a batch of one example.
    """
    views = require(model, Conditionals)
    count = dimensions(model.spec)
    levels = np.asarray(levels_of(views, one["x"])).reshape(1, -1)
    moved = np.concatenate([levels, (levels + np.eye(count, dtype=levels.dtype)) % views.levels])
    batch = {name: np.repeat(value, count + 1, axis=0) for name, value in one.items()}
    batch["x"] = (moved / (views.levels - 1)).reshape(-1, *one["x"].shape[1:])
    logits = np.asarray(jax.jit(views.logits)(variables, batch)[0]).reshape(count + 1, count, views.levels)
    return np.max(np.abs(logits[1:] - logits[0]), axis=-1).T


def sees_what_it_claims(model: Model, variables: Variables, batch: Batch) -> None:
    """Logits depend on every number before that the model claims to see, in one of the examples, and on no other.

    A few examples, because a rectifier may be shut in one of them.

    Raises:
        AssertionError: a leak, or a blind spot.
    """
    views = require(model, Conditionals)
    examples: dict[str, Any] = {name: np.asarray(value) for name, value in batch.items()}
    ones = [{name: value[i : i + 1] for name, value in examples.items()} for i in range(len(batch["x"]))]
    moved, count = np.max([influence(model, variables, one) for one in ones], axis=0), dimensions(model.spec)
    before = np.tril(np.ones((count, count), bool), -1)
    leaks = np.argwhere((moved > TINY) & ~before)
    assert not len(leaks), f"the logits of number {leaks[0][0]} see number {leaks[0][1]}"
    claimed = before if views.sees is None else np.asarray(views.sees)
    blind = np.argwhere((moved <= TINY) & claimed)
    assert not len(blind), f"the logits of number {blind[0][0]} do not see number {blind[0][1]} ({len(blind)} in all)"
    more = np.argwhere((moved > TINY) & ~claimed)
    assert not len(more), f"the logits of number {more[0][0]} see number {more[0][1]}, which is not claimed"


def nll_is_the_sum_of_conditionals(model: Model, variables: Variables, batch: Batch) -> None:
    """All terms of `nll` sum to minus the log-probabilities that the logits give x."""
    views, nll = require(model, Conditionals), model.nll

    @jax.jit
    def both(variables: Variables, batch: Batch) -> tuple[jax.Array, jax.Array]:
        return log_probabilities(views, variables, batch), total(nll(variables, batch, jax.random.key(0))[0])

    log_p, found = jax.device_get(both(variables, batch))
    off = np.max(np.abs(found + log_p.reshape(len(log_p), -1).sum(1)))
    assert off < 1e-6 * dimensions(model.spec), f"nll is {off:.3g} nats from the sum of its conditionals"


def views_agree(model: Model, variables: Variables, batch: Batch) -> None:
    """The cached view's logits are the network's, to 1e-12 of their size; call this in float64."""
    views = require(model, Conditionals)

    @jax.jit
    def both(variables: Variables, batch: Batch) -> tuple[jax.Array, jax.Array]:
        return views.logits(variables, batch)[0], logits_by_steps(views, variables, batch)

    whole, stepped = jax.device_get(both(variables, batch))
    off = np.max(np.abs(whole - stepped)) / (1 + np.max(np.abs(whole)))
    assert off < TINY, f"the cached view's logits are {off:.2g} from the network's"


def cached_samples_are_naive(model: Model, variables: Variables, batch: Batch) -> None:
    """Both samplers give the same samples of the same key, number for number."""
    views = require(model, Conditionals)
    n, cond = len(batch["x"]), conditions(batch)

    def draw(sampler):
        return jax.jit(lambda v, key: sampler(views, v, n, draw_levels(key), cond))(variables, jax.random.key(2))

    differ = np.sum(np.asarray(draw(cached)) != np.asarray(draw(naive)))
    assert not differ, f"{differ} numbers of {n} cached samples are not those of the naive sampler"
