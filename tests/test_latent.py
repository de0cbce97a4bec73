"""Ways through a latent space: closed forms on linear decoders, and what bad input gets."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genjax_zoo import math, models
from genjax_zoo.conformance import randomise
from genjax_zoo.inference import latent

KEY = jax.random.key(0)
TIMES = jnp.linspace(0, 1, 5)


@functools.cache
def linear():
    """A VAE whose decoder is x = z W + b."""
    model = models.vae(shape=(2, 3, 1), latent=4, hidden=(), likelihood=math.gaussian(1.0))
    variables = randomise(model.init(KEY, {"x": jnp.zeros((2, 2, 3, 1))}), scale=1.0)
    out = variables["params"]["decoder"]["out"]
    return model, variables, np.asarray(out["kernel"]), np.asarray(out["bias"])


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), kind=st.sampled_from(("any", "parallel", "opposite", "same", "zero")))
def test_slerp(seed, kind):
    """Ends at its ends, changes its norm evenly, turns evenly; and is finite where there is no one great circle."""
    a, other = jax.random.normal(jax.random.key(seed), (2, 3, 2))
    b = {"any": other, "parallel": 2 * a, "opposite": -a, "same": a, "zero": 0 * a}[kind]
    way = latent.slerp(a, b, TIMES)
    np.testing.assert_allclose(way[0], a, atol=1e-5)
    np.testing.assert_allclose(way[-1], b, atol=1e-5)
    assert np.isfinite(way).all()
    if kind == "any":
        norms = np.linalg.norm(np.asarray(way).reshape(5, -1), axis=1)
        np.testing.assert_allclose(norms, np.linspace(norms[0], norms[-1], 5), rtol=1e-4)
        units = np.asarray(way).reshape(5, -1) / norms[:, None]
        turns = np.sum(units[1:] * units[:-1], axis=1)
        np.testing.assert_allclose(turns, turns[0], atol=1e-4)
        straight = np.linalg.norm(np.asarray(latent.lerp(a, b, TIMES)).reshape(5, -1), axis=1)
        assert straight[2] < norms[2]  # control: a straight line cuts through


def exact_slerp(a, b, t):
    """White 2016, in float64, by the angle's half tangent; the straight line where an end is zero."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    norms = [np.linalg.norm(end) for end in (a, b)]
    if not all(norms):
        return (1 - t)[:, None] * a + t[:, None] * b
    u, v = a / norms[0], b / norms[1]
    angle = 2 * np.arctan2(np.linalg.norm(u - v), np.linalg.norm(u + v))
    circle = (np.sin((1 - t) * angle)[:, None] * u + np.sin(t * angle)[:, None] * v) / np.sin(angle)
    return ((1 - t) * norms[0] + t * norms[1])[:, None] * circle


@pytest.mark.parametrize("scale", (1e-25, 1e-7, 1.0, 1e20))
@pytest.mark.parametrize("angle", (1e-4, 1e-3, 1.0, 3.0, np.pi - 1e-2, np.pi - 1e-3, np.pi - 3e-4))
def test_a_great_circle_is_that_of_float64(angle, scale):
    """Of ends near each other or opposite, of any size; its norm changes evenly, by an arc cosine it was 7 % off."""
    a, other = np.random.default_rng(0).normal(size=(2, 16))
    other -= other @ a / (a @ a) * a
    b = 2 * (np.cos(angle) * a + np.sin(angle) * np.linalg.norm(a) * other / np.linalg.norm(other))
    a, b = (scale * a).astype(np.float32), (scale * b).astype(np.float32)
    way = np.asarray(latent.slerp(jnp.asarray(a), jnp.asarray(b), TIMES), np.float64)
    wanted = exact_slerp(a, b, np.linspace(0, 1, 5))
    norms = np.linalg.norm(wanted, axis=1)
    np.testing.assert_allclose(np.linalg.norm(way, axis=1), norms, rtol=1e-5)
    rounding = 1e-6 + 1e-7 / np.sin(angle)  # of the ends' own float32
    assert np.all(np.abs(way - wanted).max(axis=1) < 2 * rounding * norms)


def test_the_way_from_zero_keeps_an_even_norm():
    a = np.random.default_rng(0).normal(size=16).astype(np.float32)
    way = latent.slerp(jnp.zeros(16), jnp.asarray(a), TIMES)
    np.testing.assert_allclose(way, exact_slerp(0 * a, a, np.linspace(0, 1, 5)), rtol=1e-6)


