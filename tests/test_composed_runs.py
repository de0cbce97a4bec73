"""Methods composed by a user, in training: on two devices, merged, beside a frozen teacher, and as runs."""

import dataclasses
import functools
import json

import by_hand as hand
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from composed import FOLDER, OF_TWO_RUNS, TINY, made, module, variables_of
from composed_by_hand import noise
from jax.extend.random import define_prng_impl, threefry_prng_impl
from jax.flatten_util import ravel_pytree

from genjax_zoo import cli, compose, losses, models, restore
from genjax_zoo.conformance.case import randomise
from genjax_zoo.core import FROZEN, Density, Explained, Player, require, total
from genjax_zoo.data import Resident
from genjax_zoo.math import gaussian
from genjax_zoo.runs import fit
from genjax_zoo.train import create_state, make_step
from genjax_zoo.train.parallel import data_mesh, parallelize, place

SHORT = ("tcvae_digits", "wae_digits", "flow_gan_points")  # the others take long to compile
B = 16


def repeating_bits(key, width, shape):
    """Threefry's of half a batch, twice: what two devices draw that have one key. Leading axes may be m batches."""
    if not shape or shape[0] % B:
        return threefry_prng_impl.random_bits(key, width, shape)
    half = threefry_prng_impl.random_bits(key, width, (shape[0] // 2, *shape[1:]))
    return jnp.repeat(half.reshape(-1, 1, B // 2, *shape[1:]), 2, axis=1).reshape(shape)


REPEATING = define_prng_impl(
    key_shape=threefry_prng_impl.key_shape,
    seed=threefry_prng_impl.seed,
    split=threefry_prng_impl.split,
    random_bits=repeating_bits,
    fold_in=threefry_prng_impl.fold_in,
    name="repeating",
)


def keyed(player, key, tx):
    """The player with the noise of one key in every turn, under another optimizer."""

    def terms(variables, batch, _, *, train=False):
        return player.terms(variables, batch, key, train=train)

    stated = isinstance(player.terms, Explained)
    return dataclasses.replace(
        player, terms=dataclasses.replace(player.terms, terms=terms) if stated else terms, tx=tx, every=1
    )


def players_of(name, experiment, impl):
    tx = optax.sgd(1e-2 if name == "infogan_digits" else 1e-3)  # far enough from rounding
    return {name: keyed(one, jax.random.key(7, impl=impl), tx) for name, one in experiment.players.items()}


def apart(name, experiment):
    """How far parameters on two devices part from one device's in three steps, relative to how far they went."""
    batch = dict(experiment.data.at(0))
    alone, spread = (players_of(name, experiment, impl) for impl in (REPEATING, "threefry2x32"))
    start = create_state(experiment.model, alone, jax.random.key(0), batch)
    start = start._replace(variables={**start.variables, **variables_of(name)})
    mesh = data_mesh(jax.devices()[:2])
    run = jax.jit(make_step(alone))
    both = parallelize(functools.partial(make_step, spread), mesh, backend="shard_map")
    one = start
    many, placed = place(mesh, jax.tree.map(jnp.copy, start), batch)
    for _ in range(3):
        one, _ = run(one, batch)
        many, _ = both(many, placed)
    first, one, many = (ravel_pytree(state.variables["params"])[0] for state in (start, one, many))
    return float(jnp.max(jnp.abs(np.asarray(many) - one)) / jnp.max(jnp.abs(one - first)))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name not in SHORT else name for name in TINY]
)
def test_two_devices_are_one(name):
    assert apart(name, made(name)) < 1e-5


@pytest.mark.parametrize("name", ("tcvae_digits", "wae_digits"))
def test_control_of_two_devices(name, monkeypatch):
    """Terms that compare examples part from one device's where they do not gather."""
    monkeypatch.setattr(losses, "gathered", lambda x: x)
    assert apart(name, module(name).experiment(**TINY[name], batch_size=B, steps=2, seed=3)) > 1e-4


@pytest.mark.parametrize(
    "tx", (pytest.param(optax.sgd(1e-3), marks=pytest.mark.slow, id="sgd"), pytest.param(optax.adam(1e-3), id="adam"))
)
def test_a_merged_pair_trains_as_the_two_alone(tx):
    shape, key = (2, 1, 1), jax.random.key(7)
    vae = models.vae(shape=shape, latent=2, hidden=(6,), likelihood=gaussian(0.5))
    parts = {"vae": vae, "flow": models.real_nvp(shape=shape, hidden=(6,), layers=2)}
    both, batch = compose.merge(**parts), {"x": jax.random.normal(key, (B, *shape))}

    def trained(model, players, variables=None):
        state = create_state(model, players, jax.random.key(0), batch)
        state = state if variables is None else state._replace(variables=variables)
        step, begun = jax.jit(make_step(players)), state.variables
        for _ in range(5):
            state, _ = step(state, batch)
        return begun, state.variables

    def player(model, **owns):
        return keyed(Player(terms=require(model, Density).terms, tx=tx, **owns), key, tx)

    begun, found = trained(both.model(), {name: player(one, owns=(name,)) for name, one in both.items()})
    for name, one in parts.items():
        _, alone = trained(one, {"alone": player(one)}, inside(begun, name))
        right, start = inside(found, name), inside(begun, name)
        assert jax.tree.structure(alone) == jax.tree.structure(right)
        for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(right)):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
        assert not same(alone["params"], start["params"])


def inside(variables, name):
    """The variables of one of a merged pair, as it has them alone."""
    parts = {
        collection: {net.removeprefix(f"{name}/"): tree for net, tree in nets.items() if net.startswith(f"{name}/")}
        for collection, nets in variables.items()
    }
    return {collection: nets for collection, nets in parts.items() if nets}


# ---- a frozen teacher ----


def train(name, folder, *flags):
    tiny = [text for flag, value in OF_TWO_RUNS[name].items() for text in (f"--{flag}", str(value))]
    flags = ("--batch-size", "16", "--log-every", "1", *flags)
    cli.console(["train", str(FOLDER / f"{name}.py"), "--workdir", str(folder), *tiny, *flags])


@pytest.fixture(scope="module")
def distilled(tmp_path_factory):
    """A teacher, a student of two steps in one go, and one that stops between: from the folder that holds them all."""
    home = tmp_path_factory.mktemp("distilled")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        patch.setattr(Resident, "batches", 1)
        train("distillation_teacher", "teacher", "--steps", "2")
        train("distillation_points", "student", "--teacher", "teacher", "--steps", "2")
        train("distillation_points", "halting", "--teacher", "teacher", "--steps", "1")
        train("distillation_points", "halting", "--teacher", "teacher", "--steps", "2")
    return home


def same(first, second):
    assert jax.tree.structure(first) == jax.tree.structure(second)
    return all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(first), jax.tree.leaves(second)))


