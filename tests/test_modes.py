"""Every model trains, samples and evaluates under JAX's own modes."""

import jax
import jax.numpy as jnp
import pytest
from cases import CASES

from genjax_zoo.core import Latent, conditions
from genjax_zoo.train import create_state, make_step

MODES = {"enable_x64": jax.enable_x64, "debug_nans": jax.debug_nans}


def floats(tree):
    """The floating types in a tree, by leaf."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(p): x.dtype for p, x in leaves if jnp.issubdtype(x.dtype, jnp.floating)}


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", CASES)
def test_a_step_a_sample_and_an_evaluation(name, mode):
    """The state and the samples are of float32, whatever type JAX's own defaults have."""
    with MODES[mode](True):
        case, key = CASES[name](), jax.random.key(0)
        model = case.model
        state = create_state(model, case.players, key, case.batch)
        step = jax.jit(make_step(case.players))
        after, _ = step(step(state, case.batch)[0], case.batch)
        assert set(floats(after).values()) == {jnp.dtype("float32")} and floats(after) == floats(state)
        variables, given = after.variables, conditions(case.batch)
        values = []
        latent = model.latent or Latent()
        if model.sampler is not None:
            x = jax.jit(model.sample, static_argnums=2)(variables, key, 16, given)
            assert x.dtype == model.spec["x"].dtype
            values.append(x)
        if latent.decode is not None:
            z = jax.jit(model.sample_prior, static_argnums=2)(variables, key, 16, given)
            values.append(jax.jit(model.decode)(variables, z, given))
        if latent.encode is not None:
            values.append(jax.jit(model.encode)(variables, case.batch, key))
        if model.density is not None and model.density.weigh is not None:
            values.append(jax.jit(model.log_weights, static_argnums=3)(variables, case.batch, key, 2))
        if model.density is not None:
            values.append(jax.jit(model.density.terms)(variables, case.batch, key)[0])
    assert all(jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(values))
