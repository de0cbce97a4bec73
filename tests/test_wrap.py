"""What a wrapper does to each capability: conditions reach all of them, and what is left out says by whom."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from capable import of, sampler

from genjax_zoo import wrap
from genjax_zoo.core import (
    NO_CONDITION,
    Card,
    Conditionals,
    Critic,
    Density,
    Explained,
    Judge,
    Latent,
    Levels,
    Model,
    Sampler,
    part,
    require,
)

V, KEY = {"params": {}}, jax.random.key(0)
SPEAKERS = {"speaker": jnp.array([7, 8])}
BATCH, Z = {"x": jnp.zeros((2, 1)), **SPEAKERS}, jnp.zeros((2, 3))
SHAPE = jax.ShapeDtypeStruct((), jnp.int32)


def told(given):
    """What was told: ten times the label, and the speaker."""
    return 10 * given["label"] + given["speaker"]


def of_batch(v, batch, *_, train=False):
    return told(batch), v


def of_draws(v, key, n, cond=NO_CONDITION, *, train=False):
    return told(cond), v


def of_number(v, n, cond=NO_CONDITION, *, train=False):
    return told(cond), v


def of_array(v, x, cond=NO_CONDITION, key=None, *, train=False):
    return told(cond), v


def twice(function):
    """The same of two arrays: a mean and a scale, draws and their nats, scores and features."""

    def call(*args, **how):
        one, v = function(*args, **how)
        return (one, one), v

    return call


def unasked(*_, train=False):
    raise AssertionError("It takes no conditions.")


def telling(parts=True):
    """Every function gives what it was told."""
    terms = Explained(terms=lambda v, batch, key, *, train=False: ({"told": told(batch)}, v))
    views = Conditionals(
        grid=(1, 1, 1), levels=2, logits=of_batch, start=of_number, begin_row=unasked, step=unasked, choices=unasked
    )
    within = telling(parts=False) if parts else None
    return Model(
        spec={"x": SHAPE, "label": SHAPE, "speaker": SHAPE, **({} if parts else {"given": SHAPE, "z": SHAPE})},
        init=lambda key, batch: {"told": told(batch)},
        density=Density(terms=terms, exact=True, weigh=of_batch, gaussian=twice(of_batch)),
        sampler=Sampler(draw=of_draws, scored=twice(of_draws), mean=of_number),
        latent=Latent(
            prior=within, posterior=within, observation=within, encode=of_batch, decode=of_array, means=of_batch
        ),
        conditionals=views,
        codes=of_batch,
        critic=Critic(score=of_array, features=twice(of_array)),
        judge=Judge(classify=of(lambda v, x: told({"label": x, **SPEAKERS}))),
        check=lambda batch: told({"speaker": 0, **batch}) if {"x", "label"} & set(batch) else None,
        of_length=lambda length: telling(),
    )


def value(answer):
    """The first of (value, variables)."""
    return answer[0]


ASKED = {
    "init": lambda model: model.init(KEY, BATCH)["told"],
    "check": lambda model: model.check(BATCH),
    "density.terms": lambda model: value(model.density.terms(V, BATCH, KEY))["told"],
    "density.weigh": lambda model: model.log_weights(V, BATCH, KEY, 5),
    "density.gaussian": lambda model: value(model.density.gaussian(V, BATCH))[0],
    "sampler.draw": lambda model: model.sample(V, KEY, 2, SPEAKERS),
    "sampler.scored": lambda model: value(model.sampler.scored(V, KEY, 2, SPEAKERS))[0],
    "sampler.mean": lambda model: value(model.sampler.mean(V, 2, SPEAKERS)),
    "latent.prior": lambda model: model.sample_prior(V, KEY, 2, SPEAKERS),
    "latent.posterior": lambda model: value(model.latent.posterior.sampler.scored(V, KEY, 2, {"given": Z, **SPEAKERS}))[
        0
    ],
    "latent.observation": lambda model: model.latent.observation.sample(V, KEY, 2, {"z": Z, **SPEAKERS}),
    "latent.encode": lambda model: model.encode(V, BATCH, KEY),
    "latent.decode": lambda model: model.decode(V, Z, SPEAKERS),
    "latent.means": lambda model: value(model.latent.means(V, BATCH, KEY, 5)),
    "conditionals.logits": lambda model: value(model.conditionals.logits(V, BATCH)),
    "conditionals.start": lambda model: value(model.conditionals.start(V, 2, SPEAKERS)),
    "codes": lambda model: value(model.codes(V, BATCH)),
    "critic.score": lambda model: value(model.critic.score(V, BATCH["x"], SPEAKERS, KEY)),
    "critic.features": lambda model: value(model.critic.features(V, BATCH["x"], SPEAKERS, KEY))[0],
    "of_length": lambda model: model.of_length(9).sample(V, KEY, 2, SPEAKERS),
}
NOT_TOLD = {"judge", "conditionals.begin_row", "conditionals.step", "conditionals.choices"}  # take no conditions


@pytest.mark.parametrize("field", ASKED)
def test_a_fixed_condition_reaches_the_model_whatever_is_asked(field):
    three = wrap.conditioned(telling(), label=3)
    assert set(three.spec) == {"x", "speaker"}
    np.testing.assert_array_equal(ASKED[field](three), [37, 38])
    with pytest.raises(KeyError, match="label"):  # control: nothing else tells it
        ASKED[field](telling())


@pytest.mark.parametrize("field", ASKED)
def test_a_renamed_condition_reaches_the_model_whatever_is_asked(field):
    """The name outside is another's: what is called "speaker" there is the label."""
    model = wrap.renamed(telling(), label="speaker", speaker="label")
    swapped = wrap.conditioned(model, label=3)  # the inner one's speaker
    assert set(swapped.spec) == {"x", "speaker"}
    np.testing.assert_array_equal(ASKED[field](swapped), [73, 83])


