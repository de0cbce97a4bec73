"""What a turn does besides following a gradient: ownership, schedules, averages, guards, precision."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import CASES

from genjax_zoo.conformance import randomise
from genjax_zoo.core import Model, Player
from genjax_zoo.train import create_state, eval_variables, make_step
from genjax_zoo.train.finite import means_over_steps
from genjax_zoo.wrap.precision import half_precision

SPEC = {"x": jax.ShapeDtypeStruct((), jnp.float32)}
BATCH = {"x": jnp.array([1.0, 3.0, 5.0, 7.0])}


def dtype_of(x):
    return x.dtype


def quadratic(variables, batch, key, train=False):
    """Gradient of the mean of "pull" at w: w - mean(x)."""
    w = variables["params"]["net"]["w"]
    return {"pull": 0.5 * (w - batch["x"]) ** 2, "push": -w * batch["x"], "other": batch["x"]}, variables


def scalar_model(*networks):
    init = {"params": {name: {"w": jnp.zeros(())} for name in networks}}
    return Model(spec=SPEC, init=lambda key, batch: init)


def run(player, steps=1, batches=None):
    model = scalar_model("net")
    state = create_state(model, {"p": player}, jax.random.key(0), BATCH)
    step = jax.jit(make_step({"p": player}))
    rows = []
    for i in range(steps):
        state, metrics = step(state, BATCH if batches is None else batches[i])
        rows.append(metrics)
    return state, rows


def w(state):
    return float(state.variables["params"]["net"]["w"])


def player(**changes):
    return Player(**{"terms": quadratic, "weights": {"pull": 1.0}, "tx": optax.sgd(0.5), **changes})


def test_one_turn_by_hand():
    state, (metrics,) = run(player())
    assert w(state) == 0.5 * 4.0
    assert metrics["p/loss"] == metrics["p/pull"] == np.mean(0.5 * BATCH["x"] ** 2)
    assert metrics["p/grad_norm"] == 4.0 and metrics["p/other"] == 4.0 and metrics["p/finite"] == 1


def test_weights_may_be_schedules():
    state, rows = run(player(weights={"pull": 0.0, "push": lambda step: 1.0 * step}, tx=optax.sgd(1.0)), steps=3)
    assert w(state) == (0 + 1 + 2) * 4.0
    assert rows[2]["p/loss"] == 2 * rows[2]["p/push"]


def test_plays_every_nth_step():
    state, rows = run(player(every=3), steps=4)
    assert [float(row["p/played"]) for row in rows] == [1, 0, 0, 1]
    assert all(row["p/finite"] == 1 for row in rows)
    assert w(state) == 2.0 + 0.5 * 2.0


def test_average_of_parameters():
    """Slow from the start, it would still be where the run began: 1/10 of the first is kept, then 2/11, up to ema."""
    state, _ = run(player(ema=0.75), steps=2)
    assert w(state) == 3.0
    averaged = (2 / 11) * (0.9 * 2.0) + (9 / 11) * 3.0
    np.testing.assert_allclose(eval_variables(state)["params"]["net"]["w"], averaged, rtol=1e-6)
    state, _ = run(player(ema=0.1), steps=2)
    np.testing.assert_allclose(eval_variables(state)["params"]["net"]["w"], 0.1 * (0.9 * 2.0) + 0.9 * 3.0, rtol=1e-6)
    assert state.ema["net"]["w"] is not state.variables["params"]["net"]["w"]


def test_average_of_parameters_that_move_every_second_step():
    """The warm-up counts turns and not steps: 1/10 of the start is kept, then 2/11 of the first average."""
    state, _ = run(player(ema=0.75, every=2), steps=4)
    assert w(state) == 3.0
    averaged = (2 / 11) * (0.9 * 2.0) + (9 / 11) * 3.0
    np.testing.assert_allclose(eval_variables(state)["params"]["net"]["w"], averaged, rtol=1e-6)


def test_clipping_and_accumulation_compose():
    clipped, _ = run(player(tx=optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(1.0))))
    assert w(clipped) == 1.0
    halves = [{"x": BATCH["x"][:2]}, {"x": BATCH["x"][2:]}]
    accumulated, _ = run(player(tx=optax.MultiSteps(optax.sgd(0.5), 2).gradient_transformation()), 2, halves)
    assert w(accumulated) == w(run(player())[0])


def test_not_finite_is_reported_and_a_guard_holds():
    def broken(variables, batch, key, train):
        terms, state = quadratic(variables, batch, key, train)
        return {"pull": terms["pull"] / 0.0 * 0.0}, state

    _, (metrics,) = run(player(terms=broken))
    assert metrics["p/finite"] == 0
    state, rows = run(player(terms=broken, tx=optax.apply_if_finite(optax.sgd(0.5), 2)), steps=3)
    assert [float(row["p/finite"]) for row in rows] == [1, 1, 0]


def test_a_guard_does_not_hide_a_loss_whose_gradient_is_finite():
    """What optax.apply_if_finite looks at is the gradient: it drops nothing here, and the loss is not finite."""

    def terms(variables, batch, key, train):
        pull, state = quadratic(variables, batch, key, train)
        return {"pull": pull["pull"], "lost": jnp.full_like(batch["x"], jnp.nan)}, state

    guard = optax.apply_if_finite(optax.sgd(0.5), 2)
    state, (metrics,) = run(player(terms=terms, weights={"pull": 1.0, "lost": 1.0}, tx=guard, ema=0.75))
    assert metrics["p/finite"] == 0 and w(state) == 2.0
    np.testing.assert_allclose(state.ema["net"]["w"], 0.9 * 2.0, rtol=1e-6)  # follows what was written


def test_a_dropped_turn_leaves_no_trace():
    """A batch of NaN under optax.apply_if_finite: parameters, averages, momentum and statistics are as before it."""

    def terms(variables, batch, key, train):
        pull, _ = quadratic(variables, batch, key, train)
        seen = variables["statistics"]["net"]
        after = {"mean": 0.5 * (seen["mean"] + jnp.mean(batch["x"])), "turns": seen["turns"] + 1}
        return pull, {**variables, "statistics": {"net": after}}

    init = {
        "params": {"net": {"w": jnp.zeros(())}},
        "statistics": {"net": {"mean": jnp.zeros(()), "turns": jnp.zeros((), jnp.int32)}},
    }
    model = Model(spec=SPEC, init=lambda key, batch: init)
    guarded = player(terms=terms, tx=optax.apply_if_finite(optax.sgd(0.5, momentum=0.5), 5), ema=0.75)
    step = jax.jit(make_step({"p": guarded}))
    first, _ = step(create_state(model, {"p": guarded}, jax.random.key(0), BATCH), BATCH)
    dropped, metrics = step(first, {"x": BATCH["x"].at[1].set(jnp.nan)})
    again, _ = step(dropped, BATCH)
    before, after = (jax.device_get((s.variables, s.ema, s.opt_state["p"].inner_state)) for s in (first, dropped))
    assert jax.tree.leaves(before) == jax.tree.leaves(after)
    assert metrics["p/finite"] == 1 and dropped.opt_state["p"].total_notfinite == 1
    assert first.variables["statistics"]["net"] == {"mean": 2.0, "turns": 1}
    assert again.variables["statistics"]["net"] == {"mean": 3.0, "turns": 2}  # control: the next turn counts again
    assert w(first) == 2.0 and w(again) == 2.0 + 0.5 * (0.5 * 4.0 + 2.0)


def test_players_write_what_they_own_and_see_what_was_written_before():
    """Both pull on both networks and count in the state of both; q plays after p, and p does not see q's move."""

    def terms(variables, batch, key, train):
        a, b = (variables["params"][name]["w"] for name in "ab")
        counts = jax.tree.map(lambda count: count + 1, variables["counts"])
        return {"both": a * b * jnp.ones_like(batch["x"])}, {**variables, "counts": counts}

    init = {
        "params": {"a": {"w": jnp.float32(3.0)}, "b": {"w": jnp.float32(4.0)}},
        "counts": {"a": jnp.int32(0), "b": jnp.int32(10)},
    }
    model = Model(spec=SPEC, init=lambda key, batch: init)
    players = {
        name: player(terms=terms, weights={"both": 1.0}, owns=owns, ema=ema)
        for name, owns, ema in (("p", ("a",), 0.5), ("q", ("b",), 0.0))
    }
    state = create_state(model, players, jax.random.key(0), BATCH)
    state, metrics = jax.jit(make_step(players))(state, BATCH)
    assert jax.device_get(state.variables["params"]) == {"a": {"w": 3 - 0.5 * 4}, "b": {"w": 4 - 0.5 * 1}}
    assert jax.device_get(state.variables["counts"]) == {"a": 1, "b": 11}
    assert (metrics["p/grad_norm"], metrics["q/grad_norm"]) == (4.0, 1.0)
    assert (metrics["p/loss"], metrics["q/loss"]) == (12.0, 4.0)
    np.testing.assert_allclose(state.ema["a"]["w"], 0.1 * 3 + 0.9 * 1, rtol=1e-6)
    assert state.ema.keys() == {"a"}


