"""The VAE of a prior p(z), a posterior q(z | x) and an observation p(x | z), which are models themselves.

-log p(x) <= E_q[-log p(x | z)] + KL(q(z | x) || p(z)) = distortion + rate. The bound, its importance weights, samples
and the latent space follow from the three, so that none of them is of another model than the rest. A prior may be such
a model itself: then there are several layers of latents, each with a rate.
"""

import dataclasses
import functools
import re
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from genjax_zoo.compose.parts import check_continuous
from genjax_zoo.compose.trees import union
from genjax_zoo.core import (
    NETWORK,
    NO_CONDITION,
    OBSERVATION,
    PRIOR,
    Array,
    Batch,
    Card,
    Density,
    Explained,
    Key,
    Latent,
    Model,
    Of,
    Sampler,
    Variables,
    aside,
    conditions,
    if_there,
    likelihood,
    likelihood_names,
    part,
    require,
    total,
)
from genjax_zoo.core.specs import with_checks
from genjax_zoo.errors import UserError
from genjax_zoo.linen import run_once
from genjax_zoo.math import gaussian_kl, gaussian_nll, tile, tilt_gradient

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
        UserError: a part lacks what it needs, or is of a z of another kind or shape; when initialised, if two have a
            network of one name.
    """
    prior = _as_latent(prior)
    p, q, o = require(prior, Density), require(posterior, Sampler), require(observation, Density)
    scored, q_density = part(posterior, Sampler, "scored"), posterior.density
    of_q, of_p = q_density and q_density.gaussian, p.gaussian
    given = {name: one for part in (prior, posterior, observation) for name, one in conditions(part.spec).items()}
    spec = {"x": observation.spec["x"], **{name: one for name, one in given.items() if name not in ("given", "z")}}
    shape = prior.spec["x"].shape
    check_continuous(prior, "prior")
    if posterior.spec["x"].shape != shape:
        raise UserError(
            f"The prior is of z of shape {tuple(shape)}, but the posterior of {tuple(posterior.spec['x'].shape)}; "
            f"give both one shape."
        )
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

    def drawn(v: Variables, batch: Batch, key: Key, k: int, train: bool):
        """K draws of z for each x, [k * B, ...], -log q(z | x) of them, and the moments of a Gaussian q."""
        if of_q is not None:
            moments, v = of_q(v, of_x(batch), key=aside(key, NETWORK), train=train)
            mean, log_std = (tile(one, k) for one in moments)
            z = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)
            return z, gaussian_nll(z, mean, log_std), moments, v
        (z, nats), v = scored(v, key, k * len(batch["x"]), _tiled(of_x(batch), k), train=train)
        return z, nats, None, v

    def detached_nats(v: Variables, batch: Batch, z: Array, key: Key, k: int, train: bool) -> Array:
        """-log q(z | x), whose gradient is that of z and x: q's parameters are constants."""
        constant = jax.lax.stop_gradient(v)
        if of_q is not None:
            moments, _ = of_q(constant, of_x(batch), key=aside(jax.random.clone(key), NETWORK), train=train)
            return gaussian_nll(z, *(tile(one, k) for one in moments))
        stated = require(posterior, Density).terms
        again = jax.random.clone(key)  # what draws has drawn: the same masks of dropout
        named, _ = stated(constant, {**_tiled(of_x(batch), k), "x": z}, again, train=train)
        return likelihood(stated, named)

    def observe(v: Variables, batch: Batch, z: Array, key: Key, train: bool) -> tuple[Array, Variables]:
        """-log p(x | z), [B]."""
        named, v = o.terms(v, {**batch, "z": z}, aside(key, OBSERVATION), train=train)
        return likelihood(o.terms, named), v

    def terms(variables: Variables, batch: Batch, key: Key, *, train: bool = False):
        z, entropy, moments, v = drawn(variables, batch, key, 1, train)
        distortion, v = observe(v, batch, z, key, train)
        of_z, k_p = {**conditions(batch), "x": z}, aside(key, PRIOR)
        if moments is not None and of_p is not None:
            (centre, log_scale), v = of_p(v, of_z, key=k_p, train=train)
            mean, log_std = moments
            rate = gaussian_kl((mean - centre) * jnp.exp(-log_scale), log_std - log_scale)
            return {"distortion": distortion, "rate": rate}, v
        named, v = p.terms(v, of_z, k_p, train=train)
        named = {name: named[name] for name in likelihood_names(p.terms, named)}
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
        """A tilt is met once on every way back to q's parameters: behind each draw, by all that sees it but q."""
        before = v
        z, entropy, _, v = drawn(v, batch, key, k, train)
        seen, at = z, batch
        if tilt is not None:
            seen = tilt_gradient(z, tilt.reshape(-1, *[1] * len(shape)))
            if k == 1:  # of data there is no gradient; of a prior's x, which is drawn, there is
                at = {**batch, "x": tilt_gradient(batch["x"], tilt.reshape(-1, *[1] * (batch["x"].ndim - 1)))}
        if detached:
            entropy = detached_nats(before, at, seen, key, k, train)
        every, k_p = _tiled(at, k), aside(key, PRIOR)
        distortion, v = observe(v, every, seen, key, train)
        if p.weigh is None:
            named, v = p.terms(v, {**conditions(every), "x": seen}, k_p, train=train)
            log_p = -likelihood(p.terms, named)
        else:
            how = {} if tilt is None else {"tilt": tilt.reshape(1, -1)}
            how |= {"detached": True} if detached else {}
            log_p, v = p.weigh(v, {**conditions(every), "x": z}, k_p, 1, train=train, **how)
        return (log_p.reshape(-1) + entropy - distortion).reshape(k, -1), v

    def draw(v: Variables, key: Key, n: int, cond: Batch = NO_CONDITION, *, train: bool = False, **how: Any):
        """With deep=True x is a latent of another model, whose noise has the temperature, too."""
        k_z, k_x = jax.random.split(key)
        deep = how.pop("deep", False)
        of_prior, emitted = require(prior, Sampler), require(observation, Sampler)
        z, v = of_prior.draw(v, k_z, n, cond, train=train, **how)
        own = {name: value for name, value in how.items() if deep and name in emitted.settings}
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
        every = _tiled(of_x(batch), k)
        z, v = q.draw(v, key, k * n, every, train=train)
        cond = {name: value for name, value in every.items() if name != "given"}
        deep, v = below(v, {**cond, "x": z}, aside(key, PRIOR), 1, train=train)
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
    stated = Explained(terms=terms, formulas=written, units=dict.fromkeys(written, "nats"), rest="nats")
    settings = {**(prior.sampler.settings if prior.sampler else {}), "deep": False}
    return with_checks(
        Model(
            spec=spec,
            init=run_once(initialise),
            card=Card(family="vae", support=observation.card.support, frozen=constants),
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


def _as_latent(prior: Model) -> Model:
    """A prior all of whose draws are latents, so that a temperature is of the noise of each of its layers."""

    def deep(of: Sampler) -> Sampler:
        if "deep" not in of.settings:
            return of
        settings = {name: value for name, value in of.settings.items() if name != "deep"}
        return dataclasses.replace(of, draw=functools.partial(of.draw, deep=True), settings=settings)

    return dataclasses.replace(prior, sampler=if_there(prior.sampler, deep))


def _tiled(batch: Batch, k: int) -> dict[str, Array]:
    return {name: tile(value, k) for name, value in batch.items()}


def _deeper(named: Mapping[str, _Value]) -> dict[str, _Value]:
    """The rates among a prior's terms: those of the latents below its own."""
    return {name: value for name, value in named.items() if name.split("_")[0] == "rate"}


def _shifted(formula: str) -> str:
    """A rate's formula, of the prior's x and z, one layer further from x."""
    one_layer = formula.replace("(z)", "(z_1)").replace("(z |", "(z_1 |").replace("z ~", "z_1 ~")
    numbers = re.sub(r"z_(\d+)", lambda found: f"z_{int(found[1]) + 1}", one_layer)
    return re.sub(r"\bx\b", "z_1", numbers)


def parts_of(model: Model) -> tuple[Model, Model, Model]:
    """The prior, the posterior and the observation of a latent variable model: what `variational` made it of.

    Raises:
        UserError: it lacks one of them.
    """
    latent = require(model, Latent)
    for name in ("prior", "posterior", "observation"):
        part(model, Latent, name)
    assert latent.prior and latent.posterior and latent.observation
    return latent.prior, latent.posterior, latent.observation
