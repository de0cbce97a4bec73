"""Models of NNX modules: what they compute, what they keep, and that nothing in them is hidden."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from nnx_case import SPEC, VAE, LinenVAE, linen_vae, nnx_vae

from genjax_zoo import conformance, from_linen
from genjax_zoo.compose import frozen, merge, only, scope
from genjax_zoo.conformance import randomise
from genjax_zoo.core import FROZEN, Levels, Player
from genjax_zoo.math.devices import AXIS
from genjax_zoo.nnx import from_nnx, pure
from genjax_zoo.train.step import create_state, make_step
from genjax_zoo.wrap.precision import in_precision

KEY = jax.random.key(5)


@pytest.fixture(scope="module")
def case():
    return nnx_vae()


@pytest.fixture(scope="module")
def twin():
    return linen_vae()


def state_of(case):
    return case.state._replace(variables=randomise(case.state.variables))


def alike(one, other, rtol=1e-5):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=1e-6), one, other)


def test_the_trees_are_those_of_linen(case, twin):
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype.name), dict(c.state.variables)) for c in (case, twin)]
    assert shapes[0] == shapes[1] and set(shapes[0]["params"]) == {"encoder", "decoder"}
    assert case.model.card.support == twin.model.card.support == Levels(17)


@pytest.mark.parametrize("train", [False, True])
def test_terms_gradients_and_state_are_those_of_linen(case, twin, train):
    variables = state_of(case).variables

    def loss(params, model):
        terms, changed = model.nelbo({**variables, "params": params}, case.batch, KEY, train=train)
        return jnp.sum(sum(terms.values())), (terms, changed)

    of_nnx, of_linen = (jax.value_and_grad(loss, has_aux=True)(variables["params"], one.model) for one in (case, twin))
    alike(of_nnx, of_linen, rtol=1e-4)
    moved = not np.allclose(of_nnx[0][1][1]["batch_stats"]["encoder"]["norm"]["mean"], 0)
    assert moved == train


def test_a_step_is_that_of_linen(case, twin):
    states = [jax.jit(make_step(c.players))(state_of(case), c.batch)[0] for c in (case, twin)]
    before = state_of(case).variables
    alike(states[0].variables, states[1].variables, rtol=1e-4)
    assert not np.allclose(states[0].variables["params"]["decoder"]["kernel"], before["params"]["decoder"]["kernel"])


def test_samples_and_latents_are_those_of_linen(case, twin):
    variables, batch = state_of(case).variables, case.batch
    for draw in (
        lambda model: model.sample(variables, KEY, 4),
        lambda model: model.sample_prior(variables, KEY, 4),
        lambda model: model.encode(variables, batch, KEY),
        lambda model: model.decode(variables, jnp.ones((2, 3))),
    ):
        alike(draw(case.model), draw(twin.model))


def test_it_keeps_the_laws(case):
    conformance.check(case)


def test_init_is_a_pure_function_of_the_key(case):
    one, again, other = (case.model.init(jax.random.key(i), case.batch)["params"] for i in (1, 1, 2))
    kernels = [tree["encoder"]["hidden"]["kernel"] for tree in (one, again, other)]
    assert (kernels[0] == kernels[1]).all() and not np.allclose(kernels[0], kernels[2])


def test_masks_are_of_the_key_alone(case):
    def terms(key):
        return case.model.nelbo(case.state.variables, case.batch, key, train=True)[0]["rate"]

    assert (terms(KEY) == terms(KEY)).all() and not np.allclose(terms(KEY), terms(jax.random.key(6)))


def test_batch_norm_is_of_the_whole_batch(case):
    variables, whole = case.state.variables, case.batch
    parts = jax.tree.map(lambda x: x.reshape(2, 8, *x.shape[1:]), whole)
    _, one = case.model.nelbo(variables, whole, KEY, train=True)

    def first(**axis):
        run = jax.vmap(lambda part: case.model.nelbo(variables, part, KEY, train=True)[1]["batch_stats"], **axis)
        return run(parts)["encoder"]["norm"]["mean"][0]

    alike(first(axis_name=AXIS), one["batch_stats"]["encoder"]["norm"]["mean"])
    assert not np.allclose(first(), one["batch_stats"]["encoder"]["norm"]["mean"])


def test_under_a_name_as_a_constant_and_merged(case):
    variables, batch = state_of(case).variables, case.batch
    expected = case.model.nelbo(variables, batch, KEY)[0]
    named = {c: {f"a/{net}": tree for net, tree in nets.items()} for c, nets in variables.items()}
    alike(scope(case.model, "a").nelbo(named, batch, KEY)[0], expected)

    constant = frozen(case.model, variables)
    kept = constant.init(KEY, batch)
    assert kept["params"] == {} and set(kept[FROZEN]) == {"encoder", "decoder"}
    alike(constant.nelbo(kept, batch, KEY, train=True)[0], expected)

    pair = merge(a=case.model, b=linen_vae().model)
    players = {name: Player(terms=pair[name].nelbo, tx=optax.adam(1e-3), owns=(name,)) for name in pair}
    state = create_state(pair.model(pair["a"]), players, KEY, batch)
    after = jax.jit(make_step(players))(state, batch)[0].variables
    means = {net: tree["norm"]["mean"] for net, tree in after["batch_stats"].items()}
    assert set(means) == {"a/encoder", "b/encoder"} and all(np.any(mean) for mean in means.values())


def test_a_part_of_the_networks(case):
    part = only(case.model, "decoder")
    variables = part.init(KEY, case.batch)
    assert variables["params"].keys() == {"decoder"} and part.sample(variables, KEY, 2).shape == (2, 8, 8, 1)
    with pytest.raises(ValueError, match="compose.only kept .*'decoder'.* this needs more: 'encoder'"):
        part.nelbo(variables, case.batch, KEY)


def test_networks_in_half_precision_are_those_of_linen(case, twin):
    variables = state_of(case).variables
    rough, other = (in_precision(one.model) for one in (case, twin))
    z = jax.random.normal(KEY, (4, 3))
    alike(rough.decode(variables, z), other.decode(variables, z))
    assert not np.allclose(rough.decode(variables, z), case.model.decode(variables, z), rtol=1e-5)
    terms, changed = rough.nelbo(variables, case.batch, KEY, train=True)
    alike((terms, changed), other.nelbo(variables, case.batch, KEY, train=True), rtol=0.05)  # batch norms round apart
    assert not np.allclose(terms["rate"], case.model.nelbo(variables, case.batch, KEY, train=True)[0]["rate"])


class Kinds(nnx.Module):
    """All that a module may hold: lists, a shared layer, a constant, a Variable of its own, streams."""

    def __init__(self, rngs):
        self.layers = nnx.List([nnx.Linear(2, 2, rngs=rngs) for _ in range(2)])
        self.again = self.layers[0]
        self.scale, self.offset, self.rngs = nnx.Param(jnp.ones(2)), jnp.arange(2.0), rngs
        self.calls = Count(jnp.zeros((), jnp.int32))

    def run(self, x):
        self.calls[...] += 1
        self.scale[...] = 7 * self.scale[...]
        return self.scale * self.again(self.layers[1](self.layers[0](x))) + self.offset

    def noise(self, n, key=None):
        return self.rngs.normal((n,)), self.rngs.normal((n,))


class Count(nnx.Variable):
    """A Variable of a user's own kind."""


