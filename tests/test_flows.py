"""Flows of two numbers: densities that integrate to one, samples that follow them, and what bad input is told."""

import functools
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import of_terms

from genjax_zoo import conformance, data, evals, models, wrap
from genjax_zoo.core import Latent, Model, Sampler
from genjax_zoo.math import gaussian_mixture, rational_quadratic
from genjax_zoo.nn import Chain
from genjax_zoo.wrap.precision import half_precision

KEY = jax.random.key(0)
FLAT = {
    "nice": {"hidden": (8,)},
    "real_nvp": {"layers": 3, "hidden": (8,)},
    "made": {"hidden": (8,), "likelihood": gaussian_mixture(3)},
    "maf": {"layers": 2, "hidden": (8,)},
    "iaf": {"layers": 2, "hidden": (8,)},
    "spline_coupling": {"layers": 2, "hidden": (8,), "bins": 4},
    "spline_autoregressive": {"layers": 2, "hidden": (8,), "bins": 4},
}
LABEL = {"label": jnp.ones(1, jnp.int32)}


@functools.cache
def built(name, classes=0):
    """A flow of two numbers with random parameters."""
    model = models.MODELS[name](shape=(2,), classes=classes, **FLAT[name])
    batch = {"x": jax.random.normal(jax.random.key(0), (32, 2)), "label": jnp.arange(32) % 3}
    return model, conformance.randomise(model.init(jax.random.key(1), batch), scale=0.12)


@pytest.mark.parametrize("name", FLAT)
def test_density_integrates_to_one(name):
    conformance.density_integrates_to_one(*built(name), bound=30.0, points=1_000)


@pytest.mark.parametrize("name", FLAT)
def test_samples_follow_the_density(name):
    conformance.samples_follow_the_density(*built(name), bound=6.0)


@pytest.mark.parametrize("name", ["maf", "made"])
def test_given_a_label(name):
    model, variables = built(name, classes=3)
    conformance.density_integrates_to_one(model, variables, bound=30.0, points=1_000, cond=LABEL)
    conformance.samples_follow_the_density(model, variables, bound=6.0, cond=LABEL)


@pytest.mark.parametrize("law", [conformance.density_integrates_to_one, conformance.samples_follow_the_density])
def test_a_lost_log_determinant_is_noticed(law):
    model, variables = built("maf")

    def nll(v, batch, key, *, train=False):
        terms, v = model.nll(v, batch, key, train=train)
        return {"prior": terms["prior"], "log_det": 0.8 * terms["log_det"] + 0.05}, v

    said = "density integrates to" if law is conformance.density_integrates_to_one else "from the likelihood"
    with pytest.raises(AssertionError, match=said):
        law(of_terms(model, nll), variables, bound=20.0)


def layer_by_layer(model):
    """Which numbers of x each layer changes, as ".X" in raster order, and which number of x each latent is.

    With parameters of zero a flow of couplings only reorders x; one layer at a time gets a shift, or a scale.
    """
    shape = model.spec["x"].shape
    x = jnp.arange(1.0, 1 + np.prod(shape)).reshape(1, *shape)
    shapes = jax.eval_shape(model.init, jax.random.key(0), {"x": x})
    paths, tree = jax.tree_util.tree_flatten_with_path(shapes)
    zero = [np.zeros(leaf.shape, np.float32) for _, leaf in paths]
    variants = [zero]
    for index, (path, leaf) in enumerate(paths):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        if name.endswith(("network/out/bias", "log_scale")):
            for one in range(leaf.shape[0]) if leaf.ndim == 2 else [...]:
                moved = zero[index].copy()
                moved[one] = 1.0
                variants.append([*zero[:index], moved, *zero[index + 1 :]])
    all_at_once = tree.unflatten([np.stack(leaves) for leaves in zip(*variants)])
    encode = jax.vmap(lambda variables: model.encode(variables, {"x": x}, jax.random.key(0))[0])
    z = np.asarray(jax.jit(encode)(all_at_once))
    place = z[0].astype(int) - 1
    changed = (z[1:] != z[0])[:, np.argsort(place)]
    return ["".join(".X"[number] for number in row) for row in changed.astype(int)], place.tolist()


