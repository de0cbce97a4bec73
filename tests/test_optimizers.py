"""What a step asks of an optimizer and owes it: one clock, what more it may want, and what it leaves alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_step import BATCH, SPEC, player, quadratic, run, scalar_model, w

from genjax_zoo.core import Model
from genjax_zoo.train import create_state, make_step
from genjax_zoo.train.parallel import data_mesh, parallelize, place


def accumulating(tx, count):
    return optax.MultiSteps(tx, count).gradient_transformation()


CLOCKS = {
    "every step": ({}, lambda tx: tx, 6),
    "every third step": ({"every": 3}, lambda tx: tx, 16),
    "of three steps": ({}, lambda tx: accumulating(tx, 3), 18),
    "of two, every second step": ({"every": 2}, lambda tx: accumulating(tx, 2), 23),
    "with turns that are dropped": ({}, lambda tx: optax.apply_if_finite(tx, 9), 12),
    "of three, with a guard inside": ({}, lambda tx: accumulating(optax.apply_if_finite(tx, 9), 3), 18),
}


@pytest.mark.parametrize("title", CLOCKS)
def test_one_clock_for_each_player(title):
    """However a player comes to its six updates, all schedules and averages are those of six plain steps."""
    changes, wrapped, steps = CLOCKS[title]

    def play(changes, wrapped, steps, batches):
        falling = wrapped(optax.sgd(optax.linear_schedule(0.5, 0.0, 6)))
        weights = {"pull": lambda count: 1.0 / (1 + count)}
        of = player(weights=weights, tx=falling, ema=0.3, **changes)
        return run(of, steps, batches)[0]

    nan = {"x": BATCH["x"].at[0].set(jnp.nan)}
    batches = [nan if "dropped" in title and i % 2 else BATCH for i in range(steps)]
    plain, state = play({}, lambda tx: tx, 6, None), play(changes, wrapped, steps, batches)
    assert state.step == steps and state.updates["p"] == plain.updates["p"] == 6
    np.testing.assert_allclose(w(state), w(plain), rtol=1e-6)
    np.testing.assert_allclose(state.ema["net"]["w"], plain.ema["net"]["w"], rtol=1e-6)


@pytest.mark.parametrize("title", CLOCKS)
def test_lazy_penalties_count_by_the_same_clock(title):
    changes, wrapped, steps = CLOCKS[title]
    seen = []

    def terms(variables, batch, key, train):
        turns = variables["memory"]["net"]["turns"]
        seen.append(turns)
        pull, _ = quadratic(variables, batch, key, train)
        return pull, {**variables, "memory": {"net": {"turns": turns + 1}}}

    init = {"params": {"net": {"w": jnp.zeros(())}}, "memory": {"net": {"turns": jnp.zeros(())}}}
    model = Model(spec=SPEC, init=lambda key, batch: init)
    players = {"p": player(terms=terms, tx=wrapped(optax.sgd(0.1)), **changes)}
    state, step = create_state(model, players, jax.random.key(0), BATCH), jax.jit(make_step(players))
    nan = {"x": BATCH["x"].at[0].set(jnp.nan)}
    for i in range(steps):
        state, _ = step(state, nan if "dropped" in title and i % 2 else BATCH)
    assert state.variables["memory"]["net"]["turns"] == state.updates["p"] == 6


def test_a_memory_of_ones_own_is_kept_as_it_is():
    """A module's own collection of that name, which has no turns to count."""

    def terms(variables, batch, key, train):
        seen = variables["memory"]["net"]["seen"] + 1
        return quadratic(variables, batch, key, train)[0], {**variables, "memory": {"net": {"seen": seen}}}

    init = {"params": {"net": {"w": jnp.zeros(())}}, "memory": {"net": {"seen": jnp.zeros(())}}}
    model = Model(spec=SPEC, init=lambda key, batch: init)
    players = {"p": player(terms=terms)}
    state, _ = jax.jit(make_step(players))(create_state(model, players, jax.random.key(0), BATCH), BATCH)
    assert state.variables["memory"]["net"]["seen"] == 1


def counted(variables, batch, key, train):
    """Both networks see the batch and count that they did; `still` has no gradient."""
    a, b = (variables["params"][name]["w"] for name in ("moves", "still"))
    seen = jax.tree.map(lambda count: count + 1.0, variables["batch_stats"])
    return {"pull": (a + b - batch["x"]) ** 2, "half": (a + jax.lax.stop_gradient(b) - batch["x"]) ** 2}, {
        **variables,
        "batch_stats": seen,
    }


def partitioned(moving):
    rates = {"moves": moving, "still": optax.set_to_zero()}
    return optax.partition(rates, lambda params: {name: name for name in params})  # type: ignore[arg-type]


