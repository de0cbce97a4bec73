"""Pictures: what a model draws, and what it makes of real examples."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from genjax_zoo.core import (
    NO_CONDITION,
    Array,
    Batch,
    Data,
    Eval,
    Key,
    Latent,
    Model,
    Sampler,
    Variables,
    compiled,
    conditions,
    part,
    require,
)
from genjax_zoo.errors import UserError
from genjax_zoo.evals.walk import add_up
from genjax_zoo.math import check_temperature, mu_law_inverse, spectrogram


def sample_grid(n: int = 64, cond: Batch = NO_CONDITION) -> Eval:
    """An Eval of "samples", n draws [n, H, W, C]; the key is fixed, so that pictures of one run can be compared."""

    def run(model: Model, variables: Variables, key: Key) -> dict[str, Array]:
        return {"samples": draw(model, n)(variables, key, cond)}

    return run


def sample_spectrograms(n: int = 16, cond: Batch = NO_CONDITION) -> Eval:
    """An Eval of "samples", spectrograms of n draws of mu-law codes [n, T, 1]; low frequencies are at the bottom."""

    def run(model: Model, variables: Variables, key: Key) -> dict[str, Array]:
        x = sample_grid(n, cond)(model, variables, key)["samples"]
        decibels = spectrogram(mu_law_inverse(jnp.round(255 * x[..., 0])))
        return {"samples": (decibels[:, ::-1, :, None] + 80) / 80}

    return run


def temperatures(values: Sequence[float] = (0.5, 0.7, 0.85, 1.0), n: int = 10, cond: Batch = NO_CONDITION) -> Eval:
    """An Eval of "temperatures", one picture: a row of n decoded draws for each, of the same noise in each column.

    `values` are above 0; it raises ValueError for a model without `decode`, or whose prior has no
    temperature.
    """

    def run(model: Model, variables: Variables, key: Key) -> dict[str, Array]:
        decode = _decode(model)
        rows = [decode(variables, _colder(model, value, n)(variables, key, cond), cond) for value in values]
        picture = jnp.concatenate([jnp.concatenate(list(row), axis=1) for row in rows])
        return {"temperatures": picture[None]}

    return run


def reconstructions(data: Data, n: int = 16) -> Eval:
    """An Eval of "reconstructions": n pairs of an example and its decoded code, [2 n, H, W, C]."""

    def run(model: Model, variables: Variables, key: Key) -> dict[str, Array]:
        batch = {name: value[:n] for name, value in data.at(0).items()}
        rebuilt = _rebuild(model)(variables, batch, key)
        pairs = jnp.stack([batch["x"], rebuilt], axis=1)
        return {"reconstructions": pairs.reshape(-1, *pairs.shape[2:])}

    return run


def reconstruction_error(data: Data) -> Eval:
    """The mean squared error of decoded encodings, as "reconstruction_error".

    Args:
        data: an evaluation split; every example counts once, padding does not.

    Returns:
        An Eval, in the units of x squared, a mean over examples and numbers. It raises ValueError for a model without
        `encode` or `decode`.
    """

    def run(model: Model, variables: Variables, key: Key) -> dict[str, float]:
        def of(batch: Batch, mask: Array, _: Key) -> tuple[float, float]:
            errors = (_rebuild(model)(variables, batch, key) - batch["x"]).reshape(len(mask), -1)
            return float(jnp.sum(mask * jnp.mean(errors**2, axis=1))), float(jnp.sum(mask))

        error, count = add_up(data, key, of)
        return {"reconstruction_error": error / count}

    return run


def draw(model: Model, n: int) -> Callable[..., Array]:
    """The model's sampler for n draws, compiled once: (variables, key, cond) -> x [n, ...]."""
    drawing = _draw(require(model, Sampler), n)

    def run(variables: Variables, key: Key, cond: Batch = NO_CONDITION) -> Array:
        cond = {name: jnp.asarray(value) for name, value in cond.items()}
        model.check(cond)  # before it is traced
        return drawing(variables, key, cond)

    return run


@compiled
def _draw(sampler: Sampler, n: int) -> Callable[..., Array]:
    return jax.jit(lambda variables, key, cond: sampler.draw(variables, key, n, cond)[0])


@compiled
def _decode(model: Model) -> Callable[..., Array]:
    part(model, Latent, "decode")
    return jax.jit(model.decode)


@compiled
def _colder(model: Model, temperature: float, n: int) -> Callable[..., Array]:
    check_temperature(temperature)
    prior = require(model, Latent).prior
    if prior is None or "temperature" not in require(prior, Sampler).settings:
        raise UserError("This model's prior has no temperature: it must be Gaussian, or over codes.")
    draw = require(prior, Sampler).draw
    return jax.jit(lambda variables, key, cond: draw(variables, key, n, cond, temperature=temperature)[0])


@compiled
def _rebuild(model: Model):
    encode, decode = (part(model, Latent, name) for name in ("encode", "decode"))

    @jax.jit
    def run(variables: Variables, batch: Batch, key: Key) -> Array:
        z, _ = encode(variables, batch, key)
        return decode(variables, z, conditions(batch))[0]

    return run
