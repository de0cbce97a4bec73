"""Grey levels from a density: uniform dequantization."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genjax_zoo.core import (
    MORE,
    Array,
    Batch,
    Density,
    Key,
    Latent,
    Levels,
    Model,
    Of,
    Sampler,
    Terms,
    Variables,
    aside,
    dimensions,
    require,
)
from genjax_zoo.math import check_levels, tile
from genjax_zoo.wrap.calls import check_density, map_argument, map_value, record_lost


def dequantized(model: Model, levels: int = 256) -> Model:
    """A model of grey levels from a density on [0, 1): uniform dequantization (Theis et al. 2015, arXiv:1511.01844).

    -log P(k) <= E_u[-log p((k + u) / levels)] + D log(levels), so that what was exact becomes a bound. A draw's level
    has no gradient, and a critic of x in between sees no level: critics and judges are left out.

    Args:
        model: has a density of x in [0, 1).
        levels: the grey levels, which the new model sees as 0, 1 / (levels - 1), ..., 1.

    Raises:
        UserError: the model has no density, or one that is a probability of levels already.
    """
    by = "wrap.dequantized"
    density, latent, sampler = require(model, Density), model.latent or Latent(), model.sampler
    check_density(model, by)
    offset = dimensions(model.spec) * math.log(levels)

    def noisy(batch: Batch, key: Key) -> Batch:
        x = batch["x"]
        return {**batch, "x": (jnp.round(x * (levels - 1)) + jax.random.uniform(key, x.shape, x.dtype)) / levels}

    def middle(batch: Mapping[str, Any]) -> Batch:
        return {**batch, "x": (batch["x"] * (levels - 1) + 0.5) / levels}

    def level(x: Array) -> Array:
        return jnp.clip(jnp.floor(x * levels), 0, levels - 1) / (levels - 1)

    def check(batch: Mapping[str, Any]) -> None:
        if "x" in batch and not isinstance(batch["x"], Tracer):
            batch = {**batch, "x": np.asarray(batch["x"])}
            check_levels(levels, batch["x"])
            batch = middle(batch)
        model.check(batch)

    def terms(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
        k_noise, k_model = jax.random.split(key)
        named, variables = density.terms(variables, noisy(batch, k_noise), k_model, train=train)
        return {**named, "dequantization": jnp.full(len(batch["x"]), offset)}, variables

    def drawn(batch: Batch, key: Key, k: int) -> tuple[Batch, Key]:
        """The noise belongs to what is drawn k times, so that the bound over it tightens with k, too."""
        k_noise, k_model = jax.random.split(key)
        return noisy({name: tile(value, k) for name, value in batch.items()}, k_noise), k_model

    def weighing(weigh: Of[Array]) -> Of[Array]:
        def run(variables: Variables, batch: Batch, key: Key, k: int, *, tilt: Array | None = None, **how: Any):
            tilted = {} if tilt is None else {"tilt": tilt.reshape(1, -1)}
            log_w, variables = weigh(variables, *drawn(batch, key, k), 1, **tilted, **how)
            return log_w.reshape(k, -1) - offset, variables

        return run

    def encoding(encode: Of[Array]) -> Of[Array]:
        def run(variables: Variables, batch: Batch, key: Key, **how: Any):
            k_noise, k_model = jax.random.split(key)
            return encode(variables, noisy(batch, k_noise), k_model, **how)

        return run

    def meaning(means: Of[Array]) -> Of[Array]:
        def run(variables: Variables, batch: Batch, key: Key, k: int, **how: Any):
            each, variables = means(variables, *drawn(batch, key, k), 1, **how)
            return jnp.mean(each.reshape(k, -1, *each.shape[1:]), axis=0), variables

        return run

    uniform = f"{dimensions(model.spec)} log {levels}, the others are of x = (level + u) / {levels}, u ~ U[0, 1)"
    stated = dataclasses.replace(
        density.terms,
        terms=terms,
        formulas={**density.terms.formulas, "dequantization": uniform},
        units={**density.terms.units, "dequantization": "nats"},
    )
    lost = {
        "density.gaussian": density.gaussian,
        "sampler.scored": sampler and sampler.scored,
        "sampler.mean": sampler and sampler.mean,
        "latent.posterior": latent.posterior,
        "latent.observation": latent.observation,
        **{"critic": model.critic, "judge": model.judge},
        **{"conditionals": model.conditionals, "of_length": model.of_length},
    }
    return Model(
        spec=model.spec,
        init=lambda key, batch: (check(batch), model.init(key, noisy(batch, aside(key, MORE))))[1],
        check=check,
        card=dataclasses.replace(model.card, support=Levels(levels)),
        density=Density(terms=stated, exact=False, weigh=density.weigh and weighing(density.weigh)),
        sampler=sampler and Sampler(draw=map_value(sampler.draw, level), settings=sampler.settings),
        latent=model.latent
        and Latent(
            prior=latent.prior,
            encode=latent.encode and encoding(latent.encode),
            means=latent.means and meaning(latent.means),
            decode=latent.decode and map_value(latent.decode, level),
        ),
        codes=model.codes and map_argument(model.codes, middle),
        left_out=record_lost(model, by, lost),
    )
