"""Terms that compare examples are of the whole batch, however many devices it is spread over."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from genjax_zoo import conformance, losses
from genjax_zoo.core import Player
from genjax_zoo.linen import from_linen, pure
from genjax_zoo.train import create_state, make_step
from genjax_zoo.train.parallel import data_mesh, parallelize, place

SPEC = {"x": jax.ShapeDtypeStruct((6,), jnp.float32), "noise": jax.ShapeDtypeStruct((3,), jnp.float32)}
K_X, K_NOISE = jax.random.split(jax.random.key(3))
BATCH = {
    "x": jax.random.normal(K_X, (16, 6)) * jnp.arange(16)[:, None] / 8,
    "noise": jax.random.normal(K_NOISE, (16, 3)),  # which does not depend on the sharding
}


class Encoding(nn.Module):
    """Means and log standard deviations of q(z | x)."""

    def setup(self):
        self.encoder = nn.Dense(6)

    def __call__(self, batch, key, train):
        return jnp.split(self.encoder(batch["x"]), 2, axis=-1)


MODEL, ENCODE = from_linen(Encoding(), SPEC), pure(Encoding(), Encoding.__call__)


def total_correlation(gathered, z, mean, log_std):
    """KL(q(z) || prod_j q(z_j)), each q a mixture over the batch (Chen et al. 2018, arXiv:1802.04942)."""
    mean, log_std = gathered((mean, log_std))
    pairs = -0.5 * ((z[:, None] - mean) * jnp.exp(-log_std)) ** 2 - log_std
    whole = jax.nn.logsumexp(jnp.sum(pairs, axis=-1), axis=1)
    return whole - jnp.sum(jax.nn.logsumexp(pairs, axis=1), axis=-1)


def kernel_distance(gathered, z, mean, log_std):
    """An unbiased estimate of the squared distance to the noise (Gretton et al. 2012)."""
    everyone = gathered(z)
    kernel = jnp.exp(-0.5 * jnp.sum((z[:, None] - everyone) ** 2, axis=-1))
    return (jnp.sum(kernel, axis=1) - 1) / (len(everyone) - 1)


def minibatch_deviation(gathered, z, mean, log_std):
    """The mean standard deviation over the batch (Karras et al. 2018, arXiv:1710.10196, sec. 3)."""
    return jnp.sum(mean**2, axis=1) * jnp.mean(jnp.std(gathered(mean), axis=0))


def contrast(gathered, z, mean, log_std):
    """Cross entropy of an example among all, by its place in the whole batch (van den Oord et al. 2018)."""
    scores = z @ gathered(mean).T
    return jax.nn.logsumexp(scores, axis=1) - jnp.sum(z * mean, axis=1)


COUPLED = (total_correlation, kernel_distance, minibatch_deviation, contrast)


def playing(term, gathered):
    def terms(variables, batch, key, train):
        (mean, log_std), variables = ENCODE(variables, batch, None, train=train)
        z = mean + jnp.exp(log_std) * batch["noise"]
        return {"coupled": term(gathered, z, mean, log_std), "own": jnp.sum(z**2, axis=1)}, variables

    return {"p": Player(terms=terms, weights={"coupled": 1.0, "own": 0.1}, tx=optax.sgd(0.01))}


def distance(model, players, batch, backend, devices):
    """How far parameters part from one device's in three steps, relative to how far they went."""
    make, start = functools.partial(make_step, players), create_state(model, players, jax.random.key(0), batch)
    alone, run = start, jax.jit(make_step(players))
    if backend == "vmap":
        parts = {name: x.reshape(devices, -1, *x.shape[1:]) for name, x in batch.items()}
        mapped = jax.vmap(make(axis="data"), in_axes=(None, 0), out_axes=(None, 0), axis_name="data")
        state, placed, spread = start, parts, jax.jit(mapped)
    else:
        mesh = data_mesh(jax.devices()[:devices])
        spread = parallelize(make, mesh, backend=backend)
        state, placed = place(mesh, jax.tree.map(jnp.copy, start), batch)
    for _ in range(3):
        alone, _ = run(alone, batch)
        state, _ = spread(state, placed)
    first, one, many = (ravel_pytree(s.variables)[0] for s in (start, alone, state))
    return float(jnp.max(jnp.abs(np.asarray(many) - one)) / jnp.max(jnp.abs(one - first)))


@pytest.mark.parametrize("backend", ("shard_map", "pmap", "jit", "vmap"))
@pytest.mark.parametrize("term", COUPLED, ids=lambda term: term.__name__)
def test_gathered_terms_are_those_of_one_device(term, backend):
    assert distance(MODEL, playing(term, losses.gathered), BATCH, backend, devices=2) < 2e-5


@pytest.mark.parametrize("term", COUPLED, ids=lambda term: term.__name__)
def test_control_terms_of_a_device_alone(term):
    """Without gathering they part; the law says so of anybody's terms, and is content where they gather."""
    assert distance(MODEL, playing(term, lambda x: x), BATCH, "vmap", devices=2) > 1e-3
    of = functools.partial(conformance.Case, model=MODEL, batch=BATCH)
    conformance.terms_are_of_the_whole_batch(of(players=playing(term, losses.gathered)))
    with pytest.raises(AssertionError, match="'coupled' of 'p' compares .* take the others from losses.gathered"):
        conformance.terms_are_of_the_whole_batch(of(players=playing(term, lambda x: x)))


def test_dragan_takes_the_deviation_of_the_whole_batch():
    """Devices whose examples are 0 and 10 have no deviation of their own; the whole batch's is 5."""
    real, key = jnp.repeat(jnp.array([0.0, 10.0]), 4)[:, None], jax.random.key(0)
    seen = []

    def penalty(real):
        def score(x):
            seen.append(jax.debug.callback(lambda d: noise.append(np.asarray(d)), x - real))
            return jnp.sum(x, axis=1)

        return losses.dragan.of(losses.Round(score, real, real, real[:, 0], real[:, 0], key, {}))

    noise: list[np.ndarray] = []
    jax.block_until_ready(jax.vmap(penalty, axis_name="data")(real.reshape(2, 4, 1)))
    jax.effects_barrier()
    assert 0.2 < np.max(noise) <= 2.5
