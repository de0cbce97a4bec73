"""Methods composed by a user, experiments/composed: their own lines, and every term against NumPy."""

import by_hand as hand
import composed_by_hand
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from composed import FOLDER, OF_TWO_RUNS, TINY, made, module, variables_of
from scipy.special import log_expit

from genjax_zoo import compose, judges, losses, models, wrap
from genjax_zoo.core import PRIOR, Density, aside, log_prob, part, total
from genjax_zoo.math import gaussian

KEY = jax.random.key(5)
SHIFT, SCALE = 0.25, 3.0


def own_lines(text):
    """How many lines are a method's own, and how many only work round the library, as they are marked."""
    own, inside = 0, False
    for line in map(str.strip, text.splitlines()):
        inside = line == "# own" or (inside and line != "# end")
        own += line.endswith("# own") and line != "# own" or inside and line not in ("", "# own")
    return own, sum("# W" in line for line in text.splitlines())


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_own_lines(path):
    own, round_the_library = own_lines(path.read_text())
    assert own < 30 and round_the_library == 0
    assert path.stem in {**TINY, **OF_TWO_RUNS}
    assert {"own" if own else "none"} == {"none" if path.stem == "distillation_teacher" else "own"}


def test_control_of_the_counter():
    """Blocks, single lines, and what is neither."""
    text = "a\n# own\nb\n\n    c  # W: a reason\n# end\nd\ne()  # own\nf(  # W\n"
    assert own_lines(text) == (3, 2)


def close(found, right, tolerance=1e-5):
    """To a relative 1e-5, and to as much of 1 near zero, where terms cancel."""
    assert sorted(found) == sorted(right)
    for name, value in right.items():
        np.testing.assert_allclose(found[name], value, rtol=tolerance, atol=tolerance, err_msg=name)


def terms_of(terms, variables, batch):
    return jax.jit(lambda v, batch: terms(v, batch, KEY, train=False)[0])(variables, batch)


@pytest.mark.parametrize("name", TINY)
def test_terms_by_hand(name):
    experiment, variables = made(name), variables_of(name)
    batch = experiment.data.at(0)
    right = getattr(composed_by_hand, name)(hand.numbers(variables), hand.numbers(dict(batch)), KEY)
    functions = {player: one.terms for player, one in experiment.players.items()}
    if "density" in right:  # which is not what is trained
        functions["density"] = experiment.model.density.terms
    assert functions.keys() == right.keys()
    for player, terms in functions.items():
        close(terms_of(terms, variables, batch), right[player])


# ---- three values that were silently wrong ----


def test_importance_weights_of_a_scaled_iwae():
    """-log p(x) of x is that of y = (x - shift) * scale, less D log scale."""
    inner = models.iwae(shape=(2, 3, 1), latent=(3, 2), hidden=((5,), (4,)), likelihood=gaussian(0.5))
    model, k = wrap.scaled(inner, shift=SHIFT, scale=SCALE), 4
    batch = {"x": jax.random.uniform(jax.random.key(2), (16, 2, 3, 1))}
    variables = model.init(jax.random.key(1), batch)
    v, y = hand.numbers(variables["params"]), SCALE * (np.asarray(batch["x"], np.float64).reshape(16, 6) - SHIFT)

    def read(network, x):
        return np.split(hand.mlp(v[network], x, np.tanh), 2, axis=1)

    tall = np.tile(y, (k, 1))
    q1 = read("encoders_0", tall)
    z1 = q1[0] + np.exp(q1[1]) * composed_by_hand.noise(KEY, k * 16, 3)
    q2 = read("encoders_1", z1)
    z2 = q2[0] + np.exp(q2[1]) * composed_by_hand.noise(aside(KEY, PRIOR), k * 16, 2)
    costs = hand.gaussian_nats(tall, hand.mlp(v["decoders_0"], z1, np.tanh), np.log(0.5))
    costs = costs + hand.gaussian_nats(z1, *read("decoders_1", z2)) + hand.gaussian_nats(z2)
    log_w = hand.gaussian_nats(z1, *q1) + hand.gaussian_nats(z2, *q2) - costs
    right = hand.mean_of_weights(log_w.reshape(k, 16)) - 6 * np.log(SCALE)
    close(terms_of(losses.importance_weighted(model, k=k), variables, batch), {"iw_nelbo": right})


def test_a_scaled_flow_gan():
    """Its critic sees fakes on the scale of the real examples; and so do the likelihood and R1."""
    experiment = made("flow_gan_points")
    model = wrap.scaled(experiment.model, shift=SHIFT, scale=SCALE)
    critic, generator = losses.adversarial(model, r1=losses.r1)
    variables, batch = variables_of("flow_gan_points"), experiment.data.at(0)
    right = composed_by_hand.flow_gan_points(
        hand.numbers(variables), hand.numbers(dict(batch)), KEY, shift=SHIFT, scale=SCALE
    )
    close(terms_of(critic, variables, batch), right["critic"])
    scale = {"scale": np.full(16, -2 * np.log(SCALE))}
    close(terms_of(losses.merge(model.nll, generator), variables, batch), {**right["flow"], **scale})


