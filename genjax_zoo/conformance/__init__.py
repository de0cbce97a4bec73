"""The laws that any model and its players must keep, as one public call.

    conformance.check(Case(model=..., players=..., batch=...))

raises AssertionError with the first law that is broken, in a sentence. Run it on a tiny model of your own in a test.
"""

import functools
import itertools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax_zoo.conformance.conditionals import (
    cached_samples_are_naive,
    nll_is_the_sum_of_conditionals,
    sees_what_it_claims,
    views_agree,
)
from genjax_zoo.conformance.distributions import all_bits as all_bits
from genjax_zoo.conformance.distributions import density_integrates_to_one as density_integrates_to_one
from genjax_zoo.conformance.distributions import probabilities_sum_to_one as probabilities_sum_to_one
from genjax_zoo.conformance.distributions import samples_follow_the_density as samples_follow_the_density
from genjax_zoo.conformance.distributions import samples_follow_the_likelihood as samples_follow_the_likelihood
from genjax_zoo.core import (
    Batch,
    Model,
    Player,
    PyTree,
    TrainState,
    Variables,
    behaviour,
    conditions,
    likelihood_terms,
    networks,
    require,
    total,
)
from genjax_zoo.train.step import create_state, make_step, owned

DOES_NOT_MOVE = 1e-7  # of the largest gradient: below this, a leaf's gradient is rounding


@behaviour
class Case:
    """A tiny model with its players, and a batch for it."""

    model: Model
    players: Mapping[str, Player]
    batch: Batch

    @functools.cached_property
    def state(self) -> TrainState:
        """The state before the first step."""
        return create_state(self.model, self.players, jax.random.key(0), self.batch)


Law = Callable[[Case], None]


def check(case: Case) -> None:
    """Checks every law that the model's capabilities call for.

    Raises:
        AssertionError: a law is broken.
    """
    for law in laws(case).values():
        law(case)


def laws(case: Case) -> Mapping[str, Law]:
    """The laws for this case, by name."""
    capable = [law for fields, law in BY_CAPABILITY.items() if all(getattr(case.model, f) for f in fields)]
    return {law.__name__: law for law in (*EVERY, *capable)}


def terms_are_finite_per_example(case: Case) -> None:
    """Every term is float [B] and finite, in training and in evaluation."""
    size = len(case.batch["x"])
    for name, player in case.players.items():
        for train in (True, False):
            terms, _ = _terms(player, train)(case.state.variables, case.batch, jax.random.key(1))
            for term, value in terms.items():
                assert value.shape == (size,), f"term '{term}' of '{name}' has shape {value.shape}, not ({size},)"
                assert jnp.issubdtype(value.dtype, jnp.floating), f"term '{term}' of '{name}' is {value.dtype}"
                assert jnp.all(jnp.isfinite(value)), f"term '{term}' of '{name}' is not finite"


def same_key_same_terms(case: Case) -> None:
    """Terms are a function of their arguments: with jit, without jit, and when asked twice."""
    for name, player in case.players.items():
        arguments = (case.state.variables, case.batch, jax.random.key(1))
        first, second = (_terms(player, True)(*arguments)[0] for _ in range(2))
        _assert_equal(first, second, 0, f"two calls of the terms of '{name}' differ")
        plain, _ = player.terms(*arguments, True)
        _assert_equal(plain, first, 1e-4, f"the terms of '{name}' change under jit")


def second_step_does_not_recompile(case: Case) -> None:
    """The state that leaves a step has the types of the one that came in."""
    body, traces = make_step(case.players), []

    @jax.jit
    def step(state: TrainState, batch: Batch):
        traces.append(state)
        return body(state, batch)

    state, _ = step(case.state, case.batch)
    step(state, case.batch)
    assert len(traces) == 1, "the second step compiles again: a leaf of the state changes its type"