def test_couplings_change_odd_and_even_places_in_turn():
    """NICE, sec. 3.2, whose last layer scales all; Real NVP without its norms."""
    changed, _ = layer_by_layer(models.nice(shape=(6,), hidden=(), layers=4))
    assert changed == [".X.X.X", "X.X.X.", ".X.X.X", "X.X.X.", "XXXXXX"]
    changed, _ = layer_by_layer(models.real_nvp(shape=(6,), hidden=(), layers=3, norm=None))
    assert changed == [".X.X.X", "X.X.X.", ".X.X.X"]


def test_a_scale_of_real_nvp_is_three_checkerboards_a_squeeze_and_three_halves_of_the_channels():
    """Dinh et al. 2016, sec. 3.4 to 3.6: colours and halves take turns; then half leaves, and the rest goes on."""
    model = models.multiscale_real_nvp(shape=(4, 4, 1), scales=2, width=2, blocks=1, norm=lambda: Chain(()))
    changed, place = layer_by_layer(model)
    dark, light = ".X.XX.X..X.XX.X.", "X.X..X.XX.X..X.X"
    lower, upper = "....XXXX....XXXX", "XXXX....XXXX...."  # channels of a squeezed 2x2 block
    one, other = "......XX....XX..", "....XX........XX"  # a checkerboard of the 2x2 blocks left
    assert changed == [dark, light, dark, lower, upper, lower, one, other, one, other]
    assert place == [0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 12, 13, 14, 15]  # those that left come first


def rotation_at_the_start(model, x, places):
    """What takes the standardised numbers of each place to their latents, before anything is learned."""
    variables = model.init(jax.random.key(1), {"x": x})
    z = jax.jit(lambda x: model.encode(variables, {"x": x}, jax.random.key(0)))(x)
    y = places(np.asarray(x))
    y = (y - y.mean(0)) / y.std(0)
    linear, residual, *_ = np.linalg.lstsq(y, np.asarray(z).reshape(-1, y.shape[1]))
    np.testing.assert_allclose(residual, 0, atol=1e-5)
    return linear


def is_a_rotation_of_all(linear):
    np.testing.assert_allclose(linear.T @ linear, np.eye(len(linear)), atol=1e-4)
    assert np.min(np.abs(linear)) > 1e-3, "a number stays out"


def test_a_step_of_glow_normalises_rotates_and_then_halves_nearly_nothing():
    """Kingma & Dhariwal 2018, sec. 3: the coupling starts at a scale of sigmoid(2) for the half it changes."""

    def blocks(x):
        return x.reshape(-1, 2, 2, 2, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 4)

    x = 5 + 3 * jax.random.normal(jax.random.key(2), (16, 4, 4, 1))
    linear = rotation_at_the_start(models.glow(shape=(4, 4, 1), scales=1, steps=1, width=2), x, blocks)
    is_a_rotation_of_all(linear / np.array([1 / (1 + np.exp(-2.0))] * 2 + [1, 1]))


@pytest.mark.parametrize("name", ["spline_coupling", "spline_autoregressive"])
def test_splines_start_as_rotations(name):
    """Durkan et al. 2019, sec. 3.2: a linear layer mixes the numbers before every spline, which starts as identity."""
    x = 5 + 3 * jax.random.normal(jax.random.key(2), (16, 4))
    model = models.MODELS[name](shape=(4,), layers=1, hidden=(4,), bins=2)
    is_a_rotation_of_all(rotation_at_the_start(model, x, lambda x: x))


MIXING = {
    "nice": {"hidden": (9,)},
    "real_nvp": {"layers": 3, "hidden": (9,)},
    "maf": {"layers": 2, "hidden": (9,)},
    "iaf": {"layers": 2, "hidden": (9,)},
}


def seen_by_latents(name, **settings):
    model = models.MODELS[name](shape=(4,), **{**MIXING[name], **settings})
    batch = {"x": jax.random.normal(jax.random.key(0), (16, 4))}
    variables = conformance.randomise(model.init(jax.random.key(1), batch))
    one = lambda x: model.encode(variables, {"x": x[None]}, jax.random.key(0))[0]  # noqa: E731
    return np.any(np.asarray(jax.jit(jax.vmap(jax.jacfwd(one)))(batch["x"])) != 0, axis=0)