def functions(capability):
    """The functions of variables of a capability, by name; settings and numbers are none."""
    names = {field.name for field in dataclasses.fields(capability)}
    return names - {"exact", "settings", "grid", "levels", "sees"}


def test_no_field_is_left_out():
    bundles = {Density: "density", Sampler: "sampler", Latent: "latent", Conditionals: "conditionals", Critic: "critic"}
    asked = {f"{name}.{field}" for kind, name in bundles.items() for field in functions(kind)}
    alone = functions(Model) - {*bundles.values(), "spec", "card", "left_out"}
    assert {*ASKED, *NOT_TOLD} == asked | alone


def test_a_judge_takes_no_conditions_and_stays():
    three = wrap.conditioned(telling(), label=3)
    np.testing.assert_array_equal(value(require(three, Judge).classify(V, jnp.array([1, 2]))), [17, 28])


@pytest.mark.parametrize("label", (1.5, True, "a"))
def test_a_class_is_a_whole_number(label):
    with pytest.raises(ValueError, match="The condition 'label' is of int32, not"):
        wrap.conditioned(telling(), label=label)


def test_a_fixed_condition_of_another_shape():
    with pytest.raises(ValueError, match=r"The condition 'label' is of shape \(\), not \(2,\)"):
        wrap.conditioned(telling(), label=np.array([1, 2]))


# ---- names ----


def reading(*names):
    """A model whose function gives all that it is told, by its own names."""

    def terms(v, batch, key, *, train=False):
        return {name: batch[name] for name in names}, v

    return Model(
        spec=dict.fromkeys(names, SHAPE),
        init=lambda key, batch: {name: batch[name] for name in names},
        density=Density(terms=Explained(terms=terms), exact=True),
        sampler=sampler(lambda v, key, n, cond: cond["given"]),
    )


def test_what_one_part_calls_given_another_calls_x():
    """Both directions: a batch of an image and its code, in the words of the one and of the other."""
    outside = wrap.renamed(reading("x", "given"), given="x", x="z")
    batch = {"x": jnp.array([1, 2]), "z": jnp.array([3, 4])}
    found = value(require(outside, Density).terms(V, batch, KEY))
    np.testing.assert_array_equal((found["given"], found["x"]), ([1, 2], [3, 4]))
    np.testing.assert_array_equal(outside.sample(V, KEY, 2, {"x": batch["x"]}), [1, 2])
    assert set(outside.spec) == {"x", "z"}
    back = wrap.renamed(outside, x="given", z="x")
    given = {"given": jnp.array([1, 2]), "x": jnp.array([3, 4])}
    np.testing.assert_array_equal(value(require(back, Density).terms(V, given, KEY))["given"], [1, 2])
    assert back.init(KEY, given)["x"][0] == 3 and set(back.spec) == {"x", "given"}


@pytest.mark.parametrize(
    "names, sentence",
    [
        ({"colour": "y"}, r"no entry 'colour' to rename; it has \['label', 'x'\]"),
        ({"label": "x"}, "Two entries of the model would be called 'x'; rename the other one, too"),
    ],
)
def test_names_that_do_not_fit(names, sentence):
    with pytest.raises(ValueError, match=sentence):
        wrap.renamed(reading("x", "label"), **names)


def test_a_renamed_condition_is_asked_for_by_its_name():
    model = wrap.renamed(reading("x", "label"), label="y")
    with pytest.raises(ValueError, match=r"needs 'y', but it was given \['label', 'x'\]"):
        require(model, Density).terms(V, {"x": jnp.zeros(2), "label": jnp.zeros(2)}, KEY)


# ---- what is left out ----


def everything(**fields):
    """The same without conditionals, which state that a likelihood is of levels."""
    model = telling()
    latent = require(model, Latent)
    assert latent.observation
    observation = dataclasses.replace(latent.observation, conditionals=None)
    latent = dataclasses.replace(latent, observation=observation)
    given = {"check": lambda batch: None, "conditionals": None, "latent": latent, **fields}
    return dataclasses.replace(model, **given)


