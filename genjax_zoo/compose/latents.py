"""The VAE of a prior p(z), a posterior q(z | x) and an observation p(x | z), which are models themselves.

-log p(x) <= E_q[-log p(x | z)] + KL(q(z | x) || p(z)) = distortion + rate. The bound, its importance weights, samples
and the latent space follow from the three, so that none of them is of another model than the rest. A prior may be such
a model itself: then there are several layers of latents, each with a rate.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import TypeVar

import jax
import jax.numpy as jnp

from genjax_zoo.compose.trees import union
from genjax_zoo.core import (
    NO_CONDITION,
    Array,
    Batch,
    Density,
    Explained,
    Key,
    Latent,
    Model,
    Of,
    Sampler,
    Variables,
    conditions,
    if_there,
    part,
    require,
    total,
)
from genjax_zoo.linen import once
from genjax_zoo.math import gaussian_kl, gaussian_nll, tiled, tilted
from genjax_zoo.specs import checked

_Value = TypeVar("_Value")


def variational(prior: Model, posterior: Model, observation: Model) -> Model:
    """A latent variable model and its bound.

    Args:
        prior: p(z | cond), with a density and a sampler.
        posterior: q(z | given, cond), whose condition "given" is x; its sampler is `scored`.
        observation: p(x | z, cond), whose condition "z" is z.

    Where prior and posterior are Gaussians, the rate is their divergence in closed form; else it is an estimate.
    Parts may read networks that another brings. Samplers' settings are the prior's.

    Raises:
        ValueError: a part lacks what it needs; when initialised, if two have a network of one name.
    """
    p, q, o = require(prior, Density), require(posterior, Sampler), require(observation, Density)
    scored, q_density = part(posterior, Sampler, "scored"), posterior.density
    of_q, of_p = q_density and q_density.gaussian, p.gaussian
    given = {name: one for part in (prior, posterior, observation) for name, one in conditions(part.spec).items()}
    spec = {"x": observation.spec["x"], **{name: one for name, one in given.items() if name not in ("given", "z")}}
    shape = prior.spec["x"].shape
    posterior = dataclasses.replace(posterior, spec={**posterior.spec, "given": spec["x"]})
    observation = dataclasses.replace(observation, spec={**observation.spec, "z": prior.spec["x"]})

    def of_x(batch: Batch) -> Batch:
        return {**conditions(batch), "given": batch["x"]}

    def initialise(key: Key, batch: Batch) -> Variables:
        k_q, k_z, k_p, k_o = jax.random.split(key, 4)
        n, empty = len(batch["x"]), jnp.zeros((len(batch["x"]), *shape))
        v = posterior.init(k_q, {**of_x(batch), "x": empty})
        v = union(v, prior.init(k_p, {**conditions(batch), "x": scored(v, k_z, n, of_x(batch))[0][0]}))
        return union(v, observation.init(k_o, {**batch, "z": empty}))

    def inferred(v: Variables, batch: Batch, key: Key, k: int, train: bool, detached: bool, tilt: Array | None):
        """K draws of z for each x, [k * B, ...], -log q(z | x) of them, and the moments of a Gaussian q."""
        if of_q is not None:
            moments, v = of_q(v, of_x(batch), key=key, train=train)
            mean, log_std = (tiled(one, k) for one in moments)
            z = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)
            z = z if tilt is None else tilted(z, tilt.reshape(-1, *[1] * len(shape)))
            seen = jax.lax.stop_gradient((mean, log_std)) if detached else (mean, log_std)
            return z, gaussian_nll(z, *seen), moments, v
        every = {name: tiled(value, k) for name, value in of_x(batch).items()}
        (z, nats), v = scored(v, key, k * len(batch["x"]), every, train=train)
        z = z if tilt is None else tilted(z, tilt.reshape(-1, *[1] * len(shape)))
        if detached or tilt is not None:
            constant = jax.lax.stop_gradient(v) if detached else v
            nats = total(require(posterior, Density).terms(constant, {**every, "x": z}, key)[0])
        return z, nats, None, v

    def observe(v: Variables, batch: Batch, z: Array, key: Key, train: bool) -> tuple[Array, Variables]:
        """-log p(x | z), [B]."""
        named, v = o.terms(v, {**batch, "z": z}, jax.random.fold_in(key, 2), train=train)
        return total(named), v

    def terms(variables: Variables, batch: Batch, key: Key, *, train: bool = False):
        z, entropy, moments, v = inferred(variables, batch, key, 1, train, False, None)
        distortion, v = observe(v, batch, z, key, train)
        if moments is not None and of_p is not None:
            (centre, log_scale), v = of_p(v, conditions(batch), train=train)
            mean, log_std = moments
            rate = gaussian_kl((mean - centre) * jnp.exp(-log_scale), log_std - log_scale)
            return {"distortion": distortion, "rate": rate}, v
        named, v = p.terms(v, {**conditions(batch), "x": z}, jax.random.fold_in(key, 1), train=train)
        deeper = _deeper(named)
        first = total({name: value for name, value in named.items() if name not in deeper}) - entropy
        numbered = {f"rate_{i}": value for i, value in enumerate((first, *deeper.values()), 1)}
        return {"distortion": distortion, **(numbered if deeper else {"rate": first})}, v

    def weigh(
        v: Variables,
        batch: Batch,
        key: Key,
        k: int,
        *,
        train: bool = False,
        detached: bool = False,
        tilt: Array | None = None,
    ):
        z, entropy, _, v = inferred(v, batch, key, k, train, detached, tilt)
        every, k_p = {name: tiled(value, k) for name, value in batch.items()}, jax.random.fold_in(key, 1)
        distortion, v = observe(v, every, z, key, train)
        of_z = {**conditions(every), "x": z}
        if p.weigh is None:
            named, v = p.terms(v, of_z, k_p, train=train)
            log_p = -total(named)
        else:
            rest = None if tilt is None else tilt.reshape(1, -1)
            log_p, v = p.weigh(v, of_z, k_p, 1, train=train, detached=detached, tilt=rest)
        return (log_p.reshape(-1) + entropy - distortion).reshape(k, -1), v

    def draw(v: Variables, key: Key, n: int, cond: Batch = NO_CONDITION, *, train: bool = False, **how: float):
        k_z, k_x = jax.random.split(key)
        z, v = require(prior, Sampler).draw(v, k_z, n, cond, train=train, **how)
        emitted = require(observation, Sampler)
        own = {name: value for name, value in how.items() if name in emitted.settings}
        return emitted.draw(v, k_x, n, {**cond, "z": z}, train=train, **own)

    def encode(v: Variables, batch: Batch, key: Key, *, train: bool = False):
        n = len(batch["x"])
        if q.mean is not None:
            return q.mean(v, n, of_x(batch), train=train)
        return q.draw(v, key, n, of_x(batch), train=train)

    def means(v: Variables, batch: Batch, key: Key, k: int, *, train: bool = False):
        n = len(batch["x"])
        own, v = encode(v, batch, key, train=train)
        if below is None:
            return own, v
        every = {name: tiled(value, k) for name, value in of_x(batch).items()}
        z, v = q.draw(v, key, k * n, every, train=train)
        cond = {name: value for name, value in every.items() if name != "given"}
        deep, v = below(v, {**cond, "x": z}, jax.random.fold_in(key, 1), 1, train=train)
        return jnp.concatenate([own.reshape(n, -1), jnp.mean(deep.reshape(k, n, -1), axis=0)], axis=-1), v

    def decoding(mean: Of[Array]) -> Of[Array]:
        def decode(v: Variables, z: Array, cond: Batch = NO_CONDITION, key: Key | None = None, *, train: bool = False):
            return mean(v, len(z), {**cond, "z": z}, train=train)

        return decode

    below = prior.latent and prior.latent.means

    def check(batch: Batch) -> None:
        observation.check(batch)
        for one in (prior, posterior):
            one.check(conditions(batch))

    constants = tuple(origin for one in (prior, posterior, observation) for origin in one.card.frozen)
    closed = of_q is not None and of_p is not None
    written = {"distortion": "-log p(x | z), z ~ q(z | x)"}
    if deeper := _deeper(p.terms.formulas):
        written = {"distortion": "-log p(x | z_1), z_1 ~ q(z_1 | x)"}
        first = "log q(z_1 | x) - log p(z_1 | z_2)"
        written |= {f"rate_{i}": text for i, text in enumerate((first, *map(_shifted, deeper.values())), 1)}
    else:
        written["rate"] = "KL(q(z | x) || p(z))" if closed else "log q(z | x) - log p(z), z ~ q(z | x)"
    stated = Explained(terms=terms, formulas=written, units=dict.fromkeys(written, "nats"))
    settings = prior.sampler.settings if prior.sampler else {}
    return checked(
        Model(
            spec=spec,
            init=once(initialise),
            card=dataclasses.replace(observation.card, frozen=constants),
            density=Density(terms=stated, exact=False, weigh=weigh),
            sampler=Sampler(draw=draw, settings=settings) if prior.sampler and observation.sampler else None,
            latent=Latent(
                prior=prior,
                posterior=posterior,
                observation=observation,
                encode=encode,
                decode=if_there(observation.sampler and observation.sampler.mean, decoding),
                means=None if q.mean is None else means,
            ),
            check=check,
        )
    )


def _deeper(named: Mapping[str, _Value]) -> dict[str, _Value]:
    """The rates among a prior's terms: those of the latents below its own."""
    return {name: value for name, value in named.items() if name.split("_")[0] == "rate"}


def _shifted(formula: str) -> str:
    """A rate's formula, of the prior's x and z, one layer further from x."""
    one_layer = formula.replace("(z)", "(z_1)").replace("(z |", "(z_1 |").replace("z ~", "z_1 ~")
    numbers = re.sub(r"z_(\d+)", lambda found: f"z_{int(found[1]) + 1}", one_layer)
    return re.sub(r"\bx\b", "z_1", numbers)


def apart(model: Model) -> tuple[Model, Model, Model]:
    """The prior, the posterior and the observation of a latent variable model: what `variational` made it of.

    Raises:
        ValueError: it lacks one of them.
    """
    latent = require(model, Latent)
    for name in ("prior", "posterior", "observation"):
        part(model, Latent, name)
    assert latent.prior and latent.posterior and latent.observation
    return latent.prior, latent.posterior, latent.observation
