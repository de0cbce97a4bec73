"""What players own and weigh, and what belongs to nobody."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import CASES
from test_step import BATCH, SPEC, player, quadratic, run, scalar_model, w

from genjax_zoo.compose import frozen
from genjax_zoo.core import FROZEN, Experiment, Explained, Model
from genjax_zoo.runs.building import in_precision
from genjax_zoo.train import create_state, make_step
from genjax_zoo.train.begin import begin_from
from genjax_zoo.train.digest import by_name
from genjax_zoo.train.players import weights_by_player
from genjax_zoo.wrap.precision import half_precision


def stated(**units):
    return Explained(terms=quadratic, units=units)


NO_ONE = "No player weighs 'push', a term of the likelihood that player 'p' computes; give it to a player, weight 0 le"
LIKELIHOOD = {"terms": stated(pull="nats", push="nats", other="look"), "weights": None}


@pytest.mark.parametrize(
    "players, message",
    [
        ({"p": {"owns": ("net", "disc")}}, r"Player 'p' owns 'disc', but the model has networks \['net', 'two'\]"),
        ({"p": {"owns": ("ne",)}}, "Player 'p' owns 'ne', but"),
        (
            {"p": {"owns": ("net",)}},
            r"No player owns 'two'; add it to .*'owns' \(\['p'\]\), or freeze it: compose.frozen",
        ),
        ({"p": {"owns": ("net",)}, "q": {}}, "Players 'p' and 'q' both own 'net', .* give one player both terms"),
        ({"p": {"weights": {"kl": 1.0}}}, r"Player 'p' weighs 'kl', but its terms are \['other', 'pull', 'push'\]"),
        ({"p": {"weights": {}}}, r"Player 'p' weighs none of its terms \['other', 'pull', 'push'\]"),
        (
            {"p": {"weights": None}},
            "Player 'p' has no weights, and its term 'other' does not state its unit; give it",
        ),
        ({"p": {"weights": None, "terms": stated(pull="nats")}}, "'p' has no weights, and its term 'other' does not"),
        ({"p": {"weights": None, "terms": stated(pull="loss", push="look", other="look")}}, "'p' weighs none of its"),
        ({"p": {**LIKELIHOOD, "weights": {"pull": 1.0}}}, NO_ONE),
        ({n: {**LIKELIHOOD, "weights": {"pull": 1.0}, "owns": (o,)} for n, o in (("p", "net"), ("q", "two"))}, NO_ONE),
    ],
)
def test_players_that_do_not_fit(players, message):
    made = {name: player(**changes) for name, changes in players.items()}
    with pytest.raises(ValueError, match=message):
        create_state(scalar_model("net", "two"), made, jax.random.key(0), BATCH)


def test_a_likelihoods_terms_weigh_one_where_nothing_else_is_said():
    """The other terms are only logged; the control is by weights."""
    alone, (metrics,) = run(player(**LIKELIHOOD))
    said, (control,) = run(player(weights={"pull": 1.0, "push": 1.0}))
    assert w(alone) == w(said) and metrics["p/loss"] == control["p/loss"] == metrics["p/pull"] + metrics["p/push"]
    all_of_it = Explained(terms=quadratic, rest="nats")
    assert run(player(terms=all_of_it, weights=None))[1][0]["p/loss"] == control["p/loss"] + metrics["p/other"]


def test_what_is_left_out_on_purpose_or_weighed_by_another_is_not_forgotten():
    """Two players of the same terms share them out; of terms of its own each weighs all."""
    create_state(
        *(scalar_model("net"), {"p": player(**{**LIKELIHOOD, "weights": {"pull": 1.0, "push": 0.0}})}),
        *(jax.random.key(0), BATCH),
    )
    names = (("p", "pull", "net"), ("q", "push", "two"))
    shared = {n: player(**{**LIKELIHOOD, "weights": {term: 1.0}, "owns": (net,)}) for n, term, net in names}
    create_state(scalar_model("net", "two"), shared, jax.random.key(0), BATCH)
    others = {**shared, "q": dataclasses.replace(shared["q"], terms=stated(pull="nats", push="nats"))}
    with pytest.raises(ValueError, match=NO_ONE):  # control
        create_state(scalar_model("net", "two"), others, jax.random.key(0), BATCH)


def test_a_name_owns_all_the_networks_below_it():
    """And no other that begins alike."""
    model = scalar_model("a", "a/x", "a/y", "ab")

    def terms(variables, batch, key, train):
        return {"pull": sum(net["w"] - 1 for net in variables["params"].values()) ** 2 * batch["x"]}, variables

    players = {"a": player(terms=terms, owns=("a",)), "ab": player(terms=terms, owns=("ab",), tx=optax.sgd(0.0))}
    state, _ = jax.jit(make_step(players))(create_state(model, players, jax.random.key(0), BATCH), BATCH)
    found = {name: float(net["w"]) for name, net in state.variables["params"].items()}
    assert found["a"] == found["a/x"] == found["a/y"] != 0.0 == found["ab"]
    with pytest.raises(ValueError, match="Players 'all' and 'y' both own 'a/y'"):
        create_state(model, {"all": player(owns=("a", "ab")), "y": player(owns=("a/y",))}, jax.random.key(0), BATCH)


# what is frozen


def counting(seen):
    """A model of one network, "net", with a statistic."""
    init = {"params": {"net": {"w": jnp.float32(3.0)}}, "batch_stats": {"net": {"seen": jnp.float32(seen)}}}
    return Model(spec=SPEC, init=lambda key, batch: init)


def pulled_to_the_frozen(variables, batch, key, train):
    """Towards the frozen network of the same name; statistics move, and what is frozen would, too, if it could."""
    own, other = variables["params"]["net"]["w"], variables[FROZEN]["net"]["params"]["w"]
    moved = jax.tree.map(lambda leaf: leaf + 1, {name: variables[name] for name in ("batch_stats", FROZEN)})
    return {"pull": 0.5 * (own - other) ** 2 * jnp.ones_like(batch["x"])}, {**variables, **moved}


@pytest.mark.parametrize("tx", [optax.sgd(0.5), optax.apply_if_finite(optax.adamw(0.5, weight_decay=0.1), 2)])
def test_what_is_frozen_is_of_no_turn(tx):
    """Of the same name as what moves, it is part of the state, and stays what it was."""
    teacher, student = frozen(counting(7.0), origin="runs/teacher, step 4"), counting(0.0)
    init = lambda key, batch: {**student.init(key, batch), FROZEN: teacher.init(key, batch)[FROZEN]}  # noqa: E731
    model = dataclasses.replace(student, init=init)
    players = {"p": player(terms=pulled_to_the_frozen, tx=tx, ema=0.5)}
    state = create_state(model, players, jax.random.key(0), BATCH)
    start = jax.tree.map(np.asarray, state.variables[FROZEN])
    assert start == {"net": {"params": {"w": 3.0}, "batch_stats": {"seen": 7.0}}}
    start["net"]["params"]["w"] = np.float32(2.0)
    state = state._replace(variables={**state.variables, FROZEN: jax.tree.map(jnp.asarray, start)})
    step = jax.jit(make_step(players), donate_argnums=0)
    for _ in range(2):
        state, _ = step(state, BATCH)
    state, metrics = step(state, BATCH)
    assert jax.tree.map(np.asarray, state.variables[FROZEN]) == start
    assert w(state) < 2.9 and state.variables["batch_stats"]["net"]["seen"] == 3  # control: what is owned moves
    assert state.ema.keys() == {"net"} and metrics["p/finite"] == 1
    other = dataclasses.replace(model, init=lambda k, b: {**init(k, b), FROZEN: {"old": start["net"]}})
    with pytest.raises(ValueError, match=r"'p' owns 'old', which is frozen, and the model has networks \['net'\]"):
        create_state(other, {"p": dataclasses.replace(players["p"], owns=("net", "old"))}, jax.random.key(0), BATCH)


def test_init_may_hand_out_the_live_arrays_of_another_model():
    """A step donates its own copy of them, and the other model goes on."""
    teacher = create_state(counting(7.0), {"p": player()}, jax.random.key(0), BATCH)
    model = Model(spec=SPEC, init=lambda key, batch: teacher.variables)
    state = create_state(model, {"p": player()}, jax.random.key(0), BATCH)
    state, _ = jax.jit(make_step({"p": player()}), donate_argnums=0)(state, BATCH)
    assert w(state) == 3.5 and w(teacher) == 3.0 and teacher.variables["batch_stats"]["net"]["seen"] == 7.0


def test_another_runs_networks_leave_what_is_frozen_as_it_is():
    """`--init-from`: a run without any, and one that froze another model."""
    player_of = {"p": player()}

    def state_of(kept, w):
        def init(key, batch):
            return {"params": {"net": {"w": jnp.float32(w)}}, **({FROZEN: {"old": kept}} if kept else {})}

        return create_state(Model(spec=SPEC, init=init), player_of, jax.random.key(0), BATCH)

    own = state_of({"params": {"w": jnp.float32(3.0)}}, 0.0)
    for other in (state_of(None, 5.0), state_of({"params": {"w": jnp.float32(9.0)}}, 5.0)):
        begun = begin_from(own, by_name(other))
        assert w(begun) == 5.0 and begun.variables[FROZEN]["old"]["params"]["w"] == 3.0


def test_terms_that_players_share_are_shared_in_half_precision():
    """And so is what each of them weighs of the likelihood; the control makes terms for each anew."""
    case = CASES["vae_gan"]()
    low = in_precision(Experiment(model=case.model, players=case.players, data=None, steps=1), "bf16")  # type: ignore[arg-type]
    weights_by_player(case.model, low.players, case.batch)
    anew = {n: dataclasses.replace(p, terms=half_precision(p.terms)) for n, p in case.players.items()}
    with pytest.raises(ValueError, match="No player weighs"):
        weights_by_player(case.model, anew, case.batch)
