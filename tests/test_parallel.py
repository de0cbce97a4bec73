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

from genjax_zoo import data, losses, wrap
from genjax_zoo.core import Model, Player
from genjax_zoo.linen import from_linen, pure
from genjax_zoo.nn import BatchNorm, Normalised, Quantizer, batch_norm, spectral_norm
from genjax_zoo.train import create_state, make_step, make_steps, parallelize, place, step
from genjax_zoo.train.parallel import STACKED, data_mesh, place_batch, replicate

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
MODEL, RUN = from_linen(Game(), SPEC), pure(Game(), Game.__call__)
K_X, K_NOISE = jax.random.split(jax.random.key(3))
BATCH = {
    "x": jax.random.normal(K_X, (16, 6)) * jnp.arange(16)[:, None] / 8,
    "noise": jax.random.normal(K_NOISE, (16, 3)),
}


def terms(variables, batch, key, train):
    return RUN(variables, batch, key=key, train=train)


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


class Everything(nn.Module):
    """A game whose state is of every kind: see `KEPT`. Its noise comes with the batch, as a condition."""

    def setup(self):
        self.generator, self.discriminator = Generating(), Scoring()

    def __call__(self, batch, key, train):
        return self.discriminate(self.sample(key, len(batch["x"]), batch, train), batch, train)

    def sample(self, key, n, cond, train=False):
        return self.generator(cond["noise"], cond["label"], train)

    def discriminate(self, x, cond, train=False):
        return self.discriminator(x, train)


class Generating(nn.Module):
    @nn.compact
    def __call__(self, z, label, train):
        codes, _, _ = Quantizer(6, 4, decay=0.9, restart_below=0.9, name="codes")(z[:, None, None], train)
        h = batch_norm(functools.partial(nn.Dense, 8), codes[:, 0, 0], train)
        h, _ = BatchNorm(name="flow").forward(jnp.tanh(h), None, train)
        return nn.Dense(6)(jnp.tanh(Normalised(classes=2, name="by_label")(h, label, train)))


class Scoring(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        h = jnp.tanh(spectral_norm(functools.partial(nn.Dense, 8), x, train))
        return nn.Dense(1)(h)[:, 0]


LABELLED = {**BATCH, "label": jnp.arange(16) * jnp.arange(16) % 3 % 2}  # devices have other shares of the labels
KEPT = {
    "batch_stats": {"mean", "var", "u", "sigma"},  # batch norm as a layer, by label and as a bijection; spectral norm
    "code_book": {"share", "total", "updates"},
    "memory": {"turns", "real_score", "fake_score"},
}


@functools.cache
def everything():
    spec = {**SPEC, "label": jax.ShapeDtypeStruct((), jnp.int32)}
    model = wrap.with_memory(from_linen(Everything(), spec))
    critic, generator = losses.adversarial(model, losses.hinge, lecam=losses.lecam, r1=losses.lazy(losses.r1, 2))
    sgd = optax.sgd(0.1)
    weights = {"adversarial": 1.0, "lecam": 0.3, "r1": 0.5}
    players = {
        "critic": Player(terms=critic, weights=weights, tx=sgd, owns=("discriminator",)),
        "generator": Player(terms=generator, weights={"adversarial": 1.0}, tx=sgd, owns=("generator",), ema=0.9),
    }
    return model, players


def three(run, state, batch):
    """The state and the metrics after three steps."""
    for _ in range(2):
        state, _ = run(state, batch)
    return run(state, batch)


@functools.cache
def on_one_device():
    """The state before, and state and metrics after three steps on the full batch."""
    model, players = everything()
    before = create_state(model, players, jax.random.key(0), LABELLED)
    codes = before.variables["code_book"]["generator"]["codes"]
    apart = jax.random.normal(jax.random.key(5), codes["total"].shape) * codes["share"][:, None]
    before.variables["code_book"]["generator"]["codes"]["total"] = (
        apart  # first codes are nearly alike: rounding decides
    )
    return before, *three(jax.jit(make_step(players)), before, LABELLED)


@pytest.mark.parametrize("backend", ("shard_map", "pmap", "jit"))
def test_every_kind_of_state_is_that_of_one_device(backend):
    before, expected, metrics = on_one_device()
    moved = {}
    for path, start in jax.tree_util.tree_leaves_with_path(before.variables):
        if path[0].key == "constants":  # measured once
            continue
        after = functools.reduce(lambda tree, key: tree[key.key], path, expected.variables)
        assert path[0].key == "params" or np.any(after != start), f"{path} does not move, so it shows nothing"
        moved.setdefault(path[0].key, set()).add(str(path[-1].key).split("/")[-1])
    assert {name: leaves for name, leaves in moved.items() if name != "params"} == KEPT
    mesh, make = data_mesh(), functools.partial(make_step, everything()[1])
    fresh = place(mesh, jax.tree.map(jnp.copy, before), LABELLED)  # which is donated
    found = three(parallelize(make, mesh, backend=backend), *fresh)
    wanted = expected.variables, expected.ema, metrics
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(wanted), jax.tree.leaves((found[0].variables, found[0].ema, found[1]))
    ):
        np.testing.assert_allclose(b, a, rtol=2e-5, atol=2e-5, err_msg=jax.tree_util.keystr(path))


