"""Models made of models: under names, in part, as constants, with one network more, in layers, given a context."""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from cases import CASES, SHAPE, images

from genjax_zoo import Player, compose, conformance, losses, models, nn
from genjax_zoo.conformance import randomise
from genjax_zoo.core import FROZEN, Critic, Density, Latent, Sampler, log_prob, part, require, total
from genjax_zoo.linen import network, reader
from genjax_zoo.math import affine, discretized_logistic, gaussian_nll, normal
from genjax_zoo.nn import Bijection
from genjax_zoo.train import create_state, make_step

KEY = jax.random.key(0)
POINTS = jax.random.normal(jax.random.key(1), (32, 2))


def prepared(model, batch, scale=0.3):
    return randomise(jax.jit(model.init)(KEY, batch), scale=scale)


def real_nvp(**settings):
    return models.real_nvp(shape=(2,), layers=2, hidden=(8,), norm=None, **settings)


def test_a_scope_renames_networks_and_nothing_else():
    """Every function of every case gives what it gave, under a name; a wrong name finds nothing (control)."""
    case = CASES["vae_gan"]()
    variables, batch = randomise(case.state.variables), case.batch
    scoped = compose.scope(case.model, "a")
    inside = {c: {f"a/{net}": tree for net, tree in nets.items()} for c, nets in variables.items()}
    assert jax.tree.structure(scoped.init(KEY, batch)) == jax.tree.structure(inside)

    def all_of(model, v):
        latent, critic = require(model, Latent), require(model, Critic)
        assert latent.posterior and latent.prior
        moments, state = part(latent.posterior, Density, "gaussian")(v, {"given": batch["x"]}, train=True)
        return (
            moments,
            model.sample(v, KEY, 4),
            model.decode(v, model.sample_prior(v, KEY, 4)),
            critic.score(v, batch["x"], train=True),
            state["batch_stats"],
        )

    plain, other = all_of(case.model, variables), all_of(scoped, inside)
    assert set(other[-1]) == {f"a/{net}" for net in plain[-1]}
    for one, two in zip(jax.tree.leaves(plain), jax.tree.leaves(other)):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(Exception, match="encoder|decoder"):
        all_of(compose.scope(case.model, "b"), inside)


def test_a_part_alone_owns_its_networks_and_says_what_it_needs_of_the_rest():
    gan = models.gan(shape=(2,), latent=2, hidden=(8,), critic_hidden=(4,), pieces=2)
    critic = compose.only(gan, "discriminator")
    variables = critic.init(KEY, {"x": POINTS})
    assert list(variables["params"]) == ["discriminator"]
    score, _ = require(critic, Critic).score(variables, POINTS)
    np.testing.assert_array_equal(score, require(gan, Critic).score(gan.init(KEY, {"x": POINTS}), POINTS)[0])
    with pytest.raises(ValueError, match=r"compose.only kept \['discriminator'\], and this needs more"):
        critic.sample(variables, KEY, 2)
    with pytest.raises(ValueError, match="no network 'critic'; it has"):
        compose.only(gan, "critic").init(KEY, {"x": POINTS})


def test_two_networks_of_one_name_are_a_sentence():
    flow = real_nvp()
    with pytest.raises(ValueError, match="Two models have a network 'bijection'; give each a name, by merge"):
        compose.variational(flow, flow, flow).init(KEY, {"x": POINTS})
    with pytest.raises(ValueError, match="Two models have a network 'bijection'"):
        compose.with_network(flow, "bijection", nn.MLP((4,), 1), POINTS)[0].init(KEY, {"x": POINTS})


