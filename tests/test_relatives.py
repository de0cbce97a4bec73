"""Parts that meet: estimators, keys, units and checks, whoever made the prior, the posterior and the observation."""

import dataclasses

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from capable import density, sampler
from jax.core import Tracer

from genjax_zoo import Player, compose, losses, math, models, nn, wrap
from genjax_zoo.conformance import randomise
from genjax_zoo.core import Density, Explained, Latent, Levels, Model, Sampler, log_prob, part, require, total
from genjax_zoo.linen import Network, from_linen, image_spec, reader
from genjax_zoo.nn import Bijection
from genjax_zoo.train import create_state

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (6, 2))


class Noisy(linen.Module):
    """Two numbers for each of `features / 2`: a draw of its own key, and zero."""

    features: int

    @linen.compact
    def __call__(self, x, key=None, train=False):
        draw = (
            jnp.zeros((len(x), self.features // 2))
            if key is None
            else jax.random.normal(key, (len(x), self.features // 2))
        )
        return jnp.concatenate([draw, jnp.zeros_like(draw)], axis=-1)


class Trained(linen.Module):
    """A layer that is another in training: by batch norm, or by dropout."""

    dropout: bool

    @linen.compact
    def __call__(self, x, key=None, train=False):
        x = linen.Dense(6, name="in")(x)
        x = (
            linen.Dropout(0.5)(x, deterministic=not train)
            if self.dropout
            else linen.BatchNorm(not train, name="norm")(x)
        )
        return linen.Dense(4, name="out")(linen.tanh(x))


def layer(name, out, given, shape, module=None):
    return compose.gaussian(reader(name, module or nn.MLP((), out), given), shape)


def decoder():
    return compose.observed(reader("decoder", nn.MLP((), 2), "z"), math.gaussian(0.5), (2,))


@pytest.mark.parametrize("dropout", [False, True], ids=["batch norm", "dropout"])
def test_estimators_have_one_value_where_a_posterior_is_another_in_training(dropout):
    base = layer("encoder", 4, "given", (2,), Trained(dropout))
    posterior = compose.pushed(base, nn.Inverse(nn.Chain((nn.Scale(),))), begin=Bijection.inverse)
    model = compose.variational(compose.distribution((2,)), posterior, decoder())
    variables = randomise(model.init(KEY, {"x": X}))

    def value(estimator, train):
        terms = losses.importance_weighted(model, k=2, estimator=estimator)
        return jax.jit(lambda: terms(variables, {"x": X}, KEY, train=train)[0]["iw_nelbo"])()

    plain = value(losses.reparameterized, True)
    for estimator in (losses.sticking_the_landing, losses.doubly_reparameterized):
        np.testing.assert_allclose(value(estimator, True), plain, rtol=1e-4)
    assert np.abs(value(losses.reparameterized, False) - plain).max() > 1e-2  # control: it is another


def nested():
    inner = compose.variational(compose.distribution((1,)), layer("e2", 2, "given", (1,)), layer("d2", 2, "z", (1,)))
    return compose.variational(inner, layer("e1", 2, "given", (1,)), layer("d1", 2, "z", (1,)))


def test_gradients_of_layers_upon_layers_are_unbiased():
    """At k = 5, by 40,000 paired draws; sticking the landing's are not (control)."""
    model, x = nested(), jnp.array([[0.7]])
    variables = randomise(model.init(KEY, {"x": x}), scale=0.8)

    @jax.jit
    def scores(keys):
        def gradient(estimator, key):
            terms = losses.importance_weighted(model, k=5, estimator=estimator)
            return jax.grad(lambda p: terms({"params": p}, {"x": x}, key, train=True)[0]["iw_nelbo"].sum())(
                variables["params"]
            )["e1"]

        def one(key):
            plain = gradient(losses.reparameterized, key)
            others = losses.doubly_reparameterized, losses.sticking_the_landing
            return [jax.tree.map(jnp.subtract, gradient(other, key), plain) for other in others]

        return jax.lax.map(one, keys, batch_size=1_000)

    def largest(tree):
        flat = np.concatenate(
            [np.asarray(leaf, np.float64).reshape(40_000, -1) for leaf in jax.tree.leaves(tree)], axis=1
        )
        return np.max(np.abs(flat.mean(0)) / (flat.std(0) / 200 + 1e-9))

    unbiased, biased = scores(jax.random.split(KEY, 40_000))
    assert largest(unbiased) < 5 and largest(biased) > 8


def test_noise_around_a_network_is_not_the_networks():
    """Both are normal: the variance is 2, and 4 if they were one draw."""
    noisy = compose.gaussian(reader("encoder", Noisy(2), "given"), (1,))
    given = {"given": jnp.zeros((20_000, 1))}
    for draw in (require(noisy, Sampler).draw, lambda *args: part(noisy, Sampler, "scored")(*args)[0]):
        assert np.var(draw({"params": {}}, KEY, 20_000, given)[0]) == pytest.approx(2, rel=0.05)
    shown = compose.observed(reader("decoder", Noisy(4), "z"), math.gaussian(1.0), (2, 2))
    x = require(shown, Sampler).draw({"params": {}}, KEY, 20_000, {"z": jnp.zeros((20_000, 1))})[0]
    np.testing.assert_allclose(np.var(x, axis=0), [[2, 2], [1, 1]], rtol=0.05)


def test_layers_that_split_their_key_have_noise_of_their_own():
    """A posterior that draws by the second half of its key, beside a prior that draws by its key: uncorrelated."""
    shape, told = (1,), []

    def scored(v, key, n, cond, *, train=False):
        z = jax.random.normal(jax.random.split(key)[1], (n, 1))
        told.append(z)
        return (z, math.gaussian_nll(z, jnp.zeros(()), jnp.zeros(()))), v

    def heard(v, batch, key, *, train=False):
        told.append(jax.random.normal(key, batch["x"].shape))
        return {"nll": jnp.zeros(len(batch["x"]))}, v

    spec = image_spec(shape)
    posterior = Model(
        spec=spec, init=lambda k, b: {"params": {}}, sampler=dataclasses.replace(sampler(None), scored=scored)
    )
    deaf = dataclasses.replace(compose.distribution(shape), density=density(heard))
    model = compose.variational(deaf, posterior, deaf)
    model.nelbo({"params": {}}, {"x": jnp.zeros((5_000, 1))}, KEY)
    noise = np.concatenate(told, axis=1).T
    assert noise.shape == (3, 5_000) and np.abs(np.corrcoef(noise) - np.eye(3)).max() < 0.1


def test_whoever_shares_a_key_has_one_of_its_own():
    """Posterior, its context, prior and observation of a flow posterior, each drawing by the key that it is given."""
    told = {}

    def heard(name, width):
        def run(v, *args, key=None, train=False):
            if key is not None and not isinstance(key, Tracer):  # which init has
                told.setdefault(name, set()).add(jax.random.key_data(key).tobytes())
            return jnp.zeros((len(X), width)), v

        return Network(init=lambda key, *args: {"params": {}}, run=run)

    flow = nn.Inverse(nn.Stack(nn.MaskedAutoregressive(math.affine(), nn.MaskedMLP(2, 2, (4,))), 1))
    base = compose.gaussian(heard("posterior", 4), (2,))
    posterior = compose.pushed(base, flow, context=heard("context", 3), begin=Bijection.inverse)
    prior = compose.gaussian(heard("prior", 4), (2,))
    observation = compose.observed(heard("observation", 2), math.gaussian(1.0), (2,))
    model = compose.variational(prior, posterior, observation)
    variables = model.init(KEY, {"x": X})
    model.nelbo(variables, {"x": X}, KEY, train=True)
    keys = [key for each in told.values() for key in each]
    assert set(told) == {"posterior", "context", "prior", "observation"} and len(keys) == len(set(keys)) == 4
    splits = {jax.random.key_data(k).tobytes() for n in (2, 3, 4) for k in jax.random.split(KEY, n)}
    assert not splits & set(keys)


def test_real_examples_and_their_augmentation_are_drawn_apart():
    told = []

    def real(v, batch, key, *, train=False):
        told.append(jax.random.normal(key, (64, 2)))
        return told[-1], v

    def augment(key, x):
        told.append(jax.random.normal(key, x.shape))
        return x

    score = compose.critic_of(lambda v, x, *, key=None, train=False: (x[:, :1], v))
    critic, generator = losses.game(score, losses.data_x, real, augment=augment)
    for side in (critic, generator):
        told.clear()
        side({"params": {}}, {"x": X[:1].repeat(64, 0)}, KEY, train=True)
        assert len({np.asarray(noise).tobytes() for noise in told}) == len(told) == 3


def test_what_is_only_looked_at_is_no_part_of_a_bound():
    def looked(model):
        of = require(model, Density)

        def terms(v, batch, key, *, train=False):
            named, v = of.terms(v, batch, key, train=train)
            return {**named, "length": 1_000 + jnp.zeros(len(batch["x"]))}, v

        stated = dataclasses.replace(of.terms, terms=terms, units={**of.terms.units, "length": "look"})
        return dataclasses.replace(model, density=dataclasses.replace(of, terms=stated))

    posterior = layer("encoder", 4, "given", (2,))
    plain = compose.variational(compose.distribution((2,)), posterior, decoder())
    other = compose.variational(looked(compose.distribution((2,))), posterior, looked(decoder()))
    variables = plain.init(KEY, {"x": X})
    for found, wanted in zip(*(m.nelbo(variables, {"x": X}, KEY)[0].values() for m in (other, plain))):
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    weights = [m.log_weights(variables, {"x": X}, KEY, 2) for m in (other, plain)]
    np.testing.assert_allclose(*weights, rtol=1e-5)
    normal = compose.distribution((2,))
    np.testing.assert_allclose(log_prob(looked(normal))({}, X[0]), log_prob(normal)({}, X[0]))


def test_merged_terms_keep_what_each_states():
    """Also by `rest`: a bound without formulas is weighed whole, or refused, beside any other function."""
    module_terms = Explained(
        terms=lambda v, b, k, *, train=False: ({"distortion": X[:, 0], "rate": X[:, 1]}, v), rest="nats"
    )
    model = dataclasses.replace(layer("encoder", 4, "given", (2,)), spec=image_spec((2,)), density=None)
    model = dataclasses.replace(model, init=lambda key, batch: {"params": {"encoder": jnp.zeros(1)}})
    both = losses.merge(module_terms, lambda v, b, k, *, train: ({"penalty": X[:, 0]}, v))
    player = Player(terms=both, weights={"distortion": 1.0, "penalty": 1.0}, tx=optax.sgd(0.1))
    with pytest.raises(ValueError, match="No player weighs 'rate'"):
        create_state(model, {"a": player}, KEY, {"x": X})


def test_temperature_is_of_latents_and_not_of_what_is_observed():
    """Of a Gaussian observation as of any other; of layers it is of all but the last."""
    cold = wrap.tempered(nested(), 0.1)
    zero = jax.tree.map(jnp.zeros_like, cold.init(KEY, {"x": X[:, :1]}))
    assert np.std(cold.sample(zero, KEY, 4_000)) == pytest.approx(1, rel=0.05)
    assert np.std(cold.sample_prior(zero, KEY, 4_000)) < 0.2


def test_a_prior_whose_condition_is_fixed():
    label = {"label": jax.ShapeDtypeStruct((3,), jnp.float32)}
    prior = compose.gaussian(reader("prior", nn.MLP((), 4), "label"), (2,), spec=label)
    fixed = wrap.conditioned(prior, label=[0.0, 1.0, 0.0])
    model = compose.variational(fixed, layer("encoder", 4, "given", (2,)), decoder())
    variables = randomise(model.init(KEY, {"x": X}))
    told = compose.variational(prior, layer("encoder", 4, "given", (2,)), decoder())
    batch = {"x": X, "label": jnp.tile(jnp.array([0.0, 1.0, 0.0]), (6, 1))}
    pairs = zip(*(m.nelbo(variables, b, KEY)[0].values() for m, b in ((model, {"x": X}), (told, batch))))
    for found, wanted in pairs:
        np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert model.sample_prior(variables, KEY, 3).shape == (3, 2)


def test_a_known_distribution_as_posterior_and_dropout_in_a_context():
    known = compose.variational(compose.distribution((2,)), compose.distribution((2,)), decoder())
    variables = known.init(KEY, {"x": X})
    np.testing.assert_allclose(known.nelbo(variables, {"x": X}, KEY)[0]["rate"], 0, atol=1e-6)
    base = layer("encoder", 4, "given", (2,))
    context = reader("context", Trained(dropout=True), "given")
    affine = math.affine()
    flow = nn.Inverse(nn.Stack(nn.MaskedAutoregressive(affine, nn.MaskedMLP(2, 2, (4,))), 1))
    posterior = compose.pushed(base, flow, context=context, name="flow", begin=Bijection.inverse)
    model = compose.variational(compose.distribution((2,)), posterior, decoder())
    variables = randomise(model.init(KEY, {"x": X}))
    assert np.isfinite(total(model.nelbo(variables, {"x": X}, KEY, train=True)[0])).all()


class Bare(linen.Module):
    def setup(self):
        self.net = linen.Dense(1)

    def __call__(self, batch, key, train=False):
        return self.net(batch["x"])

    def log_weights(self, batch, k, key, train=False):
        return jnp.zeros((k, len(batch["x"])))

    def nelbo(self, batch, key, train=False):
        return {"nelbo": self.net(batch["x"])[:, 0]}


def discrete():
    return dataclasses.replace(
        compose.distribution((2,)), card=dataclasses.replace(compose.distribution((2,)).card, support=Levels(4))
    )


ZEROS = jnp.zeros((6, 4))


def narrow():
    """An observation of four bits, whose network gives one number."""
    observation = compose.observed(reader("d", nn.MLP((), 1), "z"), math.bernoulli, (4,))
    return compose.variational(compose.distribution((2,)), small((2,)), observation)


def returning(value):
    player = Player(terms=lambda v, batch, key, *, train: value, weights={"d": 1.0}, tx=optax.sgd(0.1))
    create_state(models.real_nvp(shape=(2,)), {"a": player}, KEY, {"x": X})


def small(shape):
    return layer("encoder", 2 * shape[0], "given", shape)


BAD = [
    (lambda: compose.variational(discrete(), small((2,)), decoder()), "prior is a probability of 4 levels"),
    (lambda: compose.pushed(discrete(), nn.Scale()), "base is a probability of 4 levels"),
    (lambda: compose.variational(compose.distribution((3,)), small((2,)), decoder()), "prior is of z of shape"),
    (lambda: small((2,)).nll({"params": {}}, {"given": X, "x": X[:, :1]}, KEY), "expects 'x' of shape"),
    (lambda: compose.distribution((2,)).nll({}, {"x": jnp.zeros((6, 3))}, KEY), "expects 'x' of shape"),
    (lambda: narrow().nelbo(narrow().init(KEY, {"x": ZEROS}), {"x": ZEROS}, KEY), "gives 1 numbers an example"),
    (lambda: compose.frozen(models.real_nvp(shape=(2,))).nll({"params": {}}, {"x": X}, KEY), "variables of a frozen"),
    (lambda: compose.pushed(compose.distribution((2,)), nn.MLP((), 2)), "is an nn.Bijection"),  # type: ignore[arg-type]
    (lambda: layer("e", 4, "x", (2,)).nll({"params": {}}, {"given": X, "x": X}, KEY), "The network 'e' reads 'x', but"),
    (lambda: returning({"d": jnp.ones(6)}), "of player 'a' must return a pair"),
    (lambda: returning(({"d": jnp.ones(3)}, {})), r"term 'd' of player 'a' has the shape \(3,\)"),
    (
        lambda: compose.frozen(models.real_nvp(shape=(2,)), {"params": {"a": 0}}).init(KEY, {"x": X}),
        r"to freeze has networks \['bijection'\], but the variables are of \['a'\]",
    ),
    (
        lambda: losses.importance_weighted(
            from_linen(Bare(), image_spec((2,))), k=2, estimator=losses.sticking_the_landing
        )({"params": {"net": {"kernel": jnp.zeros((2, 1)), "bias": jnp.zeros(1)}}}, {"x": X}, KEY),
        "takes no 'detached', which this estimator asks for",
    ),
    (
        lambda: create_state(
            (frozen := compose.frozen(models.real_nvp(shape=(2,)))),
            {"flow": Player(terms=frozen.nll, tx=optax.sgd(0.1))},
            KEY,
            {"x": X},
        ),
        "Player 'flow' owns no network",
    ),
]


@pytest.mark.parametrize("call, sentence", BAD, ids=[sentence for _, sentence in BAD])
def test_bad_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_a_merged_model_checks_the_conditions_of_all_parts():
    vae = models.cvae(shape=(1, 1, 2), classes=3, latent=1, hidden=())
    flow = models.real_nvp(shape=(1, 1, 2), layers=2, hidden=(4,))
    both = compose.merge(flow=flow, vae=vae)
    with pytest.raises(ValueError, match="'label' is one of 0 ... 2"):
        both.model(both["flow"]).check({"label": np.array([0, 7])})
    with pytest.raises(ValueError, match="'label' is one of 0 ... 2"):
        both.model(both["flow"]).init(KEY, {"x": jnp.eye(2).reshape(2, 1, 1, 2), "label": jnp.array([0, 7])})
    assert require(vae, Latent).prior is not None
