"""How much of a latent space is in use."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Data, Eval, Key, Model, Variables, require
from genjax_zoo.evals.walk import whole


def active_units(data: Data, *, threshold: float = 0.01) -> Eval:
    """Latent dimensions whose posterior mean varies with x: Var_x E_q[z_i] > threshold (Burda et al. 2015, sec. 5).

    Args:
        data: an evaluation split; every example counts once, padding does not.
        threshold: of the variance.

    Returns:
        An Eval that gives "active_units", of all numbers of the encoding. It raises ValueError for a model without
        `encode`.
    """
    data = whole(data)

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        require(model, "encode")
        encode = _flat_encoding(model)
        codes = [
            np.asarray(encode(variables, data.at(step), key))[np.asarray(data.mask(step)) == 1]
            for step in range(data.batches)
        ]
        return {"active_units": float(np.sum(np.var(np.concatenate(codes), axis=0) > threshold))}

    return run


@functools.cache
def _flat_encoding(model: Model):
    @jax.jit
    def run(variables, batch, key):
        z = model.encode(variables, batch, key)
        return jnp.reshape(z, (len(z), -1))

    return run