def test_gradients_are_averaged_over_devices_before_they_are_clipped():
    """Of 2 and 6 on two devices: the mean, 4, clipped to 3; each clipped before it would give 2.5."""
    clipped = {"p": player(tx=optax.chain(optax.clip_by_global_norm(3.0), optax.sgd(1.0)))}
    state = create_state(scalar_model("net"), clipped, jax.random.key(0), BATCH)
    step = jax.jit(jax.vmap(make_step(clipped, axis="data"), in_axes=(None, 0), axis_name="data"))
    state, metrics = step(state, {"x": BATCH["x"].reshape(2, 2)})
    np.testing.assert_allclose(state.variables["params"]["net"]["w"], [3.0, 3.0], rtol=1e-6)
    np.testing.assert_array_equal(metrics["p/grad_norm"], [4.0, 4.0])
    np.testing.assert_array_equal(metrics["p/loss"], [10.5, 10.5])


def test_the_norm_is_of_all_leaves_of_the_gradient():
    def terms(variables, batch, key, train):
        net = variables["params"]["net"]
        return {"pull": (3 * net["a"] + 4 * net["b"]) * jnp.ones_like(batch["x"])}, variables

    init = {"params": {"net": {"a": jnp.zeros(()), "b": jnp.zeros(())}}}
    model = Model(spec=SPEC, init=lambda key, batch: init)
    one = {"p": player(terms=terms)}
    _, metrics = jax.jit(make_step(one))(create_state(model, one, jax.random.key(0), BATCH), BATCH)
    assert metrics["p/grad_norm"] == 5.0


