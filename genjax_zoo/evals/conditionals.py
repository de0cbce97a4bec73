"""What an autoregressive model thinks of each number: where the bits go, and how it goes on from a beginning."""

import math

import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Conditionals, Data, Eval, Key, Model, Variables, compiled, conditions, require
from genjax_zoo.errors import UserError
from genjax_zoo.inference.sampling import cached, draw_levels, keep_known, levels_of, log_probabilities, values_of


def bits_map(data: Data, n: int = 16) -> Eval:
    """An Eval of "bits_map": n examples, each beside the bits that its numbers take, summed over channels.

    Grey is as many bits as even odds take (log2 K for each channel), white twice as many or more.

    Args:
        data: an evaluation split of images.
        n: how many examples.

    Returns:
        An Eval of images [2 n, H, W, 1 or C]. It raises ValueError for a model without `conditionals`, or for a split
        with fewer examples.
    """

    def run(model: Model, variables: Variables, key: Key) -> dict[str, Array]:
        views = require(model, Conditionals)
        batch = _first(data, n)
        bits = _bits(views)(variables, batch).reshape(batch["x"].shape).sum(-1, keepdims=True)
        most = 2 * batch["x"].shape[-1] * math.log2(views.levels)
        shown = jnp.broadcast_to(jnp.minimum(bits / most, 1.0), batch["x"].shape)
        return {"bits_map": jnp.stack([batch["x"], shown], axis=1).reshape(-1, *batch["x"].shape[1:])}

    return run


def completions(data: Data, n: int = 8, *, keep: float = 0.5, draws: int = 3) -> Eval:
    """An Eval of "completions": each example, what is kept of it, and draws that go on from there.

    Args:
        data: an evaluation split of images.
        n: how many examples.
        keep: the share of the numbers that is given, from the first in raster order.
        draws: how many ways to go on.

    Returns:
        An Eval of images [n (2 + draws), H, W, C]. It raises ValueError for a model without `conditionals`, or for a
        split with fewer examples.

    Raises:
        UserError: a share outside [0, 1].
    """
    if not 0 <= keep <= 1:
        raise UserError(f"The share to keep must be in [0, 1], not {keep}.")

    def run(model: Model, variables: Variables, key: Key) -> dict[str, Array]:
        views = require(model, Conditionals)
        batch = _first(data, n)
        levels = levels_of(views, batch["x"])
        known = (jnp.arange(levels[0].size) < keep * levels[0].size).reshape(views.grid)
        drawn = [_go_on(views)(variables, batch, known, jax.random.fold_in(key, index)) for index in range(draws)]
        kept = jnp.where(known, levels, (views.levels - 1) // 2)
        shown = jnp.stack([values_of(model, x) for x in (levels, kept, *drawn)], axis=1)
        return {"completions": shown.reshape(-1, *shown.shape[2:])}

    return run


def _first(data: Data, n: int) -> Batch:
    batch = data.at(0)
    if n > len(batch["x"]):
        raise UserError(f"The evaluation's batches have {len(batch['x'])} examples, fewer than {n}; ask for fewer.")
    return {name: value[:n] for name, value in batch.items()}


@compiled
def _bits(views: Conditionals):
    @jax.jit
    def run(variables: Variables, batch: Batch) -> Array:
        return -log_probabilities(views, variables, batch) / math.log(2)

    return run


@compiled
def _go_on(views: Conditionals):
    @jax.jit
    def run(variables: Variables, batch: Batch, known: Array, key: Key) -> Array:
        choose = keep_known(draw_levels(key), levels_of(views, batch["x"]), known)
        return cached(views, variables, len(batch["x"]), choose, conditions(batch))

    return run