@pytest.mark.parametrize("k", (1, 4))
def test_importance_weights_of_a_flow_prior(k):
    """They are of its own prior; one weight is the bound."""
    experiment, variables = made("flow_prior_digits"), variables_of("flow_prior_digits")
    model, batch = experiment.model, experiment.data.at(0)
    weigh = jax.jit(lambda v, batch: part(model, Density, "weigh")(v, batch, KEY, k)[0])
    found = weigh(variables, batch)
    right, _ = composed_by_hand.flow_prior_log_weights(hand.numbers(variables), hand.numbers(dict(batch)), KEY, k)
    np.testing.assert_allclose(found, right, rtol=1e-5)
    iw = terms_of(losses.importance_weighted(model, k=k), variables, batch)
    close(iw, {"iw_nelbo": hand.mean_of_weights(right)})
    if k == 1:
        np.testing.assert_allclose(-found[0], total(terms_of(model.nelbo, variables, batch)), rtol=1e-5)


def test_samples_of_a_flow_prior_are_of_its_own():
    """Relatives agree: prior, sampler and density of one model."""
    model, variables = made("flow_prior_digits").model, variables_of("flow_prior_digits")
    prior, _, _ = compose.parts_of(model)
    z = np.asarray(model.sample_prior(variables, KEY, 16))
    v = hand.numbers(variables)
    np.testing.assert_allclose(z, hand.real_nvp_back(v, composed_by_hand.noise(KEY, 16, 3)), rtol=1e-4, atol=1e-5)
    nats = sum(hand.real_nvp_nats(v, np.asarray(z, np.float64)))
    np.testing.assert_allclose(-jax.vmap(lambda z: log_prob(prior)(variables, z))(jnp.asarray(z)), nats, rtol=1e-4)


# ---- what else a method brings ----


def test_flow_matching_draws_by_euler():
    model, variables = made("flow_matching_points").model, variables_of("flow_matching_points")
    x = composed_by_hand.noise(KEY, 16, 2)
    for step in range(3):
        x = x + composed_by_hand.velocity(hand.numbers(variables), x, np.full(16, step / 3)) / 3
    np.testing.assert_allclose(model.sample(variables, KEY, 16), x, rtol=1e-5, atol=1e-5)


def test_a_conditional_flow_integrates_to_one_for_each_context():
    model, variables = made("conditional_flow_points").model, variables_of("conditional_flow_points")
    x, step = np.linspace(-12, 12, 241), 0.1
    grid = jnp.asarray(np.stack(np.meshgrid(x, x), -1).reshape(-1, 2), jnp.float32)
    for context in np.random.default_rng(0).normal(size=(2, 3)):
        told = jnp.tile(jnp.asarray(context, jnp.float32), (len(grid), 1))
        nats = total(terms_of(model.nll, variables, {"x": grid, "context": told}))
        assert float(jnp.sum(jnp.exp(-nats))) * step**2 == pytest.approx(1, abs=2e-3)


def test_a_chain_follows_its_density():
    """Hamiltonian Monte Carlo of a Gaussian has its covariance; and a flow's log_prob has the slope of its formula."""
    precision = jnp.array([[2.0, 0.6], [0.6, 1.0]])
    hamiltonian = module("notebook").hamiltonian
    chain = jax.jit(lambda key: hamiltonian(lambda x: -0.5 * x @ precision @ x, jnp.zeros(2), key, 4_000))(KEY)
    np.testing.assert_allclose(np.cov(np.asarray(chain).T), np.linalg.inv(precision), atol=0.1)
    density, variables = log_prob(made("notebook").model), variables_of("notebook")
    v, x, step = hand.numbers(variables), np.array([0.5, 0.3]), 1e-6
    moved = [np.sum(hand.real_nvp_nats(v, (x + e)[None])) for e in (*step * np.eye(2), *-step * np.eye(2))]
    right = [(moved[2 + index] - moved[index]) / (2 * step) for index in range(2)]
    np.testing.assert_allclose(jax.grad(lambda x: density(variables, x))(jnp.asarray(x, jnp.float32)), right, rtol=1e-4)


def test_a_critic_of_a_network_scores_like_it():
    """By `compose.critic_of`, whatever the game: hinge's terms of the same scores."""
    experiment, variables = made("aae_digits"), variables_of("aae_digits")
    hinge = module("aae_digits").experiment(**TINY["aae_digits"], batch_size=16, adversary="hinge")
    batch, v = experiment.data.at(0), hand.numbers(variables)
    seen = terms_of(hinge.players["critic"].terms, variables, batch)
    right = composed_by_hand.aae_digits(v, hand.numbers(dict(batch)), KEY)["critic"]
    wide = np.maximum(1 - right["real_score"], 0) + np.maximum(1 + right["fake_score"], 0)
    close(seen, {**right, "adversarial": wide})
    np.testing.assert_allclose(right["adversarial"], -log_expit(right["real_score"]) - log_expit(-right["fake_score"]))


def test_only_a_latent_variable_model_comes_apart():
    with pytest.raises(ValueError, match=r"has no 'latent\.posterior'; it has sampler, latent, critic\."):
        compose.parts_of(models.gan(shape=(2,)))
    with pytest.raises(ValueError, match="has no 'latent'; it has judge"):
        compose.parts_of(judges.image_classifier(shape=(8, 8, 1), widths=(2,), strides=(1,)))
