"""Vector quantization in closed form, and the causal prior over codes."""

import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, SHAPE, compiled, images
from jax.sharding import PartitionSpec as P

from genjax_zoo import data, evals, models
from genjax_zoo.conformance import randomise
from genjax_zoo.core import unit_of
from genjax_zoo.inference.sampling import draw_levels, naive
from genjax_zoo.models.autoregressive.autoregressive import network_views
from genjax_zoo.models.vae.vq_vae import vector_quantized
from genjax_zoo.nn import GatedPixelCNN, Quantizer
from genjax_zoo.nn.causal import GatedLayer, shift_right
from genjax_zoo.nn.quantizer import straight_through
from genjax_zoo.train.parallel import data_mesh

KEY = jax.random.key(0)


@functools.cache
def program(module, *args, **more):
    return jax.jit(lambda variables, x: module.apply(variables, x, *args, **more))


def run(module, variables, x, *args, **more) -> Any:
    """What a module makes of x, by one program."""
    return program(module, *args, **more)(variables, x)


def quantizer(codes=4, features=3, seed=0, **settings) -> Any:
    module = Quantizer(codes, features, **settings)
    x = jax.random.normal(jax.random.key(seed), (16, 2, 2, 5))
    return module, module.init(KEY, x), x


def state_after(module, variables, x, updates=1):
    for _ in range(updates):
        variables = {**variables, **run(module, variables, x, True, mutable="code_book")[1]}
    return variables["code_book"]


def test_straight_through_is_the_value_with_the_gradient_of_identity():
    x, value = jax.random.normal(KEY, (2, 5))
    np.testing.assert_allclose(straight_through(x, value), value, atol=1e-6)
    np.testing.assert_array_equal(jax.jacobian(straight_through)(x, value), np.eye(5))
    np.testing.assert_array_equal(jax.jacobian(straight_through, 1)(x, value), np.zeros((5, 5)))
    module, variables, x = quantizer()
    slope = jax.grad(lambda x: run(module, variables, x)[0].sum())(x)
    kernel = variables["params"]["project"]["kernel"]
    np.testing.assert_allclose(slope, jnp.broadcast_to(kernel.sum(1), slope.shape), rtol=1e-5)


