"""What was saved comes back, bit for bit, on any number of devices; what was damaged does not."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import alone, bits, logged, scripted, target

from genjax_zoo import data, evals, fit
from genjax_zoo.core import Experiment
from genjax_zoo.runs import create_state_of
from genjax_zoo.train.checkpoint import Checkpoints, Damaged
from genjax_zoo.train.digest import leaf_digest
from genjax_zoo.train.evaluating import evaluate
from genjax_zoo.train.parallel import data_mesh, replicate

EVERYTHING = {
    "float": jnp.arange(6.0).reshape(2, 3),
    "half": jnp.ones((3,), jnp.bfloat16),
    "int": jnp.arange(4),
    "bool": jnp.array([True, False]),
    "key": jax.random.key(5),
}


@pytest.mark.parametrize("devices", (1, 2, 8))
def test_round_trip_on_other_devices(tmp_path, devices):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(3, replicate(data_mesh(), EVERYTHING), {})
        checkpoints.wait()
        restored = checkpoints.restore(3, target(EVERYTHING, devices))
    assert bits(restored) == bits(EVERYTHING)
    assert all(len(x.sharding.device_set) == devices for x in jax.tree.leaves(restored))


def test_a_copy_is_saved(tmp_path):
    """Donating the state right after save does not reach what is being written."""
    overwrite = jax.jit(lambda tree: jax.tree.map(lambda x: x * 0 - 1, tree), donate_argnums=0)
    with Checkpoints(tmp_path) as checkpoints:
        for step in range(1, 6):
            state = {"w": jnp.full((200_000,), float(step))}
            checkpoints.save(step, state, {})
            overwrite(state)
        checkpoints.wait()
        for step in checkpoints.steps:
            assert jnp.all(checkpoints.restore(step, target({"w": jnp.zeros((200_000,))}, 1))["w"] == step)


def test_latest_and_best_are_kept(tmp_path):
    losses = {1: 5.0, 2: 1.0, 3: 4.0, 4: 3.0, 5: 2.0}
    with Checkpoints(tmp_path, best="loss") as checkpoints:
        for step, loss in losses.items():
            checkpoints.save(step, EVERYTHING, {"loss": loss, "other": 0.0})
            checkpoints.wait()
        checkpoints.save(6, EVERYTHING, {})
        checkpoints.wait()
        with pytest.raises(Exception, match="already exists"):
            checkpoints.save(6, EVERYTHING, {})
    with Checkpoints(tmp_path, best="loss") as reopened:
        assert (reopened.steps, reopened.best_step()) == ([2, 5, 6], 2)


def test_what_is_not_finite_never_ranks(tmp_path):
    with Checkpoints(tmp_path, best="loss") as checkpoints:
        for step, loss in enumerate((5.0, 3.0, float("nan"), float("-inf"), 4.0)):
            checkpoints.save(step, EVERYTHING, {"loss": loss})
            checkpoints.wait()
        assert (checkpoints.steps, checkpoints.best_step()) == ([1, 3, 4], 1)


def test_reading_leaves_a_save_that_is_being_written(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, EVERYTHING, {})
        checkpoints.wait()
    unfinished = tmp_path / "2.orbax-checkpoint-tmp-1"  # as Orbax names it
    unfinished.mkdir()
    with Checkpoints(tmp_path, reading=True) as reader:
        assert reader.steps == [1] and bits(reader.restore(1, target(EVERYTHING, 1))) == bits(EVERYTHING)
    assert unfinished.exists()
    with Checkpoints(tmp_path) as trainer:
        trainer.save(2, EVERYTHING, {})
    assert not unfinished.exists()  # control: the next trainer cleans up


@settings(deadline=None, max_examples=60)
@given(name=st.sampled_from(sorted(EVERYTHING)), place=st.integers(0, 10**6), bit=st.integers(0, 7))
def test_digest_sees_every_flipped_bit(name, place, bit):
    leaf = EVERYTHING[name]
    raw = jax.random.key_data(leaf) if name == "key" else leaf
    flipped = np.array(raw).view(np.uint8)
    flat = flipped.reshape(-1)
    flat[place % flat.size] ^= 1 if name == "bool" else 1 << bit
    changed = jnp.asarray(flipped.view(np.asarray(raw).dtype).reshape(raw.shape))
    assert leaf_digest(changed) != leaf_digest(raw)


@settings(deadline=None, max_examples=60)
@given(places=st.lists(st.integers(0, 999), min_size=2, max_size=8, unique=True), bit=st.integers(0, 31))
def test_digest_sees_flips_that_a_sum_does_not(places, bit):
    """The top bits of two numbers, whose values add up to what they were; and a tensor with its sign changed."""
    leaf = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    flipped = leaf.copy()
    flipped.view(np.uint32)[places] ^= np.uint32(1 << bit)
    assert len({int(leaf_digest(jnp.asarray(x))) for x in (leaf, flipped, -leaf, leaf[::-1])}) == 4


def test_damage_is_noticed(tmp_path, monkeypatch):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"w": jnp.arange(1000.0)}, {})
        checkpoints.wait()
        wrong = target({"w": jnp.zeros((7,))}, 1)
        with pytest.raises(ValueError, match="Cannot restore checkpoint 1"):
            checkpoints.restore(1, {"other": wrong["w"]})
        with pytest.raises(
            ValueError, match=r"of 1 leaves that differ, 'w' is \(1000,\) in it, and \(7,\) in the model"
        ):
            checkpoints.restore(1, wrong)
        honest = checkpoints._manager.restore

        def flip(step, args):
            restored: Any = honest(step, args=args)
            if "state" in restored:
                restored.state["w"] = restored.state["w"].at[17].set(jnp.nextafter(restored.state["w"][17], 99.0))
            return restored

        monkeypatch.setattr(checkpoints._manager, "restore", flip)
        with pytest.raises(Damaged, match=r"is damaged \(the bits of 'w' have changed since it was saved\)"):
            checkpoints.restore(1, target({"w": jnp.zeros((1000,))}, 1))


@functools.cache
def experiment(steps, name="vae", **changes):
    case = CASES[name]()
    test = data.load("digits", "test", batch_size=100)
    bound = case.model.density is not None and not case.model.density.exact
    return Experiment(
        model=case.model,
        players=case.players,
        data=data.load("digits", "train", batch_size=16),
        evals={"test": evals.likelihood(test)} if bound else {},
        best="test/nelbo" if bound else None,
        steps=steps,
        **{"log_every": 2, "save_every": 2, "eval_every": 4, **changes},
    )


@pytest.mark.parametrize("name, steps_per_call", (pytest.param("vae", 4, marks=pytest.mark.slow), ("dcgan", 1)))
def test_resumed_equals_unbroken(tmp_path, name, steps_per_call):
    def run(folder, steps):
        whole = experiment(steps, name, steps_per_call=steps_per_call, save_every=6)
        return fit(whole, workdir=tmp_path / folder, devices=jax.devices()[:2])

    unbroken = run("a", 12)
    run("b", 8)
    resumed = run("b", 12)
    assert bits(resumed.state) == bits(unbroken.state)
    assert resumed.results == unbroken.results
    lines = logged(tmp_path / "b")
    assert lines == logged(tmp_path / "a") and lines[-1]["step"] == 12 and len(lines) > 3


def test_the_best_checkpoint_is_that_of_the_averages(tmp_path):
    """The parameter is smallest at step 2, its average at step 3: which is evaluated, ranked and kept."""
    way, averages = [4.0, 1.0, 1.2, 3.0, 3.0], [0.0]
    for turn, value in enumerate(way):
        kept = min(0.75, (1 + turn) / (10 + turn))
        averages.append(kept * averages[-1] + (1 - kept) * value)
    result = alone(scripted(way), tmp_path)
    found = [row["eval/test/w"] for row in logged(tmp_path) if "eval/test/w" in row]
    np.testing.assert_allclose(found, averages[1:], rtol=1e-6)
    assert result.results == {"test/w": found[-1]} and result.best_step == 1 + int(np.argmin(found)) == 3
    assert {int(path.name) for path in (tmp_path / "checkpoints").iterdir()} == {3, 4, 5}


def test_every_evaluation_is_by_the_key_of_the_seed():
    """At whatever step, so that the numbers and pictures of a run can be compared."""
    of_key = {"test": lambda model, variables, key: {"w": jax.random.uniform(key)}}
    one = dataclasses.replace(scripted([1.0, 2.0]), seed=3, evals=of_key)
    state = create_state_of(one)
    found = [evaluate(one, state._replace(step=jnp.int32(step)))["test/w"] for step in (0, 5)]
    assert found == [float(jax.random.uniform(jax.random.key(3)))] * 2


@pytest.mark.parametrize("save_every, kept", ((1, {2, 5, 6}), (9, {2, 4, 6})))
def test_only_a_checkpoint_of_the_step_that_was_evaluated_is_ranked(tmp_path, save_every, kept):
    """Evaluated, and so saved, at every second step: the one after the best is not as good."""
    way = [5.0, 1.0, 4.0, 3.0, 2.0, 2.0]
    result = alone(scripted(way, ema=0.0, eval_every=2, save_every=save_every), tmp_path)
    assert result.best_step == 2
    assert {int(path.name) for path in (tmp_path / "checkpoints").iterdir()} == kept


def test_what_is_due_within_a_call_is_done_after_it(tmp_path):
    """In calls of two steps, what is due at 3 comes at 4, at 6 at once, and at the end all of it."""
    every = {"log_every": 3, "eval_every": 3, "save_every": 3}
    alone(scripted([3.0, 2.0, 1.0, 2.0, 1.0, 2.0, 3.0], steps_per_call=2, **every), tmp_path)
    assert [row["step"] for row in logged(tmp_path) if "p/loss" in row] == [4, 6, 7]
    assert [row["step"] for row in logged(tmp_path) if "eval/test/w" in row] == [4, 6, 7]
    assert {int(path.name) for path in (tmp_path / "checkpoints").iterdir()} >= {6, 7}


def test_resumed_in_the_middle_of_a_call(tmp_path):
    """Calls begin at multiples of steps_per_call: from step 3 in pairs, first to 4."""
    make = functools.partial(scripted, [4.0, 1.0, 1.2, 3.0, 3.0, 2.0, 5.0], steps_per_call=2, save_every=9)
    unbroken = alone(make(), tmp_path / "a")
    alone(make(steps=3), tmp_path / "b")
    resumed = alone(make(), tmp_path / "b")
    assert bits(resumed.state) == bits(unbroken.state)
    steps = [[row["step"] for row in logged(tmp_path / at) if "p/loss" in row] for at in "ab"]
    assert steps == [[2, 4, 6, 7], [2, 3, 4, 6, 7]]
    assert logged(tmp_path / "a")[-1] == logged(tmp_path / "b")[-1]


def test_resumed_on_fewer_devices(tmp_path):
    fit(experiment(4), workdir=tmp_path)
    result = fit(experiment(6), workdir=tmp_path, devices=jax.devices()[:1])
    assert int(result.state.step) == 6
    assert all(len(x.sharding.device_set) == 1 for x in jax.tree.leaves(result.state))


def test_best_must_be_evaluated(tmp_path):
    with pytest.raises(ValueError, match=r"best='valid/nll' is no number .* 'test/nelbo'"):
        fit(dataclasses.replace(experiment(4), best="valid/nll"), devices=jax.devices()[:1])


def test_a_run_compiles_its_step_once():
    """Nothing in logging, evaluating or saving makes the step compile again; a last, shorter call does, once."""
    case = CASES["vae"]()
    traces = []

    def counted(variables, batch, key, train):
        traces.append(train)
        return case.model.nelbo(variables, batch, key, train=train)

    def run(steps):
        players = {"vae": dataclasses.replace(case.players["vae"], terms=counted)}
        whole = dataclasses.replace(experiment(steps, steps_per_call=2), players=players)
        traces.clear()
        fit(whole, devices=jax.devices()[:1])
        return len(traces)

    shortest = run(2)  # one call
    assert run(12) == shortest
    assert run(13) == shortest + 1