def test_every_example_player_and_step_has_noise_of_its_own():
    """The gradient of sum_i noise_i w_i is the noise, so that w says what was drawn for each example."""

    def terms_of(network):
        def terms(variables, batch, key, train):
            each = batch["x"] @ variables["params"][network]["w"]  # w_i for example i
            return {"noise": jax.random.normal(key, (len(each),)) * each}, variables

        return terms

    sgd = optax.sgd(1.0)
    players = {n: Player(terms=terms_of(n), weights={"noise": 16.0}, tx=sgd, owns=(n,)) for n in ("a", "b")}
    start = {"params": {name: {"w": jnp.zeros(16)} for name in players}}
    model = Model(spec={}, init=lambda key, batch: start)
    mesh, drawn, before = data_mesh(), [], np.zeros((2, 16))
    state, batch = place(mesh, create_state(model, players, jax.random.key(0), {"x": jnp.eye(16)}), {"x": jnp.eye(16)})
    run = parallelize(functools.partial(make_step, players), mesh)
    for _ in range(2):
        state, _ = run(state, batch)
        now = np.stack([state.variables["params"][name]["w"] for name in players])
        drawn.append(before - now)
        before = now
    drawn = np.concatenate(drawn).ravel()
    assert np.abs(drawn).max() < 5 and 0.5 < drawn.std() < 1.5
    assert len(np.unique(drawn.round(4))) == 2 * 2 * 16


def test_streamed_examples_have_the_noise_of_their_place_in_the_whole_batch():
    """`finish` draws on each device what it draws for that part of the batch: no two examples share their noise."""

    def finish(raw, step, shard):
        return {"u": shard * len(raw["x"]) + jnp.arange(len(raw["x"]), dtype=jnp.float32)}

    def terms(variables, batch, key, train):
        return {"u": batch["u"] + 0 * variables["params"]["net"]["w"]}, variables

    players = {"p": Player(terms=terms, weights={"u": 1.0}, tx=optax.sgd(0.0))}
    start = {"params": {"net": {"w": jnp.zeros(())}}}
    model = Model(spec={}, init=lambda key, batch: start)
    mesh, raw = data_mesh(), {"x": jnp.zeros((2, 16))}
    make = functools.partial(make_steps, players, steps=2, shards=8, finish=finish)
    placed = place(mesh, create_state(model, players, jax.random.key(0), {"u": jnp.zeros(16)}), raw, split=STACKED)
    _, metrics = parallelize(make, mesh, split=STACKED)(*placed)
    np.testing.assert_allclose(metrics["p/u"], 7.5)  # of 0 ... 15