def test_frozen_models_are_copied_constant_and_never_train():
    case = CASES["conv_vae"]()  # with batch norm
    variables = randomise(case.state.variables)
    constant = compose.frozen(case.model, variables, origin="runs/a, step 3")
    own = constant.init(KEY, case.batch)
    assert not own["params"] and set(own[FROZEN]) == {"encoder", "decoder"} and constant.card.frozen
    (named, after), (plain, _) = (
        constant.nelbo(own, case.batch, KEY, train=True),
        case.model.nelbo(variables, case.batch, KEY),
    )
    assert jax.tree.all(jax.tree.map(lambda a, b: a is b, after, own))
    for name in plain:
        np.testing.assert_allclose(named[name], plain[name], rtol=1e-6)
    trained = case.model.nelbo(variables, case.batch, KEY, train=True)[0]
    assert not np.allclose(trained["distortion"], named["distortion"], rtol=1e-3)  # control: batch statistics
    jax.tree.map(lambda x: x.delete(), own)  # donated: the originals live on
    assert all(not leaf.is_deleted() for leaf in jax.tree.leaves(variables))
    again = compose.frozen(compose.scope(constant, "teacher"))
    twice = again.init(KEY, case.batch)
    np.testing.assert_allclose(again.nelbo(twice, case.batch, KEY)[0]["rate"], plain["rate"], rtol=1e-6)


def test_a_frozen_teacher_beside_a_student_of_the_same_network_names():
    """The student's step is SGD on its own gradient by hand; the teacher stays, is in the state, and has no owner."""
    teacher, student = real_nvp(), real_nvp()
    known = prepared(teacher, {"x": POINTS})
    pair = compose.merge(student=student, teacher=compose.frozen(teacher, known))
    draw = part(pair["student"], Sampler, "scored")

    def terms(v, batch, key, *, train=False):
        (x, entropy), v = draw(v, key, len(batch["x"]), train=train)
        cross, v = pair["teacher"].nll(v, {"x": x}, key, train=train)
        return {"cross": total(cross), "entropy": -entropy}, v

    player = Player(terms=terms, weights={"cross": 1.0, "entropy": 1.0}, tx=optax.sgd(0.01), owns=("student",))
    model = pair.model(pair["student"])
    state = create_state(model, {"student": player}, KEY, {"x": POINTS})
    after, _ = jax.jit(make_step({"student": player}))(state, {"x": POINTS})
    jax.tree.map(np.testing.assert_array_equal, after.variables[FROZEN], state.variables[FROZEN])
    k = jax.random.fold_in(jax.random.fold_in(jax.random.fold_in(state.key, 0), 0), 0)

    def by_hand(params):
        v = {"params": {"bijection": params}}
        x, entropy = part(student, Sampler, "scored")(v, k, 32)[0]
        return jnp.mean(total(teacher.nll(known, {"x": x}, k)[0]) - entropy)

    before = state.variables["params"]["student/bijection"]
    wanted = jax.tree.map(lambda p, g: p - 0.01 * g, before, jax.grad(by_hand)(before))
    found = after.variables["params"]["student/bijection"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, wanted)


def test_a_merged_pair_trains_as_the_two_alone():
    flow, gan = real_nvp(), models.gan(shape=(2,), latent=2, hidden=(8,), critic_hidden=(4,), pieces=2)
    pair = compose.merge(flow=flow, gan=gan)

    def players(flow, gan, prefix):
        critic, generator = losses.adversarial(gan)
        game = {"weights": {"adversarial": 1.0}, "tx": optax.sgd(0.1)}
        return {
            "flow": Player(terms=flow.nll, tx=optax.sgd(0.1), owns=(f"{prefix}bijection".replace("?", "flow/"),)),
            "critic": Player(terms=critic, owns=(f"{prefix}discriminator".replace("?", "gan/"),), **game),
            "generator": Player(terms=generator, owns=(f"{prefix}generator".replace("?", "gan/"),), **game),
        }

    together = players(pair["flow"], pair["gan"], "?")
    alone = players(flow, gan, "")
    state = create_state(pair.model(), together, KEY, {"x": POINTS})
    parts = {
        name: state._replace(
            variables={
                "params": {n.removeprefix(f"{name}/"): p for n, p in state.variables["params"].items() if name in n}
            }
        )
        for name in ("flow", "gan")
    }
    for _ in range(3):
        state, _ = jax.jit(make_step(together))(state, {"x": POINTS})
    # the key of a turn is its player's place: the game's turns are the second and the third
    idle = Player(
        terms=lambda v, batch, key, *, train: ({"none": jnp.zeros(32)}, v),
        weights={"none": 1.0},
        tx=optax.set_to_zero(),
        owns=("generator",),
    )
    games = {"flow": idle, "critic": alone["critic"], "generator": alone["generator"]}
    for _ in range(3):
        parts["flow"], _ = jax.jit(make_step({"flow": alone["flow"]}))(parts["flow"], {"x": POINTS})
        parts["gan"], _ = jax.jit(make_step(games))(parts["gan"], {"x": POINTS})
    for name, one in parts.items():
        for net, params in one.variables["params"].items():
            merged = state.variables["params"][f"{name}/{net}"]
            jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), merged, params)


