"""Sampling of autoregressive models: one number at a time, each given those before it.

`cached` goes from place to place at the cost of one place; `naive` evaluates the whole network for every number. Both
ask the same `choose` with the same numbers, so that with equal logits they give equal samples.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from genjax_zoo.core import (
    NO_CONDITION,
    Array,
    Batch,
    Conditionals,
    Key,
    Model,
    Sampler,
    Variables,
    conditions,
    require,
)
from genjax_zoo.errors import UserError
from genjax_zoo.math import check_temperature, level_of, no_levels

Choose = Callable[[Array, Array], Array]  # (index in raster order, logits [n, K]) -> levels [n]
SETTINGS: Mapping[str, Any] = {"temperature": 1.0, "top_k": None, "top_p": None, "prefix": None, "tell": None}


def cached(views: Conditionals, variables: Variables, n: int, choose: Choose, cond: Batch = NO_CONDITION) -> Array:
    """Every number chosen in one compiled loop, at the cost of one place each.

    Returns:
        Levels, int32 [n, rows, columns, channels].
    """

    def visit(place: Array, h: Any) -> tuple[Array, Array]:
        levels = jnp.zeros((n, views.grid[2]), jnp.int32)
        for channel in range(views.grid[2]):
            logits, _ = views.choices(variables, h, levels, channel)
            levels = levels.at[:, channel].set(choose(place * views.grid[2] + channel, logits))
        return levels, levels

    return _walk(views, variables, n, visit, cond)


def naive(views: Conditionals, variables: Variables, n: int, choose: Choose, cond: Batch = NO_CONDITION) -> Array:
    """The same as `cached` by one evaluation of the whole network per number: what it is held against."""
    shape = views.grid

    def one(index: Array, levels: Array) -> Array:
        place = jnp.unravel_index(index, shape)
        logits, _ = views.logits(variables, {**cond, "x": levels / (views.levels - 1)})
        return levels.at[:, *place].set(choose(index, logits[:, *place]))

    return jax.lax.fori_loop(0, math.prod(shape), one, jnp.zeros((n, *shape), jnp.int32))


def draw_levels(key: Key, *, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None) -> Choose:
    """Chooses by a draw from each conditional, sharpened or cut off.

    Args:
        key: of all draws.
        temperature: divides the logits; below 1 the likely becomes likelier.
        top_k: only the k likeliest levels; of equals the lower come first, here and in top_p.
        top_p: only the likeliest levels that hold this much of the probability, at least one (Holtzman et al. 2019).

    Raises:
        UserError: a temperature that is not above 0, a top_k below 1, or a top_p outside (0, 1].
    """
    check_temperature(temperature)
    if top_k is not None and top_k < 1:
        raise UserError(f"top_k must be at least 1, not {top_k}.")
    if top_p is not None and not 0 < top_p <= 1:
        raise UserError(f"top_p must be in (0, 1], not {top_p}.")

    def choose(index: Array, logits: Array) -> Array:
        kept = jnp.ones(logits.shape, bool)
        if top_k is not None:
            if top_k > logits.shape[-1]:
                raise UserError(f"top_k is {top_k}, but there are only {logits.shape[-1]} levels.")
            kept = _ranks(logits) < top_k
        least = jnp.finfo(logits.dtype).tiny  # of a temperature in this type
        beyond = logits - jnp.max(logits, axis=-1, keepdims=True)  # 0 at the likeliest, whatever it is divided by
        logits = jnp.where(kept, beyond / max(temperature, float(least)), -jnp.inf)
        if top_p is not None and top_p < 1:
            p, ranks = jax.nn.softmax(logits, axis=-1), _ranks(logits)
            order = -jnp.sort(-p, axis=-1)
            before = jnp.cumsum(order, axis=-1) - order
            logits = jnp.where(jnp.take_along_axis(before, ranks, axis=-1) < top_p, logits, -jnp.inf)
        return _inverted(logits, jax.random.uniform(jax.random.fold_in(key, index), (len(logits), 1), logits.dtype))

    return choose


def _ranks(logits: Array) -> Array:
    """0 for the likeliest level, 1 for the next, int32 [n, K]; of equals the lower comes first."""
    order = jnp.argsort(-logits, axis=-1, stable=True)
    return jnp.argsort(order, axis=-1).astype(jnp.int32)


def _inverted(logits: Array, u: Array) -> Array:
    """The level at which the cumulated probability passes u in [0, 1), [n, 1] -> int32 [n].

    One random number for each draw, where jax.random.categorical takes one for each level: that was up to half the time
    of a small network's step. No level without probability is chosen, whatever the rounding of the sums.
    """
    p = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
    cumulated = jnp.cumsum(p, axis=-1)
    total = jnp.max(jnp.where(p > 0, cumulated, 0), axis=-1, keepdims=True)
    return jnp.argmax((cumulated > u * total) & (p > 0), axis=-1).astype(jnp.int32)


def keep_known(choose: Choose, levels: Array, known: Array) -> Choose:
    """Keeps what is known and asks `choose` for the rest: levels [n, *grid] and bool [*grid], or [n, *grid].

    What is known constrains what comes after it, not what came before.
    """
    flat = levels.reshape(len(levels), -1)
    mask = jnp.broadcast_to(known, levels.shape).reshape(flat.shape)
    return lambda index, logits: jnp.where(mask[:, index], flat[:, index], choose(index, logits))


def report_every(choose: Choose, report: Callable[[int], None], every: int) -> Choose:
    """Calls `report(numbers so far)` on the host after every so many numbers, from inside the compiled loop."""

    def run(index: Array, logits: Array) -> Array:
        def tell(index: Array) -> None:
            jax.debug.callback(lambda done: report(int(done)), index + 1)

        jax.lax.cond((index + 1) % every == 0, tell, lambda index: None, index)
        return choose(index, logits)

    return run


def levels_of_prefix(views: Conditionals, prefix: Array, n: int) -> tuple[Array, Array]:
    """The first numbers of n examples, for `keep_known`: levels [n, *grid], filled up with zeros, and which are known.

    Args:
        views: of the model.
        prefix: x [n or 1, m], in raster order, m numbers of each example.
        n: how many examples.

    Raises:
        UserError: a prefix longer than an example, or values that are no levels.
    """
    count, top = math.prod(views.grid), views.levels - 1
    if prefix.shape[1] > count:
        raise UserError(f"The prefix has {prefix.shape[1]} numbers, but an example only {count}; give fewer.")
    if not isinstance(prefix, Tracer) and no_levels(prefix, views.levels).size:
        raise UserError(f"The prefix has values that are none of the {top + 1} levels k / {top}; round it to them.")
    filled = jnp.zeros((n, count), jnp.int32).at[:, : prefix.shape[1]].set(level_of(prefix, views.levels))
    known = jnp.arange(count) < prefix.shape[1]
    return filled.reshape(n, *views.grid), known.reshape(views.grid)


def logits_by_steps(views: Conditionals, variables: Variables, batch: Batch) -> Array:
    """What `views.logits` gives, by the cached view: [B, *grid, K]."""
    levels = levels_of(views, batch["x"])
    places = levels.reshape(len(levels), -1, views.grid[2])

    def visit(place: Array, h: Any) -> tuple[Array, Array]:
        now = places[:, place]
        logits = [views.choices(variables, h, now, channel)[0] for channel in range(views.grid[2])]
        return now, jnp.stack(logits, axis=1)

    return _walk(views, variables, len(levels), visit, conditions(batch))


def levels_of(views: Conditionals, x: Array) -> Array:
    """X [n, ...] in [0, 1] as levels, int32 [n, *grid]."""
    return level_of(x, views.levels).reshape(len(x), *views.grid)


def log_probabilities(views: Conditionals, variables: Variables, batch: Batch) -> Array:
    """Log p(x_i | those before) of every number of a batch, nats [B, *grid]."""
    log_p = jax.nn.log_softmax(views.logits(variables, batch)[0])
    return jnp.take_along_axis(log_p, levels_of(views, batch["x"])[..., None], axis=-1)[..., 0]


def with_sampler(model: Model) -> Model:
    """The model with a sampler by the cached view.

    Its settings are those of `draw_levels`; `prefix`, x [n or 1, m] in raster order, with which draws begin; and
    `tell`, which is called with (numbers in all, drawn so far) about a hundred times, from inside the compiled loop.
    """
    views = require(model, Conditionals)
    count = math.prod(views.grid)

    def draw(
        variables: Variables,
        key: Key,
        n: int,
        cond: Batch = NO_CONDITION,
        *,
        train: bool = False,
        prefix: Array | None = None,
        tell: Callable[[int, int], None] | None = None,
        **how: Any,
    ) -> tuple[Array, Variables]:
        choose = draw_levels(key, **how)
        if prefix is not None:
            choose = keep_known(choose, *levels_of_prefix(views, prefix, n))
        if tell is not None:
            choose = report_every(choose, functools.partial(tell, count), max(1, count // 100))
        return values_of(model, cached(views, variables, n, choose, cond)), variables

    return dataclasses.replace(model, sampler=Sampler(draw=draw, settings=SETTINGS))


def values_of(model: Model, levels: Array) -> Array:
    """Levels [n, *grid] as x [n, ...] in [0, 1], of the model's shape."""
    x = model.spec["x"]
    return (levels / (require(model, Conditionals).levels - 1)).astype(x.dtype).reshape(len(levels), *x.shape)


def _walk(
    views: Conditionals,
    variables: Variables,
    n: int,
    visit: Callable[[Array, Any], tuple[Array, Array]],  # (place, h) -> (levels, what to collect)
    cond: Batch,
) -> Array:
    """The cached view from place to place; what the visits give, [n, rows, columns, ...]."""
    rows, columns, channels = views.grid

    def one_row(carry: tuple[Any, Array], row: Array):
        cache, above = carry
        cache, _ = views.begin_row(variables, cache, above, row)

        def one(carry: tuple[Any, Array], column: Array):
            (h, cache), _ = views.step(variables, *carry, row, column)
            levels, out = visit(row * columns + column, h)
            return (cache, levels), (levels, out)

        (cache, _), (levels, out) = jax.lax.scan(one, (cache, above[:, -1]), jnp.arange(columns))
        return (cache, levels.swapaxes(0, 1)), out

    nothing = jnp.zeros((n, columns, channels), jnp.int32)
    cache, _ = views.start(variables, n, cond)
    _, out = jax.lax.scan(one_row, (cache, nothing), jnp.arange(rows))
    return jnp.moveaxis(out, 2, 0)