def test_no_metric_of_a_player_that_sits_out():
    """The mean of a log is of the turns that were taken; a mark says which, and no NaN, which a debugger stops at."""
    with jax.debug_nans(True):
        _, rows = run(player(every=2), steps=4)
    named = {"p/pull", "p/push", "p/other", "p/loss", "p/grad_norm"}
    assert [float(row["p/played"]) for row in rows] == [1, 0, 1, 0]
    means = means_over_steps(jax.device_get(rows))
    taken = np.mean([0.5 * np.square(w - np.array([1, 3, 5, 7])).mean() for w in (0.0, 2.0)])
    assert means.keys() == named and means["p/loss"] == means["p/pull"] == taken
    assert "p/loss" not in means_over_steps(jax.device_get(rows[1:2]))


@pytest.mark.parametrize("name", ("vae", "vae_gan"))
def test_half_precision(name):
    """Networks compute in bfloat16; parameters, gradients, state and terms stay in float32, and nearly as they were."""
    case = CASES[name]()
    first = next(iter(case.players.values()))
    variables = randomise(case.state.variables, scale=0.05)
    arguments = (variables, case.batch, jax.random.key(0))
    low = half_precision(first.terms)
    text = str(jax.make_jaxpr(functools.partial(low, train=True))(*arguments))
    assert any("bf16" in line for line in text.splitlines() if "dot_general" in line or "conv_general" in line)
    (exact, _), (rough, _) = (jax.jit(functools.partial(terms, train=True))(*arguments) for terms in (first.terms, low))
    for term, value in exact.items():
        assert rough[term].dtype == jnp.float32
        assert not np.array_equal(rough[term], value)
        scale = float(jnp.max(jnp.abs(value)))
        np.testing.assert_allclose(rough[term], value, atol=0.1 * scale, err_msg=term)
    lowered = {n: dataclasses.replace(p, terms=half_precision(p.terms)) for n, p in case.players.items()}
    after, _ = jax.jit(make_step(lowered))(case.state, case.batch)
    assert jax.tree.map(dtype_of, after.variables) == jax.tree.map(dtype_of, case.state.variables)
