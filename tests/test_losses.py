"""Adversaries at their closed forms, and at what their formulas say; merging keeps terms, keys and state apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax_zoo import losses
from genjax_zoo.core import Critic, Density, Explained, Latent, Model, Sampler, unit_of
from genjax_zoo.models.vae.vae_gan import vae_gan_terms

GAMES = losses.ADVERSARIES
REAL, FAKE = jnp.array([2.0, -1.0, 0.3]), jnp.array([-0.5, 1.5, 0.0])


@pytest.mark.parametrize("name", GAMES)
def test_critic_pulls_real_up_and_fake_down_and_generator_pulls_back(name):
    game = GAMES[name]
    real, fake = jnp.array([0.2]), jnp.array([0.3])  # inside every margin
    up, down = jax.grad(lambda r, f: game.critic(r, f)[0], (0, 1))(real, fake)
    assert up < 0 < down
    assert jax.grad(lambda f: game.generator(real, f)[0])(fake) < 0
    assert game.critic(REAL, FAKE).shape == game.generator(REAL, FAKE).shape == (3,)


@pytest.mark.parametrize("name", GAMES)
def test_a_game_is_what_its_formulas_say(name):
    game = GAMES[name]
    names = {"softplus": jax.nn.softplus, "relu": jax.nn.relu}
    for formula, side in zip(game.formulas, (game.critic, game.generator)):
        said = eval(formula.replace("D(G(z))", "fake").replace("D(x)", "real"), {**names, "real": REAL, "fake": FAKE})
        np.testing.assert_allclose(side(REAL, FAKE), said, rtol=1e-6)


def test_closed_forms():
    d_real, d_fake = jax.nn.sigmoid(REAL), jax.nn.sigmoid(FAKE)
    cross_entropy = -jnp.log(d_real) - jnp.log(1 - d_fake)
    np.testing.assert_allclose(losses.minimax.critic(REAL, FAKE), cross_entropy, rtol=1e-5)
    np.testing.assert_allclose(losses.minimax.generator(REAL, FAKE), jnp.log(1 - d_fake), rtol=1e-5)
    np.testing.assert_allclose(losses.non_saturating.generator(REAL, FAKE), -jnp.log(d_fake), rtol=1e-5)
    np.testing.assert_allclose(losses.hinge.critic(REAL, FAKE), [0.5, 4.5, 1.7], rtol=1e-5)
    np.testing.assert_allclose(losses.least_squares.critic(REAL, FAKE), [0.625, 3.125, 0.245], rtol=1e-5)
    np.testing.assert_allclose(losses.least_squares.generator(REAL, FAKE), [1.125, 0.125, 0.5], rtol=1e-5)
    np.testing.assert_allclose(losses.wasserstein.critic(REAL, FAKE), [-2.5, 2.5, -0.3], rtol=1e-5)
    for game in (losses.hinge, losses.wasserstein):
        np.testing.assert_allclose(game.generator(REAL, FAKE), [0.5, -1.5, 0.0], rtol=1e-5)
    paired = losses.relativistic(losses.non_saturating)
    np.testing.assert_allclose(paired.critic(REAL, FAKE), jax.nn.softplus(FAKE - REAL), rtol=1e-5)
    np.testing.assert_allclose(paired.generator(REAL, FAKE), jax.nn.softplus(REAL - FAKE), rtol=1e-5)
    squared = losses.relativistic(losses.least_squares)  # RpLSGAN; 0.25 * ((d - 1)**2 + d**2) has its minimum at 0.5
    np.testing.assert_allclose(squared.critic(REAL, FAKE), (REAL - FAKE - 1) ** 2, rtol=1e-5)
    np.testing.assert_allclose(squared.generator(REAL, FAKE), (FAKE - REAL - 1) ** 2, rtol=1e-5)
    hinged = losses.relativistic(losses.hinge)
    np.testing.assert_allclose(hinged.critic(REAL, FAKE), jax.nn.relu(1 - REAL + FAKE), rtol=1e-5)


X = np.linspace(-3, 3, 13)
LOG_RATIO = X - 0.5  # log p(x) - log q(x) of p = N(1, 1) and q = N(0, 1)
BEST = {  # D*(x): Goodfellow et al. 2014, prop. 1; Mao et al. 2016, eq. 5; Miyato et al. 2018, eq. 16
    "minimax": LOG_RATIO,
    "non_saturating": LOG_RATIO,
    "least_squares": 1 / (1 + np.exp(-LOG_RATIO)),
}


@pytest.mark.parametrize("name", BEST)
def test_the_best_critic_of_two_gaussians(name):
    """At D* the expected loss does not change with D(x), at any x; at another D it does."""
    p, q = np.exp(-0.5 * (X - 1) ** 2), np.exp(-0.5 * X**2)

    real = jax.vmap(jax.grad(lambda r, f: GAMES[name].critic(r, f)))
    fake = jax.vmap(jax.grad(lambda f, r: GAMES[name].critic(r, f)))

    def pull(d):
        d = jnp.asarray(d, jnp.float32)
        return p * real(d, d) + q * fake(d, d)

    np.testing.assert_allclose(pull(BEST[name]), 0, atol=1e-6)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        np.testing.assert_allclose(pull(BEST[name] + 0.1), 0, atol=1e-6)


def test_there_are_these_adversaries():
    with pytest.raises(ValueError, match="no adversary 'hing'; there are minimax, .*hinge.*relativistic"):
        losses.adversary("hing")


def test_minimax_is_zero_sum_in_the_fake_score():
    critic, generator = (
        jax.grad(lambda f, s=s: jnp.sum(s(REAL, f)))(FAKE) for s in (losses.minimax.critic, losses.minimax.generator)
    )
    np.testing.assert_allclose(critic, -generator)
    with pytest.raises(
        AssertionError, match="Not equal to tolerance"
    ):  # control: the non-saturating generator plays another game
        other = jax.grad(lambda f: jnp.sum(losses.non_saturating.generator(REAL, f)))(FAKE)
        np.testing.assert_allclose(critic, -other)


def test_the_terms_of_a_vae_gan_by_hand():
    """Larsen et al. 2016, eq. 5 to 9, of networks that give these numbers: an encoding and a sample are both fakes."""
    x = jnp.array([[1.0, 2.0], [3.0, 5.0]])
    images = {"real": x, "rebuilt": jnp.array([[1.0, 4.0], [2.0, 5.0]]), "sampled": jnp.array([[0.0, 1.0], [1.0, 1.0]])}
    scores = {"real": [0.5, 2.0], "rebuilt": [0.25, -1.0], "sampled": [-0.5, 1.0]}
    log_std = jnp.full((2, 2), -20.0)  # of draws that are the means

    def passing(run):
        def call(variables, *args, key=None, train=False):
            assert train
            return run(*args), {"passes": variables["passes"] + 1}

        return call

    def features(image, cond):
        (name,) = (name for name, one in images.items() if np.array_equal(image, one))
        return jnp.array(scores[name]), 2 * image[:, None, :]

    def decode(z, cond):
        np.testing.assert_allclose(z, x + 10, atol=1e-6)
        return images["rebuilt"]

    def own(**capabilities):
        return Model(spec={}, init=lambda key, batch: {}, **capabilities)

    moments = passing(lambda batch: (batch["given"] + 10, log_std))
    density = Density(terms=Explained(terms=lambda *a, **k: ({}, {})), exact=True, gaussian=moments)
    model = own(
        sampler=Sampler(draw=passing(lambda key, n, cond: images["sampled"][:n])),
        latent=Latent(posterior=own(density=density), decode=passing(decode)),
        critic=Critic(score=passing(lambda *args: x), features=passing(features)),
    )
    terms = vae_gan_terms(model, losses.least_squares)
    found, after = terms({"passes": 0}, {"x": x}, jax.random.key(0), train=True)
    assert after == {"passes": 6}  # each pass goes on from the state of the one before
    wanted = {
        "distortion": [0.5 * (0 + 4**2), 0.5 * (2**2 + 0)],  # features differ by twice the image
        "rate": [0.5 * (11**2 + 12**2) - 1 + 2 * 20, 0.5 * (13**2 + 15**2) - 1 + 2 * 20],
        "critic": [0.25 * (2 * 0.5**2 + 0.25**2 + 0.5**2), 0.25 * (2 * 1 + 1 + 1)],
        "fool": [0.25 * (0.75**2 + 1.5**2), 0.25 * (2**2 + 0)],
    }
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    "capabilities, sentence",
    [
        ({}, "no 'sampler'"),
        ({"sampler": Sampler(draw=None)}, "no 'latent'"),  # type: ignore[arg-type]
        ({"sampler": Sampler(draw=None), "latent": Latent()}, "no 'latent.decode'"),  # type: ignore[arg-type]
    ],
)
def test_a_vae_gan_says_what_it_lacks(capabilities, sentence):
    with pytest.raises(ValueError, match=sentence):
        vae_gan_terms(Model(spec={}, init=lambda key, batch: {}, **capabilities))


def test_merge():
    def named(name):
        def run(variables, batch, key, train=False):
            noise = jax.random.normal(key, (len(batch["x"]),))
            return {name: noise}, {**variables, "count": variables["count"] + 1}

        return run

    batch = {"x": jnp.zeros((4, 2))}
    terms, variables = losses.merge(named("a"), named("b"))({"count": 0}, batch, jax.random.key(0), train=True)
    assert set(terms) == {"a", "b"} and variables["count"] == 2
    assert not np.array_equal(terms["a"], terms["b"])
    with pytest.raises(ValueError, match="have a term 'a'"):
        losses.merge(named("a"), named("a"))({"count": 0}, batch, jax.random.key(0), train=True)


def test_free_bits():
    """Below the floor a rate costs the floor and has no gradient; other terms are left alone."""

    def terms(variables, batch, key, train):
        return {"distortion": variables["w"] * 0.1, "rate_1": variables["w"], "rate_2": 3 * variables["w"]}, variables

    w = jnp.array([0.1, 0.2, 2.0])
    found, _ = losses.free_bits(terms, 0.5)({"w": w}, {}, jax.random.key(0), train=True)
    np.testing.assert_allclose(found["distortion"], 0.1 * w)
    np.testing.assert_allclose(found["rate_1"], [0.5, 0.5, 2.0])
    np.testing.assert_allclose(found["rate_2"], [0.5, 0.6, 6.0], rtol=1e-6)
    slope = jax.grad(
        lambda w: losses.free_bits(terms, 0.5)({"w": w}, {}, jax.random.key(0), train=True)[0]["rate_1"].sum()
    )
    np.testing.assert_array_equal(slope(w), [0.0, 0.0, 1.0])


def test_units_and_formulas_are_carried_on():
    rates = Explained(terms=lambda *a, **k: ({}, {}), formulas={"rate": "KL"}, units={"rate": "nats"}, rest="nats")
    scores = Explained(terms=lambda *a, **k: ({}, {}), formulas={"far": "|x|"}, units={"far": "loss"})
    floored, both = losses.free_bits(rates, 0.5), losses.merge(rates, scores)
    assert floored.formulas == {"rate": "max(0.5, KL)"} and both.formulas == {"rate": "KL", "far": "|x|"}
    assert [unit_of(floored, name) for name in ("rate", "other")] == ["nats", "nats"]
    assert [unit_of(both, name) for name in ("rate", "far", "other")] == ["nats", "loss", None]
    others = Explained(terms=lambda *a, **k: ({"other": jnp.ones(2)}, {}), rest="nats")
    merged = losses.merge(others, scores)
    merged({}, {}, jax.random.key(0), train=True)
    assert unit_of(merged, "other") == "nats"  # from when it is first computed
