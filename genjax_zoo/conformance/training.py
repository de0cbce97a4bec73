"""The laws of every model and its players: what they train on, and how a turn changes them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.conformance.case import Case, randomise
from genjax_zoo.core import FROZEN, Batch, PyTree, TermFn, Terms, networks
from genjax_zoo.math.devices import AXIS
from genjax_zoo.train.step import make_step, owned_networks

DOES_NOT_MOVE = 1e-7  # of the largest gradient: below this, a leaf's gradient is rounding


def terms_are_finite_per_example(case: Case) -> None:
    """Every term is float [B] and finite, in training and in evaluation."""
    size = len(case.batch["x"])
    for name, probe in case.probes.items():
        for terms, _ in probe(case.state.variables, case.batch, jax.random.key(1)).values():
            for term, value in terms.items():
                assert value.shape == (size,), f"term '{term}' of '{name}' has shape {value.shape}, not ({size},)"
                assert jnp.issubdtype(value.dtype, jnp.floating), f"term '{term}' of '{name}' is {value.dtype}"
                assert np.all(np.isfinite(value)), f"term '{term}' of '{name}' is not finite"


def second_step_does_not_recompile(case: Case) -> None:
    """The state that leaves a step has the types of the one that came in."""
    (alone, *others) = case.turns.values()
    step = make_step(case.recorded) if others else alone  # of one player, the turn is the step
    before = jax.eval_shape(lambda state: state, case.recorded_state)
    after, _ = jax.eval_shape(step, before, case.batch)
    assert jax.tree.structure(before) == jax.tree.structure(after), "the second step compiles again: its state differs"
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after)):
        types = [(x.shape, x.dtype, x.weak_type) for x in (a, b)]
        assert types[0] == types[1], f"the second step compiles again: {jax.tree_util.keystr(path)} changes its type"


def terms_are_of_the_whole_batch(case: Case) -> None:
    """On two devices, a term that depends on its device's other examples depends on those of the other one, too."""
    variables, key = randomise(case.state.variables), jax.random.key(1)
    size = len(case.batch["x"]) // 2
    parts = jax.tree.map(lambda x: jnp.stack([x[:size], x[size : 2 * size]]), dict(case.batch))
    changed = [parts, *(jax.tree.map(lambda x, on=on: x.at[on, -1].set(x[0, 1]), parts) for on in (0, 1))]
    batches = jax.tree.map(lambda *x: jnp.stack(x), *changed)
    for name, player in case.players.items():

        def first(batch: Batch, of: TermFn = player.terms) -> Terms:
            terms = jax.vmap(lambda part: of(variables, part, key, train=True)[0], axis_name=AXIS)(batch)
            return {term: value[0, 0] for term, value in terms.items()}  # of the first example on the first device

        for term, (alone, here, there) in jax.device_get(jax.jit(jax.vmap(first))(batches)).items():
            rounding = 1e-6 * (1 + abs(alone))
            assert abs(here - alone) <= rounding or abs(there - alone) > rounding, (
                f"'{term}' of '{name}' compares an example with those of its own device alone; "
                f"take the others from losses.gathered"
            )


def a_turn_changes_only_what_it_owns(case: Case) -> None:
    """Networks of other players keep every bit, batch statistics included; so does what is frozen."""
    before = case.recorded_state.variables
    for name, player in case.recorded.items():
        after = case.turns[name](case.recorded_state, case.batch)[0].variables
        _assert_equal(before.get(FROZEN), after.get(FROZEN), f"player '{name}' changed what is frozen")
        for collection, network in itertools.product(before.keys() - {FROZEN}, networks(before)):
            if network in owned_networks(player, before) or network not in before[collection]:
                continue
            message = f"player '{name}' changed '{collection}' of '{network}', which it does not own"
            _assert_equal(before[collection][network], after[collection][network], message)


def every_owned_leaf_gets_a_gradient(case: Case) -> None:
    """No parameter is left out of its owner's losses, at randomised parameters."""
    state = case.recorded_state._replace(variables=randomise(case.recorded_state.variables))
    for name, turn in case.turns.items():
        later = 10_000  # where weights that start at zero have risen
        states = [state._replace(updates=jax.tree.map(lambda x, n=n: x + n, state.updates)) for n in (0, later)]
        gradients = [turn(at, case.batch)[0].opt_state[name][0] for at in states]  # type: ignore[index]
        sizes = jax.tree.map(lambda *at: max(float(np.max(np.abs(x))) for x in at), *gradients)
        largest = max(jax.tree.leaves(sizes))
        for path, size in jax.tree_util.tree_leaves_with_path(sizes):
            leaf = jax.tree_util.keystr(path)
            assert size > DOES_NOT_MOVE * largest, f"{leaf} gets no gradient from its player '{name}'"


def thirty_turns_lower_the_loss(case: Case) -> None:
    """Each player alone, on one batch with one key, lowers its own loss."""
    for name, turn in case.turns.items():
        state, losses = case.recorded_state, []
        for _ in range(30):
            state, metrics = turn(state._replace(step=case.recorded_state.step), case.batch)  # fixes the key
            losses.append(metrics[f"{name}/loss"])
        assert losses[-1] < losses[0], (
            f"30 turns of '{name}' do not lower its loss: from {losses[0]:.4g} to {losses[-1]:.4g}"
        )


def _assert_equal(first: PyTree, second: PyTree, message: str) -> None:
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second)):
        assert np.array_equal(a, b), message
