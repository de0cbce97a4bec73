"""The laws that a model's capabilities call for: samples, codes, weights, densities, conditionals."""

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.conformance.case import Case, double_precision, randomise
from genjax_zoo.conformance.conditionals import (
    cached_samples_are_naive,
    nll_is_the_sum_of_conditionals,
    sees_what_it_claims,
    views_agree,
)
from genjax_zoo.core import Batch, Density, Sampler, Variables, conditions, part, require, total


def samples_look_like_the_data(case: Case) -> None:
    """The sampler gives n finite examples of the spec's shape; the key alone decides which."""
    draws = require(case.model, Sampler).draw
    size, variables = len(case.batch["x"]), case.state.variables
    cond = conditions(case.batch)
    draw = jax.jit(lambda key: draws(variables, key, size, cond)[0])
    first, again, other = draw(jax.random.key(0)), draw(jax.random.key(0)), draw(jax.random.key(1))
    wanted = (size, *case.model.spec["x"].shape)
    assert first.shape == wanted, f"samples have shape {first.shape}, not {wanted}"
    assert np.all(np.isfinite(first)), "samples are not finite"
    assert np.array_equal(first, again), "the same key gives other samples"
    assert not np.array_equal(first, other), "another key gives the same samples"


def scored_samples_have_their_density(case: Case) -> None:
    """What a sampler says of its own draws is the -log p(x) of an exact density, at randomised parameters."""
    sampler, density = require(case.model, Sampler), require(case.model, Density)
    scored = part(case.model, Sampler, "scored")
    size, cond = len(case.batch["x"]), conditions(case.batch)

    @jax.jit
    def both(variables: Variables, key: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        (x, nats), _ = scored(variables, key, size, cond)
        drawn, _ = sampler.draw(variables, key, size, cond)
        return x - drawn, nats, total(density.terms(variables, {**cond, "x": x}, key)[0])

    moved, nats, wanted = jax.device_get(both(randomise(case.state.variables, scale=0.1), jax.random.key(0)))
    assert np.max(np.abs(moved)) < 1e-5, "of the same key, scored draws are not those of the sampler"
    off = np.max(np.abs(nats - wanted))
    assert off < 1e-4 * (1 + np.max(np.abs(wanted))), f"scored draws are {off:.3g} nats from their density"


def encoding_and_decoding_fit(case: Case) -> None:
    """`decode` takes what `encode` gives, and gives an example of the spec's shape."""
    model = case.model

    @jax.jit
    def there_and_back(variables: Variables, batch: Batch, key: jax.Array) -> jax.Array:
        return model.decode(variables, model.encode(variables, batch, key), conditions(batch))

    x = there_and_back(case.state.variables, case.batch, jax.random.key(0))
    assert np.all(np.isfinite(x)), "decoding an encoding is not finite"
    assert x.shape == case.batch["x"].shape, f"decoding an encoding gives {x.shape}, not {case.batch['x'].shape}"


def decoded_prior_is_the_samples(case: Case, *, n: int = 512, tolerance: float = 0.05) -> None:
    """Decodings of draws from the prior have the mean of samples, to `tolerance` where a decoding is not quite E[x]."""
    model, variables = case.model, case.state.variables
    cond = {name: jnp.resize(value, (n, *value.shape[1:])) for name, value in conditions(case.batch).items()}

    @jax.jit
    def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        k_prior, k_sample = jax.random.split(key)
        z = model.sample_prior(variables, k_prior, n, cond)
        return model.decode(variables, z, cond), model.sample(variables, k_sample, n, cond)

    decoded, samples = jax.device_get(draw(jax.random.key(0)))
    wanted = (n, *case.model.spec["x"].shape)
    assert decoded.shape == wanted, f"decoded draws from the prior have shape {decoded.shape}, not {wanted}"
    error = (np.var(decoded, axis=0) / n + np.var(samples, axis=0) / n) ** 0.5
    distance = np.abs(np.mean(decoded, axis=0) - np.mean(samples, axis=0))
    assert np.all(distance < 5 * error + tolerance), (
        f"the mean of decoded draws from the prior is up to {np.max(distance):.3f} from that of samples"
    )


def weights_agree_with_the_bound(case: Case, *, draws: int = 2_000) -> None:
    """-E[log weight] is the mean of the terms' sum, and several weights bound no worse: to five standard errors."""
    model, terms = case.model, require(case.model, Density).terms
    variables, few = randomise(case.state.variables, scale=0.15), {name: x[:2] for name, x in case.batch.items()}

    @jax.jit
    @jax.vmap
    def differences(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        bound = jnp.mean(total(terms(variables, few, key)[0]))
        single = model.log_weights(
            variables, few, key, 1
        )  # of the same key: where the draws are the same, noise cancels
        several = model.log_weights(variables, few, jax.random.fold_in(key, 0), 8)
        assert several.shape == (8, 2), f"8 log weights of 2 examples have shape {several.shape}, not (8, 2)"
        return bound + jnp.mean(single), bound + jnp.mean(jax.nn.logsumexp(several, axis=0) - jnp.log(8))

    agree, tighter = jax.device_get(differences(jax.random.split(jax.random.key(0), draws)))
    error = np.std(agree) / draws**0.5
    assert np.abs(np.mean(agree)) < 5 * error + 1e-4, (
        f"-E[log weight] is {np.mean(agree):.4g} from the bound, with a standard error of {error:.2g}"
    )
    assert np.mean(tighter) > -5 * np.std(tighter) / draws**0.5 - 1e-4, "8 weights bound worse than one"


def likelihood_is_a_change_of_variables(case: Case, *, scale: float = 0.1) -> None:
    """Decoding undoes encoding, and all terms of `nll` but "prior" are minus the log-determinant of the Jacobian.

    At randomised parameters: to 1e-4 in float32; to 1e-10, and against autodiff's Jacobian, in float64.
    """
    model, key = case.model, jax.random.key(0)
    variables = settle(case, randomise(case.state.variables, scale=scale))
    few = {name: value[:3] for name, value in case.batch.items()}

    def back(variables: Variables, batch: Batch) -> jax.Array:
        return model.decode(variables, model.encode(variables, batch, key), conditions(batch)) - batch["x"]

    def log_dets(variables: Variables, batch: Batch) -> tuple[jax.Array, jax.Array]:
        terms, _ = model.nll(variables, batch, key)
        claimed = -total({name: value for name, value in terms.items() if name != "prior"})

        def encode(x: jax.Array, cond: Batch) -> jax.Array:
            one = {name: value[None] for name, value in cond.items()}
            return model.encode(variables, {**one, "x": x.reshape(1, *batch["x"].shape[1:])}, key).ravel()

        flat = batch["x"].reshape(len(batch["x"]), -1)
        jacobians = jax.vmap(jax.jacfwd(encode))(flat, conditions(batch))
        return claimed, jnp.linalg.slogdet(jacobians)[1]

    single = np.max(np.abs(jax.jit(back)(variables, few)))
    assert single < 1e-4 * (1 + np.max(np.abs(few["x"]))), f"encoding and decoding move x by {single:.2g}"
    with jax.enable_x64(True):
        exact = jax.jit(lambda variables, batch: (back(variables, batch), log_dets(variables, batch)))
        moved, (claimed, true) = jax.device_get(exact(double_precision(variables), double_precision(few)))
    double = np.max(np.abs(moved))
    assert double < 1e-10, f"in float64, encoding and decoding move x by {double:.2g}"
    off = np.max(np.abs(claimed - true))
    assert off < 1e-8, f"the log-determinant is {off:.3g} from that of the Jacobian, {true[0]:.6g}"


def conditionals_see_what_came_before(case: Case) -> None:
    """Every number's logits depend on the numbers before it that the model claims to see, and on no other.

    At randomised parameters, in float64; and `nll` is the sum of these conditionals.
    """
    variables = randomise(case.state.variables)
    with jax.enable_x64(True):
        variables, batch = double_precision(variables), double_precision(dict(case.batch))
        sees_what_it_claims(case.model, variables, {name: value[::5] for name, value in batch.items()})
        nll_is_the_sum_of_conditionals(case.model, variables, batch)


def cached_view_is_the_network(case: Case) -> None:
    """Step by step as at once, at randomised parameters: logits to 1e-12 in float64, the same samples in float32."""
    variables, few = randomise(case.state.variables), {name: value[:3] for name, value in case.batch.items()}
    cached_samples_are_naive(case.model, variables, few)
    with jax.enable_x64(True):
        views_agree(case.model, double_precision(variables), double_precision(few))


def settle(case: Case, variables: Variables) -> Variables:
    """The variables with the statistics that evaluation on this very batch calls for, after many training passes."""
    if "batch_stats" not in variables:
        return variables
    terms = require(case.model, Density).terms

    @jax.jit
    def run(variables: Variables) -> Variables:
        def once(variables: Variables, _: None) -> tuple[Variables, None]:
            return terms(variables, case.batch, jax.random.key(0), train=True)[1], None

        return jax.lax.scan(once, dict(variables), length=400)[0]

    return run(variables)
