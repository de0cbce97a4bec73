"""Every bijection undoes itself, and its log-determinant is that of autodiff's Jacobian; each law has mutants."""

import math
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax_zoo.conformance import double_precision, randomise
from genjax_zoo.math import additive, affine, rational_quadratic
from genjax_zoo.nn import (
    MLP,
    ActNorm,
    BatchNorm,
    Bijection,
    Chain,
    Checkerboard,
    Conditional,
    Coupling,
    EvenOdd,
    Flatten,
    Inverse,
    InvertibleConv,
    MaskedAutoregressive,
    MaskedMLP,
    Multiscale,
    Reverse,
    Scale,
    Squeeze,
    Stack,
)
from genjax_zoo.nn.bijections import no_log_det

close = partial(np.testing.assert_allclose, rtol=0)  # atol alone: a relative 1e-7 would hide a wrong inverse
SPLINE = rational_quadratic(bins=5, bound=2.0)
MAPS = {"additive": additive, "affine": affine(), "spline": SPLINE}
IMAGE = (4, 4, 2)


class Places(nn.Module):
    """A dense network at every place of an image."""

    features: int

    @nn.compact
    def __call__(self, x, train=False):
        return nn.Dense(self.features)(jnp.tanh(nn.Dense(6)(x)))


def coupling(map, d=5):
    return Coupling(map, MLP((8,), map.parameters * (d - d // 2), jnp.tanh))


def masked(map, d=5):
    return MaskedAutoregressive(map, MaskedMLP(d, map.parameters, (7, 9), jnp.tanh))


def prior():
    return Conditional(affine(), Places(2 * 4))


TABLE = {
    "reverse": (Reverse(), (5,)),
    "even_odd": (EvenOdd(), (5,)),
    "flatten": (Flatten(IMAGE), IMAGE),
    "squeeze": (Squeeze(), IMAGE),
    "scale": (Scale(), (5,)),
    "act_norm": (ActNorm(), IMAGE),
    "batch_norm": (BatchNorm(), IMAGE),
    "invertible_conv": (InvertibleConv(), IMAGE),
    "checkerboard": (Checkerboard(affine(), Places(4), odd=True), IMAGE),
    "image_coupling": (Coupling(affine(), Places(2)), IMAGE),
    "chain": (Chain((Squeeze(), ActNorm(), InvertibleConv())), IMAGE),
    "stack": (Stack(Chain((ActNorm(), coupling(affine()), BatchNorm())), 3), (5,)),
    "inverse": (Inverse(masked(affine())), (5,)),
    "multiscale": (
        Multiscale(((2, 2, 8), (1, 1, 16)), tuple(Chain((Squeeze(), ActNorm())) for _ in range(2)), (prior(),)),
        IMAGE,
    ),
    **{f"coupling_{name}": (coupling(map), (5,)) for name, map in MAPS.items()},
    **{f"masked_{name}": (masked(map), (5,)) for name, map in MAPS.items()},
}
CONDITIONAL = ("coupling_affine", "masked_spline", "stack", "multiscale", "checkerboard")


def prepared(module, shape, cond, n=4):
    """A bijection with random parameters and statistics, and data for it."""
    x = jax.random.normal(jax.random.key(0), (n, *shape))
    given = jax.random.normal(jax.random.key(1), (n, 3)) if cond else None
    variables = jax.jit(partial(module.init, method="forward"), static_argnums=3)(jax.random.key(2), x, given, True)
    variables = randomise({"params": {}, **variables}, scale=0.3)
    if "batch_stats" in variables:
        moved = jax.tree.map(lambda s: jnp.abs(s) + 0.3, variables["batch_stats"])
        variables = {**variables, "batch_stats": moved}
    return variables, x, given


def check(module, shape, cond=False):
    """Round trips both ways and both log-determinants, in float64."""
    variables, x, cond = prepared(module, shape, cond)

    @partial(jax.jit, static_argnums=0)
    def run(method, variables, x, cond):
        return module.apply(variables, x, cond, method=method)

    @partial(jax.jit, static_argnums=0)
    def true_log_det(method, variables, x, cond):
        def one(row, c):
            c = None if c is None else c[None]
            return module.apply(variables, row.reshape(1, *x.shape[1:]), c, method=method)[0].ravel()

        flat = x.reshape(len(x), -1)
        return jnp.linalg.slogdet(jax.vmap(jax.jacfwd(one), (0, None if cond is None else 0))(flat, cond))[1]

    y32, _ = run("forward", variables, x, cond)
    close(run("inverse", variables, y32, cond)[0], x, atol=1e-4)
    with jax.enable_x64(True):
        variables, x, cond = double_precision((variables, x, cond))
        y, log_det = run("forward", variables, x, cond)
        again, log_det_back = run("inverse", variables, y, cond)
        close(again, x, atol=1e-10)
        assert log_det.shape == (len(x),)
        close(log_det, true_log_det("forward", variables, x, cond), atol=1e-10)
        close(log_det_back, true_log_det("inverse", variables, y, cond), atol=1e-10)


@pytest.mark.parametrize("name", TABLE)
def test_bijection(name):
    check(*TABLE[name])


@pytest.mark.parametrize("name", CONDITIONAL)
def test_given_a_condition(name):
    module, shape = TABLE[name]
    check(module, shape, cond=True)
    variables, x, cond = prepared(module, shape, True)
    first, other = (module.apply(variables, x, c, method="forward")[0] for c in (cond, jnp.zeros((4, 3))))
    assert jnp.all(jnp.any((first != other).reshape(len(x), -1), axis=1)), "the condition changes nothing"


def mutant(base, change):
    """A class whose `forward` result is changed."""

    class Mutant(base):
        def forward(self, x, cond=None, train=False):
            return change(x, *super().forward(x, cond, train))

    return Mutant


MUTANTS = {
    "a flipped sign": mutant(Coupling, lambda x, y, log_det: (y, -log_det)),
    "a dropped log-determinant": mutant(Coupling, lambda x, y, log_det: (y, 0 * log_det)),
    "counted twice": mutant(Coupling, lambda x, y, log_det: (y, 2 * log_det)),
    "not the inverse": mutant(Coupling, lambda x, y, log_det: (y + 1e-9, log_det)),
    "summed over the batch": mutant(Coupling, lambda x, y, log_det: (y, 0 * log_det + log_det.sum())),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_noticed(name):
    with pytest.raises(AssertionError, match=r"Not equal to tolerance rtol=0, atol=1e-10"):
        check(MUTANTS[name](affine(), MLP((8,), 6, jnp.tanh)), (5,))


def test_actnorm_without_places_is_noticed(monkeypatch):
    """One scale acts at every place of an image; counting it once is the classic mistake."""
    monkeypatch.setattr("genjax_zoo.nn.bijections.over_places", lambda x, s: no_log_det(x) + jnp.sum(s))
    with pytest.raises(AssertionError, match=r"Not equal to tolerance rtol=0, atol=1e-10"):
        check(ActNorm(), IMAGE)


class Total(nn.Module):
    """The sum of each channel of what it is given, at every place."""

    @nn.compact
    def __call__(self, x, train=False):
        return jnp.broadcast_to(jnp.sum(x, axis=(1, 2, 3), keepdims=True), (*x.shape[:3], 1))


def test_a_checkerboard_keeps_one_colour_and_moves_the_other_by_what_it_kept():
    """The network sees the kept pixels and how many there are, and none of the others (Dinh et al. 2016, eq. 9)."""
    x = jnp.arange(12.0).reshape(1, 3, 4, 1)
    black, white = 0 + 2 + 5 + 7 + 8 + 10, 1 + 3 + 4 + 6 + 9 + 11
    for odd, moved in ((False, [[0, 1, 0, 1], [1, 0, 1, 0]] * 2), (True, [[1, 0, 1, 0], [0, 1, 0, 1]] * 2)):
        y, _ = Checkerboard(additive, Total(), odd).bind({}).forward(x)
        by = (white if odd else black) + 6
        close(y[0, ..., 0] - x[0, ..., 0], by * np.array(moved[:3]), atol=1e-5)


def test_orders():
    """What goes where, by hand."""
    row = jnp.arange(5.0)[None]
    for layer, wanted in ((EvenOdd(), [0, 2, 4, 1, 3]), (Reverse(), [4, 3, 2, 1, 0])):
        np.testing.assert_array_equal(layer.forward(row)[0][0], wanted)
    blocks = Squeeze().forward(jnp.arange(16.0).reshape(1, 4, 4, 1))[0]
    np.testing.assert_array_equal(blocks[0], [[[0, 1, 4, 5], [2, 3, 6, 7]], [[8, 9, 12, 13], [10, 11, 14, 15]]])


@pytest.mark.parametrize(
    "dimensions, hidden, cond", [(1, (4,), True), (5, (3,), False), (6, (11, 4), True), (4, (), False)]
)
def test_masks_leak_nothing_and_miss_nothing(dimensions, hidden, cond):
    """Parameters of x_i depend on each earlier number, on no other, and on the condition where there is one."""
    network = MaskedMLP(dimensions, 2, hidden, jnp.tanh)
    x, seen = jax.random.normal(jax.random.key(0), (1, dimensions)), jnp.ones((1, 3)) if cond else None
    variables = randomise(network.init(jax.random.key(1), x, seen))
    reach = jax.jacobian(lambda x: network.apply(variables, x, seen)[0])(x)[:, :, 0]
    earlier = np.tri(dimensions, k=-1, dtype=bool)
    blind = {i for width in hidden for i in range(1, dimensions) if width < dimensions - 1}
    for matrix in reach:
        assert not np.any(np.where(earlier, 0, matrix)), "a later number leaks"
        if not blind:
            assert np.all(np.where(earlier, matrix, 1)), "an earlier number is not seen"
    if cond:
        by_cond = jax.jacobian(lambda c: network.apply(variables, x, c)[0])(seen)[:, :, 0]
        assert np.all(np.any(by_cond != 0, axis=(0, 2))), "a number does not see the condition"


def test_a_leaking_mask_is_noticed(monkeypatch):
    right = MaskedMLP.__call__
    monkeypatch.setattr(MaskedMLP, "__call__", lambda self, x, cond=None: right(self, x[:, ::-1], cond))
    with pytest.raises(AssertionError, match="a later number leaks"):
        test_masks_leak_nothing_and_miss_nothing(5, (6,), False)


def test_a_mask_of_nothing_is_noticed(monkeypatch):
    monkeypatch.setattr(MaskedMLP, "_degrees", lambda self, width, cond: np.zeros(width, int))
    with pytest.raises(AssertionError, match="an earlier number is not seen"):
        test_masks_leak_nothing_and_miss_nothing(5, (6,), False)


@pytest.mark.parametrize(
    "dimensions, hidden, cond", [(1, (4,), False), (6, (3, 17), True), (6, (), False), (9, (40, 5), False)]
)
def test_going_through_x_once_is_the_network(dimensions, hidden, cond):
    """What each step of `sequential` computes from its own units equals the whole network on what has been built."""
    network = MaskedMLP(dimensions, 3, hidden, jnp.tanh)
    like, seen = jnp.zeros((4, dimensions)), jax.random.normal(jax.random.key(2), (4, 3)) if cond else None
    variables = randomise(network.init(jax.random.key(1), like, seen))
    noise = jax.random.normal(jax.random.key(3), (dimensions, 4))

    def build(network):
        return network.sequential(lambda i, p: p[0] + noise[i] * jnp.exp(p[1]) + p[2], like, seen)

    x: Any = nn.apply(build, network)(variables)
    p: Any = network.apply(variables, x, seen)
    close(x, p[:, 0] + noise.T * jnp.exp(p[:, 1]) + p[:, 2], atol=1e-5)


def test_iaf_is_maf_turned_round():
    """With one set of parameters, the forward of one is the inverse of the other."""
    maf = Stack(Chain((masked(affine()), Reverse())), 2)
    variables, x, _ = prepared(maf, (5,), False)
    y, log_det = maf.apply(variables, x, method="forward")
    turned: Any = Inverse(maf).apply({"params": {"of": variables["params"]}}, y, method="forward")
    back, log_det_back = turned
    close(back, x, atol=1e-5)
    close(log_det_back, -jnp.asarray(log_det), atol=1e-5)


def test_unrolled_is_scanned():
    """The switch changes how layers are compiled, and neither the parameters nor the result."""
    scanned, unrolled = (Stack(coupling(affine()), 3, unroll) for unroll in (1, 3))
    variables, x, _ = prepared(scanned, (5,), False)
    for method in ("forward", "inverse"):
        for a, b in zip(*(m.apply(variables, x, method=method) for m in (scanned, unrolled))):
            close(a, b, atol=1e-5)


OF_NETWORKS = [name for name in TABLE if name.startswith(("coupling", "masked", "check", "stack"))]
KINDS = [(name, "float32") for name in OF_NETWORKS]
KINDS += [pytest.param(name, "bfloat16", marks=[pytest.mark.slow] * name.startswith("masked")) for name in OF_NETWORKS]


@pytest.mark.parametrize("name, kind", KINDS)
def test_gradients_are_finite(name, kind):
    """Far out, at the ends of splines and of their bins, with respect to x and to every parameter."""
    module, shape = TABLE[name]
    variables, _, _ = prepared(module, shape, False)
    special = jnp.array([0.0, 1e3, -1e3, 2.0, -2.0, 1.2, -0.4])
    x = jnp.stack([jnp.roll(special, i)[: math.prod(shape)] for i in range(7)])
    x = jnp.resize(x, (7, *shape)).astype(kind)
    low = jax.tree.map(lambda p: p.astype(kind) if p.dtype == jnp.float32 else p, variables)

    @partial(jax.jit, static_argnums=2)
    def gradients(x, params, method):
        def loss(x, params):
            y, log_det = module.apply({**low, "params": params}, x, method=method)
            return jnp.sum(y.astype(jnp.float32)) + jnp.sum(log_det)

        return jax.grad(loss, argnums=(0, 1))(x, params)

    for method in ("forward", "inverse"):
        found = gradients(x, low["params"], method)
        assert all(jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(found)), method


def test_spline_is_the_identity_outside_and_continuous():
    p = jax.random.normal(jax.random.key(0), (1, SPLINE.parameters, 1)) * 3
    x = jnp.array([-1e6, -2.0 - 1e-6, -2.0, 2.0, 2.0 + 1e-6, 50.0])[:, None]
    y, log_det = SPLINE.forward(x, p)
    np.testing.assert_allclose(y, x, rtol=1e-5)
    close(log_det, 0, atol=1e-3)
    assert float(jnp.min(jnp.diff(SPLINE.forward(jnp.linspace(-3, 3, 500)[:, None], p)[0][:, 0]))) > 0
    zero = jnp.zeros((1, SPLINE.parameters, 1))
    close(SPLINE.forward(jnp.linspace(-3, 3, 50)[:, None], zero)[0][:, 0], jnp.linspace(-3, 3, 50), atol=1e-5)


@pytest.mark.parametrize("kernel, sentence", [(np.ones((2, 2)), "singular"), (np.eye(3), "square")])
def test_bad_kernels(kernel, sentence):
    with pytest.raises(ValueError, match=sentence):
        InvertibleConv(kernel).init(jax.random.key(0), jnp.ones((1, 2, 2, 2)), method="forward")


def test_a_kernel_given_is_the_kernel_used():
    kernel = np.array([[0.0, 2.0], [-3.0, 1.0]])
    x = jax.random.normal(jax.random.key(0), (3, 2))
    (y, log_det), _ = InvertibleConv(kernel).init_with_output(jax.random.key(0), x, method="forward")
    close(y, x @ kernel.T, atol=1e-5)
    close(log_det, math.log(6), atol=1e-5)


def test_odd_images_cannot_be_squeezed():
    with pytest.raises(ValueError, match="3x4 cannot be squeezed"):
        Squeeze().forward(jnp.ones((1, 3, 4, 1)))


def test_every_bijection_is_in_the_table():
    import genjax_zoo.nn as zoo

    known = {kind for kind in vars(zoo).values() if isinstance(kind, type) and issubclass(kind, Bijection)} - {
        Bijection
    }

    def kinds(module):
        inner = [v for v in vars(module).values()]
        nested = [m for v in inner for m in (v if isinstance(v, tuple) else (v,)) if isinstance(m, Bijection)]
        return {type(module)}.union(*(kinds(m) for m in nested))

    assert known == set().union(*(kinds(module) for module, _ in TABLE.values()))