def test_each_vector_gets_its_nearest_code():
    module, variables, x = quantizer()
    quantized, index, commitment = run(module, variables, x)
    state, project = variables["code_book"], variables["params"]["project"]
    z, book = x @ project["kernel"] + project["bias"], state["total"] / state["share"][:, None]
    distance = jnp.sum((z[..., None, :] - book) ** 2, axis=-1)
    np.testing.assert_array_equal(index, distance.argmin(-1))
    np.testing.assert_allclose(quantized, book[index], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(commitment, distance.min(-1).sum((1, 2)), rtol=1e-4)
    slope = jax.grad(lambda book: run(module, {**variables, "code_book": book}, x)[2].sum(), allow_int=True)(state)
    assert jnp.abs(slope["total"]).max() > 0  # the code book is state: no player's gradient may write it
    np.testing.assert_allclose(run(module, variables, quantized, method="snap"), quantized, rtol=1e-4, atol=1e-5)


def test_vectors_are_drawn_to_their_codes_and_not_the_codes_to_them():
    """The commitment's slope is 2 (z - code) at the vectors; the codes move by their averages alone."""
    module, variables, x = quantizer()

    @jax.jit
    @functools.partial(jax.grad, has_aux=True)
    def slope_and_codes(x):
        quantized, _, commitment = run(module, variables, x)
        return commitment.sum(), quantized

    slope, quantized = slope_and_codes(x)
    kernel, bias = (np.asarray(variables["params"]["project"][name]) for name in ("kernel", "bias"))
    wanted = 2 * (np.asarray(x) @ kernel + bias - np.asarray(quantized)) @ kernel.T
    np.testing.assert_allclose(slope, wanted, rtol=1e-4, atol=1e-4)


def test_codes_follow_their_vectors_in_closed_form():
    """n updates on vectors that keep their codes: decay^n of the start, the rest the batch's own means."""
    module, variables, x = quantizer(codes=2, decay=0.9, restart_below=0.0)
    x = x.at[:5].add(100.0)  # two clusters far apart
    project = variables["params"]["project"]
    z = np.asarray(x @ project["kernel"] + project["bias"]).reshape(-1, 3)
    halves = np.repeat(np.eye(2)[[0] * 5 + [1] * 11], 4, axis=0)
    means = (halves.T @ z) / halves.sum(0)[:, None]
    total = jnp.asarray((means + 1) * np.array([[0.3], [0.7]]), jnp.float32)
    start = {"share": jnp.array([0.3, 0.7]), "total": total, "updates": jnp.int32(0)}
    after = state_after(module, {**variables, "code_book": start}, x, updates=3)
    share = 0.9**3 * np.array([0.3, 0.7]) + (1 - 0.9**3) * halves.mean(0)
    total = 0.9**3 * np.asarray(start["total"]) + (1 - 0.9**3) * halves.mean(0)[:, None] * means
    np.testing.assert_allclose(after["share"], share, rtol=1e-5)
    np.testing.assert_allclose(after["total"], total, rtol=1e-4, atol=1e-5)
    still = state_after(module, {**variables, "code_book": start}, x, updates=0)
    assert np.abs(still["total"] - total).max() > 0.1  # control
    evaluated = run(module, {**variables, "code_book": start}, x, False, mutable="code_book")[1]["code_book"]
    jax.tree.map(np.testing.assert_array_equal, evaluated, start)


def test_a_dead_code_restarts_at_a_vector_of_the_batch():
    module, variables, x = quantizer(codes=3, restart_below=0.5)
    project = variables["params"]["project"]
    z = np.asarray(x @ project["kernel"] + project["bias"]).reshape(-1, 3)
    start = {**variables["code_book"], "share": jnp.array([0.5, 0.5, 0.01])}
    start["total"] = jnp.concatenate([z[:2] * 0.5, 0.01 * jnp.full((1, 3), 1e3)])
    after = state_after(module, {**variables, "code_book": start}, x)
    code = after["total"][2] / after["share"][2]
    assert np.abs(z - code).sum(1).min() < 1e-4
    never, same, _ = quantizer(codes=3, restart_below=0.0)
    kept = state_after(never, {**same, "code_book": start}, x)
    np.testing.assert_allclose(kept["total"][2] / kept["share"][2], 1e3, rtol=1e-4)


def test_codes_restart_elsewhere_at_every_update():
    module, variables, x = quantizer(codes=6, restart_below=9.0)  # all of them, always
    first = state_after(module, variables, x)
    second = state_after(module, {**variables, "code_book": first}, x)
    assert np.abs(second["total"] - first["total"]).max() > 1e-3


def test_sharded_code_books_are_one():
    """Restarts included: each device sees an eighth of the batch, and all end with the state of one device."""
    module, variables, x = quantizer(codes=6, restart_below=0.9)
    one = state_after(module, variables, x)

    def part(x):
        return run(module, variables, x, True, mutable="code_book")[1]["code_book"]

    sharded = jax.jit(jax.shard_map(part, mesh=data_mesh(), in_specs=P("data"), out_specs=P()))(x)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), sharded, one)
    moved = run(module, variables, x[:2], True, mutable="code_book")[1]["code_book"]
    assert np.abs(moved["total"] - one["total"]).max() > 1e-3  # control: the first device's part alone


@functools.cache
def prior():
    module = GatedPixelCNN(3, features=4, layers=3, size=3)
    return module, randomise(module.init(KEY, jnp.zeros((1, 4, 4, 1), jnp.int32)), scale=0.5)


def reach(apply, shape):
    """[D, D]: whether the output at a place depends on the input at another, both in raster order."""
    x = jax.random.normal(KEY, (1, *shape, 4))
    jacobian = jax.jit(jax.jacobian(lambda x: apply(x)[0].sum(-1)))(x)[:, :, 0]
    count = shape[0] * shape[1]
    return (jnp.abs(jacobian).sum(-1) > 1e-7).reshape(count, count)


def test_the_prior_sees_every_code_before_and_none_after():
    """No leak and no blind spot; without the first layer's shift it sees the code itself."""

    class Stacks(nn.Module):
        shifted: bool

        @nn.compact
        def __call__(self, x):
            layer = GatedLayer(4, 3, residual=False, name="first")
            vertical, horizontal = layer(x, shift_right(x) if self.shifted else x)
            for index in range(3):
                layer = GatedLayer(4, name=f"layer_{index}")
                vertical, horizontal = layer(vertical, horizontal)
            return horizontal

    before = np.tril(np.ones((20, 20), bool), -1)
    for shifted, wanted in ((True, before), (False, before | np.eye(20, dtype=bool))):
        module = Stacks(shifted)
        variables = randomise(module.init(KEY, jnp.zeros((1, 4, 5, 4))), scale=0.5)
        found = reach(functools.partial(run, module, variables), (4, 5))
        np.testing.assert_array_equal(found, wanted)


def test_the_priors_logits_do_not_see_their_own_code():
    module, variables = prior()
    x = jax.random.randint(KEY, (1, 4, 4, 1), 0, 3)
    logits = run(module, variables, x)
    for place in ((0, 0), (1, 3), (3, 3)):
        changed = run(module, variables, x.at[0, *place].add(1) % 3)
        difference = np.abs(changed - logits)[0].sum(-1).ravel()
        index = place[0] * 4 + place[1]
        assert difference[: index + 1].max() == 0
        assert index == 15 or difference[index + 1 :].max() > 1e-4


