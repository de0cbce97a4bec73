"""Games of critic and generator: penalties in closed form, convergence, packing, augmentation, and what is refused."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
from cases import CASES, images

from genjax_zoo import data, evals, losses, models, wrap
from genjax_zoo.conformance import randomise
from genjax_zoo.core import Critic, Player, require
from genjax_zoo.linen import from_linen
from genjax_zoo.models.gan.gan import pack_examples
from genjax_zoo.train import create_state, make_step

KEY = jax.random.key(0)
PENALTIES = {name: getattr(losses, name) for name in ("wgan_gp", "dragan", "r1", "r2")}


def a_round(score, real, fake, key=KEY, memory=None):
    return losses.Round(score, real, fake, score(real), score(fake), key, memory or {})


@pytest.mark.parametrize("pack", [1, 2])
def test_penalties_of_a_linear_critic(pack):
    """The gradient is w everywhere: over all pixels of an example, or of a pack."""
    weights = jax.random.normal(jax.random.key(1), (3, 3, 2 * pack))
    real, fake = jax.random.normal(jax.random.key(2), (2, 8, 3, 3, 2))
    round = a_round(lambda x: jnp.tensordot(pack_examples(x, pack), weights, 3), real, fake)
    norm = jnp.sqrt(jnp.sum(weights**2))
    for name, wanted in {"r1": norm**2, "r2": norm**2, "wgan_gp": (norm - 1) ** 2, "dragan": (norm - 1) ** 2}.items():
        found = PENALTIES[name].of(round)
        assert found.shape == (8 // pack,)
        np.testing.assert_allclose(found, wanted, rtol=1e-4)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):  # control: the norm over one axis only
        wrong = jnp.sqrt(jnp.sum(weights**2, axis=0)).mean() ** 2
        np.testing.assert_allclose(PENALTIES["r1"].of(round), wrong, rtol=1e-4)


def test_where_penalties_look():
    """The gradient of |x|^2 / 2 is x: R1 looks at real, R2 at fake, WGAN-GP between, one share per example."""
    real, fake = jnp.full((2_000, 4, 4, 1), 3.0), jnp.zeros((2_000, 4, 4, 1))
    round = a_round(lambda x: 0.5 * jnp.sum(x**2, axis=(1, 2, 3)), real, fake)
    np.testing.assert_allclose(losses.r1.of(round), 16 * 9.0, rtol=1e-5)
    np.testing.assert_allclose(losses.r2.of(round), 0.0)
    norms = jnp.sqrt(losses.wgan_gp.of(round)) + 1  # of those above 2 it is clear which root is theirs

    def even(norms):
        return scipy.stats.kstest(np.asarray(norms[norms > 2]), scipy.stats.uniform(2, 10).cdf).pvalue > 1e-3

    assert even(norms)
    assert not even(3 * jnp.sqrt(jnp.sum(jax.random.uniform(KEY, (2_000, 16)) ** 2, axis=1)))  # control: per pixel


def test_dragan_looks_above_the_data_by_up_to_half_their_deviation():
    """As in the authors' code, x + u * 0.5 * std * v with u and v uniform: at a quarter of 0.5 * std in the mean."""
    real = jnp.repeat(jnp.array([8.0, 12.0]), 2_000)[:, None]  # of deviation 2
    near = jnp.sqrt(losses.dragan.of(a_round(lambda x: 0.5 * jnp.sum(x**2, axis=1), real, real))) + 1
    above = np.asarray(near - real[:, 0])
    assert above.min() > -1e-4 and 0.9 < above.max() < 1.0001
    product = lambda t: t - t * np.log(t)  # noqa: E731  # P(u v < t)
    assert scipy.stats.kstest(np.clip(above, 1e-9, 1), product).pvalue > 1e-3


