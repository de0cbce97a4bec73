"""Adversaries at their closed forms; merging keeps terms, keys and state apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES

from genjax_zoo import losses

GAMES = {name: getattr(losses, name) for name in ("minimax", "non_saturating", "least_squares", "hinge")}
REAL, FAKE = jnp.array([2.0, -1.0, 0.3]), jnp.array([-0.5, 1.5, 0.0])


@pytest.mark.parametrize("name", GAMES)
def test_critic_pulls_real_up_and_fake_down_and_generator_pulls_back(name):
    game = GAMES[name]
    real, fake = jnp.array([0.2]), jnp.array([0.3])  # inside every margin
    up, down = jax.grad(lambda r, f: game.critic(r, f)[0], (0, 1))(real, fake)
    assert up < 0 < down
    assert jax.grad(lambda f: game.generator(real, f)[0])(fake) < 0
    assert game.critic(REAL, FAKE).shape == game.generator(REAL, FAKE).shape == (3,)


def test_closed_forms():
    d_real, d_fake = jax.nn.sigmoid(REAL), jax.nn.sigmoid(FAKE)
    cross_entropy = -jnp.log(d_real) - jnp.log(1 - d_fake)
    np.testing.assert_allclose(losses.minimax.critic(REAL, FAKE), cross_entropy, rtol=1e-5)
    np.testing.assert_allclose(losses.minimax.generator(REAL, FAKE), jnp.log(1 - d_fake), rtol=1e-5)
    np.testing.assert_allclose(losses.non_saturating.generator(REAL, FAKE), -jnp.log(d_fake), rtol=1e-5)
    np.testing.assert_allclose(losses.hinge.critic(REAL, FAKE), [0.5, 4.5, 1.7], rtol=1e-5)
    np.testing.assert_allclose(losses.least_squares.critic(REAL, FAKE), [0.625, 3.125, 0.245], rtol=1e-5)


def test_minimax_is_zero_sum_in_the_fake_score():
    critic, generator = (
        jax.grad(lambda f, s=s: jnp.sum(s(REAL, f)))(FAKE) for s in (losses.minimax.critic, losses.minimax.generator)
    )
    np.testing.assert_allclose(critic, -generator)
    with pytest.raises(AssertionError):  # control: the non-saturating generator plays another game
        other = jax.grad(lambda f: jnp.sum(losses.non_saturating.generator(REAL, f)))(FAKE)
        np.testing.assert_allclose(critic, -other)


@pytest.mark.parametrize("name", GAMES)
def test_every_adversary_runs_on_a_model(name):
    case = CASES["dcgan"]()
    for side in losses.adversarial(case.model, GAMES[name]):
        terms, variables = jax.jit(side, static_argnums=3)(case.state.variables, case.batch, jax.random.key(0), True)
        assert all(jnp.isfinite(term).all() for term in terms.values())
        assert jax.tree.structure(dict(variables)) == jax.tree.structure(dict(case.state.variables))


def test_merge():
    def named(name):
        def run(variables, batch, key, train):
            noise = jax.random.normal(key, (len(batch["x"]),))
            return {name: noise}, {**variables, "count": variables["count"] + 1}

        return run

    batch = {"x": jnp.zeros((4, 2))}
    terms, variables = losses.merge(named("a"), named("b"))({"count": 0}, batch, jax.random.key(0), True)
    assert set(terms) == {"a", "b"} and variables["count"] == 2
    assert not np.array_equal(terms["a"], terms["b"])
    with pytest.raises(ValueError, match="have a term 'a'"):
        losses.merge(named("a"), named("a"))({"count": 0}, batch, jax.random.key(0), True)


def test_free_bits():
    """Below the floor a rate costs the floor and has no gradient; other terms are left alone."""

    def terms(variables, batch, key, train):
        return {"distortion": variables["w"] * 0.1, "rate_1": variables["w"], "rate_2": 3 * variables["w"]}, variables

    w = jnp.array([0.1, 0.2, 2.0])
    found, _ = losses.free_bits(terms, 0.5)({"w": w}, {}, jax.random.key(0), True)
    np.testing.assert_allclose(found["distortion"], 0.1 * w)
    np.testing.assert_allclose(found["rate_1"], [0.5, 0.5, 2.0])
    np.testing.assert_allclose(found["rate_2"], [0.5, 0.6, 6.0], rtol=1e-6)
    slope = jax.grad(lambda w: losses.free_bits(terms, 0.5)({"w": w}, {}, jax.random.key(0), True)[0]["rate_1"].sum())
    np.testing.assert_array_equal(slope(w), [0.0, 0.0, 1.0])
