"""Several critics of one model, and what a critic's own layers draw."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from genjax_zoo import losses, wrap
from genjax_zoo.core import Critic, Player, require
from genjax_zoo.linen import from_linen, pure
from genjax_zoo.train import create_state, make_step

KEY = jax.random.key(0)
SPEC = {"x": jax.ShapeDtypeStruct((2,), jnp.float32)}
BATCH = {"x": jax.random.normal(jax.random.key(1), (8, 2))}


class Dropping(nn.Module):
    features: int

    @nn.compact
    def __call__(self, x, train):
        h = nn.Dropout(0.5, deterministic=not train)(nn.relu(nn.Dense(32)(x)))
        return nn.Dense(self.features)(h)


class Game(nn.Module):
    """A generator, and two critics of it, all with dropout."""

    def setup(self):
        self.generator, self.near, self.far = Dropping(2), Dropping(1), Dropping(1)

    def __call__(self, batch, key, train):
        x = self.sample(key, len(batch["x"]), batch, train)
        return self.discriminate(x, batch, train) + self.judge(x, batch, train)

    def sample(self, key, n, cond, train=False):
        return self.generator(jax.random.normal(key, (n, 2)), train)

    def discriminate(self, x, cond, train=False):
        return self.near(x, train)[:, 0]

    def judge(self, x, cond, train=False):
        return 10 + self.far(x, train)[:, 0]

    def nll(self, batch, key, train=False):
        return {"nll": jnp.sum(self.generator(batch["x"], train) ** 2, axis=1)}


GAME = from_linen(Game(), SPEC)
MODEL = wrap.with_memory(wrap.with_memory(GAME, "near"), "far")


NEAR, FAR = require(GAME, Critic), Critic(score=pure(Game(), Game.judge))
FAKES = losses.samples_of(MODEL)


def players(every=1):
    penalties: dict[str, Any] = {"lecam": losses.lecam, "r1": losses.lazy(losses.r1, 2)}
    weights, sgd = {"adversarial": 1.0, "lecam": 0.1, "r1": 0.1}, optax.sgd(1e-3)
    near, generator = losses.adversarial(MODEL, memory="near", **penalties)
    far, _ = losses.game(FAR, FAKES, memory="far", **penalties)
    return {
        "near": Player(terms=near, weights=weights, tx=sgd, owns=("near",)),
        "far": Player(terms=far, weights=weights, tx=sgd, owns=("far",), every=every),
        "generator": Player(terms=generator, weights={"adversarial": 1.0}, tx=sgd, owns=("generator",)),
    }


def test_two_critics_have_a_memory_each():
    """One plays every third step: its lazy penalty and running scores are its own, 10 above the other's."""
    both = players(every=3)
    state, run = create_state(MODEL, both, KEY, BATCH), jax.jit(make_step(both))
    fired = {"near": [], "far": []}
    for _ in range(7):
        state, metrics = run(state, BATCH)
        for name in fired:
            fired[name] += [float(metrics[f"{name}/r1"]) > 0] if metrics[f"{name}/played"] else []
    memory = state.variables["memory"]
    assert {name: float(memory[name]["turns"]) for name in memory} == {"near": 7, "far": 3}
    assert fired == {"near": [True, False] * 3 + [True], "far": [True, False, True]}
    assert memory["far"]["real_score"] > 5 > memory["near"]["real_score"]
    assert state.updates == {"near": 7, "far": 3, "generator": 7}


def test_a_critics_turn_leaves_the_others_memory():
    variables = MODEL.init(KEY, BATCH)
    terms, _ = losses.adversarial(MODEL, memory="near", lecam=losses.lecam)
    after = terms(variables, BATCH, KEY, train=True)[1]["memory"]
    assert after["near"]["turns"] == 1 and jax.tree.all(
        jax.tree.map(jnp.array_equal, after["far"], variables["memory"]["far"])
    )


def test_whose_memory_it_is_must_be_said():
    variables = MODEL.init(KEY, BATCH)
    for memory, sentence in (
        (None, r"\['near', 'far'\] have a memory each; say whose"),
        ("low", "'low' has no memory"),
    ):
        terms, _ = losses.adversarial(MODEL, memory=memory, lecam=losses.lecam)
        with pytest.raises(ValueError, match=sentence):
            terms(variables, BATCH, KEY, train=True)


def test_a_memory_is_of_a_network_that_scores():
    variables = MODEL.init(KEY, BATCH)
    terms, _ = losses.adversarial(MODEL, memory="far", lecam=losses.lecam)  # but the model's critic is the near one
    with pytest.raises(ValueError, match="'far' has the memory, but no part in the score .* takes the network that"):
        terms(variables, BATCH, KEY, train=True)
    other, _ = losses.game(FAR, FAKES, memory="far", lecam=losses.lecam)
    other(variables, BATCH, KEY, train=True)  # control


def test_dropout_draws_by_the_key_of_its_method():
    """In training each key has its masks, for networks of every kind of term; in evaluation there are none."""
    variables = GAME.init(KEY, BATCH)
    critic, generator = losses.adversarial(GAME)
    for terms in (critic, generator, GAME.nll):
        for train, alike in ((True, False), (False, True)):
            one, again, other = (
                {n: np.asarray(x) for n, x in terms(variables, BATCH, jax.random.key(seed), train=train)[0].items()}
                for seed in (1, 1, 2)
            )
            last = next(reversed(one)) if terms is GAME.nll else "adversarial"
            np.testing.assert_array_equal(one[last], again[last])
            if terms is GAME.nll:
                assert np.array_equal(one[last], other[last]) == alike
    clean = NEAR.score(variables, BATCH["x"])[0]
    np.testing.assert_array_equal(critic(variables, BATCH, KEY, train=False)[0]["real_score"], clean)
    assert np.ptp(np.asarray(critic(variables, BATCH, KEY, train=True)[0]["real_score"]) - clean) > 1e-3
    with jax.debug_key_reuse(True):
        jax.jit(critic, static_argnames="train").trace(variables, BATCH, KEY, train=True)


def test_a_penalty_sees_the_mask_that_its_example_was_scored_with():
    variables, seen = GAME.init(KEY, BATCH), []

    def of(round):
        seen.append((round.score(round.real), round.real_score))
        return jnp.zeros_like(round.real_score)

    critic, _ = losses.adversarial(GAME, look=losses.Penalty(of=of, formula="0"))
    critic(variables, BATCH, KEY, train=True)
    np.testing.assert_array_equal(*seen[0])


def test_dropout_without_a_key_is_a_sentence():
    with pytest.raises(ValueError, match="'discriminate' draws without a key .*call it with key=, by which nn.Dropout"):
        NEAR.score(GAME.init(KEY, BATCH), BATCH["x"], train=True)