LEFT_OUT = {
    "scaled": (lambda m: wrap.scaled(m, shift=0, scale=2), {"of_length", "density.gaussian", "sampler.mean"}),
    "logit_space": (wrap.logit_space, {"of_length", "density.gaussian", "sampler.mean"}),
    "dequantized": (
        wrap.dequantized,
        {"of_length", "critic", "judge", "density.gaussian", "sampler.scored", "sampler.mean"}
        | {"latent.posterior", "latent.observation"},
    ),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_what_a_wrapper_leaves_out_says_by_whom(name):
    wrapper, lost = LEFT_OUT[name]
    model = wrapper(everything())
    assert set(model.left_out) == lost and set(model.left_out.values()) == {f"wrap.{name}"}
    assert model.of_length is None and model.density.gaussian is None and model.sampler.mean is None
    with pytest.raises(ValueError, match=f"no 'density.gaussian'; it has density, .*left out by wrap.{name}"):
        part(model, Density, "gaussian")
    assert (
        wrapper(wrap.conditioned(everything(), label=3)).left_out == model.left_out
    )  # what it never had, it names not


def test_dequantisation_leaves_critics_out():
    with pytest.raises(ValueError, match="no 'critic'; it has density.*left out by wrap.dequantized"):
        require(wrap.dequantized(everything()), Critic)
    with pytest.raises(ValueError, match="no 'density'; it has sampler"):
        wrap.dequantized(everything(density=None))


LEVELLED = {
    "scaled": lambda model: wrap.scaled(model, shift=0, scale=2),
    "logit_space": wrap.logit_space,
    "over_data": lambda model: wrap.over_data(model, "own", lambda x: (x, jnp.zeros_like(x)), lambda y: y),
    "dequantized": wrap.dequantized,
}


@pytest.mark.parametrize("name", LEVELLED)
def test_a_probability_of_levels_has_no_change_of_variables(name):
    wrapper = LEVELLED[name]
    levels = everything(card=Card(support=Levels(5)))
    with pytest.raises(ValueError, match=f"wrap.{name} is for a density of continuous x, .* probability of 5 levels"):
        wrapper(levels)
    with pytest.raises(ValueError, match="probability of 2 levels"):  # as its conditionals state
        wrapper(telling())
    for card in (Card(), Card(support=Levels(None))):  # not stated, and a density
        assert wrapper(everything(card=card)).density is not None
    if name != "dequantized":  # without a likelihood
        assert wrapper(dataclasses.replace(levels, density=None)).sampler is not None


def test_the_card_follows():
    density = everything(card=Card(name="mine", support=Levels(None)))
    assert wrap.dequantized(density, 7).card.support == Levels(7)
    assert wrap.dequantized(density, 7).card.name == "mine"
    assert wrap.scaled(density, shift=0, scale=2).card is density.card
    assert wrap.conditioned(density, label=3).card is density.card


# ---- a change of variables ----


def line():
    """p(y) = 2 y on [0, 1] for every number, with a term that has the wrapper's name already."""

    def terms(v, batch, key, *, train=False):
        return {"scale": -jnp.sum(jnp.log(2 * batch["x"]), axis=1)}, v

    stated = Explained(terms=terms, formulas={"scale": "-log 2 y"}, units={"scale": "nats"})
    spec = {"x": jax.ShapeDtypeStruct((3,), jnp.float32)}
    return Model(spec=spec, init=lambda key, batch: V, density=Density(terms=stated, exact=True))


def test_a_term_of_the_same_name_is_added_to():
    """A scale of a scale: both log-determinants count, as they did not when one took the other's place."""
    twice = wrap.scaled(wrap.scaled(line(), shift=0.0, scale=0.5), shift=0.0, scale=0.25)
    x = jnp.array([[1.0, 2.0, 4.0]])
    (found,) = value(twice.nll(V, {"x": x}, KEY)).values()
    np.testing.assert_allclose(found, -np.sum(np.log(2 * x / 8)) + 3 * math.log(8), rtol=1e-6)
    assert twice.nll.formulas["scale"].startswith("-log 2 y; -3 log 0.5, ") and twice.nll.units == {"scale": "nats"}


def test_a_change_of_variables_of_ones_own():
    """y = x^3 on [0, 1]: the density of x is 2 x^3 * 3 x^2."""
    model = wrap.over_data(
        line(), "cube", lambda x: (x**3, jnp.log(3 * x**2)), lambda y: y ** (1 / 3), formula="-log 3 x**2"
    )
    x = jnp.array([[0.2, 0.5, 0.9]])
    terms = value(model.nll(V, {"x": x}, KEY))
    np.testing.assert_allclose(sum(terms.values()), -np.sum(np.log(2 * x**3 * 3 * x**2)), rtol=1e-5)
    np.testing.assert_allclose(terms["cube"], -np.sum(np.log(3 * x**2)), rtol=1e-5)
    assert model.nll.formulas["cube"] == "-log 3 x**2" and model.nll.units["cube"] == "nats"
