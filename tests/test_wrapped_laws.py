"""Wrappers x losses and evaluations: the value is the one computed by hand, or a sentence says what is missing.

And relatives agree under any wrapper: sampler and density, weights and bound, latent space and samples.
"""

import dataclasses
import functools
import math
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from asked_by_hand import EVALS, LOSSES
from wrapped_by_hand import KEY, LEVELS, SHAPE, WRAPPERS, ByHand

from genjax_zoo import compose, models, nn
from genjax_zoo.conformance import randomise
from genjax_zoo.core import Density, Judge, Latent, Model, Sampler, conditions, part, require, total
from genjax_zoo.math import affine, gaussian
from genjax_zoo.models.flow.flow import flat_chain
from genjax_zoo.models.flow.flow import flow as flow_of
from genjax_zoo.wrap import precision

pytestmark = pytest.mark.xdist_group("wrapped")  # one worker has what several tests ask for
X = jnp.asarray(np.random.default_rng(0).integers(0, LEVELS, (4, *SHAPE)) / (LEVELS - 1), jnp.float32)
BATCH = {"x": X, "label": jnp.array([0, 1, 2, 1])}
BASES = ("vae", "flow")
NOISY = ("dequantized", "levels of a constant in logit space")


@functools.cache
def built(base: str) -> tuple[Model, Any]:
    """A latent variable model; a flow with batch norm, and another model's critic. Both are told a label."""
    if base == "vae":
        model = models.cvae(shape=SHAPE, classes=3, latent=3, hidden=(), likelihood=gaussian(0.5))
    else:
        map, size = affine(), math.prod(SHAPE)
        layers = nn.EvenOdd(), nn.Coupling(map, nn.conditioner(size, map, (4,), jnp.tanh)), nn.BatchNorm()
        flow = flow_of(SHAPE, flat_chain(SHAPE, *layers), classes=3)
        gan = models.gan(shape=SHAPE, latent=3, hidden=(), critic_hidden=(4,), conditions={"label": 3})
        both = compose.merge(flow=flow, gan=gan)
        model = both.model(both["flow"], critic=both["gan"].critic)
    return model, randomise(model.init(KEY, BATCH))


# ---- relatives ----


def scored(model):
    """What a sampler says of its draws less their density, and how far they are from the draws of the same key."""
    exact, ours = model.nll, part(model, Sampler, "scored")

    def run(v, batch, key):
        cond, n = conditions(batch), len(batch["x"])
        (x, nats), _ = ours(v, key, n, cond)
        return nats - total(exact(v, {**cond, "x": x}, key)[0]), x - model.sample(v, key, n, cond)

    return run


def decoded(model):
    """How far a flow's samples are from its decoded draws from the prior, of the same key."""

    def run(v, batch, key):
        cond, n = conditions(batch), len(batch["x"])
        return model.decode(v, model.sample_prior(v, key, n, cond), cond) - model.sample(v, key, n, cond)

    return run


def encoded(model):
    """How far encoding is from undoing decoding."""

    def run(v, batch, key):
        cond, n = conditions(batch), len(batch["x"])
        z = model.sample_prior(v, key, n, cond)
        return model.encode(v, {**cond, "x": model.decode(v, z, cond)}, key) - z

    return run


def weighed(model):
    """How far -E[log w] is from the bound, of draws of one example, beyond five standard errors."""
    weigh, terms = part(model, Density, "weigh"), require(model, Density).terms

    def run(v, batch, key):
        one = {name: jnp.repeat(value[:1], 500, axis=0) for name, value in batch.items()}
        k_weights, k_terms = jax.random.split(key)
        gap = weigh(v, one, k_weights, 1)[0][0] + total(terms(v, one, k_terms)[0])
        return jnp.maximum(0.0, jnp.abs(jnp.mean(gap)) - 5 * jnp.std(gap) / math.sqrt(500))

    return run


RELATIVES = {"vae": (weighed,), "flow": (scored, decoded, encoded)}


def agree(base, name):
    """The relatives that there are under a wrapper."""
    lost = {"scored": (*NOISY, "tempered"), "encoded": NOISY}  # levels have lost what is between them
    return [relative for relative in RELATIVES[base] if name not in lost.get(relative.__name__, ())]


# ---- the law ----


def answers(asked, *args):
    """What functions of (variables, batch, key) give, by name.

    Operation by operation: those of one shape are compiled once, where each wrapper would be a program of its own.
    """
    with jax.disable_jit():
        return jax.device_get({name: function(*args) for name, function in asked.items()})


def attempt(ask, *args):
    try:
        return ask(*args)
    except ValueError as error:
        return str(error)


@functools.cache
def found(base, name):
    """What a wrapped model gives for everything that it is asked, or the sentence that says what is missing."""
    (model, variables), by = built(base), WRAPPERS[name]
    outer, v, batch = by.wrapper(model, variables), by.held(variables), by.shown(BATCH)
    asked = {use: attempt(of, outer) for use, (of, _) in LOSSES.items()}
    asked |= {relative.__name__: relative(outer) for relative in agree(base, name)}
    said = {use: function for use, function in asked.items() if isinstance(function, str)}
    values = answers({use: function for use, function in asked.items() if use not in said}, v, batch, KEY)
    with jax.disable_jit():
        judged = {use: attempt(of, outer, v, batch) for use, (of, _) in EVALS.items()}
    return {**values, **judged, **said}