def test_draws_are_as_often_as_their_probability():
    """Of all 3^4 grids of codes: the probabilities sum to one, and draws have them."""
    module = GatedPixelCNN(3, features=4, layers=2, size=3)
    variables = randomise(module.init(KEY, jnp.zeros((1, 2, 2, 1), jnp.int32)), scale=1.0)
    grids = jnp.stack(jnp.meshgrid(*[jnp.arange(3)] * 4, indexing="ij"), axis=-1).reshape(-1, 2, 2, 1)
    log_p = jax.nn.log_softmax(run(module, variables, grids))
    p = np.exp(jnp.take_along_axis(log_p, grids[..., None], axis=-1).sum((1, 2, 3, 4)))
    assert p.sum() == pytest.approx(1, abs=1e-5)
    n = 20_000
    views = network_views(module, (2, 2, 1), 3)
    draws = np.asarray(jax.jit(lambda key: naive(views, variables, n, draw_levels(key)))(KEY))
    share = np.bincount(draws.reshape(n, 4) @ 3 ** np.arange(4)[::-1], minlength=81) / n
    assert np.all(np.abs(share - p) < 5 * np.sqrt(p * (1 - p) / n) + 1e-3)


def test_use_of_the_code_book():
    """Perplexity and codes in use over a whole split, without its padding."""
    case = CASES["vq_vae"]()
    batch = {"x": jnp.concatenate([case.batch["x"]] * 2)[:20]}
    split = data.Resident(arrays=batch, transform=lambda raw, keys: raw, batch_size=8, seed=0, train=False)
    assert case.model.codes is not None
    codes = np.asarray(jax.jit(case.model.codes)(case.state.variables, batch)[0])
    share = np.bincount(codes.ravel()) / codes.size
    share = share[share > 0]
    found = evals.code_book(split)(case.model, case.state.variables, KEY)
    assert found["codes_used"] == len(share)
    assert found["perplexity"] == pytest.approx(np.exp(-(share * np.log(share)).sum()), rel=1e-6)
    error = evals.reconstruction_error(split)(case.model, case.state.variables, KEY)["reconstruction_error"]
    model = compiled(case.model)
    rebuilt = model.decode(case.state.variables, model.encode(case.state.variables, batch, KEY))
    assert error == pytest.approx(float(jnp.mean((rebuilt - batch["x"]) ** 2)), rel=1e-5)


def test_the_two_sides_of_a_vq_vae_are_its_bound_and_the_commitment():
    """Each has its own of the bound's terms; the autoencoder's turn moves the codes, and the rate only the prior."""
    case = CASES["vq_vae"]()
    variables = {**case.state.variables, **randomise(case.state.variables)}
    autoencoder, prior = vector_quantized(case.model)
    bound, _ = case.model.nelbo(variables, case.batch, KEY)
    assert set(bound) == {"distortion", "rate"}  # in evaluation nothing else
    own, after = jax.jit(functools.partial(autoencoder, train=True))(variables, case.batch, KEY)
    rate, _ = jax.jit(functools.partial(prior, train=True))(variables, case.batch, KEY)
    for name, value in {"distortion": own["distortion"], **rate}.items():
        np.testing.assert_allclose(value, bound[name], rtol=1e-5)
    assert set(own) == {"distortion", "commitment"} and set(rate) == {"rate"}
    assert after["code_book"]["quantizer"]["updates"] == variables["code_book"]["quantizer"]["updates"] + 1
    units = {name: unit_of(side, name) for side in (autoencoder, prior) for name in side.formulas}
    assert units == {"distortion": "nats", "commitment": "loss", "rate": "nats"}

    @jax.jit
    @jax.grad
    def slope(params):
        return prior({**variables, "params": params}, case.batch, KEY, train=True)[0]["rate"].sum()

    moved = {net: any(jnp.any(x != 0) for x in jax.tree.leaves(g)) for net, g in slope(variables["params"]).items()}
    assert moved == {"encoder": False, "quantizer": False, "decoder": False, "prior": True}


def test_bad_input():
    with pytest.warns(UserWarning, match="200 codes, but a batch only 64 vectors"):
        wide = models.vq_vae(shape=SHAPE, codes=200, widths=(4, 8), prior_features=4)
        jax.eval_shape(wide.init, KEY, images(levels=2))
    with pytest.raises(ValueError, match="7x7 cannot be halved 2 times"):
        models.vq_vae(shape=(7, 7, 1))
    plain = CASES["vae"]()
    with pytest.raises(ValueError, match="no 'codes'"):
        vector_quantized(plain.model)
