"""The train step: the players take turns, each writing only what it owns.

Where the mean over devices is taken decides whether the gradients are right. Under shard_map the gradient of a
replicated parameter is summed over the devices by the transpose, under pmap and vmap it is not; averaging both the loss
and the gradients is right under all of them. Averaging only one of the two is wrong somewhere, by a factor that Adam
hides; `tests/test_parallel.py` keeps both mistakes as controls. It is right for terms that are of one example each; one
that compares examples with each other is of the whole batch only if it takes them from `losses.gathered`.

There is one clock for each player: the updates that it has made. Schedules of its optimizer and of its weights, its
averages and its lazy penalties count by it; a step on which it sits out, a turn that only accumulates a gradient, and
one that `optax.apply_if_finite` drops are none.

What is frozen is part of the state, and of no turn: nobody owns it, and no step changes it.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from genjax_zoo.core import (
    FROZEN,
    MEMORY,
    TURNS,
    Array,
    Batch,
    Key,
    Model,
    Player,
    PyTree,
    TrainState,
    Variables,
)
from genjax_zoo.errors import UserError
from genjax_zoo.math.devices import AXIS
from genjax_zoo.train.optimizers import has_updated, names_left_alone, update_of, zero_gradients
from genjax_zoo.train.players import owned_networks, weights_by_player, weights_of

Metrics = Mapping[str, Array]  # "player/term", "player/loss", "player/grad_norm" and FLAGS: float32 []
FLAGS = ("finite", "broken", "played")  # what the loop reads, and no log shows
Step = Callable[[TrainState, Batch], tuple[TrainState, Metrics]]


def create_state(model: Model, players: Mapping[str, Player], key: Key, batch: Batch) -> TrainState:
    """The state before the first step.

    Args:
        model: gives the variables.
        players: the players, in the order of their turns.
        key: a typed key.
        batch: a real batch, for data-dependent initialisation.

    Raises:
        UserError: owned sets that miss, share or invent a network; a weight for a term that does not exist, or a term
            of a likelihood without one.
    """
    weights_by_player(model, players, batch)
    return first_state(model, players, key, batch)


def first_state(model: Model, players: Mapping[str, Player], key: Key, batch: Batch) -> TrainState:
    """The same, without a look at what the players own and weigh: of a run that is read, whoever trained it."""
    k_init, k_run = jax.random.split(key)
    variables = model.init(k_init, batch)
    params = variables["params"]
    averaged = [n for p in players.values() if p.ema > 0 for n in owned_networks(p, variables)]
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        key=k_run,
        variables=variables,
        ema={n: params[n] for n in averaged},
        opt_state={name: p.tx.init(_pick(params, owned_networks(p, variables))) for name, p in players.items()},
        updates={name: jnp.zeros((), jnp.int32) for name in players},
    )
    return jax.tree.map(jnp.copy, state)  # donated, so nobody else's: neither an alias nor what `init` was handed


def eval_variables(state: TrainState) -> Variables:
    """The variables to evaluate with: averaged parameters where a player keeps them."""
    return {**state.variables, "params": {**state.variables["params"], **state.ema}}


def leaf_names(players: Mapping[str, Player], variables: Variables) -> Mapping[str, list[str]]:
    """Each player's leaves by name: its parameters, in the order of its gradients, and its networks' other state."""
    return {
        name: ["/".join(str(key.key) for key in path) for tree in trees for path, _ in _with_paths(tree)]
        for name, player in players.items()
        if (trees := (_pick(variables["params"], owned_networks(player, variables)), _state_of(player, variables)))
    }


def make_step(players: Mapping[str, Player], *, axis: str | None = None) -> Step:
    """The body of one step, for one device.

    Args:
        players: take their turns in order, each seeing what the ones before wrote.
        axis: "data", the mapped axis that holds the batch's parts, or None for a global view.

    Returns:
        (state, batch) -> (state, metrics). Metrics are means over the whole batch; of a player that sat out, "played"
        is 0 and the others say nothing.

    Raises:
        UserError: an axis of another name, by which batch norm and `losses.gathered` would not find it.
    """
    if axis not in (None, AXIS):
        raise UserError(f"The axis that a batch is mapped over is named '{AXIS}', not '{axis}'; rename it.")

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        shard = 0 if axis is None else jax.lax.axis_index(axis)  # a global view draws what one device does
        key = jax.random.fold_in(jax.random.fold_in(state.key, state.step), shard)
        metrics: dict[str, Array] = {}
        for index, (name, player) in enumerate(players.items()):
            state, report = _turn(name, player, axis, state, batch, jax.random.fold_in(key, index))
            metrics |= {f"{name}/{term}": value for term, value in report.items()}
        return state._replace(step=state.step + 1), metrics

    return step


def make_steps(
    players: Mapping[str, Player],
    *,
    steps: int,
    axis: str | None = None,
    shards: int = 1,
    finish: Callable[..., Batch] = lambda raw, step, shard: raw,
):
    """The body of `steps` steps as one scan, drawing batches inside the program.

    Args:
        players: as for `make_step`.
        steps: how many steps one call runs.
        axis: as for `make_step`.
        shards: how many parts the mapped axis has.
        finish: makes a batch of what the host has read; see `Data.finish`.

    Returns:
        (state, source) -> (state, metrics [steps]); the source is resident data, or what the host has read, stacked as
        [steps, B].
    """
    step = make_step(players, axis=axis)

    def run(state: TrainState, source: Any) -> tuple[TrainState, Metrics]:
        def one(state, raw):
            shard = 0 if axis is None else jax.lax.axis_index(axis)
            batch = source.at(state.step, shard, shards) if raw is None else finish(raw, state.step, shard)
            return step(state, batch)

        stacked = None if getattr(source, "resident", False) else source
        return jax.lax.scan(one, state, stacked, length=steps)

    return run


def _turn(name: str, player: Player, axis: str | None, state: TrainState, batch: Batch, key: Key):
    def play(state: TrainState):
        return _play(name, player, axis, state, batch, key)

    if player.every == 1:
        return play(state)

    def sit_out(state: TrainState):
        _, report = jax.eval_shape(play, state)
        absent = {term: jnp.zeros(r.shape, r.dtype) for term, r in report.items()}
        return state, {**absent, "finite": jnp.ones((), jnp.float32)}

    return jax.lax.cond(state.step % player.every == 0, play, sit_out, state)


def _play(name: str, player: Player, axis: str | None, state: TrainState, batch: Batch, key: Key):
    mine = owned_networks(player, state.variables)
    before = state.variables["params"]
    params = _pick(before, mine)

    def objective(params):
        variables = {**state.variables, "params": {**before, **params}}
        terms, changed = player.terms(variables, batch, key, train=True)
        means = {term: _mean_over(axis, jnp.mean(value)) for term, value in terms.items()}
        weights = weights_of(player, terms)
        weighted = [_at(weight, state.updates[name]) * means[term] for term, weight in weights.items()]
        return jnp.sum(jnp.stack(weighted)), (means, _moving(changed))

    differentiated = jax.jit(jax.value_and_grad(objective, has_aux=True), inline=True)
    (loss, (means, changed)), own = differentiated(params)
    gradients = _mean_over(axis, own)
    update = update_of(
        name, player.tx, value=loss, grad=gradients, value_fn=_with_gradient(lambda p: objective(p)[0], axis)
    )
    updates, opt_state = update(gradients, state.opt_state[name], params)
    made = has_updated(state.opt_state[name], opt_state)
    moving = mine
    if jax.tree.leaves(_state_of(player, state.variables)):
        zero = zero_gradients(differentiated.trace(params).jaxpr, own)
        left = names_left_alone(update, gradients, zero, state.opt_state[name], params)
        moving = [network for network in mine if network not in left]  # the others' state is kept, too
    params = dict(optax.apply_updates(params, updates))  # type: ignore[arg-type]
    changed = _average_state(axis, changed)
    squares = jnp.stack([jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(gradients)])
    grad_norm = jnp.sqrt(jnp.sum(squares))
    finite = jnp.isfinite(loss) & jnp.isfinite(grad_norm)
    count = state.updates[name]
    fresh = 1 - jnp.minimum(player.ema, (1 + count) / (10 + count))  # a short run is not averaged with its start
    fresh = jnp.where(made, fresh, 0)
    if optax.tree.get_all_with_path(opt_state, "notfinite_count"):
        # optax.apply_if_finite: a turn it dropped is no failure, but drop what that turn did to the state, too
        kept = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradients)]))
        finite = jnp.isfinite(optax.tree.norm(updates)) & (jnp.isfinite(loss) | ~kept)
        changed = jax.tree.map(lambda new, old: jnp.where(kept, new, old), changed, _moving(state.variables))
    committed = {
        collection: {n: (changed if n in moving else state.variables)[collection][n] for n in tree}
        for collection, tree in _moving(state.variables).items()
    }
    for network, memory in committed.get(MEMORY, {}).items():
        if isinstance(memory, Mapping) and TURNS in memory:  # of `wrap.with_memory`: lazy penalties count updates
            turns = jnp.where(made, memory[TURNS], state.variables[MEMORY][network][TURNS])
            committed[MEMORY][network] = {**memory, TURNS: turns}
    ema = _pick(state.ema, [n for n in mine if n in state.ema])
    written = jnp.stack(
        [
            jnp.all(jnp.isfinite(leaf))
            for leaf in jax.tree.leaves((params, _state_of(player, {**committed, "params": params})))
        ]
    )
    report = {
        **means,
        "loss": loss,
        "grad_norm": grad_norm,
        "finite": (finite & jnp.all(written)).astype(jnp.float32),
        "broken": _first(~jnp.isfinite(squares), ~written).astype(jnp.float32),  # the leaf that is not, of `leaf_names`
        "played": jnp.ones((), jnp.float32),
    }
    state = state._replace(
        variables={**state.variables, **committed, "params": {**before, **params}},
        ema={**state.ema, **dict(optax.incremental_update(_pick(params, ema), ema, fresh))},  # type: ignore
        opt_state={**state.opt_state, name: opt_state},
        updates={**state.updates, name: count + made},
    )
    return state, report


def _with_gradient(function: Callable[[PyTree], Array], axis: str | None) -> Callable[[PyTree], Array]:
    """A function whose gradient is the mean over devices, as a line search takes it."""
    if axis is None:
        return function
    averaged = jax.custom_vjp(function)

    def forward(params: PyTree) -> tuple[Array, PyTree]:
        value, gradients = jax.value_and_grad(function)(params)
        return value, _mean_over(axis, gradients)

    averaged.defvjp(forward, lambda gradients, slope: (jax.tree.map(lambda g: slope * g, gradients),))
    return averaged


def _mean_over(axis: str | None, tree: Any) -> Any:
    return tree if axis is None else jax.lax.pmean(tree, axis)


def _average_state(axis: str | None, tree: Any) -> Any:
    """The devices' batch statistics as one; counters and flags are equal everywhere, and pmax says so."""
    if axis is None:
        return tree
    return jax.tree.map(
        lambda x: (jax.lax.pmean if jnp.issubdtype(x.dtype, jnp.inexact) else jax.lax.pmax)(x, axis), dict(tree)
    )


def _state_of(player: Player, variables: Variables) -> PyTree:
    """What a player's networks keep besides parameters, where it can stop being finite: batch statistics, say."""
    mine = owned_networks(player, variables)
    return {collection: _pick(tree, [n for n in tree if n in mine]) for collection, tree in _moving(variables).items()}


def _moving(variables: Variables) -> dict[str, PyTree]:
    """The collections that a turn may change besides parameters: all but what is frozen."""
    return {name: tree for name, tree in variables.items() if name not in ("params", FROZEN)}


def _first(*flags: Array) -> Array:
    """The place of the first that is true, in the first of the vectors that has any."""
    place = jnp.argmax(flags[-1])
    for more in reversed(flags[:-1]):
        place = jnp.where(jnp.any(more), jnp.argmax(more), place)
    return place


def _with_paths(tree: PyTree) -> Any:
    return jax.tree_util.tree_leaves_with_path(tree)


def _at(weight: Any, count: Array) -> Any:
    return weight(count) if callable(weight) else weight


def _pick(tree: Mapping[str, Any], names: Any) -> dict[str, Any]:
    return {name: tree[name] for name in names}
