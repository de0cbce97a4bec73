"""One game for critics of x, of z and of pairs: its terms are those by hand, also wrapped, merged and on devices."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_whole_batch import distance

from genjax_zoo import losses, models, wrap
from genjax_zoo.compose import merge
from genjax_zoo.core import Critic, Model, Player, require, unit_of
from genjax_zoo.linen import from_linen, pure

KEY = jax.random.key(0)
SPEC = {"x": jax.ShapeDtypeStruct((2,), jnp.float32), "noise": jax.ShapeDtypeStruct((3,), jnp.float32)}
X, NOISE = jax.random.normal(jax.random.key(1), (8, 2)), jax.random.normal(jax.random.key(2), (8, 3))
BATCH = {"x": X * jnp.arange(8)[:, None] / 3, "noise": NOISE}
TRAIN = functools.partial(functools.partial, train=True)
close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)


class Parts(nn.Module):
    """A generator z -> x, an encoder x -> z, and linear critics of x, of z and of pairs of both."""

    def setup(self):
        self.generator, self.encoder = nn.Dense(2), nn.Dense(3)
        self.of_x, self.of_z, self.of_pair = nn.Dense(1), nn.Dense(1), nn.Dense(1)

    def __call__(self, batch, key, train):
        x, z = self.generate(batch["noise"]), self.infer(batch["x"])
        return self.discriminate(x, batch), self.judge_z(z, batch), self.judge_pair((x, z), batch)

    def generate(self, z):
        return self.generator(z)

    def infer(self, x):
        return self.encoder(x)

    def sample(self, key, n, cond):
        return self.generator(cond["noise"])

    def discriminate(self, x, cond):
        return self.of_x(x)[:, 0]

    def judge_z(self, z, cond):
        return self.of_z(z)[:, 0]

    def judge_pair(self, pair, cond):
        return self.of_pair(jnp.concatenate(pair, axis=-1))[:, 0]


PARTS = Parts()
MODEL = from_linen(PARTS, SPEC)
GENERATE, INFER = pure(PARTS, Parts.generate), pure(PARTS, Parts.infer)
OF_X = require(MODEL, Critic)
OF_Z, OF_PAIR = Critic(score=pure(PARTS, Parts.judge_z)), Critic(score=pure(PARTS, Parts.judge_pair))


def noise(variables, batch, key, *, train=False):
    return batch["noise"], variables


def encoded(variables, batch, key, *, train=False):
    return INFER(variables, batch["x"], train=train)


def inferred_pair(variables, batch, key, *, train=False):
    z, variables = INFER(variables, batch["x"], train=train)
    return (batch["x"], z), variables


def generated_pair(variables, batch, key, *, train=False):
    x, variables = GENERATE(variables, batch["noise"], train=train)
    return (x, batch["noise"]), variables


GAMES = {  # a game -> its critic's network, critic, fakes and real examples
    "x": ("of_x", OF_X, losses.samples_of(MODEL), losses.data_x),
    "z": ("of_z", OF_Z, encoded, noise),
    "pairs": ("of_pair", OF_PAIR, generated_pair, inferred_pair),
}


def dense(variables, network, x):
    own = variables["params"][network]
    return np.asarray(x) @ np.asarray(own["kernel"]) + np.asarray(own["bias"])


def examples(variables, name):
    """Fake and real, by hand."""
    x, z = np.asarray(BATCH["x"]), np.asarray(BATCH["noise"])
    made, read = dense(variables, "generator", z), dense(variables, "encoder", x)
    pairs = np.concatenate([made, z], axis=1), np.concatenate([x, read], axis=1)
    return {"x": (made, x), "z": (read, z), "pairs": pairs}[name]


def softplus(x):
    return np.log1p(np.exp(x))


@pytest.mark.parametrize("name", GAMES)
def test_both_sides_are_those_by_hand(name):
    network, critic, fake, real = GAMES[name]
    variables = MODEL.init(KEY, BATCH)
    penalties: dict[str, Any] = {"r1": losses.r1, "r2": losses.r2, "wgan_gp": losses.wgan_gp, "dragan": losses.dragan}
    critics, generators = losses.game(critic, fake, real, **penalties)
    found = jax.jit(TRAIN(critics))(variables, BATCH, KEY)[0]
    fooled = jax.jit(TRAIN(generators))(variables, BATCH, KEY)[0]
    at_fake, at_real = (dense(variables, network, x)[:, 0] for x in examples(variables, name))
    slope = float(np.sum(np.square(variables["params"][network]["kernel"])))
    close(found["adversarial"], softplus(-at_real) + softplus(at_fake))
    close(found["real_score"], at_real)
    close(found["fake_score"], at_fake)
    close(found["margin"], at_real - at_fake)
    close(found["accuracy"], at_real > at_fake)
    for penalty, wanted in {
        "r1": slope,
        "r2": slope,
        **dict.fromkeys(("wgan_gp", "dragan"), (slope**0.5 - 1) ** 2),
    }.items():
        close(found[penalty], np.full(8, wanted), rtol=1e-4)  # over all numbers of what the critic sees
    close(fooled["adversarial"], softplus(-at_fake))


def test_the_critic_of_a_model_is_one_of_these_games():
    variables = MODEL.init(KEY, BATCH)
    _, critic, fake, real = GAMES["x"]
    for own, made in zip(losses.adversarial(MODEL, losses.hinge), losses.game(critic, fake, real, losses.hinge)):
        first, second = (side(variables, BATCH, KEY, train=True)[0] for side in (own, made))
        jax.tree.map(np.testing.assert_array_equal, first, second)
        assert own.formulas == made.formulas and own.units == made.units


@pytest.mark.parametrize("name", GAMES)
def test_a_side_reaches_the_networks_that_are_its_own(name):
    """The critic's terms stop at both sources; the generator's go through both, where a game of two is asked for."""
    network, critic, fake, real = GAMES[name]
    variables = MODEL.init(KEY, BATCH)
    sides = losses.game(critic, fake, real, losses.relativistic(losses.non_saturating))

    def moved(side):
        def of(params):
            return jnp.sum(side({**variables, "params": params}, BATCH, KEY, train=True)[0]["adversarial"])

        slopes = jax.jit(jax.grad(of))(variables["params"])
        return {net for net, leaves in slopes.items() if any(jnp.any(x != 0) for x in jax.tree.leaves(leaves))}

    makers = {"x": {"generator"}, "z": {"encoder"}, "pairs": {"generator", "encoder"}}[name]
    assert moved(sides[0]) == {network} and moved(sides[1]) == {network, *makers}


def test_what_is_drawn_has_keys_of_its_own():
    def drawn(variables, batch, key, *, train=False):
        return jax.random.normal(key, (8, 3)), variables

    variables = MODEL.init(KEY, BATCH)
    for side, apart in zip(losses.game(OF_Z, drawn, drawn), (True, None)):
        terms = side(variables, BATCH, KEY, train=True)[0]
        assert apart is None or np.abs(terms["margin"]).min() > 1e-4
        with jax.debug_key_reuse(True):
            jax.jit(TRAIN(side)).trace(variables, BATCH, KEY)


def test_units_are_stated():
    critics, generators = losses.adversarial(MODEL, r1=losses.r1)
    units = {name: unit_of(critics, name) for name in ("adversarial", "r1", "real_score", "margin", "accuracy")}
    assert units == {"adversarial": "loss", "r1": "loss", **dict.fromkeys(("real_score", "margin", "accuracy"), "look")}
    assert unit_of(generators, "adversarial") == "loss"


def test_under_a_scale_the_critic_sees_what_it_saw():
    """By hand: real examples go in as y = (x - 1) * 3, fakes are the generator's y; R1 is of the slope at x."""
    model, variables = wrap.scaled(MODEL, shift=1.0, scale=3.0), MODEL.init(KEY, BATCH)
    critics, generators = losses.adversarial(model, r1=losses.r1)
    found = critics(variables, BATCH, KEY, train=True)[0]
    at_fake = dense(variables, "of_x", dense(variables, "generator", BATCH["noise"]))[:, 0]
    at_real = dense(variables, "of_x", (np.asarray(BATCH["x"]) - 1) * 3)[:, 0]
    close(found["adversarial"], softplus(-at_real) + softplus(at_fake), rtol=1e-4)
    close(found["r1"], np.full(8, 9 * np.sum(np.square(variables["params"]["of_x"]["kernel"]))), rtol=1e-4)
    close(generators(variables, BATCH, KEY, train=True)[0]["adversarial"], softplus(-at_fake), rtol=1e-4)
    plain = losses.adversarial(MODEL)[0](variables, BATCH, KEY, train=True)[0]
    assert np.abs(found["adversarial"] - plain["adversarial"]).max() > 0.1  # control: without the wrapper it is another