@pytest.mark.parametrize("path", (latent.lerp, latent.slerp))
def test_interpolation_ends_at_its_ends(path):
    model, variables, kernel, bias = linear()
    a, b = jax.random.normal(KEY, (2, 3, 4))
    x = latent.interpolate(model, variables, a, b, steps=5, path=path)
    assert x.shape == (3, 5, 2, 3, 1)
    for end, z in ((0, a), (-1, b)):
        np.testing.assert_allclose(x[:, end].reshape(3, -1), z @ kernel + bias, rtol=1e-4, atol=1e-4)
    middle = x[:, 2].reshape(3, -1) - bias
    assert np.allclose(middle, (a + b) / 2 @ kernel, atol=1e-4) == (path is latent.lerp)


def test_traversals_move_one_dimension():
    model, variables, kernel, bias = linear()
    z = jax.random.normal(KEY, (4,))
    x = np.asarray(latent.traverse(model, variables, z, dimensions=(3, 1), span=2.0, steps=5)).reshape(2, 5, -1)
    for row, index in enumerate((3, 1)):
        for column, value in enumerate(np.linspace(-2, 2, 5)):
            expected = np.asarray(z.at[index].set(value)) @ kernel + bias
            np.testing.assert_allclose(x[row, column], expected, rtol=1e-4, atol=1e-4)
    assert latent.traverse(model, variables, z).shape == (4, 7, 2, 3, 1)


def test_attributes():
    """The direction takes the mean of those without to the mean of those with."""
    z = jax.random.normal(KEY, (100, 3, 2))
    present = jnp.arange(100) % 3 == 0
    direction = latent.attribute(z, present)
    moved = np.asarray(z)[~np.asarray(present)] + direction
    np.testing.assert_allclose(moved.mean(0), np.asarray(z)[np.asarray(present)].mean(0), atol=1e-5)


def test_inversion():
    """Finds the latent of a decoding; keeps the best of several starts; serves a GAN, which has no encoder."""
    model, variables, _, _ = linear()
    z = jax.random.normal(KEY, (3, 4))
    x = model.decode(variables, z)
    found, error = latent.invert(model, variables, x, jnp.zeros((1, 3, 4)), steps=500, learning_rate=0.1)
    np.testing.assert_allclose(found, z, atol=0.1)
    assert error.max() < 1e-4
    starts = jnp.stack([z, z + 50])
    kept, _ = latent.invert(model, variables, x, starts, steps=1, learning_rate=1e-6)
    np.testing.assert_allclose(kept, z, atol=1e-3)
    shrunk, _ = latent.invert(model, variables, x, jnp.zeros((1, 3, 4)), steps=400, learning_rate=0.1, prior=10.0)
    assert (jnp.linalg.norm(shrunk, axis=1) < jnp.linalg.norm(found, axis=1)).all()
    gan = models.dcgan(shape=(8, 8, 1), latent=3, widths=(4, 8))
    state = randomise(gan.init(KEY, {"x": jnp.zeros((2, 8, 8, 1))}))
    target = gan.decode(state, z[:2, :3])
    starts = jax.random.normal(jax.random.key(7), (8, 2, 3))
    _, error = latent.invert(gan, state, target, starts, steps=200, learning_rate=0.1)
    by_chance = [jnp.mean((gan.decode(state, start) - target) ** 2, axis=(1, 2, 3)) for start in starts]
    assert (error < 0.2 * jnp.min(jnp.stack(by_chance), axis=0)).all()


def test_bad_input():
    model, variables, _, _ = linear()
    z = jnp.zeros((3, 4))
    for call, message in [
        (lambda: latent.traverse(model, variables, z[0], dimensions=(4,)), "no latent dimension 4; use 0 ... 3"),
        (lambda: latent.traverse(model, variables, z[0], dimensions=(-1,)), "no latent dimension -1"),
        (lambda: latent.interpolate(model, variables, z, z[:2]), "give them one shape"),
        (lambda: latent.interpolate(model, variables, z, z, steps=1), "steps of 2 or more"),
        (lambda: latent.attribute(z, jnp.zeros(3, bool)), "of 3 latents 0 have it"),
        (lambda: latent.attribute(z, jnp.ones(3, bool)), "of 3 latents 3 have it"),
        (lambda: latent.invert(model, variables, jnp.zeros((2, 2, 3, 1)), z[None]), "There are 2 examples"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