def test_penalties_go_through_the_augmentation():
    """Of the critic w x behind x -> 3 x the slope is 3 w; R1's is that of the very scores of the turn."""
    critic, generator = losses.adversarial(DIRAC, augment=lambda key, x: 3 * x, **PENALTIES)
    batch, variables = {"x": jnp.array([1.0, -2.0])}, dirac_at(5.0, 7.0)
    terms = jax.jit(functools.partial(critic, train=True))(variables, batch, KEY)[0]
    np.testing.assert_allclose(terms["real_score"], [21, -42])
    np.testing.assert_allclose(terms["fake_score"], 105)
    for name in ("r1", "r2"):
        np.testing.assert_allclose(terms[name], 21**2, rtol=1e-5)
    for name in ("wgan_gp", "dragan"):
        np.testing.assert_allclose(terms[name], 20**2, rtol=1e-5)

    def fooled(variables):
        return generator(variables, batch, KEY, train=True)[0]["adversarial"].mean()

    slope = jax.jit(jax.grad(fooled))(dirac_at(0.0, 7.0))["params"]["generator"]["value"]
    np.testing.assert_allclose(slope, -0.5 * 21, rtol=1e-5)  # of softplus(-3 w x) at x = 0

    random, _ = losses.adversarial(DIRAC, augment=lambda key, x: jax.random.uniform(key) * x, r1=losses.r1)
    terms = jax.jit(functools.partial(random, train=True))(variables, batch, KEY)[0]
    np.testing.assert_allclose(terms["r1"], (terms["real_score"] / batch["x"]) ** 2, rtol=1e-5)
    assert jnp.abs(terms["fake_score"] / 5 - terms["real_score"][0]).min() > 1e-3  # each side draws its own


class Dirac(nn.Module):
    """The generator makes one number, the critic is linear (Mescheder et al. 2018, def. 2.1)."""

    def setup(self):
        self.generator = Number()
        self.discriminator = Number()

    def __call__(self, batch, key, train=False):
        return self.discriminate(self.sample(key, len(batch["x"]), {}), {})

    def sample(self, key, n, cond, train=False):
        return jnp.full((n,), self.generator())

    def discriminate(self, x, cond, train=False):
        return self.discriminator() * x


class Number(nn.Module):
    @nn.compact
    def __call__(self):
        return self.param("value", nn.initializers.ones, ())


DIRAC = from_linen(Dirac(), {"x": jax.ShapeDtypeStruct((), jnp.float32)})


def dirac_at(generator, critic):
    values = {"generator": generator, "discriminator": critic}
    return {"params": {name: {"value": jnp.asarray(value)} for name, value in values.items()}}


def distance_after(game, steps=4_000, **penalties):
    """Of generator and critic from the equilibrium, which is zero for both; at the start it is 1.4."""
    model = DIRAC
    critic, generator = losses.adversarial(model, losses.adversary(game), **penalties)
    sgd, weights = optax.sgd(0.02), {"adversarial": 1.0, **dict.fromkeys(penalties, 0.5)}
    players = {
        "critic": Player(terms=critic, weights=weights, tx=sgd, owns=("discriminator",)),
        "generator": Player(terms=generator, weights={"adversarial": 1.0}, tx=sgd, owns=("generator",)),
    }
    batch, step = {"x": jnp.zeros(2)}, make_step(players)
    state = create_state(model, players, KEY, batch)
    state = jax.jit(lambda s: jax.lax.scan(lambda s, _: (step(s, batch)[0], None), s, length=steps)[0])(state)
    return float(optax.tree.norm(state.variables["params"]))


@pytest.mark.parametrize("game", ["minimax", "wasserstein", "non_saturating", "relativistic"])
def test_dirac_gan_converges_with_r1(game):
    assert distance_after(game, r1=losses.r1) < 1e-3
    alone = distance_after(game)
    assert alone > (0.5 if game in ("minimax", "wasserstein") else 0.1)  # the others come closer, and ever more slowly


@functools.cache
def played(name):
    case = CASES[name]()
    return case, {**case.state.variables, **randomise(case.state.variables)}


REPEATED = [pytest.param(name, marks=pytest.mark.slow) for name in ("sngan", "r3gan")]


@pytest.mark.parametrize("name", ["gan", "dcgan", "projection_gan", *REPEATED])
def test_the_critics_terms_do_not_reach_the_generator(name):
    case, variables = played(name)

    @functools.partial(jax.jit, static_argnums=0)
    def slopes(player, params):
        terms = case.players[player].terms({**variables, "params": params}, case.batch, KEY, train=True)[0]
        return sum(jnp.sum(value) for value in terms.values())

    of_critic = jax.grad(slopes, 1)("critic", variables["params"])["generator"]
    assert all(jnp.all(leaf == 0) for leaf in jax.tree.leaves(of_critic))
    of_generator = jax.grad(slopes, 1)("generator", variables["params"])["generator"]  # control: its own do
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(of_generator))