def test_what_a_module_holds():
    model = from_nnx(Kinds, {"x": jax.ShapeDtypeStruct((2,), jnp.float32)})
    x = jnp.ones((3, 2))
    variables = randomise(model.init(KEY, {"x": x}))
    params = variables["params"]
    assert set(params) == {"again", "layers", "scale"} and set(params["layers"]) == {"1"}  # a layer has one place
    out, changed = pure(Kinds, Kinds.run)(variables, x)
    h = x
    for layer in (params["again"], params["layers"]["1"], params["again"]):
        h = h @ layer["kernel"] + layer["bias"]
    alike(out, 7 * params["scale"] * h + jnp.arange(2.0))
    assert changed["Count"]["calls"] == 1 and (changed["params"]["scale"] == params["scale"]).all()


class Tower(nnx.Module):
    """Layers that are scanned, and one that is computed twice."""

    def __init__(self, rngs):
        self.layers = nnx.split_rngs(splits=3)(nnx.vmap(Layer, in_axes=(0,), out_axes=0))(rngs)
        self.last = Layer(rngs)

    def run(self, x):
        x = nnx.scan(lambda layer, x: layer(x), in_axes=(0, nnx.Carry), out_axes=nnx.Carry)(self.layers, x)
        return nnx.remat(lambda layer, x: layer(x))(self.last, x)


