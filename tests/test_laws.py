"""Every model in the table keeps every law, and every law has a control that breaks it."""

import dataclasses
import functools
import gc
import itertools

import jax
import jax.numpy as jnp
import optax
import pytest
from cases import ADAM, CASES

from genjax_zoo import conformance, models
from genjax_zoo.conformance import case as cases_
from genjax_zoo.core import Conditionals, Density, Latent, Sampler, part, require

LAWS = {*conformance.EVERY, *conformance.BY_CAPABILITY}


@functools.lru_cache(maxsize=1)
def case_of(name):
    gc.collect()  # the programs of the model before go with it
    return CASES[name]()


def test_no_model_escapes():
    assert CASES.keys() == models.MODELS.keys()


PAIRS = [(law, name) for name in CASES for law in conformance.laws(CASES[name]())]


@pytest.mark.parametrize("law, name", PAIRS)
def test_law(law, name):
    case = case_of(name)
    conformance.laws(case)[law](case)


def altered(case, player="vae", **changes):
    """The case with one player's fields changed."""
    return dataclasses.replace(
        case, players={**case.players, player: dataclasses.replace(case.players[player], **changes)}
    )


def with_terms(change):
    """A control: the VAE case with its terms passed through `change`."""

    def control():
        case = CASES["vae"]()
        inner = case.players["vae"].terms
        return altered(case, terms=lambda v, b, k, *, train: change(inner, v, b, k, train))

    return control


def reduced(inner, v, b, k, train):
    terms, v = inner(v, b, k, train=train)
    return {name: jnp.mean(x) for name, x in terms.items()}, v


def infinite(inner, v, b, k, train):
    terms, v = inner(v, b, k, train=train)
    return {**terms, "rate": terms["rate"] / 0.0}, v


def compared(inner, v, b, k, train):
    """Relative to the other examples of the device, as a minibatch statistic that was not gathered."""
    terms, v = inner(v, b, k, train=train)
    return {**terms, "rate": terms["rate"] - jnp.mean(terms["rate"])}, v


CALLS = itertools.count()


def impure(inner, v, b, k, train):
    terms, v = inner(v, b, jax.random.fold_in(k, next(CALLS)), train=train)
    return terms, v


def ascending(inner, v, b, k, train):
    terms, v = inner(v, b, k, train=train)
    return {name: x - 2 * (x - jax.lax.stop_gradient(x)) for name, x in terms.items()}, v


def widening():
    """The optimizer's state leaves a step as another type than it came in."""
    grow = optax.GradientTransformation(
        lambda params: jnp.zeros((), jnp.int16), lambda updates, state, params=None: (updates, state + jnp.int32(1))
    )
    return altered(CASES["vae"](), tx=optax.chain(ADAM, grow))


def detached():
    """A network that its player's losses never reach."""

    def change(inner, v, b, k, train):
        constant = jax.tree.map(jax.lax.stop_gradient, v["params"]["encoder"])
        return inner({**v, "params": {**v["params"], "encoder": constant}}, b, k, train=train)

    return with_terms(change)()


def drawing_twice(inner, v, b, k, train):
    """The noise of the latent once more, as noise of the image."""
    terms, v = inner(v, b, k, train=train)
    return {**terms, "rate": terms["rate"] + jax.random.normal(k, terms["rate"].shape)}, v


def rough(inner, v, b, k, train):
    """A product outside of the networks, in the precision that comes by itself."""
    terms, v = inner(v, b, k, train=train)
    x = b["x"].reshape(16, -1)
    return {**terms, "rate": terms["rate"] + (x @ x.T)[0]}, v


def drawing(draw):
    """The VAE with a sampler of its own, by (key, n)."""

    def control():
        case = CASES["vae"]()
        sampler = Sampler(draw=lambda v, key, n, cond, *, train=False: (draw(key, n), v))
        return dataclasses.replace(case, model=dataclasses.replace(case.model, sampler=sampler))

    return control


def sampling_twice(key, n):
    return jax.random.normal(key, (n, 8, 8, 1)) + jax.random.bernoulli(key, shape=(n, 8, 8, 1))