def test_spectrally_normalised_weights_have_a_largest_singular_value_of_one():
    case, variables = played("dcgan")
    critic = require(case.model, Critic)
    one = jax.jit(lambda v: critic.score(v, case.batch["x"], train=True)[1])
    for _ in range(100):
        variables = one(variables)
    params, stats = variables["params"]["discriminator"], variables["batch_stats"]["discriminator"]
    sigmas = {path: s for path, s in jax.tree_util.tree_leaves_with_path(stats) if "sigma" in str(path[-1])}
    kernels = [k for k in jax.tree.leaves(params) if k.ndim > 1]
    singular = sorted(float(np.linalg.svd(k.reshape(-1, k.shape[-1]))[1].max()) for k in kernels)
    divided = [a / b for a, b in zip(singular, sorted(float(s) for s in sigmas.values()))]
    assert len(sigmas) == len(kernels) == 3
    np.testing.assert_allclose(divided, 1, atol=1e-2)
    assert min(abs(s - 1) for s in singular) > 0.1  # control: the weights themselves have others


def test_an_image_is_not_rectified_before_the_first_block():
    """Without its shortcut, the first block still tells a dark image (below 0 inside) from a darker one."""
    case, variables = played("sngan")

    def without_shortcut(path, leaf):
        return 0 * leaf if {"down_0", "straight"} <= {str(entry.key) for entry in path} else leaf

    params = jax.tree_util.tree_map_with_path(without_shortcut, variables["params"])
    critic = require(case.model, Critic)
    of = jax.jit(lambda x: critic.score({**variables, "params": params}, x)[0])
    assert jnp.abs(of(0.4 * case.batch["x"]) - of(0.2 * case.batch["x"])).min() > 1e-4


def test_a_projection_gan_sees_its_labels():
    """The generator's image changes with its label; a pack's score with the label of each of its examples."""
    case, variables = played("projection_gan")
    z = case.model.sample_prior(variables, KEY, 16, {"label": jnp.zeros(16, int)})
    critic = require(case.model, Critic)

    @jax.jit
    def both(label, others):
        x = case.model.decode(variables, z, {"label": label})
        return x, critic.score(variables, case.batch["x"], {"label": others})[0]

    same = jnp.zeros(16, int)
    (x, scores), (x_other, scores_other) = both(same, same), both(same + 1, same.at[3].set(2))
    assert jnp.all(jnp.max(jnp.abs(x - x_other), axis=(1, 2, 3)) > 1e-3)
    assert list(np.flatnonzero(np.abs(scores - scores_other) > 1e-3)) == [1]  # packs of two


def test_lazy_penalties_and_lecam_remember():
    case, variables = played("r3gan")
    model = case.model
    lazily, _ = losses.adversarial(model, r1=losses.lazy(losses.r1, 3), always=losses.r1, lecam=losses.lecam)
    run = jax.jit(lazily, static_argnames="train")
    seen, means = [], []
    for turn in range(4):
        terms, variables = run(variables, case.batch, KEY, train=True)
        factor = 3.0 if turn % 3 == 0 else 0.0
        np.testing.assert_allclose(terms["r1"], factor * terms["always"], rtol=1e-4, atol=1e-6)
        if turn:
            wanted = (terms["real_score"] - means[-1]["fake_score"]) ** 2
            wanted += (terms["fake_score"] - means[-1]["real_score"]) ** 2
            np.testing.assert_allclose(terms["lecam"], wanted, rtol=1e-4, atol=1e-6)
        seen.append(float(jnp.mean(terms["real_score"])))
        means.append(variables["memory"]["discriminator"])
    average = seen[0]
    for value in seen[1:]:
        average = 0.99 * average + 0.01 * value
    np.testing.assert_allclose(means[-1]["real_score"], average, rtol=1e-5)
    assert means[-1]["turns"] == 4
    assert run(variables, case.batch, KEY, train=False)[1]["memory"]["discriminator"]["turns"] == 4  # no turn, no count