@pytest.mark.parametrize("context", [{"context": (3,)}, {"label": 4}, {"label": 4, "picture": (2, 2, 1)}])
def test_a_flow_given_a_context_is_a_density_for_each(context):
    """It integrates to one for every context, its draws follow it, and it depends on each part of the context."""
    model = real_nvp(conditions=context)
    ways = {
        "context": jnp.array([[0.5, -1.0, 2.0], [-2.0, 0.3, 0.0]]),
        "label": jnp.array([1, 3]),
        "picture": jnp.arange(8.0).reshape(2, 2, 2, 1) / 4 - 1,
    }
    cond = {name: ways[name] for name in context}
    batch = {name: jnp.repeat(value[:1], len(POINTS), axis=0) for name, value in cond.items()}
    variables = prepared(model, {"x": POINTS, **batch})
    densities = []
    for index in range(2):
        one = {name: value[index] for name, value in cond.items()}
        given = {name: value[None] for name, value in one.items()}
        conformance.density_integrates_to_one(model, variables, bound=30.0, points=1_000, cond=given)
        densities.append(jax.vmap(lambda x, one=one: log_prob(model)(variables, x, one))(POINTS))
    conformance.samples_follow_the_density(model, variables, bound=8.0, cond={n: v[1:] for n, v in cond.items()})
    assert np.abs(densities[0] - densities[1]).max() > 1e-3
    for name in context:
        mixed = {n: v[1 if n == name else 0] for n, v in cond.items()}
        other = jax.vmap(lambda x, mixed=mixed: log_prob(model)(variables, x, mixed))(POINTS)
        assert np.abs(other - densities[0]).max() > 1e-3, name


def test_a_context_of_another_shape_is_a_sentence():
    model = real_nvp(conditions={"context": (3,)})
    with pytest.raises(ValueError, match="The model expects 'context' of shape"):
        model.init(KEY, {"x": POINTS, "context": jnp.zeros((32, 2))})
    variables = model.init(KEY, {"x": POINTS, "context": jnp.zeros((32, 3))})
    with pytest.raises(ValueError, match="The condition 'context' needs the shape"):
        model.sample(variables, KEY, 2, {"context": jnp.zeros((2, 4))})
    with pytest.raises(ValueError, match="needs the condition 'context'"):
        model.sample(variables, KEY, 2)


def flow_vae():
    """A flow prior and an inverse autoregressive posterior around 2 latent numbers, whose context a network reads."""
    base = compose.gaussian(reader("encoder", nn.MLP((8,), 4), "given"), (2,))
    bijection = nn.Inverse(nn.Stack(nn.Chain((nn.MaskedAutoregressive(affine(), nn.MaskedMLP(2, 2, (8,))),)), 2))
    posterior = compose.pushed(
        base,
        bijection,
        name="posterior",
        context=reader("context", nn.MLP((6,), 3), "given"),
        begin=Bijection.inverse,
    )
    likelihood = discretized_logistic(17)
    decoder = reader("decoder", nn.MLP((8,), likelihood.outputs(SHAPE)), "z")
    return compose.variational(real_nvp(), posterior, compose.observed(decoder, likelihood, SHAPE))


