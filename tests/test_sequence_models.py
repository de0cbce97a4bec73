"""ImageGPT, NADE and MADE over levels: distributions by enumeration, formulas, and mistakes that must be noticed."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, _levels

from genjax_zoo import conformance, math, models
from genjax_zoo.core import Conditionals, Sampler, require, total
from genjax_zoo.models.autoregressive import image_gpt, nade
from genjax_zoo.nn import MaskedMLP

SHAPE = (3, 4, 1)
BITS = {
    "image_gpt": functools.partial(models.image_gpt, features=6, layers=2, heads=3),
    "nade": functools.partial(models.nade, hidden=7),
    "made": functools.partial(models.made, levels=2, hidden=(24, 17), direct=True),
}
LABEL = {"label": jnp.ones(1, jnp.int32)}


@functools.cache
def built(name, classes=0):
    """A model of twelve bits with random parameters."""
    model = BITS[name](shape=SHAPE, classes=classes)
    batch = {"x": jnp.zeros((2, *SHAPE)), "label": jnp.arange(2) % 3}
    return model, conformance.randomise(model.init(jax.random.key(1), batch), scale=0.5)


def fresh(name):
    """The tiny case of the table, built anew, so that nothing compiled before is used again."""
    return made_case() if name == "made" else CASES[name]()


def made_case(**changes):
    settings = {"levels": 3, "hidden": (24, 31), "direct": True, "activation": jnp.tanh, **changes}
    return _levels(models.made(shape=(3, 3, 2), classes=3, **settings), label=jnp.arange(16) % 3)


made_case_once = functools.cache(made_case)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("name", BITS)
def test_probabilities_sum_to_one(name, classes):
    conformance.probabilities_sum_to_one(*built(name, classes), cond=LABEL if classes else None)


@pytest.mark.parametrize("name", BITS)
def test_samples_follow_the_likelihood(name):
    conformance.samples_follow_the_likelihood(*built(name))


@pytest.mark.parametrize("name", BITS)
def test_other_samples_are_noticed(name):
    model, variables = built(name)
    other = conformance.randomise(variables, seed=5)
    draw = require(model, Sampler).draw
    wrong = dataclasses.replace(model, sampler=Sampler(draw=lambda v, *args, **how: draw(other, *args, **how)))
    with pytest.raises(AssertionError, match="from the likelihood; chance is"):
        conformance.samples_follow_the_likelihood(wrong, variables)


@pytest.mark.parametrize("law", conformance.laws(made_case()))
def test_made_over_levels_keeps_every_law(law):
    conformance.laws(made_case_once())[law](made_case_once())


@pytest.mark.parametrize("hidden, direct", [((9, 7), False), ((30, 40), False), ((3,), True), ((), True)])
def test_made_claims_what_it_sees(hidden, direct):
    """A layer narrower than x leaves numbers unseen; direct connections see them again."""
    case = made_case(hidden=hidden, direct=direct)
    earlier = np.tri(18, k=-1, dtype=bool)
    assert np.array_equal(require(case.model, Conditionals).sees, earlier) == (direct or min(hidden) >= 18)
    conformance.conditionals_see_what_came_before(case)
    if not direct:
        conformance.cached_view_is_the_network(case)


def test_nade_is_its_formula():
    """One number after another, as in the paper, in numpy."""
    model, variables = built("nade", 3)
    p = jax.tree.map(np.asarray, variables["params"]["network"])
    x, label = np.asarray(jax.random.bernoulli(jax.random.key(3), shape=(5, 12)), float), np.array([0, 1, 2, 2, 1])

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    nll = np.zeros(5)
    for b in range(5):
        for i in range(12):
            a = p["hidden_bias"] + p["of_condition"]["kernel"][label[b]]
            a = a + sum((p["inward"][j] * x[b, j] for j in range(i)), start=np.zeros(7))
            p_one = sigmoid(p["bias"][i] + p["outward"][i] @ sigmoid(a))
            nll[b] -= np.log(p_one if x[b, i] else 1 - p_one)
    batch = {"x": jnp.asarray(x.reshape(5, *SHAPE), jnp.float32), "label": jnp.asarray(label)}
    terms, _ = model.nll(variables, batch, jax.random.key(0))
    np.testing.assert_allclose(total(terms), nll, rtol=1e-5)


@pytest.fixture
def written_one_off(monkeypatch):
    right = image_gpt.write
    monkeypatch.setattr(image_gpt, "write", lambda kept, new, place: right(kept, new, place + 1))


@pytest.fixture
def own_number_seen(monkeypatch):
    monkeypatch.setattr(image_gpt, "may_see", lambda queries, keys: keys <= queries[:, None] + 1)


@pytest.fixture
def only_three_places_seen(monkeypatch):
    right = image_gpt.may_see
    monkeypatch.setattr(image_gpt, "may_see", lambda q, keys: right(q, keys) & (keys > q[:, None] - 3))


@pytest.fixture
def sum_with_own_bit(monkeypatch):
    monkeypatch.setattr(nade, "comes_before", lambda size: jnp.tri(size))


@pytest.fixture
def sum_without_the_last_bit(monkeypatch):
    monkeypatch.setattr(nade, "comes_before", lambda size: jnp.tri(size, k=-2))


MUTANTS = [
    ("image_gpt", "written_one_off", conformance.cached_view_is_the_network, "cached"),
    ("image_gpt", "own_number_seen", conformance.conditionals_see_what_came_before, "logits of number 0 see number 0"),
    ("image_gpt", "only_three_places_seen", conformance.conditionals_see_what_came_before, "do not see"),
    ("nade", "sum_with_own_bit", conformance.conditionals_see_what_came_before, "logits of number 0 see number 0"),
    ("nade", "sum_with_own_bit", conformance.cached_view_is_the_network, "cached"),
    ("nade", "sum_without_the_last_bit", conformance.conditionals_see_what_came_before, "do not see"),
]


@pytest.mark.parametrize("name, mutation, law, said", MUTANTS)
def test_a_mistake_is_noticed(name, mutation, law, said, request):
    law(fresh(name))
    request.getfixturevalue(mutation)
    with pytest.raises(AssertionError, match=said):
        law(fresh(name))


def test_a_step_that_forgets_is_noticed(monkeypatch):
    """MADE's step, when it does not keep the units of an earlier place."""
    right = MaskedMLP.step

    def forgetting(self, walk, previous, index):
        parameters, moved = right(self, walk, previous, index)
        return parameters, moved._replace(units=walk.units)

    monkeypatch.setattr(MaskedMLP, "step", forgetting)
    with pytest.raises(AssertionError, match="cached"):
        conformance.cached_view_is_the_network(made_case())