@pytest.mark.parametrize("make", [models.gan, models.dcgan, models.sngan, models.r3gan])
def test_both_sides_of_a_gan_see_its_conditions(make):
    """An image changes with each condition of its own; a pack's score with those of each of its examples."""
    small = {models.gan: {"hidden": (8,)}, models.dcgan: {"widths": (4, 8)}, models.sngan: {"features": 4}}
    conditions = {"label": 3, "place": (2,), "mask": (2, 2, 1)}
    settings = small.get(make, {"widths": (4, 4), "blocks": 1, "groups": 2})
    model = make(shape=(8, 8, 1), latent=3, conditions=conditions, pack=2, **settings)
    assert {name: one.shape for name, one in model.spec.items()} == {
        "x": (8, 8, 1),
        "label": (),
        "place": (2,),
        "mask": (2, 2, 1),
    }
    given = {"label": jnp.arange(4) % 3, "place": jnp.ones((4, 2)), "mask": jnp.zeros((4, 2, 2, 1))}
    batch = {**images(4), **given}
    variables = randomise(model.init(KEY, batch))
    z, critic = model.sample_prior(variables, KEY, 4, given), require(model, Critic)

    @jax.jit
    def both(given):
        return model.decode(variables, z, given), critic.score(variables, batch["x"], given)[0]

    x, scores = both(given)
    assert scores.shape == (2,)
    for name, value in given.items():
        other_x, other_scores = both({**given, name: value.at[3].add(1 if name != "label" else 2)})
        moved = np.abs(np.asarray(x - other_x)).max(axis=(1, 2, 3))
        assert moved[3] > 1e-5 and moved[:3].max() < 1e-6, name
        moved = np.abs(np.asarray(scores - other_scores))
        assert moved[1] > 1e-6 and moved[0] < 1e-7, name
    with pytest.raises(ValueError, match="needs the condition 'place'"):
        model.sample(variables, KEY, 4, {"label": given["label"]})
    with pytest.raises(ValueError, match="'label' is one of 0 ... 2"):
        model.sample(variables, KEY, 4, {**given, "label": given["label"] + 1})


def test_a_points_critic_sees_conditions_beside_it():
    model = models.r3gan(shape=(2,), latent=2, hidden=(8,), conditions={"place": (3,)})
    batch = {"x": jnp.ones((4, 2)), "place": jnp.ones((4, 3))}
    variables = model.init(KEY, batch)
    shapes = {net: leaves["mlp"] for net, leaves in variables["params"].items()}
    first = {net: next(iter(leaves.values()))["kernel"].shape for net, leaves in shapes.items()}
    assert first == {"generator": (5, 8), "discriminator": (5, 8)}


def test_packs():
    x = jnp.arange(4 * 2 * 2 * 3.0).reshape(4, 2, 2, 3)
    packs = pack_examples(x, 2)
    assert packs.shape == (2, 2, 2, 6)
    np.testing.assert_array_equal(packs[1, ..., :3], x[2])
    np.testing.assert_array_equal(packs[1, ..., 3:], x[3])
    case, variables = played("gan")
    critic = require(case.model, Critic)
    scores = critic.score(variables, case.batch["x"])[0]
    other = critic.score(variables, case.batch["x"].at[3].mul(0.5))[0]
    assert scores.shape == (8,)
    assert list(np.flatnonzero(scores != other)) == [1]
    terms, _ = case.players["critic"].terms(variables, case.batch, KEY, train=True)
    np.testing.assert_array_equal(terms["real_score"], jnp.repeat(scores, 2))
    np.testing.assert_array_equal(terms["accuracy"], terms["margin"] > 0)
    with pytest.raises(ValueError, match="Packs of 2 do not divide a batch of 15"):
        case.players["critic"].terms(variables, {"x": case.batch["x"][:15]}, KEY, train=True)