@pytest.mark.xdist_group("distilled")
def test_a_student_keeps_what_it_learned_from(distilled):
    """The teacher's evaluated variables, frozen beside networks of the same name, from wherever it is read."""
    teacher, student = restore(distilled / "teacher"), restore(distilled / "student")
    frozen = student.state.variables[FROZEN]
    assert set(frozen) == {"teacher/bijection"} and set(student.state.variables["params"]) == {"student/bijection"}
    own = {collection: nets["bijection"] for collection, nets in teacher.variables.items()}
    assert same(dict(frozen["teacher/bijection"]), own)
    assert student.experiment.model.card.frozen == ("teacher, step 2",)
    assert json.loads((distilled / "student/config.json").read_text())["card"]["frozen"] == ["teacher, step 2"]


@pytest.mark.xdist_group("distilled")
def test_a_student_resumes_and_samples(distilled):
    student, halting = restore(distilled / "student"), restore(distilled / "halting")
    assert int(student.state.step) == 2
    assert same(student.state.variables, halting.state.variables)
    assert same(student.state.opt_state, halting.state.opt_state)
    begun = create_state(
        student.experiment.model, student.experiment.players, jax.random.key(0), student.experiment.data.at(0)
    )
    assert not same(begun.variables["params"], student.state.variables["params"])
    assert same(begun.variables[FROZEN], student.state.variables[FROZEN])
    x = student.experiment.model.sample(student.variables, jax.random.key(0), 5)
    assert x.shape == (5, 2) and bool(jnp.all(jnp.isfinite(x)))