def always_training():
    """Statistics that move in evaluation."""
    case = CASES["dcgan"]()
    inner = case.players["generator"].terms
    return altered(case, "generator", terms=lambda v, b, k, *, train: inner(v, b, k, train=True))


def decoding(decode):
    """The VAE with a decoder of its own, by (z)."""

    def control():
        case = CASES["vae"]()
        latent = require(case.model, Latent)
        latent = dataclasses.replace(latent, decode=lambda v, z, cond, *, train=False: (decode(z), v))
        return dataclasses.replace(case, model=dataclasses.replace(case.model, latent=latent))

    return control


def with_density(name, **changes):
    """A case with functions of its density changed: name -> (density) -> function."""

    def control():
        case = CASES[name]()
        density = require(case.model, Density)
        changed = {field: change(density) for field, change in changes.items()}
        model = dataclasses.replace(case.model, density=dataclasses.replace(density, **changed))
        return dataclasses.replace(case, model=model)

    return control


def off_by_a_factor(density):
    """Weights that are off by a factor."""

    def weigh(*args, **how):
        log_w, v = density.weigh(*args, **how)
        return 1.2 * log_w, v

    return weigh


def halved(term):
    """A density that lost half of a term: of a KL divergence, of a log-determinant."""

    def change(density):
        def terms(v, batch, key, *, train=False):
            named, v = density.terms(v, batch, key, train=train)
            return {**named, term: 0.5 * named[term]}, v

        return dataclasses.replace(density.terms, terms=terms)

    return change


def misjudged():
    """A sampler that forgets the log-determinant in what it says of its draws."""
    case = CASES["real_nvp"]()
    sampler, own = require(case.model, Sampler), part(case.model, Sampler, "scored")

    def scored(v, key, n, cond, *, train=False):
        (x, nats), v = own(v, key, n, cond, train=train)
        return (x, nats + case.model.nll(v, {**cond, "x": x}, key)[0]["log_det"]), v

    model = dataclasses.replace(case.model, sampler=dataclasses.replace(sampler, scored=scored))
    return dataclasses.replace(case, model=model)


def of_other_draws():
    """A sampler whose scored draws are others than its draws."""
    case = CASES["real_nvp"]()
    sampler, own = require(case.model, Sampler), part(case.model, Sampler, "scored")

    def scored(v, key, n, cond, *, train=False):
        return own(v, jax.random.fold_in(key, 1), n, cond, train=train)

    model = dataclasses.replace(case.model, sampler=dataclasses.replace(sampler, scored=scored))
    return dataclasses.replace(case, model=model)


def with_views(**changes):
    """The gated PixelCNN with one of its views changed: name -> (views) -> function."""

    def control():
        case = CASES["gated_pixel_cnn"]()
        views = require(case.model, Conditionals)
        changed = {name: change(views) for name, change in changes.items()}
        return dataclasses.replace(
            case, model=dataclasses.replace(case.model, conditionals=dataclasses.replace(views, **changed))
        )

    return control


def leaking(views):
    """Logits that see their own number."""

    def logits(v, batch):
        out, v = views.logits(v, batch)
        return out + batch["x"].reshape(-1, *views.grid)[..., None], v

    return logits


def blind(views):
    """Logits that never see the last row but one."""
    return lambda v, batch: views.logits(v, {**batch, "x": batch["x"].at[:, -2].set(0)})


def one_late(views):
    """The cached view with the pixel before taken a pixel too early."""
    return lambda v, cache, previous, row, column: views.step(v, cache, 0 * previous, row, column)


def without_a_bias(views):
    """The cached view without a gate's bias, which starts at zero."""

    def step(v, *rest):
        layer = v["params"]["network"]["stack_1"]
        lost = {**layer, "horizontal": {**layer["horizontal"], "bias": 0 * layer["horizontal"]["bias"]}}
        return views.step({**v, "params": {"network": {**v["params"]["network"], "stack_1": lost}}}, *rest)

    return step