@pytest.mark.parametrize("one", [losses.color, losses.translation, losses.cutout, losses.diff_augment()])
def test_augmentations(one):
    """Of the same shape, each image in its own way, with a gradient; the same under jit; each draw by its own key."""
    x = jnp.repeat(images(2)["x"][:1], 6, axis=0) * jnp.ones(3) * 0.8 + 0.1
    out = one(KEY, x)
    assert out.shape == x.shape and len(np.unique(np.asarray(out).reshape(6, -1), axis=0)) > 2
    np.testing.assert_allclose(jax.jit(one)(KEY, x), out, rtol=1e-5, atol=1e-6)
    assert jnp.any(jax.grad(lambda x: jnp.sum(one(KEY, x) ** 2))(x) != 0)
    with jax.debug_key_reuse(True):
        jax.jit(one).trace(KEY, x)


def test_what_augmentations_do():
    x = 0.5 * jnp.ones((50, 8, 8, 1))
    gone = np.asarray(losses.cutout(KEY, x) == 0).sum(axis=(1, 2, 3))
    assert gone.max() == 16 and gone.min() < 16  # a square of half the size, partly outside at times
    shifted = losses.translation(KEY, x)
    kept = np.unique(np.asarray(shifted > 0).sum(axis=(1, 2, 3)))
    assert set(kept) <= {64, 56, 49}  # by one row, one column, both or none
    with pytest.raises(ValueError, match="Augmentation is of images"):
        losses.diff_augment()(KEY, jnp.ones((4, 2)))


def test_real_and_fake_are_augmented_alike():
    case, variables = played("dcgan")
    plain = losses.adversarial(case.model)
    dark = losses.adversarial(case.model, augment=lambda key, x: 0 * x)
    for side, dark_side in zip(plain, dark):
        assert jnp.ptp(side(variables, case.batch, KEY, train=True)[0]["adversarial"]) > 0
        assert jnp.ptp(dark_side(variables, case.batch, KEY, train=True)[0]["adversarial"]) == 0  # all look the same


def test_modes():
    means, sigma = data.mixture("grid25")
    x = np.repeat(means[:5], 4, axis=0) + np.tile([[0, 0], [2 * sigma, 0], [0, 2.9 * sigma], [4 * sigma, 0]], (5, 1))
    found = evals.count_modes(x, means, sigma)
    assert found["modes"] == 5 and found["high_quality"] == 0.75
    np.testing.assert_allclose(found["reverse_kl"], np.log(25 / 5))
    assert evals.count_modes(x + 100, means, sigma) == {"modes": 0, "high_quality": 0, "reverse_kl": np.inf}
    for name, floor in (("grid25", 24 / 5_000), ("ring8", 7 / 5_000)):  # real points: (K - 1) / 2 N nats
        real = np.asarray(data.load(name, "test", batch_size=2_500).at(0)["x"])
        found = evals.count_modes(real, *data.mixture(name))
        assert found["modes"] == len(data.mixture(name)[0]) and found["high_quality"] > 0.98
        assert floor / 3 < found["reverse_kl"] < 3 * floor
    with pytest.raises(ValueError, match="'checkerboard' is no mixture"):
        data.mixture("checkerboard")


def test_what_is_refused():
    batch_normed = models.dcgan(shape=(8, 8, 1), latent=3, widths=(4, 8))
    variables = batch_normed.init(KEY, images())
    for penalty in PENALTIES.values():
        critic, _ = losses.adversarial(batch_normed, penalty=penalty)
        with pytest.raises(ValueError, match="has batch norm .*gradient of one example's score is not its own"):
            critic(variables, images(), KEY, train=True)
    losses.adversarial(batch_normed)[0](variables, images(), KEY, train=True)  # control: without one it plays
    case, variables = played("dcgan")
    for penalty, reason in ((losses.lecam, "LeCam compares"), (losses.lazy(losses.r1, 2), "counts turns")):
        with pytest.raises(ValueError, match=f"{reason}.*wrap.with_memory"):
            losses.adversarial(case.model, penalty=penalty)[0](variables, case.batch, KEY, train=True)
    with pytest.raises(ValueError, match="every 1 turns or more, not 0"):
        losses.lazy(losses.r1, 0)
    with pytest.raises(ValueError, match="no network 'critic'.*generator"):
        wrap.with_memory(case.model, "critic").init(KEY, case.batch)
    with pytest.raises(ValueError, match="does not halve down to 4"):
        models.sngan(shape=(14, 7, 1))