class Layer(nnx.Module):
    def __init__(self, rngs):
        self.linear, self.drop = nnx.Linear(2, 2, rngs=rngs), nnx.Dropout(0.5, rngs=rngs)

    def __call__(self, x):
        return self.drop(self.linear(x))


def test_layers_under_transformations():
    x = jnp.ones((3, 2))
    variables = randomise(from_nnx(Tower, SPEC).init(KEY, {"x": jnp.ones((1, 8, 8, 1))}))
    run, (layers, last) = pure(Tower, Tower.run), (variables["params"][n]["linear"] for n in ("layers", "last"))
    h = x
    for i in range(3):
        h = h @ layers["kernel"][i] + layers["bias"][i]
    alike(run(variables, x)[0], h @ last["kernel"] + last["bias"])
    assert not np.allclose(*(run(variables, x, key=jax.random.key(i), train=True)[0] for i in (0, 1)))
    with pytest.raises(ValueError, match="'run' draws without a key"):
        run(variables, x, train=True)


def test_streams_begin_by_the_key_of_the_method():
    variables = from_nnx(Kinds, SPEC).init(KEY, {"x": jnp.ones((1, 8, 8, 1))})
    noise = pure(Kinds, Kinds.noise)
    (one, two), _ = noise(variables, 4, key=KEY)
    assert (noise(variables, 4, key=KEY)[0][0] == one).all() and not np.allclose(one, two)
    with pytest.raises(ValueError, match="'noise' draws without a key .from the stream 'default'.; call it with key="):
        noise(variables, 4)


def test_nothing_is_drawn_in_evaluation(case):
    score = pure(VAE, VAE.encode)
    score(case.state.variables, case.batch)
    with pytest.raises(ValueError, match="'encode' draws without a key"):
        score(case.state.variables, case.batch, train=True)


@pytest.mark.parametrize("make", [LinenVAE, lambda: VAE(nnx.Rngs(0)), VAE(nnx.Rngs(0)), lambda rngs: LinenVAE()])
def test_what_is_no_class_of_modules(make):
    with pytest.raises(ValueError, match="is no class of nnx.Module, nor a function .* with an argument `rngs`"):
        from_nnx(make, SPEC)


def test_linen_is_told_of_nnx():
    with pytest.raises(ValueError, match="from_linen takes a Linen module, not VAE"):
        from_linen(VAE(nnx.Rngs(0)), SPEC)  # type: ignore[arg-type]


def test_factories_of_modules():
    class Sized(VAE):
        def __init__(self, factor, *, rngs):
            super().__init__(rngs)
            self.factor = factor

        def decode(self, z, cond):
            return self.factor * super().decode(z, cond)

    for make in (functools.partial(Sized, 2.0), lambda rngs: Sized(2.0, rngs=rngs)):
        model = from_nnx(make, SPEC)
        variables = model.init(KEY, nnx_vae().batch)
        plain = nnx_vae().model.decode(variables, jnp.ones((2, 3)))
        alike(model.decode(variables, jnp.ones((2, 3))), 2 * plain)