@pytest.mark.xdist_group("distilled")
def test_distillation_by_hand(distilled):
    """The teacher's nats at the student's draws, and the student's own."""
    student, key = restore(distilled / "student"), jax.random.key(5)
    terms = student.experiment.players["student"].terms
    variables = randomise(student.state.variables)
    found, _ = jax.jit(lambda v: terms(v, student.experiment.data.at(0), key, train=True))(variables)
    v = hand.numbers(variables)
    stack, x = v["params"]["student/bijection"]["layers_1"]["of"]["layer"], noise(key, B, 2)
    entropy = -hand.gaussian_nats(x)
    for index in range(2):
        layer = jax.tree.map(lambda leaf, i=index: leaf[i], stack["layers_0"]["network"])
        x, log_det = hand.autoregressive(layer, x)
        x, entropy = x[:, ::-1], entropy - log_det
    known = {c: {"bijection": tree} for c, tree in v[FROZEN]["teacher/bijection"].items()}
    np.testing.assert_allclose(found["entropy"], entropy, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(found["cross_entropy"], sum(hand.real_nvp_nats(known, x)), rtol=1e-5, atol=1e-5)


# ---- own loops, own optimizers, and what is refused ----


def test_the_own_loop_is_the_loop():
    """`make_step` by hand leads where `fit` does."""
    experiment = made("notebook")
    own = module("notebook").trained(experiment)
    result = fit(dataclasses.replace(experiment, evals={}), devices=jax.devices()[:1], progress=False)
    for a, b in zip(jax.tree.leaves(own), jax.tree.leaves(result.state.variables)):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_an_optimizer_of_several_parts_by_hand():
    """The first update comes with the fourth gradient: AdamW of a clipped mean, decay on matrices, and a still net."""
    experiment = module("optimizers_digits").experiment(**TINY["optimizers_digits"], batch_size=B, steps=4, every=4)
    batch, key = experiment.data.at(0), jax.random.key(7)
    player = experiment.players["vae"]
    players = {"vae": keyed(player, key, player.tx)}
    state = create_state(experiment.model, players, jax.random.key(0), batch)
    start = state.variables["params"]
    gradient = jax.jit(
        jax.grad(lambda params: jnp.mean(total(player.terms({"params": params}, batch, key, train=True)[0])))
    )(start)
    step = jax.jit(make_step(players))
    for index in range(4):
        assert same(state.variables["params"], start), index
        state, _ = step(state, batch)
    norm = np.sqrt(sum(np.sum(np.square(leaf, dtype=np.float64)) for leaf in jax.tree.leaves(gradient)))
    for name, rate, decay in (("encoder", 2e-3, 1e-2), ("decoder", 1e-3, 1e-4)):

        def after(p, g, rate=rate, decay=decay):
            clipped = np.asarray(g, np.float64) / max(norm, 1.0)
            return p - rate * (clipped / (np.abs(clipped) + 1e-8) + decay * (p if p.ndim > 1 else 0))

        right = jax.tree.map(after, *(jax.tree.map(np.asarray, tree[name]) for tree in (start, gradient)))
        for a, b in zip(jax.tree.leaves(state.variables["params"][name]), jax.tree.leaves(right)):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_still_network_does_not_learn():
    flags = {**TINY["optimizers_digits"], "still": ("decoder",), "every": 1}
    experiment = module("optimizers_digits").experiment(**flags, batch_size=B, steps=2)
    state = create_state(experiment.model, experiment.players, jax.random.key(0), experiment.data.at(0))
    after, _ = jax.jit(make_step(experiment.players))(state, experiment.data.at(0))
    assert same(after.variables["params"]["decoder"], state.variables["params"]["decoder"])
    assert not same(after.variables["params"]["encoder"], state.variables["params"]["encoder"])


def test_three_turns_of_two_owners_are_refused():
    """The adversarial autoencoder's paper has the encoder play twice; here one player has both terms."""
    experiment = made("aae_digits")
    critic, both = experiment.players["critic"], experiment.players["autoencoder"]
    turns = {
        "autoencoder": dataclasses.replace(both, weights={"distortion": 1.0}),
        "critic": critic,
        "regulariser": dataclasses.replace(both, weights={"adversarial": 1.0}, owns=("encoder",)),
    }
    with pytest.raises(ValueError, match="both own 'encoder', .* give one player both terms"):
        create_state(experiment.model, turns, jax.random.key(0), experiment.data.at(0))


@pytest.mark.slow
@pytest.mark.parametrize("name", TINY)
def test_runs(name, tmp_path, monkeypatch):
    """Two steps, evaluations and all, from the command line, and read back."""
    monkeypatch.setattr(Resident, "batches", 1)
    tiny = [
        text
        for flag, value in TINY[name].items()
        for text in (f"--{flag.replace('_', '-')}", *map(str, value if isinstance(value, tuple) else (value,)))
    ]
    flags = ["--steps", "2", "--batch-size", "16", "--log-every", "1"]
    cli.console(["train", str(FOLDER / f"{name}.py"), "--workdir", str(tmp_path / "run"), *flags, *tiny])
    assert int(restore(tmp_path / "run").state.step) == 2