def test_attention_in_blocks_is_attention(monkeypatch):
    """A last block of queries that is not full changes nothing."""
    q, k, v = jax.random.normal(jax.random.key(0), (3, 2, 3, 11, 5))
    places = jnp.arange(11)
    whole = image_gpt.attend(q, k, v, image_gpt.may_see(places, places))
    monkeypatch.setattr(image_gpt, "QUERIES", 4)
    np.testing.assert_allclose(image_gpt.causal_attention(q, k, v), whole, atol=1e-6)


def test_dropout_is_of_training_only():
    case = _levels(models.image_gpt(shape=(3, 3, 1), features=6, layers=2, heads=2, dropout=0.5))
    model, variables = case.model, conformance.randomise(case.state.variables)

    def nll(seed, train):
        return total(model.nll(variables, case.batch, jax.random.key(seed), train=train)[0])

    assert jnp.array_equal(nll(0, False), nll(1, False))
    assert jnp.array_equal(nll(0, True), nll(0, True))
    assert not jnp.allclose(nll(0, True), nll(1, True))


@pytest.mark.parametrize(
    "build, said",
    [
        (lambda: models.image_gpt(shape=SHAPE, features=10, heads=3), "3 heads do not divide 10 features"),
        (lambda: models.image_gpt(shape=SHAPE, levels=1), "two or more, not 1"),
        (lambda: models.image_gpt(shape=SHAPE, dropout=1.0), "dropout is in"),
        (lambda: models.made(shape=SHAPE, levels=1), "two or more, not 1"),
        (lambda: models.made(shape=SHAPE, levels=2, likelihood=math.bernoulli), "not both"),
        (lambda: models.nade(shape=SHAPE, hidden=0), "hidden must be at least 1, not 0"),
    ],
)
def test_bad_input(build, said):
    with pytest.raises(ValueError, match=said):
        build()


def test_nade_is_of_bits():
    model, _ = built("nade")
    with pytest.raises(ValueError, match="levels"):
        model.init(jax.random.key(0), {"x": jnp.full((2, *SHAPE), 0.5)})