@functools.cache
def by_hand(base, name, around=False, seed=0):
    """The same by hand, of the model inside, where it is there; around the wrapper; of other parameters."""
    (model, variables), by = built(base), ByHand() if around else WRAPPERS[name]
    there = [use for use, value in found(base, name).items() if not isinstance(value, str)]
    functions = {use: hand(by, model) for use, (_, hand) in LOSSES.items() if use in there}

    def evaluated(hand):
        return lambda v, batch, key: hand(by, model, v, batch)

    functions |= {use: evaluated(hand) for use, (_, hand) in EVALS.items() if use in there}
    return answers(functions, randomise(variables, seed) if seed else variables, by.shown(BATCH), KEY)


MISSING = {  # of the one base, and of the other
    "vae": {"critic": "no 'critic'", "generator": "no 'critic'"},
    "flow": {use: "no 'density.weigh'" for use in (*LOSSES, *EVALS) if use.startswith(("weights", "evals.iw"))},
}


def missing(base, name):
    """What a model lacks, with the sentence."""
    left_out = {"critic": "left out by wrap.dequantized", "generator": "left out by wrap.dequantized"}
    return {**(left_out if name in NOISY and base == "flow" else {}), **MISSING[base]}


USES = [(base, name, use) for base in BASES for name in WRAPPERS for use in (*LOSSES, *EVALS)]


@pytest.mark.parametrize("base, name, use", USES)
def test_the_value_is_the_one_by_hand_or_a_sentence_says_what_is_missing(base, name, use):
    value = found(base, name)[use]
    if use in missing(base, name):
        assert missing(base, name)[use] in value
    else:
        for one, other in zip(jax.tree.leaves(value), jax.tree.leaves(by_hand(base, name)[use]), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("base, name", [(base, name) for base in BASES for name in WRAPPERS])
def test_relatives_agree(base, name):
    for relative in agree(base, name):
        for off in jax.tree.leaves(found(base, name)[relative.__name__]):
            np.testing.assert_allclose(off, 0, atol=2e-4, err_msg=relative.__name__)


@pytest.mark.parametrize("base", BASES)
def test_what_is_left_out_of_a_sampler_says_by_whom(base):
    (model, variables), by = built(base), WRAPPERS["tempered"]
    with pytest.raises(ValueError, match="no 'sampler.scored'"):
        part(by.wrapper(model, variables), Sampler, "scored")


def test_a_network_that_was_added_is_in_that_precision():
    """As those that the model brought: what it multiplies is half precision, what it gives is not."""
    model, classify = compose.with_network(built("vae")[0], "judge", linen.Dense(3), X[:, 0, :, 0])
    model = dataclasses.replace(model, judge=Judge(classify=classify))
    variables = model.init(KEY, BATCH)

    def program(model):
        judge = require(model, Judge)
        return str(jax.make_jaxpr(lambda v: judge.classify(v, X[:, 0, :, 0])[0])(variables))

    assert "bf16[4,3] = dot_general" in program(precision.in_precision(model))
    assert "bf16" not in program(model)  # control
    x, _ = require(precision.in_precision(model), Judge).classify(variables, X[:, 0, :, 0])
    assert x.dtype == jnp.float32


# ---- controls ----


def differ(base, name, **how):
    """The uses whose value is another than that by hand."""
    ours, others = found(base, name), by_hand(base, name, **how)
    same = {use: jax.tree.map(lambda a, b: np.allclose(a, b, 1e-4, 1e-4), ours[use], others[use]) for use in others}
    return {use for use in others if not all(jax.tree.leaves(same[use]))}


def compared(base, name):
    """The uses that depend on what is inside; a flow rebuilds what it is given, whatever it is."""
    return set(by_hand(base, name)) - ({"evals.reconstruction_error"} if base == "flow" else set())


OF_FAKES = {"scaled": {"generator"}, "logit_space": {"generator"}}  # samples, scored in the space that they come from
DRAWN = {"samples", "critic", "generator", "evals.sample_grid"}


@pytest.mark.parametrize("name", ["scaled", "logit_space", "dequantized", "conditioned", "renamed", "tempered"])
@pytest.mark.parametrize("base", BASES)
def test_control_around_the_wrapper(base, name):
    """Whoever goes around it has another value of everything that it changes."""
    changed = compared(base, name) & DRAWN if name == "tempered" else compared(base, name) - OF_FAKES.get(name, set())
    assert differ(base, name, around=True) == changed and not differ(base, name)


@pytest.mark.parametrize("name", ["scope", "frozen", "in_precision", "with_memory"])
@pytest.mark.parametrize("base", BASES)
def test_control_other_variables(base, name):
    """What changes nothing but where the variables are is of these variables."""
    assert differ(base, name, seed=1) == compared(base, name)


def test_control_relatives():
    """One that was replaced alone is noticed."""
    flow, v = built("flow")
    vae, of_vae = built("vae")
    sampler, latent, density = require(flow, Sampler), require(flow, Latent), require(vae, Density)
    decode = part(flow, Latent, "decode")
    other = dataclasses.replace(
        sampler, scored=lambda v, key, n, cond: ((sampler.draw(v, key, n, cond)[0], jnp.zeros(n)), v)
    )
    far = dataclasses.replace(latent, decode=lambda v, z, cond: (decode(v, z, cond)[0] + 1, v))
    terms = dataclasses.replace(
        density.terms, terms=lambda *args, train: ({"rate": density.terms(*args)[0]["rate"]}, {})
    )
    broken = (
        (scored, dataclasses.replace(flow, sampler=other), v),
        (decoded, dataclasses.replace(flow, latent=far), v),
        (encoded, dataclasses.replace(flow, latent=far), v),
        (weighed, dataclasses.replace(vae, density=dataclasses.replace(density, terms=terms)), of_vae),
    )
    for relative, model, variables in broken:
        off = jax.tree.leaves(relative(model)(variables, BATCH, KEY))
        assert max(float(jnp.max(jnp.abs(x))) for x in off) > 0.05, relative.__name__
