"""Norms do what their papers say: by how much they follow a batch, where they start, on shards as on the whole."""

import functools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax_zoo import nn as nn_zoo
from genjax_zoo.nn import ActNorm, BatchNorm

KEY = jax.random.key(0)
close = functools.partial(np.testing.assert_allclose, rtol=0)


class Normed(nn.Module):
    """One layer under a norm, of vectors or of images."""

    norm: Callable
    layer: Callable

    @nn.compact
    def __call__(self, x, train):
        return self.norm(functools.partial(self.layer, 5), x, train)


@pytest.mark.parametrize("layer", [nn.Dense, nn_zoo.Conv], ids=["dense", "conv"])
def test_what_a_spectrally_normalised_layer_does_has_a_largest_singular_value_of_one(layer):
    """Read off its outputs at unit vectors: of a convolution by its kernel as a matrix [h w C, F], as in the paper."""
    module = Normed(nn_zoo.spectral_norm, functools.partial(layer, use_bias=False))
    unit = jnp.eye(4) if layer is nn.Dense else jnp.zeros((4, 3, 3, 4)).at[jnp.arange(4), 1, 1, jnp.arange(4)].set(1)
    variables = module.init(KEY, unit, True)

    @jax.jit
    def after_many(variables):
        def once(variables, _):
            return {**variables, **module.apply(variables, unit, True, mutable=["batch_stats"])[1]}, None

        return module.apply(jax.lax.scan(once, variables, length=100)[0], unit, False)

    kernel = np.asarray(after_many(jax.tree.map(lambda x: 3 * x, variables))).reshape(-1, 5)
    assert np.linalg.svd(kernel)[1].max() == pytest.approx(1, abs=1e-3)
    assert np.linalg.svd(np.asarray(jax.tree.leaves(variables["params"])[0]).reshape(-1, 5))[1].max() != pytest.approx(
        1, abs=1e-1
    )  # control


@pytest.mark.parametrize("conditional", [False, True])
def test_batch_norm_follows_batches_by_a_tenth(conditional):
    """From mean 0 and variance 1, by one batch of mean 20 and variance 9; evaluation is by these numbers."""
    x, label = jnp.array([[17.0], [23.0]]), jnp.array([0, 1])
    if conditional:
        module = nn_zoo.Normalised(classes=2)
        before = (x, label)
    else:
        module = Normed(nn_zoo.batch_norm, lambda *args, **more: lambda x: x)  # type: ignore[arg-type]
        before = (x,)
    variables = module.init(KEY, *before, True)

    @jax.jit
    def once(variables):
        y, stats = module.apply(variables, *before, True, mutable=["batch_stats"])
        return y, stats, module.apply({**variables, **stats}, *before, False)

    y, stats, evaluated = once(variables)
    statistics = {str(path[-1].key): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(stats)}
    np.testing.assert_allclose(y[:, 0], [-1, 1], rtol=1e-4)
    np.testing.assert_allclose(statistics["mean"], 2, rtol=1e-5)
    np.testing.assert_allclose(statistics["var"], 1.8, rtol=1e-4)
    np.testing.assert_allclose(evaluated[:, 0], np.array([15, 21]) / np.sqrt(1.8), rtol=1e-4)


def test_conditional_batch_norm_scales_and_shifts_by_the_label():
    x, label, module = jnp.array([[17.0], [23.0]]), jnp.array([0, 1]), nn_zoo.Normalised(classes=2)
    variables = module.init(KEY, x, label, True)
    own = {"scale": {"embedding": jnp.array([[2.0], [3.0]])}, "shift": {"embedding": jnp.array([[5.0], [7.0]])}}
    y: Any = module.apply({**variables, "params": own}, x, label, True, mutable=["batch_stats"])
    close(y[0][:, 0], [-2 + 5, 3 + 7], atol=1e-4)


def test_batch_norm_of_shards_is_that_of_the_batch():
    x = jax.random.normal(jax.random.key(0), (8, 3)) * 2 + 1
    norm = BatchNorm()
    variables = norm.init(jax.random.key(1), x[:5], None, True, method="forward")

    def run(x):
        return norm.apply(variables, x, None, True, method="forward", mutable=["batch_stats"])

    (whole, log_det), stats = run(x)
    (parts, part_log_det), part_stats = jax.vmap(run, axis_name="data")(x.reshape(4, 2, 3))
    close(parts.reshape(8, 3), whole, atol=1e-5)
    close(part_log_det.ravel(), log_det, atol=1e-5)
    jax.tree.map(lambda a, b: close(a[0], b, atol=1e-5), part_stats, stats)


def test_batch_norm_follows_batches_by_a_twentieth():
    """Momentum 0.95: from mean 2 and variance 1 of the first batch, by one batch of mean 22 and variance 9."""
    first, second = jnp.array([[1.0], [3.0]]), jnp.array([[19.0], [25.0]])
    norm = BatchNorm(epsilon=0.0)
    variables = norm.init(jax.random.key(0), first, None, True, method="forward")
    moved: Any = norm.apply(variables, second, None, True, method="forward", mutable=["batch_stats"])
    (y, log_det), stats = moved
    close(y[:, 0], [-1, 1], atol=1e-6)  # by the batch's own statistics
    close(log_det, -math.log(3), atol=1e-6)
    close(stats["batch_stats"]["mean"], 1, atol=1e-6)  # in the first batch's deviations from its mean
    close(stats["batch_stats"]["var"], 1.4, atol=1e-6)
    evaluated: Any = norm.apply({**variables, **stats}, second, method="forward")
    close(evaluated[0][:, 0], np.array([16, 22]) / math.sqrt(1.4), atol=1e-5)


def test_actnorm_starts_at_mean_zero_and_variance_one():
    """By the first batch, per channel, over all places; later ones are mapped as that one was."""
    x = jnp.array([[1.0, 0], [3, 8]]).reshape(1, 2, 1, 2)  # means 2 and 4, deviations 1 and 4
    (y, log_det), variables = ActNorm().init_with_output(jax.random.key(1), x, method="forward")
    close(y.ravel(), [-1, -1, 1, 1], atol=1e-5)
    close(log_det, -2 * math.log(4), atol=1e-5)
    later: Any = ActNorm().apply(variables, jnp.full((1, 1, 1, 2), 12.0), method="forward")
    close(later[0].ravel(), [10, 2], atol=1e-4)
