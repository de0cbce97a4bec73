"""However a step is sharded, it is the step of one device on the full batch. Plain SGD: Adam hides wrong factors."""

import dataclasses
import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import CASES
from jax.sharding import PartitionSpec as P

from genjax_zoo import data
from genjax_zoo.core import Player
from genjax_zoo.linen import from_linen
from genjax_zoo.nn import batch_norm, spectral_norm
from genjax_zoo.train import create_state, make_step, make_steps, parallelize, place, step
from genjax_zoo.train.parallel import data_mesh, place_batch, replicate

BACKENDS = ("shard_map", "pmap", "jit", "vmap")
DEVICES = 8


class Net(nn.Module):
    """Batch and spectral norm between them make every kind of state."""

    features: int

    @nn.compact
    def __call__(self, x, train):
        x = batch_norm(functools.partial(nn.Dense, 8), x, train)
        x = nn.tanh(x)
        return spectral_norm(functools.partial(nn.Dense, self.features), x, train)


class Game(nn.Module):
    """A VAE-GAN whose noise comes with the batch, so that it does not depend on the sharding."""

    def setup(self):
        self.encoder, self.decoder, self.critic = Net(3), Net(6), Net(1)

    def __call__(self, batch, key, train):
        z = self.encoder(batch["x"], train) + batch["noise"]
        rebuilt = self.decoder(z, train)
        real, fake = self.critic(batch["x"], train)[:, 0], self.critic(rebuilt, train)[:, 0]
        return {
            "distortion": jnp.sum((batch["x"] - rebuilt) ** 2, axis=1),
            "rate": jnp.sum(z**2, axis=1),
            "critic": nn.softplus(-real) + nn.softplus(fake),
            "fool": nn.softplus(-fake),
        }


SPEC = {"x": jax.ShapeDtypeStruct((6,), jnp.float32), "noise": jax.ShapeDtypeStruct((3,), jnp.float32)}
MODEL = from_linen(Game(), SPEC)
K_X, K_NOISE = jax.random.split(jax.random.key(3))
BATCH = {
    "x": jax.random.normal(K_X, (16, 6)) * jnp.arange(16)[:, None] / 8,
    "noise": jax.random.normal(K_NOISE, (16, 3)),
}


def terms(variables, batch, key, train):
    return MODEL.apply(variables, "__call__", batch, None, train=train)


def player(weights, *owns, every=1):
    return Player(terms=terms, weights=dict.fromkeys(weights, 1.0), tx=optax.sgd(0.1), owns=owns or None, every=every)


GAMES = {
    1: {"all": player(("distortion", "rate", "critic"))},
    2: {"vae": player(("distortion", "fool"), "encoder", "decoder"), "critic": player(("critic",), "critic")},
    3: {
        "encoder": player(("distortion", "rate"), "encoder"),
        "decoder": player(("distortion", "fool"), "decoder", every=2),
        "critic": player(("critic",), "critic"),
    },
}


def only_state(make):
    """A step body without its metrics, so that a control may leave them unaveraged."""
    return lambda axis: lambda state, batch: (make(axis=axis)(state, batch)[0], {})


@functools.cache
def one_device(players, steps):
    """The state after a few steps of one device on the full batch."""
    state = create_state(MODEL, dict(players), jax.random.key(0), BATCH)
    plain = jax.jit(make_step(dict(players)))
    for _ in range(steps):
        state, _ = plain(state, BATCH)
    return state


def distance(players, backend, steps=3):
    """The largest difference between sharded and plain parameters and state after a few steps."""
    make = only_state(functools.partial(make_step, players))
    sharded = create_state(MODEL, players, jax.random.key(0), BATCH)
    if backend == "vmap":
        parts = {name: x.reshape(DEVICES, -1, *x.shape[1:]) for name, x in BATCH.items()}
        run = jax.jit(jax.vmap(make("data"), in_axes=(None, 0), axis_name="data"))
        for _ in range(steps):
            sharded = jax.tree.map(lambda x: x[0], run(sharded, parts)[0])
    else:
        mesh = data_mesh()
        run = parallelize(make, mesh, backend=backend)
        sharded, batch = place(mesh, sharded, BATCH)
        for _ in range(steps):
            sharded, _ = run(sharded, batch)
    gaps = jax.tree.map(
        lambda a, b: float(np.max(np.abs(np.asarray(a) - b))),
        one_device(tuple(players.items()), steps).variables,
        sharded.variables,
    )
    return max(jax.tree.leaves(gaps))


def only_gradients(axis, tree):
    return jax.lax.pmean(tree, axis) if axis and isinstance(tree, dict) else tree


