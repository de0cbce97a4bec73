"""Every model in the table keeps every law, and every law has a control that breaks it."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import optax
import pytest
from cases import ADAM, CASES

from genjax_zoo import conformance, models
from genjax_zoo.conformance import training

pytestmark = pytest.mark.usefixtures("quick_compilation")

LAWS = [*conformance.EVERY, *conformance.BY_CAPABILITY.values()]


@functools.lru_cache(maxsize=1)
def case_of(name):
    jax.clear_caches()  # the programs of the model before hold memory maps, of which a process has 65,530
    return CASES[name]()


def test_no_model_escapes():
    assert CASES.keys() == models.MODELS.keys()


@pytest.mark.parametrize("law, name", [(law.__name__, name) for name, law in itertools.product(CASES, LAWS)])
def test_law(law, name):
    case = case_of(name)
    if law not in conformance.laws(case):
        pytest.skip(f"{name} has not the capability")
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
        return altered(case, terms=lambda v, b, k, train: change(inner, v, b, k, train))

    return control


def reduced(inner, v, b, k, train):
    terms, v = inner(v, b, k, train)
    return {name: jnp.mean(x) for name, x in terms.items()}, v


def infinite(inner, v, b, k, train):
    terms, v = inner(v, b, k, train)
    return {**terms, "rate": terms["rate"] / 0.0}, v


CALLS = itertools.count()


def impure(inner, v, b, k, train):
    terms, v = inner(v, b, jax.random.fold_in(k, next(CALLS)), train)
    return terms, v


def ascending(inner, v, b, k, train):
    terms, v = inner(v, b, k, train)
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
        frozen = jax.tree.map(jax.lax.stop_gradient, v["params"]["encoder"])
        return inner({**v, "params": {**v["params"], "encoder": frozen}}, b, k, train)

    return with_terms(change)()


def with_model(**functions):
    def control():
        case = CASES["vae"]()
        return dataclasses.replace(case, model=dataclasses.replace(case.model, **functions))

    return control


def tempered():
    """Weights that are off by a factor."""
    case = CASES["vae"]()
    weigh = case.model.log_weights
    model = dataclasses.replace(case.model, log_weights=lambda *args: 1.2 * weigh(*args))
    return dataclasses.replace(case, model=model)


def with_rate_halved():
    """A bound that lost a factor in its KL divergence."""
    case = CASES["iwae"]()
    nelbo = case.model.nelbo

    def halved(v, batch, key, train):
        terms, v = nelbo(v, batch, key, train)
        return {**terms, "rate_2": 0.5 * terms["rate_2"]}, v

    return dataclasses.replace(case, model=dataclasses.replace(case.model, nelbo=halved))


def with_log_det_halved():
    """A density that lost half of a log-determinant."""
    case = CASES["real_nvp"]()
    nll = case.model.nll

    def halved(v, batch, key, train):
        terms, v = nll(v, batch, key, train)
        return {**terms, "log_det": 0.5 * terms["log_det"]}, v

    return dataclasses.replace(case, model=dataclasses.replace(case.model, nll=halved))


def with_views(**changes):
    """The gated PixelCNN with one of its views changed: name -> (views) -> function."""

    def control():
        case = CASES["gated_pixel_cnn"]()
        views = case.model.conditionals
        changed = {name: change(views) for name, change in changes.items()}
        return dataclasses.replace(
            case, model=dataclasses.replace(case.model, conditionals=dataclasses.replace(views, **changed))
        )

    return control


def leaking(views):
    """Logits that see their own number."""
    return lambda v, batch: views.logits(v, batch) + batch["x"].reshape(-1, *views.grid)[..., None]


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
    ("terms_are_finite_per_example", with_terms(reduced)),
    ("terms_are_finite_per_example", with_terms(infinite)),
    ("same_key_same_terms", with_terms(impure)),
    ("second_step_does_not_recompile", widening),
    ("every_owned_leaf_gets_a_gradient", detached),
    ("thirty_turns_lower_the_loss", with_terms(ascending)),
    ("samples_look_like_the_data", with_model(sample=lambda v, key, n, cond: jnp.zeros((n, 8, 8, 1)))),
    ("samples_look_like_the_data", with_model(sample=lambda v, key, n, cond: jax.random.normal(key, (n, 64)))),
    ("encoding_and_decoding_fit", with_model(decode=lambda v, z, cond: z)),
    ("decoded_prior_is_the_samples", with_model(decode=lambda v, z, cond: jnp.zeros((len(z), 8, 8, 1)))),
    ("weights_agree_with_the_bound", tempered),
    ("weights_agree_with_the_bound", with_rate_halved),
    ("likelihood_is_a_change_of_variables", with_log_det_halved),
    ("conditionals_see_what_came_before", with_views(logits=leaking)),
    ("conditionals_see_what_came_before", with_views(logits=blind)),
    ("cached_view_is_the_network", with_views(step=one_late)),
    ("cached_view_is_the_network", with_views(step=without_a_bias)),
]


@pytest.mark.parametrize("law, control", CONTROLS)
def test_control(law, control):
    case = control()
    with pytest.raises(AssertionError):
        getattr(conformance, law)(case)


def test_control_trespass(monkeypatch):
    """A step that commits more than it owns is noticed."""
    case = CASES["dcgan"]()
    honest = training.make_step

    def greedy(players):
        step = honest(players)

        def run(state, batch):
            after, metrics = step(state, batch)
            bump = jax.tree.map(lambda x: x + 1e-6, after.variables["batch_stats"])
            return after._replace(variables={**after.variables, "batch_stats": bump}), metrics

        return run

    monkeypatch.setattr(training, "make_step", greedy)
    training._step.cache_clear()
    with pytest.raises(AssertionError, match="does not own"):
        conformance.a_turn_changes_only_what_it_owns(case)
    training._step.cache_clear()


def test_every_law_has_a_control():
    assert {law.__name__ for law in LAWS} == {law for law, _ in CONTROLS} | {"a_turn_changes_only_what_it_owns"}