@pytest.mark.parametrize("name", MIXING)
def test_every_latent_sees_every_number(name):
    """Between layers the order is reversed, or the halves take turns."""
    assert np.all(seen_by_latents(name))


def test_one_layer_alone_sees_those_before():
    """And gives them in reversed order, for the next."""
    np.testing.assert_array_equal(seen_by_latents("maf", layers=1), np.tri(4, dtype=bool)[::-1])


@pytest.mark.parametrize("name", ["nice", "iaf", "made"])
def test_every_density_depends_on_its_label(name):
    model, variables = built(name, classes=3)
    x = jax.random.normal(jax.random.key(3), (5, 2))

    @jax.jit
    def nll(label):
        terms, _ = model.nll(variables, {"x": x, "label": label}, jax.random.key(0))
        return sum(terms.values())

    found = np.stack([nll(jnp.full(5, label)) for label in range(3)])
    assert np.min(np.abs(found - np.roll(found, 1, axis=0))) > 1e-4


def test_classes_ask_for_a_label():
    for name in models.MODELS:
        build = models.MODELS[name]
        if "classes" in inspect.signature(build).parameters:
            shape = (2,) if name in FLAT else (8, 8, 1)
            assert "label" in build(shape=shape, classes=3).spec, name


def test_temperature_scales_the_latent():
    model, variables = built("real_nvp")
    cold = wrap.tempered(model, 0.5)
    key = jax.random.key(0)
    z = model.encode(variables, {"x": cold.sample(variables, key, 6)}, key)
    np.testing.assert_allclose(z, 0.5 * model.sample_prior(variables, key, 6), atol=1e-4)


def test_rows_of_temperatures_are_the_same_draws_colder_and_colder():
    def draw(variables, key, n, cond, *, train=False, temperature=1.0):
        return temperature * jax.random.normal(key, (n, 2, 4, 1)), variables

    spec, prior = {}, Sampler(draw=draw, settings={"temperature": 1.0})
    latent = Latent(
        prior=Model(spec=spec, init=lambda key, batch: {}, sampler=prior),
        decode=lambda variables, z, cond, *, train=False: (z, variables),
    )
    model = Model(spec=spec, init=lambda key, batch: {}, latent=latent)
    (shown,) = evals.temperatures((1.0, 0.5), n=3)(model, {}, jax.random.key(0))["temperatures"]
    assert shown.shape == (2 * 2, 3 * 4, 1)
    np.testing.assert_allclose(shown[2:], 0.5 * shown[:2], rtol=1e-6)
    np.testing.assert_allclose(shown[:2, 4:8], jax.random.normal(jax.random.key(0), (3, 2, 4, 1))[1], rtol=1e-6)


def test_half_precision_is_of_networks_only():
    """The bijections stay in float32: log-determinants agree far better than bfloat16 would allow."""
    model, variables = built("real_nvp")
    batch = {"x": jax.random.normal(jax.random.key(2), (64, 2))}
    plain, _ = model.nll(variables, batch, jax.random.key(0))
    low, _ = half_precision(model.nll)(variables, batch, jax.random.key(0))
    gradient = jax.grad(
        lambda v: jnp.mean(half_precision(model.nll)(v, batch, jax.random.key(0), train=True)[0]["prior"])
    )
    assert low["prior"].dtype == jnp.float32
    np.testing.assert_allclose(low["log_det"], plain["log_det"], atol=0.05)
    assert not np.array_equal(low["log_det"], plain["log_det"]), "nothing was computed in half precision"
    assert jnp.unique(low["log_det"]).size == 64, "the log-determinants were rounded"
    assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(gradient(variables)["params"]))