def test_relatives_of_a_vae_of_flows_agree():
    """By hand from its parts: the weight of one draw is minus the bound there, scores are densities, draws decode."""
    model, batch = flow_vae(), images()
    variables = prepared(model, batch)
    latent = require(model, Latent)
    assert latent.prior and latent.posterior and latent.observation
    assert set(variables["params"]) == {"encoder", "posterior", "context", "bijection", "decoder"}
    every = {"given": batch["x"]}
    (z, nats), _ = part(latent.posterior, Sampler, "scored")(variables, KEY, 16, every)
    again = latent.posterior.nll(variables, {**every, "x": z}, KEY)[0]
    np.testing.assert_allclose(total(again), nats, rtol=1e-4, atol=1e-4)
    distortion = total(latent.observation.nll(variables, {**batch, "z": z}, KEY)[0])
    cross = total(latent.prior.nll(variables, {"x": z}, KEY)[0])
    terms, _ = model.nelbo(variables, batch, KEY)
    np.testing.assert_allclose(terms["distortion"], distortion, rtol=1e-5)
    np.testing.assert_allclose(terms["rate"], cross - nats, rtol=1e-4, atol=1e-4)
    weights = model.log_weights(variables, batch, KEY, 1)
    np.testing.assert_allclose(weights[0], -distortion - cross + nats, rtol=1e-4, atol=1e-3)
    k_z, k_x = jax.random.split(KEY)
    drawn = require(latent.prior, Sampler).draw(variables, k_z, 4)[0]
    shown = require(latent.observation, Sampler).draw(variables, k_x, 4, {"z": drawn})[0]
    np.testing.assert_array_equal(model.sample(variables, KEY, 4), shown)
    other = total(compose.distribution((2,)).nll({}, {"x": z}, KEY)[0])  # control: another prior
    assert np.abs(other - cross).max() > 1e-2


@pytest.mark.parametrize(
    "estimator", [pytest.param(losses.sticking_the_landing, marks=pytest.mark.slow), losses.doubly_reparameterized]
)
def test_estimators_hold_for_a_flow_posterior(estimator):
    """Their value is the bound's, and their gradient another than autodiff's only where q's parameters are."""
    model, batch = flow_vae(), images()
    variables = prepared(model, batch)

    def run(estimator):
        terms = losses.importance_weighted(model, k=3, estimator=estimator)

        def loss(params):
            value = terms({**variables, "params": params}, batch, KEY, train=True)[0]["iw_nelbo"]
            return jnp.mean(value), value

        return jax.jit(jax.grad(loss, has_aux=True))(variables["params"])

    (plain, value), (other, same) = run(losses.reparameterized), run(estimator)
    np.testing.assert_allclose(same, value, rtol=1e-5)
    for net in ("bijection", "decoder"):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4), other[net], plain[net])
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(*map(jax.tree.leaves, (other["encoder"], plain["encoder"]))))


def test_layers_of_a_vae_are_vaes():
    """IWAE's bound, weights and formulas by the layers themselves, whose names say which rate is of which."""
    model = models.iwae(shape=SHAPE, latent=(3, 2, 2), hidden=((8,), (8,), (4,)), likelihood=discretized_logistic(17))
    variables, batch = prepared(model, images()), images()
    terms, _ = model.nelbo(variables, batch, KEY)
    assert list(terms) == ["distortion", "rate_1", "rate_2", "rate_3"]
    assert dict(model.nelbo.formulas) == {
        "distortion": "-log p(x | z_1), z_1 ~ q(z_1 | x)",
        "rate_1": "log q(z_1 | x) - log p(z_1 | z_2)",
        "rate_2": "log q(z_2 | z_1) - log p(z_2 | z_3)",
        "rate_3": "KL(q(z_3 | z_2) || p(z_3))",
    }
    many = jax.jit(lambda keys: jax.lax.map(lambda k: total(model.nelbo(variables, batch, k)[0]), keys))
    bound = many(jax.random.split(KEY, 2_000))
    weights = -jax.jit(lambda: model.log_weights(variables, batch, KEY, 2_000))()
    error = np.sqrt(bound.var(0) / 2_000 + weights.var(0) / 2_000)
    assert np.abs((bound.mean(0) - weights.mean(0)) / error).max() < 5