CONTROLS = [
    ("terms_are_finite_per_example", with_terms(reduced), r"term 'distortion' of player 'vae' has the shape \(\)"),
    ("terms_are_finite_per_example", with_terms(infinite), "term 'rate' of 'vae' is not finite"),
    (
        "same_key_same_terms",
        with_terms(impure),
        "the terms of 'vae' in training changes under jit, or when traced again",
    ),
    ("no_key_is_used_twice", with_terms(drawing_twice), "'vae' in training draws twice with one key"),
    ("no_key_is_used_twice", drawing(sampling_twice), "sample draws twice with one key"),
    ("evaluation_leaves_state_alone", always_training, r"evaluating 'generator' changes \['batch_stats'\]"),
    (
        "terms_are_of_the_whole_batch",
        with_terms(compared),
        "'rate' of 'vae' compares an example with those of its own device alone; take the others from losses.gathered",
    ),
    ("second_step_does_not_recompile", widening, "the second step compiles again: .* changes its type"),
    ("every_owned_leaf_gets_a_gradient", detached, r"\['encoder'\].* gets no gradient from its player 'vae'"),
    ("thirty_turns_lower_the_loss", with_terms(ascending), "30 turns of 'vae' do not lower its loss"),
    (
        "samples_look_like_the_data",
        drawing(lambda key, n: jnp.zeros((n, 8, 8, 1))),
        "another key gives the same samples",
    ),
    (
        "samples_look_like_the_data",
        drawing(lambda key, n: jax.random.normal(key, (n, 64))),
        r"samples have shape \(16, 64\), not \(16, 8, 8, 1\)",
    ),
    ("encoding_and_decoding_fit", decoding(lambda z: z), r"gives \(16, 3\), not \(16, 8, 8, 1\)"),
    (
        "decoded_prior_is_the_samples",
        decoding(lambda z: jnp.zeros((len(z), 8, 8, 1))),
        "the mean of decoded draws from the prior is up to .* from that of samples",
    ),
    (
        "exact_products_ask_for_full_precision",
        with_terms(rough),
        "the terms of 'vae' has a product outside of the networks in the default precision",
    ),
    ("weights_agree_with_the_bound", with_density("vae", weigh=off_by_a_factor), "log weight.* from the bound"),
    ("weights_agree_with_the_bound", with_density("iwae", terms=halved("rate_2")), "log weight.* from the bound"),
    (
        "likelihood_is_a_change_of_variables",
        with_density("real_nvp", terms=halved("log_det")),
        "log-determinant is .* from that of the Jacobian",
    ),
    ("scored_samples_have_their_density", misjudged, "scored draws are .* nats from their density"),
    ("scored_samples_have_their_density", of_other_draws, "of the same key, scored draws are not those of the sampler"),
    ("conditionals_see_what_came_before", with_views(logits=leaking), "the logits of number 0 see number 0"),
    ("conditionals_see_what_came_before", with_views(logits=blind), "the logits of number .* do not see number"),
    ("cached_view_is_the_network", with_views(step=one_late), "cached samples are not those of the naive sampler"),
    ("cached_view_is_the_network", with_views(step=without_a_bias), "cached samples are not those of the naive"),
]


@pytest.mark.parametrize("law, control, sentence", CONTROLS)
def test_control(law, control, sentence):
    case = control()
    with pytest.raises((AssertionError, ValueError), match=sentence):
        getattr(conformance, law)(case)


def test_control_trespass(monkeypatch):
    """A step that commits more than it owns is noticed."""
    case = CASES["dcgan"]()
    honest = cases_.make_step

    def greedy(players):
        step = honest(players)

        def run(state, batch):
            after, metrics = step(state, batch)
            bump = jax.tree.map(lambda x: x + 1e-6, after.variables["batch_stats"])
            return after._replace(variables={**after.variables, "batch_stats": bump}), metrics

        return run

    monkeypatch.setattr(cases_, "make_step", greedy)
    with pytest.raises(AssertionError, match="does not own"):
        conformance.a_turn_changes_only_what_it_owns(case)


def test_every_law_has_a_control():
    assert {law.__name__ for law in LAWS} == {law for law, *_ in CONTROLS} | {"a_turn_changes_only_what_it_owns"}
