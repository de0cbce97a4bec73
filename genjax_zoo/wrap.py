"""Model -> Model: what changes a model's data space without touching its networks.

A density changes by the log-Jacobian, which becomes one more term; a bound stays a bound.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genjax_zoo.core import (
    MEMORY,
    NO_CONDITION,
    TURNS,
    Array,
    Batch,
    Explained,
    Key,
    Model,
    TermFn,
    Terms,
    Variables,
    changed,
    dimensions,
    formulas,
    require,
)
from genjax_zoo.math import check_levels, check_temperature, logit, logit_inverse, tiled
from genjax_zoo.methods import Apply, of_conditions, of_data, of_terms


def dequantized(model: Model, levels: int = 256) -> Model:
    """A model of grey levels from a density on [0, 1): uniform dequantization (Theis et al. 2015, arXiv:1511.01844).

    -log P(k) <= E_u[-log p((k + u) / levels)] + D log(levels), so `nll` moves to `nelbo`.

    Args:
        model: has `nll` or `nelbo` over x in [0, 1).
        levels: the grey levels, which the new model sees as 0, 1 / (levels - 1), ..., 1.
    """
    offset = dimensions(model.spec) * math.log(levels)
    density = model.nll or model.nelbo

    def nelbo(variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
        k_noise, k_model = jax.random.split(key)
        assert density is not None
        terms, variables = density(variables, noisy(batch, k_noise), k_model, train)
        return {**terms, "dequantization": jnp.full(len(batch["x"]), offset)}, variables

    uniform = f"{dimensions(model.spec)} log {levels}, the others are of x = (level + u) / {levels}, u ~ U[0, 1)"
    explained = Explained(terms=nelbo, formulas={**formulas(density), "dequantization": uniform})

    def noisy(batch: Batch, key: Key) -> Batch:
        x = batch["x"]
        return {**batch, "x": (jnp.round(x * (levels - 1)) + jax.random.uniform(key, x.shape, x.dtype)) / levels}

    def check(batch: Mapping[str, Any]) -> None:
        if "x" in batch and not isinstance(batch["x"], Tracer):
            check_levels(levels, np.asarray(batch["x"]))
            batch = {**batch, "x": (np.asarray(batch["x"]) * (levels - 1) + 0.5) / levels}
        model.check(batch)

    def level(x: Array) -> Array:
        return jnp.clip(jnp.floor(x * levels), 0, levels - 1) / (levels - 1)

    def drawn(batch: Batch, key: Key, k: int) -> tuple[Batch, Key]:
        """The noise belongs to what is drawn k times, so that the bound over it tightens with k, too."""
        k_noise, k_model = jax.random.split(key)
        return noisy({name: tiled(value, k) for name, value in batch.items()}, k_noise), k_model

    def log_weights(variables: Variables, batch: Batch, key: Key, k: int) -> Array:
        (inner,) = require(model, "log_weights")
        batch, key = drawn(batch, key, k)
        return inner(variables, batch, key, 1).reshape(k, -1) - offset

    def weigh(
        variables: Variables, batch: Batch, k: int, key: Key, tilt: Array | None = None, **how: Any
    ) -> tuple[Array, Variables]:
        batch, key = drawn(batch, key, k)
        tilted = {} if tilt is None else {"tilt": tilt.reshape(1, -1)}
        log_w, variables = model.apply(variables, "log_weights", batch, 1, key=key, **tilted, **how)
        return log_w.reshape(k, -1) - offset, variables

    def encode(variables: Variables, batch: Batch, key: Key) -> Array:
        k_noise, k_model = jax.random.split(key)
        (inner,) = require(model, "encode")
        return inner(variables, noisy(batch, k_noise), k_model)

    def posterior_means(variables: Variables, batch: Batch, key: Key, k: int) -> Array:
        (inner,), (tiles, key) = require(model, "posterior_means"), drawn(batch, key, k)
        means = inner(variables, tiles, key, 1)
        return jnp.mean(means.reshape(k, -1, *means.shape[1:]), axis=0)

    own: dict[str, Apply] = {"nelbo": of_terms(density and explained, "nelbo"), "log_weights": weigh}
    return changed(
        model,
        apply=of_data(model, "dequantized", None, level, own),
        init=lambda key, batch: (check(batch), model.init(key, noisy(batch, jax.random.fold_in(key, 1))))[1],
        check=check,
        nll=None,
        conditionals=None,
        of_length=None,
        nelbo=density and explained,
        log_weights=model.log_weights and log_weights,
        encode=model.encode and encode,
        posterior_means=model.posterior_means and posterior_means,
        codes=model.codes
        and (lambda v, batch: model.codes(v, {**batch, "x": (batch["x"] * (levels - 1) + 0.5) / levels})),
        sample=_then(model.sample, level),
        decode=_then(model.decode, level),
        at_temperature=model.at_temperature and (lambda t: dequantized(model.at_temperature(t), levels)),
    )


def logit_space(model: Model, alpha: float = 1e-6) -> Model:
    """A density on [0, 1] from one on the reals, by y = logit(alpha + (1 - 2 alpha) x) (Dinh et al. 2016, sec. 4.1).

    The term "logit" is -log |dy/dx|, nats; without it the likelihood is that of y, which MAF reports.

    Raises:
        ValueError: alpha outside (0, 0.5), where the logit of 0 or 1 is infinite; from `init`, for x outside [0, 1].
    """
    if not 0 < alpha < 0.5:
        raise ValueError(
            f"logit_space needs alpha in (0, 0.5), not {alpha}: the logits of 0 and 1 are infinite; use 1e-6."
        )

    def check(batch: Mapping[str, Any]) -> None:
        x = batch.get("x")
        if x is not None and not isinstance(x, Tracer) and not bool(jnp.all((x >= 0) & (x <= 1))):
            raise ValueError(
                f"The logit is of x in [0, 1], but x goes from {float(jnp.min(x)):.4g} to {float(jnp.max(x)):.4g}; "
                f"rescale it with wrap.scaled, or load pixels such as 'mnist-deq'."
            )
        through.check(batch)

    formula = f"-log |det dy/dx|, the others are of y = logit({alpha:g} + {1 - 2 * alpha:g} x)"
    through = _through(
        model, "logit_space", "logit", formula, lambda x: logit(x, alpha), lambda y: logit_inverse(y, alpha)
    )
    return changed(through, init=lambda key, batch: (check(batch), through.init(key, batch))[1], check=check)


def scaled(model: Model, *, shift: float, scale: float) -> Model:
    """The same model of x, where the inner one sees y = (x - shift) * scale. The term "scale" is -D log |scale|."""

    def forward(x: Array) -> tuple[Array, Array]:
        return (x - shift) * scale, jnp.full_like(x, math.log(abs(scale)))

    formula = f"-{dimensions(model.spec)} log {abs(scale):g}, the others are of y = (x - {shift:g}) * {scale:g}"
    return _through(model, "scaled", "scale", formula, forward, lambda y: y / scale + shift)


def tempered(model: Model, temperature: float) -> Model:
    """The same model, whose draws from the prior lie a temperature times as far from its centre.

    Of a Gaussian prior these are mean + temperature * (z - mean), learned or not (Kingma & Dhariwal 2018, sec. 6); of a
    mixture, of every component; of a prior over codes, the logits are divided by it. Likelihoods stay what they are,
    and at 1 samples are those of the model itself.

    Raises:
        ValueError: a temperature that is not above 0, or a prior that has none: uniform, logistic, unknown or replaced.
    """
    check_temperature(temperature)
    if model.at_temperature is None:
        raise ValueError(
            "This model has no prior with a temperature: it must be Gaussian or over codes, and its module's "
            "`sample_prior` take temperature=; an autoregressive model is drawn by sampling.drawn(temperature=...)."
        )
    (colder,) = require(model, "at_temperature")
    cold = colder(temperature)
    return changed(
        model,
        apply=cold.apply,
        sample=cold.sample,
        sample_prior=cold.sample_prior,
        at_temperature=lambda t: tempered(model, temperature * t),
    )


def conditioned(model: Model, **conditions: Any) -> Model:
    """A conditional model with some of its conditions fixed: `conditioned(model, label=3)` draws threes.

    Raises:
        ValueError: the model has no such condition.
    """
    for name, value in conditions.items():
        if name == "x" or name not in model.spec:
            raise ValueError(f"The model has no condition '{name}'; it has {sorted(set(model.spec) - {'x'})}.")
        kind = np.asarray(value).dtype.kind
        if kind not in "biuf" or jnp.issubdtype(model.spec[name].dtype, jnp.integer) and kind not in "iu":
            raise ValueError(
                f"The condition '{name}' is of {model.spec[name].dtype}, not {value!r}; give a number of it."
            )
    fixed = {name: jnp.asarray(value, model.spec[name].dtype) for name, value in conditions.items()}

    model.check({name: value[None] for name, value in fixed.items()})

    def with_fixed(batch: Batch, n: int) -> Batch:
        return {**batch, **{name: jnp.broadcast_to(value, (n, *value.shape)) for name, value in fixed.items()}}

    def terms(function: TermFn | None) -> TermFn | None:
        def run(variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
            assert function is not None
            return function(variables, with_fixed(batch, len(batch["x"])), key, train)

        return function and Explained(terms=run, formulas=formulas(function))

    sample, encode, decode, weigh = model.sample, model.encode, model.decode, model.log_weights
    sample_prior, codes, views, of_length = model.sample_prior, model.codes, model.conditionals, model.of_length
    colder, means = model.at_temperature, model.posterior_means
    return changed(
        model,
        apply=of_conditions(model, with_fixed),
        spec={name: one for name, one in model.spec.items() if name not in fixed},
        init=lambda key, batch: model.init(key, with_fixed(batch, len(batch["x"]))),
        check=lambda batch: model.check({**batch, **{name: value[None] for name, value in fixed.items()}}),
        nll=terms(model.nll),
        nelbo=terms(model.nelbo),
        sample=sample and (lambda v, key, n, cond=NO_CONDITION: sample(v, key, n, with_fixed(cond, n))),
        log_weights=weigh and (lambda v, batch, key, k: weigh(v, with_fixed(batch, len(batch["x"])), key, k)),
        encode=encode and (lambda v, batch, key: encode(v, with_fixed(batch, len(batch["x"])), key)),
        posterior_means=means and (lambda v, batch, key, k: means(v, with_fixed(batch, len(batch["x"])), key, k)),
        decode=decode and (lambda v, z, cond=NO_CONDITION: decode(v, z, with_fixed(cond, len(z)))),
        sample_prior=sample_prior
        and (lambda v, key, n, cond=NO_CONDITION: sample_prior(v, key, n, with_fixed(cond, n))),
        codes=codes and (lambda v, batch: codes(v, with_fixed(batch, len(batch["x"])))),
        conditionals=views
        and dataclasses.replace(
            views,
            logits=lambda v, batch: views.logits(v, with_fixed(batch, len(batch["x"]))),
            start=lambda v, n, cond=NO_CONDITION: views.start(v, n, with_fixed(cond, n)),
        ),
        of_length=of_length and (lambda length: conditioned(of_length(length), **fixed)),
        at_temperature=colder and (lambda t: conditioned(colder(t), **fixed)),
    )


def _through(
    model: Model,
    wrapper: str,
    name: str,
    formula: str,
    forward: Callable[[Array], tuple[Array, Array]],
    inverse: Callable[[Array], Array],
) -> Model:
    """The model of x whose inner model sees y; forward gives (y, log |dy/dx| of every element)."""

    def inner(batch: Batch) -> Batch:
        return {**batch, "x": forward(batch["x"])[0]}

    def terms(function: TermFn | None) -> TermFn | None:
        def run(variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
            assert function is not None
            y, log_det = forward(batch["x"])
            named, variables = function(variables, {**batch, "x": y}, key, train)
            return {**named, name: -jnp.sum(log_det, axis=tuple(range(1, log_det.ndim)))}, variables

        return function and Explained(terms=run, formulas={**formulas(function), name: formula})

    def log_weights(variables: Variables, batch: Batch, key: Key, k: int) -> Array:
        y, log_det = forward(batch["x"])
        weights = model.log_weights(variables, {**batch, "x": y}, key, k)
        return weights + jnp.sum(log_det, axis=tuple(range(1, log_det.ndim)))

    def weigh(variables: Variables, batch: Batch, k: int, **how: Any) -> tuple[Array, Variables]:
        y, log_det = forward(batch["x"])
        weights, variables = model.apply(variables, "log_weights", {**batch, "x": y}, k, **how)
        return weights + jnp.sum(log_det, axis=tuple(range(1, log_det.ndim))), variables

    encode, means, nll, nelbo = model.encode, model.posterior_means, terms(model.nll), terms(model.nelbo)
    own = {"nll": of_terms(nll, "nll"), "nelbo": of_terms(nelbo, "nelbo"), "log_weights": weigh}
    return changed(
        model,
        apply=of_data(model, wrapper, lambda x: forward(x)[0], inverse, own),
        init=lambda key, batch: model.init(key, inner(batch)),
        check=lambda batch: model.check(inner(batch) if "x" in batch else batch),
        log_weights=model.log_weights and log_weights,
        nll=nll,
        nelbo=nelbo,
        conditionals=None,
        of_length=None,
        encode=encode and (lambda variables, batch, key: encode(variables, inner(batch), key)),
        posterior_means=means and (lambda variables, batch, key, k: means(variables, inner(batch), key, k)),
        codes=model.codes and (lambda variables, batch: model.codes(variables, inner(batch))),
        sample=_then(model.sample, inverse),
        decode=_then(model.decode, inverse),
        at_temperature=model.at_temperature
        and (lambda t: _through(model.at_temperature(t), wrapper, name, formula, forward, inverse)),
    )


def _then(function: Callable[..., Array] | None, change: Callable[[Array], Array]) -> Callable[..., Array] | None:
    return function and (lambda *args, **kwargs: change(function(*args, **kwargs)))


def with_memory(model: Model, network: str = "discriminator") -> Model:
    """The model with what lazy penalties and LeCam keep of earlier turns: their count, and the scores' running means.

    Each of several critics has a memory of its own: wrap once for each.

    Args:
        model: a GAN's.
        network: the critic's, whose owner's updates are the ones that count.

    Raises:
        ValueError: when it is initialised, if the model has no such network.
    """

    def init(key: Key, batch: Batch) -> Variables:
        variables = model.init(key, batch)
        if network not in variables["params"]:
            raise ValueError(f"There is no network '{network}' to remember for; there are {list(variables['params'])}.")
        empty = {name: jnp.zeros((), jnp.float32) for name in (TURNS, "real_score", "fake_score")}
        return {**variables, MEMORY: {**variables.get(MEMORY, {}), network: empty}}

    return dataclasses.replace(model, init=init)