@pytest.mark.parametrize("name", ["glow", "spline_coupling", "maf"])
def test_half_precision_leaves_a_flow_whose_networks_give_zeros_as_it_is(name):
    """At its start: its spread, its rotations and their log-determinants are float32's, bit for bit."""
    shape, small = ((4, 4, 1), {"scales": 1, "steps": 2, "width": 2}) if name == "glow" else ((4,), {"hidden": (4,)})
    model = models.MODELS[name](shape=shape, **small)
    batch = {"x": 5 + 3 * jax.random.normal(jax.random.key(2), (16, *shape))}
    variables = model.init(jax.random.key(1), batch)

    def compare(terms):
        plain, low = (jax.jit(t)(variables, batch, KEY)[0] for t in (model.nll, terms))
        for term, value in plain.items():
            np.testing.assert_array_equal(low[term], value, err_msg=term)

    compare(half_precision(model.nll))
    if name != "maf":  # which starts with nothing but zeros
        rounded = jax.tree.map(lambda p: p.astype(jnp.bfloat16).astype(p.dtype), variables["params"])
        with pytest.raises(AssertionError, match="Arrays are not equal\nlog_det"):
            compare(lambda v, *args, **how: model.nll({**v, "params": rounded}, *args, **how))


def test_half_precision_reaches_networks_in_a_stack():
    """Layers under one scan, too: each product of theirs is of bfloat16."""
    model, variables = built("real_nvp")
    batch = {"x": jax.random.normal(jax.random.key(2), (64, 2))}
    text = str(jax.make_jaxpr(lambda v: half_precision(model.nll)(v, batch, KEY, train=True)[0])(variables))
    results = re.findall(r"(\w+)\[\d+,\d+\] = dot_general", text)  # sums over an example are products of one axis
    assert results and set(results) == {"bf16"}


@pytest.mark.parametrize("name", ["grid25", "ring8", "checkerboard", "two-moons"])
def test_true_densities(name):
    """They integrate to one, and their entropy is that of the card."""
    bound, points = 5.0, 250 if name == "two-moons" else 1_000
    centres = bound * ((2 * np.arange(points) + 1) / points - 1)
    log_p = data.log_density(name, np.stack(np.meshgrid(centres, centres), -1).reshape(-1, 2))
    p, area = np.exp(log_p), (2 * bound / points) ** 2
    entropy = -np.sum(p[p > 0] * log_p[p > 0]) * area
    assert abs(p.sum() * area - 1) < 2e-3
    assert f"{entropy:.3f}"[:4] in data.PROTOCOLS[name].likelihood


def test_divergence_of_the_truth_is_zero():
    test = data.load("two-moons", "test", batch_size=1_000)
    model, variables = built("maf")

    def nll(v, batch, key, *, train=False):
        found = jax.pure_callback(
            lambda x: data.log_density("two-moons", x).astype(np.float32),
            jax.ShapeDtypeStruct((1_000,), jnp.float32),
            batch["x"],
        )
        return {"nll": -found + shift}, v

    truth = functools.partial(data.log_density, "two-moons")
    for shift in (0.0, 0.25):
        own = of_terms(model, functools.partial(nll))
        assert abs(evals.divergence(test, truth)(own, variables, jax.random.key(0))["kl"] - shift) < 1e-3


def labelled_sample(cond):
    model, variables = built("maf", classes=3)
    return model.sample(variables, jax.random.key(0), 4, cond)


BAD = [
    (lambda: models.real_nvp(shape=(1,)), "two numbers or more"),
    (lambda: models.glow(shape=(7, 8, 1)), "7x8 allows"),
    (lambda: models.glow(shape=(28, 28, 1), scales=3), "1 ... 2 scales, not 3"),
    (lambda: models.multiscale_real_nvp(shape=(28, 28, 1), scales=4), "1 ... 3 scales, not 4"),
    (lambda: rational_quadratic(bins=1), "2 ... 999 bins"),
    (lambda: rational_quadratic(bound=0.0), "bound above 0"),
    (lambda: gaussian_mixture(0), "one component"),
    (lambda: wrap.logit_space(built("maf")[0], alpha=0.0), "alpha in"),
    (lambda: wrap.logit_space(built("maf")[0]).init(jax.random.key(0), {"x": jnp.full((3, 2), 1.5)}), "x goes from"),
    (lambda: wrap.tempered(built("maf")[0], 0.0), "above 0"),
    (lambda: labelled_sample({}), "needs the condition 'label'"),
    (lambda: labelled_sample({"label": jnp.ones((4, 3))}), "needs the shape"),
    (lambda: data.log_density("mnist", np.zeros((1, 2))), "not known"),
]


@pytest.mark.parametrize("call, sentence", BAD, ids=[sentence for _, sentence in BAD])
def test_bad_input_gets_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