def a_turn_changes_only_what_it_owns(case: Case) -> None:
    """Networks of other players keep every bit, batch statistics included."""
    for name, player in case.players.items():
        before, after = case.state.variables, _alone(name, player)(case.state, case.batch)[0].variables
        for collection, network in itertools.product(before, networks(before)):
            if network in owned(player, before) or network not in before[collection]:
                continue
            message = f"player '{name}' changed '{collection}' of '{network}', which it does not own"
            _assert_equal(before[collection][network], after[collection][network], 0, message)


def every_owned_leaf_gets_a_gradient(case: Case) -> None:
    """No parameter is left out of its owner's losses, at randomised parameters."""
    state = case.state._replace(variables=randomised(case.state.variables))
    for name, player in case.players.items():
        plain = Player(terms=player.terms, weights=player.weights, tx=optax.sgd(1.0), owns=player.owns)
        state = state._replace(opt_state={**state.opt_state, name: plain.tx.init({})})
        after = _alone(name, plain)(state, case.batch)[0].variables["params"]
        before = state.variables["params"]
        moved = {n: jax.tree.map(lambda a, b: float(jnp.max(jnp.abs(a - b))), before[n], after[n]) for n in after}
        sizes = {n: moved[n] for n in owned(player, state.variables)}
        largest = max(jax.tree.leaves(sizes))
        for path, size in jax.tree_util.tree_leaves_with_path(sizes):
            leaf = jax.tree_util.keystr(path)
            assert size > DOES_NOT_MOVE * largest, f"{leaf} gets no gradient from its player '{name}'"


def thirty_turns_lower_the_loss(case: Case) -> None:
    """Each player alone, on one batch with one key, lowers its own loss."""
    for name, player in case.players.items():
        losses = _thirty(name, player)(case.state, case.batch)
        assert losses[-1] < losses[0], f"30 turns of '{name}' raise its loss from {losses[0]:.4g} to {losses[-1]:.4g}"


def samples_look_like_the_data(case: Case) -> None:
    """`sample` gives n finite examples of the spec's shape; the key alone decides which."""
    (sample,) = require(case.model, "sample")
    size, variables = len(case.batch["x"]), case.state.variables
    cond = conditions(case.batch)
    draw = jax.jit(lambda key: sample(variables, key, size, cond))
    first, again, other = draw(jax.random.key(0)), draw(jax.random.key(0)), draw(jax.random.key(1))
    wanted = (size, *case.model.spec["x"].shape)
    assert first.shape == wanted, f"samples have shape {first.shape}, not {wanted}"
    assert jnp.all(jnp.isfinite(first)), "samples are not finite"
    assert jnp.array_equal(first, again), "the same key gives other samples"
    assert not jnp.array_equal(first, other), "another key gives the same samples"


def encoding_and_decoding_fit(case: Case) -> None:
    """`decode` takes what `encode` gives, and gives an example of the spec's shape."""
    encode, decode = require(case.model, "encode", "decode")
    cond = conditions(case.batch)
    x = decode(case.state.variables, encode(case.state.variables, case.batch, jax.random.key(0)), cond)
    assert x.shape == case.batch["x"].shape, f"decoding an encoding gives {x.shape}, not {case.batch['x'].shape}"


def decoded_prior_is_the_samples(case: Case, *, n: int = 512, tolerance: float = 0.05) -> None:
    """Decodings of draws from the prior have the mean of samples, to `tolerance` where a decoding is not quite E[x]."""
    sample_prior, decode, sample = require(case.model, "sample_prior", "decode", "sample")
    variables = case.state.variables
    cond = {name: jnp.resize(value, (n, *value.shape[1:])) for name, value in conditions(case.batch).items()}

    @jax.jit
    def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        k_prior, k_sample = jax.random.split(key)
        z = sample_prior(variables, k_prior, n, cond)
        return decode(variables, z, cond), sample(variables, k_sample, n, cond)

    decoded, samples = draw(jax.random.key(0))
    wanted = (n, *case.model.spec["x"].shape)
    assert decoded.shape == wanted, f"decoded draws from the prior have shape {decoded.shape}, not {wanted}"
    error = (jnp.var(decoded, axis=0) / n + jnp.var(samples, axis=0) / n) ** 0.5
    distance = jnp.abs(jnp.mean(decoded, axis=0) - jnp.mean(samples, axis=0))
    assert jnp.all(distance < 5 * error + tolerance), (
        f"the mean of decoded draws from the prior is up to {jnp.max(distance):.3f} from that of samples"
    )