FROZEN = {
    "set to zero": ({}, partitioned(optax.adam(0.1)), {"pull": 1.0}),
    "set to zero and accumulated": ({}, accumulating(partitioned(optax.adam(0.1)), 2), {"pull": 1.0}),
    "set to zero under a guard": (
        *({}, optax.apply_if_finite(optax.chain(optax.clip_by_global_norm(1.0), partitioned(optax.sgd(0.1))), 3)),
        *({"pull": 1.0},),
    ),
    "masked": (
        *({}, optax.chain(optax.adamw(0.1), optax.masked(optax.set_to_zero(), {"moves": False, "still": True}))),
        *({"pull": 1.0},),
    ),
    "no gradient": ({}, optax.adam(0.1), {"half": 1.0}),
    "no weight": ({}, optax.adam(0.1), {"half": 1.0, "pull": 0.0}),
}


@pytest.mark.parametrize("mapped", (False, True))
@pytest.mark.parametrize("title", FROZEN)
def test_a_network_that_is_left_alone_keeps_its_statistics(title, mapped):
    """And the one that moves does not, as the control."""
    changes, tx, weights = FROZEN[title]
    init = {
        "params": {name: {"w": jnp.float32(1.0)} for name in ("moves", "still")},
        "batch_stats": {name: {"seen": jnp.float32(0.0)} for name in ("moves", "still")},
    }
    model = Model(spec=SPEC, init=lambda key, batch: init)
    players = {"p": player(terms=counted, tx=tx, weights=weights, **changes)}
    state, batch = create_state(model, players, jax.random.key(0), BATCH), BATCH
    run = parallelize(functools.partial(make_step, players), data_mesh(jax.devices()[:2])) if mapped else None
    if run:
        state, batch = place(data_mesh(jax.devices()[:2]), state, BATCH)
    run = run or jax.jit(make_step(players))
    for _ in range(2):
        state, _ = run(state, batch)
    seen = jax.tree.map(float, state.variables["batch_stats"])
    assert seen == {"moves": {"seen": 2.0}, "still": {"seen": 0.0}}
    assert state.variables["params"]["still"]["w"] == 1.0 != state.variables["params"]["moves"]["w"]


def by_the_function(updates, state, params=None, *, value_fn, grad, **more):
    """Follows the function's own gradient, as a line search does, and half of the one that is given."""
    return jax.tree.map(lambda own, given: -0.2 * own - 0.1 * given, jax.grad(value_fn)(params), grad), state


NEEDY = {
    "the function's gradient": optax.GradientTransformationExtraArgs(lambda params: (), by_the_function),  # type: ignore[arg-type]
    "lbfgs": optax.lbfgs(memory_size=3),
    "lbfgs with backtracking": optax.lbfgs(linesearch=optax.scale_by_backtracking_linesearch(20, store_grad=True)),
    "polyak_sgd": optax.polyak_sgd(),
    "reduce_on_plateau": optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=1)),
    "plateau, accumulated": accumulating(optax.chain(optax.sgd(0.5), optax.contrib.reduce_on_plateau(patience=1)), 2),
}


@pytest.mark.parametrize("backend", ("shard_map", "pmap"))
@pytest.mark.parametrize("title", NEEDY)
def test_optimizers_that_ask_for_more(title, backend):
    """The value, the gradient and the function are those of the whole batch: two devices make one device's steps."""
    players, mesh = {"p": player(tx=NEEDY[title])}, data_mesh(jax.devices()[:2])
    start = create_state(scalar_model("net"), players, jax.random.key(0), BATCH)
    sharded, batch = place(mesh, jax.tree.map(jnp.copy, start), BATCH)
    one, make = jax.jit(make_step(players)), functools.partial(make_step, players)
    two = parallelize(make, mesh, backend=backend)
    metrics = {}
    for _ in range(4):
        start, metrics = one(start, BATCH)
        sharded, _ = two(sharded, batch)
    assert metrics["p/finite"] == 1 and 1 < w(start) < 4.01
    np.testing.assert_allclose(w(sharded), w(start), rtol=1e-6)


def test_an_optimizer_that_asks_for_what_there_is_not():
    def update(updates, state, params=None, *, hessian, **more):
        return updates, state

    odd = optax.GradientTransformationExtraArgs(lambda params: (), update)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="optimizer of player 'p' cannot be used here: .*hessian.*given the gradients"):
        run(player(tx=odd))


def test_an_axis_of_another_name_is_refused():
    with pytest.raises(ValueError, match="named 'data', not 'batch'; rename it"):
        make_step({"p": player()}, axis="batch")