def test_two_models_in_one_tree_play():
    """A critic of one model and a sampler of another, each under its name."""
    both = merge(maker=MODEL, judge=MODEL)
    model = both.model(both["maker"], critic=both["judge"].critic)
    variables = model.init(KEY, BATCH)
    found = losses.adversarial(model)[0](variables, BATCH, KEY, train=True)[0]
    made = dense(variables, "maker/generator", BATCH["noise"])
    close(found["fake_score"], dense(variables, "judge/of_x", made)[:, 0])
    close(found["real_score"], dense(variables, "judge/of_x", BATCH["x"])[:, 0])


def test_a_generator_trains_in_training_mode():
    """Both sides draw by the batch's own statistics, and hand on what they have gathered."""
    model = models.gan(shape=(2,), latent=2, hidden=(4,), critic_hidden=(4,), normalised=True)
    variables = model.init(KEY, {"x": BATCH["x"]})
    for side in losses.adversarial(model):
        for train in (True, False):
            after = side(variables, {"x": BATCH["x"]}, KEY, train=train)[1]
            same = jax.tree.map(jnp.array_equal, after["batch_stats"], variables["batch_stats"])
            assert jax.tree.all(same) is not train


def test_sources_of_different_spaces_are_a_sentence():
    variables = MODEL.init(KEY, BATCH)
    for side in losses.game(OF_Z, encoded):  # a critic of z, but the real examples are x
        with pytest.raises(
            ValueError, match=r"fakes of shape \(8, 3\) from real examples of \(8, 2\); .* of one space"
        ):
            side(variables, BATCH, KEY, train=True)
    for side in losses.game(OF_PAIR, generated_pair, noise):
        with pytest.raises(ValueError, match=r"fakes of shape \(8, 2\) and \(8, 3\) from real examples of \(8, 3\)"):
            side(variables, BATCH, KEY, train=True)
    for side in losses.adversarial(MODEL, augment=lambda key, x: x[:, :1]):
        with pytest.raises(ValueError, match=r"makes \(8, 1\) of \(8, 2\); it must keep the shape"):
            side(variables, BATCH, KEY, train=True)