def only_loss(axis, tree):
    return jax.lax.pmean(tree, axis) if axis and not isinstance(tree, dict) else tree


@pytest.mark.parametrize("count", GAMES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_sharded_equals_one_device(count, backend):
    assert distance(GAMES[count], backend) < 2e-5


@pytest.mark.parametrize("wrong, backend", [(only_gradients, "shard_map"), (only_loss, "pmap"), (only_loss, "vmap")])
@pytest.mark.parametrize("count", GAMES)
def test_control_mean_in_one_place_only(monkeypatch, wrong, backend, count):
    monkeypatch.setattr(step, "_mean_over", wrong)
    always = {name: dataclasses.replace(p, every=1) for name, p in GAMES[count].items()}  # lax.cond sees the mistake
    assert distance(always, backend) > 1e-3


# Every kind of state: batch statistics, spectral norm, a code book, ActNorm, a critic's memory; and a scan.
KINDS = {"vae_gan", "dcgan", "vq_vae", "glow", "r3gan", "wavenet"}


def by_sgd(name):
    """A model's case with plain SGD: Adam blows up rounding."""
    case = CASES[name]()
    sgd = {name: dataclasses.replace(player, tx=optax.sgd(1e-2)) for name, player in case.players.items()}
    return dataclasses.replace(case, players=sgd)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in KINDS else pytest.mark.slow) for n in CASES])
def test_models_shard_alike(name):
    """With noise drawn on each device, shard_map and pmap agree."""
    case, mesh, after = by_sgd(name), data_mesh(), {}
    for backend in ("shard_map", "pmap"):
        state, batch = place(mesh, create_state(case.model, case.players, jax.random.key(0), case.batch), case.batch)
        after[backend], metrics = parallelize(functools.partial(make_step, case.players), mesh, backend=backend)(
            state, batch
        )
        assert all(x.shape == () for x in metrics.values())
    for a, b in zip(*(jax.tree.leaves(state.variables) for state in after.values())):
        np.testing.assert_allclose(a, b, atol=2e-5)


def traced(model, players, batch):
    """Shapes of the state before and after a step under shard_map, and of its metrics."""
    state = jax.eval_shape(lambda: create_state(model, players, jax.random.key(0), batch))
    run = parallelize(functools.partial(make_step, players), data_mesh())
    return state, *jax.eval_shape(run, state, batch)


@pytest.mark.parametrize("name", [name for name in CASES if name not in KINDS])
def test_models_trace_when_sharded(name):
    """The step of every model has types under shard_map: what varies over devices is averaged before it is kept."""
    case = by_sgd(name)
    state, after, metrics = traced(case.model, case.players, case.batch)
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    assert all(x.shape == () for x in metrics.values())


def test_control_nothing_is_averaged(monkeypatch):
    monkeypatch.setattr(step, "_mean_over", lambda axis, tree: tree)
    with pytest.raises(ValueError, match="varying|replicated"):
        traced(MODEL, GAMES[1], BATCH)


@pytest.mark.parametrize("backend", ("shard_map", "pmap", "jit"))
def test_steps_in_one_call(backend):
    """A scan of steps over resident data, or over stacked batches, is the same steps one by one."""
    case = CASES["vae"]()
    digits = data.load("digits", "train", batch_size=16)
    mesh, steps = data_mesh(), 4
    shards = 1 if backend == "jit" else mesh.size

    def compiled(split, **kwargs):
        make = functools.partial(make_steps, case.players, shards=shards, **kwargs)
        return parallelize(make, mesh, backend=backend, split=split)

    def fresh():
        return replicate(mesh, create_state(case.model, case.players, jax.random.key(0), digits.at(0)))

    together, metrics = compiled(P(), steps=steps)(fresh(), replicate(mesh, digits))
    assert metrics["vae/loss"].shape == (steps,)
    stack = jax.tree.map(lambda *parts: jnp.stack(parts), *[digits.at(i) for i in range(steps)])
    stacked = P(None, "data")
    host, _ = compiled(stacked, steps=steps)(fresh(), place_batch(mesh, stack, split=stacked))
    single, run = fresh(), compiled(P(), steps=1)
    for _ in range(steps):
        single, _ = run(single, replicate(mesh, digits))
    for other in (host, single):
        for a, b in zip(jax.tree.leaves(together.variables), jax.tree.leaves(other.variables)):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_uneven_batch_is_refused():
    with pytest.raises(ValueError, match="A batch of 12 does not divide over 8 devices; use 16"):
        place_batch(data_mesh(), {"x": np.zeros((12, 2))})