def test_one_network_more():
    vae = models.vae(shape=SHAPE, latent=2, hidden=(8,), likelihood=discretized_logistic(17))
    model, score = compose.with_network(vae, "critic", nn.MLP((4,), 1), jax.ShapeDtypeStruct((1, 2), jnp.float32))
    variables = prepared(model, images())
    params = variables["params"]["critic"]
    hidden = jax.nn.relu(POINTS @ params["hidden_0"]["kernel"] + params["hidden_0"]["bias"])
    wanted = hidden @ params["out"]["kernel"] + params["out"]["bias"]
    np.testing.assert_allclose(score(variables, POINTS)[0], wanted, rtol=1e-5)
    dropping = network("drop", linen.Dropout(0.5, deterministic=False))
    with pytest.raises(ValueError, match="draws without a key"):
        dropping({"params": {}}, POINTS)
    assert (dropping({"params": {}}, POINTS, key=KEY)[0] == 0).any()


def test_a_density_for_other_programs():
    """Its gradient is that of the terms; of a standard normal it is -x."""
    x = POINTS[0]
    np.testing.assert_allclose(jax.grad(lambda x: log_prob(compose.distribution((2,)))({}, x))(x), -x, rtol=1e-6)
    wanted = -gaussian_nll(x[None], jnp.zeros(()), jnp.zeros(()))[0]
    np.testing.assert_allclose(log_prob(compose.distribution((2,), normal))({}, x), wanted, rtol=1e-6)
    with pytest.raises(ValueError, match="its likelihood is a bound"):
        log_prob(flow_vae())


def test_a_vae_given_vectors_and_images():
    """Without hidden layers, in numpy: encoder, prior and decoder see each number of the conditions."""
    given = {"context": (3,), "picture": (1, 2, 1)}
    model = models.cvae(shape=(1, 1, 2), conditions=given, latent=1, hidden=())
    random = np.random.default_rng(0)
    cond = {"context": random.normal(size=(4, 3)), "picture": random.normal(size=(4, 1, 2, 1))}
    cond = {name: jnp.asarray(value, jnp.float32) for name, value in cond.items()}
    batch = {"x": jnp.asarray(random.integers(0, 2, (4, 1, 1, 2)), jnp.float32), **cond}
    variables = prepared(model, batch)
    params = jax.tree.map(np.asarray, variables["params"])
    y = np.hstack([cond["context"], cond["picture"].reshape(4, 2)])

    def dense(name, *inputs):
        return np.hstack(inputs) @ params[name]["out"]["kernel"] + params[name]["out"]["bias"]

    z, (centre, log_scale) = random.normal(size=(4, 1)), dense("prior", y).T[..., None]
    seen = dense("decoder", centre + np.exp(log_scale) * z, y)
    found = model.decode(variables, jnp.asarray(z, jnp.float32), cond)
    np.testing.assert_allclose(found.reshape(4, 2), 1 / (1 + np.exp(-seen)), rtol=1e-4)
    mean = dense("encoder", np.asarray(batch["x"]).reshape(4, 2), y)[:, :1]
    np.testing.assert_allclose(model.encode(variables, batch, KEY), (mean - centre) / np.exp(log_scale), rtol=1e-3)
    with pytest.raises(ValueError, match="The model expects 'picture' of shape"):
        model.init(KEY, {**batch, "picture": jnp.zeros((4, 2, 2, 1))})
    with pytest.raises(ValueError, match="needs a condition"):
        models.cvae(shape=(1, 1, 2), classes=0, latent=1, hidden=()).init(KEY, batch)