def test_a_model_that_cannot_play_says_what_it_lacks():
    alone = Model(spec=SPEC, init=MODEL.init, critic=MODEL.critic, left_out={"sampler": "wrap.mine"})
    with pytest.raises(ValueError, match="no 'sampler'; it has critic. It was left out by wrap.mine"):
        losses.adversarial(alone)
    with pytest.raises(ValueError, match="no 'critic'; it has sampler"):
        losses.adversarial(Model(spec=SPEC, init=MODEL.init, sampler=MODEL.sampler))


def playing(name, fake):
    """The players of one game, by plain gradient descent: what is drawn is in the batch, whatever the devices."""
    network, critic, _, real = GAMES[name]
    model, sgd = wrap.with_memory(MODEL, network), optax.sgd(0.05)
    critics, generators = losses.game(
        critic, fake, real, r1=losses.lazy(losses.r1, 2), r2=losses.r2, lecam=losses.lecam
    )
    weights = {"adversarial": 1.0, "r1": 0.5, "r2": 0.5, "lecam": 0.3}
    rest = tuple(net for net in ("generator", "encoder", "of_x", "of_z", "of_pair") if net != network)
    return model, {
        "critic": Player(terms=critics, weights=weights, tx=sgd, owns=(network,)),
        "makers": Player(terms=generators, weights={"adversarial": 1.0}, tx=sgd, owns=rest),
    }


@pytest.mark.parametrize(
    "backend", ("shard_map", "pmap", *(pytest.param(b, marks=pytest.mark.slow) for b in ("jit", "vmap")))
)
@pytest.mark.parametrize("name", GAMES)
def test_one_device_plays_as_two(name, backend):
    assert distance(*playing(name, GAMES[name][2]), BATCH, backend, devices=2) < 2e-5


def test_control_fakes_of_a_device_alone():
    """Fakes that are compared with each other, but not with those of the other device, part the two."""

    def beside(gathered):
        def fake(variables, batch, key, *, train=False):
            z, variables = encoded(variables, batch, key, train=train)
            return z * jnp.std(gathered(z), axis=0), variables

        return fake

    assert distance(*playing("z", beside(lambda z: z)), BATCH, "vmap", devices=2) > 1e-3
    assert distance(*playing("z", beside(losses.gathered)), BATCH, "vmap", devices=2) < 2e-5
