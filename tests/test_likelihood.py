"""Likelihoods are likelihoods: sums over all states, closed forms, changes of variables."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from capable import of, sampler
from cases import of_terms

from genjax_zoo import conformance, data, evals, math, models, wrap
from genjax_zoo.conformance import randomise
from genjax_zoo.core import Density, Latent, part, require
from genjax_zoo.linen import from_linen

KEY = jax.random.key(0)
FLOAT = jnp.float32


class Chain(nn.Module):
    """Bits one after the other, each given a sum of those before: exact, and small enough to enumerate."""

    bits: int

    def setup(self):
        self.net = nn.Dense(self.bits)

    def logits(self, x):
        before = jnp.cumsum(x, axis=1) - x
        return self.net(jnp.ones((len(x), 1))) + 0.5 * before

    def __call__(self, batch, key, train=False):
        return self.nll(batch, key, train)

    def nll(self, batch, key, train=False):
        return {"nll": math.bernoulli_nll(self.logits(batch["x"]), batch["x"])}

    def sample(self, key, n, cond, train=False):
        x = jnp.zeros((n, self.bits))
        for i in range(self.bits):
            p = nn.sigmoid(self.logits(x)[:, i])
            x = x.at[:, i].set(jax.random.bernoulli(jax.random.fold_in(key, i), p))
        return x


@pytest.fixture(scope="module")
def chain():
    model = from_linen(Chain(10), {"x": jax.ShapeDtypeStruct((10,), FLOAT)})
    return model, randomise(model.init(KEY, {"x": jnp.zeros((2, 10))}), scale=1.0)


def test_enumerated(chain):
    conformance.probabilities_sum_to_one(*chain)
    conformance.samples_follow_the_likelihood(*chain)


def test_enumerated_controls(chain):
    model, variables = chain

    def peeking(variables, batch, key, *, train=False):
        """A mask that leaks: each bit is predicted from a sum that contains it."""
        x = batch["x"]
        logits = variables["params"]["net"]["bias"] + 0.5 * jnp.cumsum(x, axis=1)
        return {"nll": math.bernoulli_nll(logits, x)}, variables

    with pytest.raises(AssertionError, match="sum to"):
        conformance.probabilities_sum_to_one(of_terms(model, peeking), variables)
    flipped = dataclasses.replace(model, sampler=sampler(lambda v, *args: 1 - model.sample(v, *args)))
    with pytest.raises(AssertionError, match="from the likelihood"):
        conformance.samples_follow_the_likelihood(flipped, variables)


class Logistic(nn.Module):
    """Independent logistic densities; exact, invertible through its quantiles."""

    shape: tuple[int, ...]

    def setup(self):
        self.net = nn.Dense(1)

    def __call__(self, batch, key, train=False):
        self.net(jnp.ones((1, 1)))
        return self.nll(batch, key, train)

    def location(self):
        return self.net(jnp.ones((1, 1)))[0, 0]

    def nll(self, batch, key, train=False):
        y = batch["x"] - self.location()
        return {"logistic": math.sum_per_example(nn.softplus(y) + nn.softplus(-y))}

    def sample(self, key, n, cond, train=False):
        return self.location() + jax.random.logistic(key, (n, *self.shape))

    def encode(self, batch, key, train=False):
        return batch["x"] - self.location()

    def decode(self, z, cond, train=False):
        return z + self.location()


def logistic(*shape):
    model = from_linen(Logistic(shape), {"x": jax.ShapeDtypeStruct(shape, FLOAT)})
    return model, {"params": {"net": {"kernel": jnp.full((1, 1), 0.4), "bias": jnp.zeros((1,))}}}


def density(model, variables, x):
    terms, _ = model.nll(variables, {"x": x[:, None]}, KEY)
    return jnp.exp(-sum(terms.values()))


@pytest.mark.parametrize(
    "wrapped, low, high",
    [
        (lambda m: wrap.logit_space(m, alpha=0.05), 0, 1),
        (lambda m: wrap.scaled(m, shift=0.3, scale=-4.0), -8, 8),
        (lambda m: wrap.scaled(wrap.logit_space(m, alpha=1e-2), shift=0.0, scale=0.5), 0, 2),
    ],
    ids=("logit", "scaled", "both"),
)
def test_wrapped_densities_integrate_to_what_they_cover(wrapped, low, high):
    """The mass of an interval of x is that of its codes, under the logistic the inner model is."""
    inner, variables = logistic(1)
    model = wrapped(inner)
    x = jnp.linspace(low, high, 400_001)
    mass = float(jnp.trapezoid(density(model, variables, x), x))
    ends = jax.nn.sigmoid(model.encode(variables, {"x": jnp.array([[low], [high]], FLOAT)}, KEY).ravel())
    assert mass == pytest.approx(abs(float(ends[1] - ends[0])), abs=1e-4)
    assert mass > 0.85
    z = jax.random.logistic(KEY, (100, 1)).clip(-2, 2)
    x = model.decode(variables, z)
    np.testing.assert_allclose(model.encode(variables, {"x": x}, KEY), z, atol=1e-3)


def test_dequantization_moves_the_density_to_a_bound():
    """The bound holds against the exact mass of each level, and its samples lie on the levels."""
    inner, variables = logistic(3)
    continuous = wrap.scaled(inner, shift=0.5, scale=6.0)
    model = wrap.dequantized(continuous, levels=5)
    assert not require(model, Density).exact and require(continuous, Density).exact
    with pytest.raises(ValueError, match="no 'nll': its likelihood is a bound, which is 'nelbo'"):
        _ = model.nll
    k = jnp.array([[0, 2, 4], [1, 1, 3]], FLOAT)
    edges = (jnp.stack([k, k + 1]) / 5 - 0.5) * 6 - 0.4
    exact = -jnp.sum(jnp.log(jax.nn.sigmoid(edges[1]) - jax.nn.sigmoid(edges[0])), axis=1)
    draws = jax.vmap(lambda key: sum(model.nelbo(variables, {"x": k / 4}, key)[0].values()))(
        jax.random.split(KEY, 4_000)
    )
    bound = jnp.mean(draws, axis=0)
    assert np.all(bound > exact - 1e-3) and np.all(bound < exact + 0.3)
    assert set(np.unique(model.sample(variables, KEY, 200))) <= {0.0, 0.25, 0.5, 0.75, 1.0}


def test_dequantization_has_noise_of_its_own():
    """The model inside draws by other keys, whatever is asked."""
    inside = models.vae(shape=(2, 2, 1), latent=1, hidden=(), likelihood=math.gaussian())
    model, batch = wrap.dequantized(inside, levels=5), {"x": jnp.zeros((3, 2, 2, 1))}
    variables = jax.eval_shape(model.init, KEY, batch)
    with jax.debug_key_reuse(True):
        jax.jit(lambda v, key: model.nelbo(v, batch, key, train=True)).trace(variables, KEY)
        jax.jit(lambda v, key: model.log_weights(v, batch, key, 3)).trace(variables, KEY)
        jax.jit(lambda v, key: model.encode(v, batch, key)).trace(variables, KEY)


def test_codes_of_levels_are_those_of_their_middles():
    inside = dataclasses.replace(logistic(1)[0], codes=of(lambda variables, batch: batch["x"]))
    codes = wrap.dequantized(inside, levels=5).codes
    assert codes
    seen, _ = codes({}, {"x": jnp.arange(5)[:, None] / 4})
    np.testing.assert_allclose(seen[:, 0], [0.1, 0.3, 0.5, 0.7, 0.9], rtol=1e-6)


def test_conditions_can_be_fixed():
    class Labelled(Logistic):
        def nll(self, batch, key, train=False):
            return {"nll": batch["label"] + super().nll(batch, key, train)["logistic"]}

        def sample(self, key, n, cond, train=False):
            return super().sample(key, n, cond, train) + 100 * cond["label"][:, None]

    spec = {"x": jax.ShapeDtypeStruct((1,), FLOAT), "label": jax.ShapeDtypeStruct((), jnp.int32)}
    model, variables = from_linen(Labelled((1,)), spec), logistic(1)[1]
    three = wrap.conditioned(model, label=3)
    assert set(three.spec) == {"x"}
    batch = {"x": jnp.zeros((2, 1))}
    free, _ = model.nll(variables, {**batch, "label": jnp.array([3, 3])}, KEY)
    np.testing.assert_array_equal(three.nll(variables, batch, KEY)[0]["nll"], free["nll"])
    assert jnp.all(three.sample(variables, KEY, 5) > 250)
    with pytest.raises(ValueError, match=r"no condition 'colour'; it has \['label'\]"):
        wrap.conditioned(model, colour=1)


def test_evaluation_is_the_mean_over_every_example_once():
    model = models.vae(shape=(8, 8, 1), latent=2, hidden=(8,), likelihood=math.discretized_logistic(17))
    test = data.load("digits", "test", batch_size=100)
    variables = model.init(KEY, test.at(0))

    everything = {"x": jnp.asarray(test.arrays["x"], FLOAT) / 16}
    posterior = require(model, Latent).posterior
    assert posterior
    (mean, log_std), _ = part(posterior, Density, "gaussian")(variables, {"given": everything["x"]})
    result = evals.likelihood(test)(model, variables, KEY)
    assert result["rate"] == pytest.approx(float(jnp.mean(math.gaussian_kl(mean, log_std))), rel=1e-5)
    assert result["bits/dim"] == pytest.approx(result["nelbo"] / 64 / np.log(2))
    gan = models.dcgan(shape=(8, 8, 1), latent=2, widths=(4,))
    with pytest.raises(ValueError, match="no 'density'; it has sampler, latent, critic"):
        evals.likelihood(test)(gan, variables, KEY)


@pytest.mark.parametrize("centre", [-6.0, -1.0, 0.0, 3.0])
@pytest.mark.parametrize("log_scale", [-4.0, 0.0, 4.0])
def test_the_mean_of_clipped_levels_is_that_of_their_probabilities(centre, log_scale):
    """E[x] = sum_k x_k P(x_k), of the likelihood's own probabilities; the logistic's mean lies nearer to an edge."""
    likelihood, x = math.discretized_logistic(17), jnp.linspace(0, 1, 17)
    output = jnp.tile(jnp.array([centre, log_scale]), (17, 1))
    p = np.exp(-np.asarray(likelihood.nll(output, x[:, None]), np.float64))
    np.testing.assert_allclose(likelihood.mean(output[:1])[0, 0], p @ np.linspace(0, 1, 17), atol=2e-6)
