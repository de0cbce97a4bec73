"""Convolutions as each platform does them best are `lax`'s: values, and derivatives of every kind, in loops, too."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.sharding import Mesh, PartitionSpec

from genjax_zoo.math.convolve import convolve, convolve_causal, double, halve

SAME = ((1, 1), (1, 1))


def reference(x, kernel, padding, strides=(1, 1), apart=(1, 1), dilation=(1, 1), groups=1):
    return lax.conv_general_dilated(
        x, kernel, strides, padding, apart, dilation, ("NHWC", "HWIO", "NHWC"), feature_group_count=groups
    )


def causal(x, kernel, dilation):
    padding = ((0, 0), ((kernel.shape[0] - 1) * dilation, 0))
    return reference(x[:, None], kernel[None], padding, dilation=(1, dilation))[:, 0]


def back(f, ct, side):
    """The gradient of x, an image [B, side, side, 2]."""
    return jax.vjp(f, jnp.zeros_like(ct, shape=(len(ct), side, side, 2)))[1](ct)[0]


CASES = {  # ours, lax's, the shapes of x and of the kernel
    "same": (lambda x, k: convolve(x, k, SAME), lambda x, k: reference(x, k, SAME), (2, 5, 6, 3), (3, 3, 3, 4)),
    "many channels": (
        lambda x, k: convolve(x, k, SAME),
        lambda x, k: reference(x, k, SAME),
        (2, 3, 4, 17),
        (3, 3, 17, 2),
    ),
    "causal rows": (
        lambda x, k: convolve(x, k, ((1, 0), (2, 2))),
        lambda x, k: reference(x, k, ((1, 0), (2, 2))),
        (2, 5, 6, 3),
        (2, 5, 3, 4),
    ),
    "stride": (
        lambda x, k: convolve(x, k, ((1, 0), (1, 1)), 2),
        lambda x, k: reference(x, k, ((1, 0), (1, 1)), (2, 2)),
        (2, 7, 8, 3),
        (2, 3, 3, 5),
    ),
    "blocks": (
        lambda x, k: convolve(x, k, ((1, 2), (2, 1)), 2),
        lambda x, k: reference(x, k, ((1, 2), (2, 1)), (2, 2)),
        (2, 6, 7, 3),
        (2, 4, 3, 5),
    ),
    "groups": (
        lambda x, k: convolve(x, k, SAME, groups=3),
        lambda x, k: reference(x, k, SAME, groups=3),
        (2, 5, 6, 6),
        (3, 3, 2, 9),
    ),
    "halve": (halve, lambda x, k: reference(x, k, "SAME", (2, 2)), (2, 8, 6, 3), (4, 4, 3, 2)),
    "double": (
        double,
        lambda x, k: lax.conv_transpose(x, k, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")),
        (2, 6, 5, 3),
        (4, 4, 3, 2),
    ),
    "wider apart than the kernel": (
        lambda x, k: back(lambda y: convolve(y, k, SAME, 4), x, 9),
        lambda x, k: back(lambda y: reference(y, k, SAME, (4, 4)), x, 9),
        (2, 3, 3, 3),
        (3, 3, 2, 3),
    ),
    "past": (lambda x, k: convolve_causal(x, k, 4), lambda x, k: causal(x, k, 4), (2, 11, 3), (2, 3, 4)),
    "past before all": (lambda x, k: convolve_causal(x, k, 20), lambda x, k: causal(x, k, 20), (2, 11, 3), (3, 3, 4)),
}


def gradients(f):
    return jax.grad(lambda x, k: jnp.sum(jnp.sin(f(x, k))), (0, 1))


def penalised(f):
    """Gradients of gradients, as a penalty on a critic's takes them."""

    def norm(x, k):
        of_x, of_kernel = gradients(f)(x, k)
        return jnp.sum(of_x**2) + jnp.sum(jnp.tanh(of_kernel))

    return jax.grad(norm, (0, 1))


def forwards(f):
    return lambda x, k: jax.jvp(f, (x, k), (jnp.cos(x), jnp.sin(k)))


def kernels(f):
    """Two kernels at once, as the members of a sweep have them; and two sets of images."""

    def both(x, k):
        ks, xs = jnp.stack([k, k**2]), jnp.stack([x, 1 - x])
        over = [jax.vmap(gradients(f), axes)(*args) for axes, args in (((None, 0), (x, ks)), ((0, 0), (xs, ks)))]
        return over, jax.vmap(gradients(f), (0, None))(xs, k)

    return both


def sharded(f):
    """Gradients of images on two devices, with one kernel."""
    mesh, parts = Mesh(np.array(jax.devices()[:2]), ("data",)), PartitionSpec("data")
    return jax.shard_map(gradients(f), mesh=mesh, in_specs=(parts, PartitionSpec()), out_specs=(parts, PartitionSpec()))


USES = {"value": lambda f: f, "forwards": forwards, "penalised": penalised, "kernels": kernels, "sharded": sharded}


def same(case, use, ours=None):
    f, wanted, shape, kernel_shape = CASES[case]
    x, kernel = (jax.random.normal(jax.random.key(i), s) / 2 for i, s in enumerate((shape, kernel_shape)))
    pair = [jax.jit(USES[use](one))(x, kernel) for one in (ours or f, wanted)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-4, err_msg=f"{use} of {case}"), *pair)


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("case", CASES)
def test_convolutions_are_laxs(case, use):
    same(case, use)


def test_control_a_kernel_turned_around():
    for case, use in (("halve", "value"), ("same", "penalised"), ("past", "kernels")):
        with pytest.raises(AssertionError, match=f"\n{use} of {case}\n"):
            same(case, use, ours=lambda x, k, f=CASES[case][0]: f(x, k[::-1]))


def forms_in_a_scan(f, shape, kernel_shape):
    """The forms of the convolutions that XLA's CPU runs in a loop of gradient steps."""

    def step(kernel, x):
        return kernel - gradients(f)(x, kernel)[1], None

    x, kernel = jnp.zeros((3, *shape)), jnp.zeros(kernel_shape)
    text = jax.jit(lambda kernel, x: lax.scan(step, kernel, x)[0]).lower(kernel, x).compile().as_text()
    return set(re.findall(r"dim_labels=(\S+?)[,\s]", str(text)))


@pytest.mark.parametrize("case", [case for case in CASES if case != "groups"])
def test_every_convolution_of_a_loop_is_in_the_quick_form(case):
    assert forms_in_a_scan(CASES[case][0], *CASES[case][2:]) <= {"b01f_01io->b01f"}


def test_control_laxs_are_not():
    assert forms_in_a_scan(CASES["same"][1], *CASES["same"][2:]) - {"b01f_01io->b01f"}