def weights_agree_with_the_bound(case: Case, *, draws: int = 500) -> None:
    """-E[log weight] is the mean of `nelbo`, and several weights bound no worse: to five standard errors."""
    log_weights, nelbo = require(case.model, "log_weights", "nelbo")
    variables, few = randomised(case.state.variables, scale=0.15), {name: x[:2] for name, x in case.batch.items()}

    @jax.jit
    @jax.vmap
    def differences(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        bound = jnp.mean(total(nelbo(variables, few, key, False)[0]))
        single = log_weights(variables, few, key, 1)  # of the same key: where the draws are the same, noise cancels
        several = log_weights(variables, few, jax.random.fold_in(key, 0), 8)
        assert several.shape == (8, 2), f"8 log weights of 2 examples have shape {several.shape}, not (8, 2)"
        return bound + jnp.mean(single), bound + jnp.mean(jax.nn.logsumexp(several, axis=0) - jnp.log(8))

    agree, tighter = differences(jax.random.split(jax.random.key(0), draws))
    error = jnp.std(agree) / draws**0.5
    assert jnp.abs(jnp.mean(agree)) < 5 * error + 1e-4, (
        f"-E[log weight] is {jnp.mean(agree):.4g} from the bound, with a standard error of {error:.2g}"
    )
    assert jnp.mean(tighter) > -5 * jnp.std(tighter) / draws**0.5 - 1e-4, "8 weights bound worse than one"


def likelihood_is_a_change_of_variables(case: Case, *, scale: float = 0.1) -> None:
    """Decoding undoes encoding, and all terms of `nll` but "prior" are minus the log-determinant of the Jacobian.

    At randomised parameters: to 1e-4 in float32; to 1e-10, and against autodiff's Jacobian, in float64.
    """
    model, key = case.model, jax.random.key(0)
    variables = settled(case, randomised(case.state.variables, scale=scale))
    few = {name: value[:3] for name, value in case.batch.items()}

    @jax.jit
    def back(variables: Variables, batch: Batch) -> jax.Array:
        return model.decode(variables, model.encode(variables, batch, key), conditions(batch)) - batch["x"]

    @jax.jit
    def log_dets(variables: Variables, batch: Batch) -> tuple[jax.Array, jax.Array]:
        terms, _ = model.nll(variables, batch, key, False)
        claimed = -total({name: value for name, value in terms.items() if name != "prior"})

        def encode(x: jax.Array, cond: Batch) -> jax.Array:
            one = {name: value[None] for name, value in cond.items()}
            return model.encode(variables, {**one, "x": x.reshape(1, *batch["x"].shape[1:])}, key).ravel()

        flat = batch["x"].reshape(len(batch["x"]), -1)
        jacobians = jax.vmap(jax.jacfwd(encode))(flat, conditions(batch))
        return claimed, jnp.linalg.slogdet(jacobians)[1]

    single = float(jnp.max(jnp.abs(back(variables, few))))
    assert single < 1e-4 * (1 + float(jnp.max(jnp.abs(few["x"])))), f"encoding and decoding move x by {single:.2g}"
    with jax.enable_x64(True):
        variables, few = double_precision(variables), double_precision(few)
        double = float(jnp.max(jnp.abs(back(variables, few))))
        assert double < 1e-10, f"in float64, encoding and decoding move x by {double:.2g}"
        claimed, true = log_dets(variables, few)
        off = float(jnp.max(jnp.abs(claimed - true)))
        assert off < 1e-8, f"the log-determinant is {off:.3g} from that of the Jacobian, {float(true[0]):.6g}"


def conditionals_see_what_came_before(case: Case) -> None:
    """Every number's logits depend on the numbers before it that the model claims to see, and on no other.

    At randomised parameters, in float64; and `nll` is the sum of these conditionals.
    """
    variables = randomised(case.state.variables)
    with jax.enable_x64(True):
        variables, batch = double_precision(variables), double_precision(dict(case.batch))
        sees_what_it_claims(case.model, variables, {name: value[:1] for name, value in batch.items()})
        nll_is_the_sum_of_conditionals(case.model, variables, batch)


def cached_view_is_the_network(case: Case) -> None:
    """Step by step as at once, at randomised parameters: logits to 1e-12 in float64, the same samples in float32."""
    variables, few = randomised(case.state.variables), {name: value[:3] for name, value in case.batch.items()}
    cached_samples_are_naive(case.model, variables, few)
    with jax.enable_x64(True):
        views_agree(case.model, double_precision(variables), double_precision(few))


def settled(case: Case, variables: Variables) -> Variables:
    """The variables with the statistics that evaluation on this very batch calls for, after many training passes."""
    if "batch_stats" not in variables:
        return variables
    _, terms = likelihood_terms(case.model)

    @jax.jit
    def run(variables: Variables) -> Variables:
        def once(variables: Variables, _: None) -> tuple[Variables, None]:
            return terms(variables, case.batch, jax.random.key(0), True)[1], None

        return jax.lax.scan(once, dict(variables), length=400)[0]

    return run(variables)


def double_precision(tree: PyTree) -> PyTree:
    """The same tree in float64, for use under jax.enable_x64."""
    return jax.tree.map(lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def randomised(variables: PyTree, seed: int = 0, scale: float = 0.3) -> PyTree:
    """The variables with noise added to every parameter: zero-initialised biases have hidden real bugs."""
    leaves, tree = jax.tree.flatten(variables["params"])
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    noisy = [x + scale * jax.random.normal(key, x.shape, x.dtype) for x, key in zip(leaves, keys)]
    return {**variables, "params": jax.tree.unflatten(tree, noisy)}


EVERY: tuple[Law, ...] = (
    terms_are_finite_per_example,
    same_key_same_terms,
    second_step_does_not_recompile,
    a_turn_changes_only_what_it_owns,
    every_owned_leaf_gets_a_gradient,
    thirty_turns_lower_the_loss,
)
BY_CAPABILITY: Mapping[tuple[str, ...], Law] = {
    ("sample",): samples_look_like_the_data,
    ("encode",): encoding_and_decoding_fit,
    ("sample_prior",): decoded_prior_is_the_samples,
    ("log_weights",): weights_agree_with_the_bound,
    ("nll", "encode", "decode"): likelihood_is_a_change_of_variables,
    ("conditionals", "nll"): conditionals_see_what_came_before,
    ("conditionals",): cached_view_is_the_network,
}


@functools.cache
def _terms(player: Player, train: bool) -> Callable[..., Any]:
    return jax.jit(lambda variables, batch, key: player.terms(variables, batch, key, train))


@functools.cache
def _alone(name: str, player: Player) -> Callable[..., Any]:
    return jax.jit(make_step({name: player}))


@functools.cache
def _thirty(name: str, player: Player) -> Callable[..., jax.Array]:
    alone = _alone(name, player)

    @jax.jit
    def run(state: TrainState, batch: Batch) -> jax.Array:
        def turn(state, _):
            state, metrics = alone(state._replace(step=jnp.zeros((), jnp.int32)), batch)  # the step fixes the key
            return state, metrics[f"{name}/loss"]

        return jax.lax.scan(turn, state, length=30)[1]

    return run


def _assert_equal(first: PyTree, second: PyTree, tolerance: float, message: str) -> None:
    for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second)):
        same = np.array_equal(a, b) if tolerance == 0 else np.allclose(a, b, rtol=tolerance, atol=tolerance)
        assert same, message
