"""The simplest models, of which others are made: known distributions, and those whose parameters a network reads off.

A posterior is `gaussian(reader("encoder", MLP(...), "given"), shape)`, an observation model
`observed(reader("decoder", MLP(...), "z"), likelihood, shape)`; see `compose.variational`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from genjax_zoo.core import (
    NETWORK,
    NO_CONDITION,
    Array,
    Batch,
    Card,
    Critic,
    Density,
    Explained,
    Key,
    Levels,
    Model,
    Of,
    Sampler,
    Spec,
    Variables,
    aside,
    conditions,
    levels_of,
)
from genjax_zoo.core.specs import check_batch, checker, image_spec
from genjax_zoo.errors import UserError
from genjax_zoo.linen import Network
from genjax_zoo.math import Likelihood, Prior, Shape, gaussian_nll, gaussian_of, normal

CONTINUOUS = Card(support=Levels(None))
NO_SPEC: Spec = {}
NOTHING: Variables = {"params": {}}


def distribution(shape: Shape, prior: Prior = normal) -> Model:
    """p(x) of independent numbers of a known distribution; of the normal one draws have a temperature."""
    gaussian, spec = prior is normal, image_spec(shape)

    def terms(variables: Variables, batch: Batch, key: Key, *, train: bool = False):
        check_batch(spec, batch)
        return {"nll": prior.nll(batch["x"])}, variables

    def draw(variables: Variables, key: Key, n: int, cond: Batch = NO_CONDITION, *, train: bool = False, **how: float):
        return how.get("temperature", 1.0) * prior.sample(key, (n, *shape)).astype(jnp.float32), variables

    def scored(variables: Variables, key: Key, n: int, cond: Batch = NO_CONDITION, *, train: bool = False):
        x, _ = draw(variables, key, n)
        return (x, prior.nll(x)), variables

    def moments(variables: Variables, batch: Batch, *, key: Key | None = None, train: bool = False):
        zero = jnp.zeros((len(next(iter(batch.values()))), *shape))
        return (zero, zero), variables

    return Model(
        spec=spec,
        init=lambda key, batch: NOTHING,
        card=CONTINUOUS,
        density=Density(terms=_nats(terms, "-log p(x)"), exact=True, gaussian=moments if gaussian else None),
        sampler=Sampler(draw=draw, scored=scored, settings={"temperature": 1.0} if gaussian else {}),
    )


def gaussian(
    read: Network, shape: Shape, *, spec: Spec = NO_SPEC, moments: Callable[[Array], tuple] = gaussian_of
) -> Model:
    """p(x | cond) = N(mean, std^2), of independent numbers.

    Args:
        read: (variables, cond) -> the array that `moments` splits.
        shape: of x.
        spec: of the conditions.
        moments: of what is read, (mean, log std), both [B, *shape].
    """

    def of(variables: Variables, batch: Batch, *, key: Key | None = None, train: bool = False):
        out, variables = read(variables, conditions(batch), key=_of_network(key), train=train)
        mean, log_std = moments(out)
        if mean.shape[1:] != shape:
            raise UserError(f"The network gives moments of shape {mean.shape[1:]}, but the Gaussian is of {shape}.")
        return (mean, log_std), variables

    def terms(variables: Variables, batch: Batch, key: Key, *, train: bool = False):
        check_batch(image_spec(shape), batch)
        (mean, log_std), variables = of(variables, batch, key=key, train=train)
        return {"nll": gaussian_nll(batch["x"], mean, log_std)}, variables

    def scored(variables: Variables, key: Key, n: int, cond: Batch, *, train: bool = False, temperature: float = 1.0):
        (mean, log_std), variables = of(variables, cond, key=key, train=train)
        x = mean + temperature * jnp.exp(log_std) * jax.random.normal(key, (n, *mean.shape[1:]), mean.dtype)
        return (x, gaussian_nll(x, mean, log_std)), variables

    def draw(variables: Variables, key: Key, n: int, cond: Batch, *, train: bool = False, temperature: float = 1.0):
        (x, _), variables = scored(variables, key, n, cond, train=train, temperature=temperature)
        return x, variables

    def mean(variables: Variables, n: int, cond: Batch, *, train: bool = False):
        (mean, _), variables = of(variables, cond, train=train)
        return mean, variables

    return Model(
        spec={**image_spec(shape), **spec},
        init=read.init,
        card=CONTINUOUS,
        density=Density(terms=_nats(terms, "-log p(x)"), exact=True, gaussian=of),
        sampler=Sampler(draw=draw, scored=scored, mean=mean, settings={"temperature": 1.0}),
    )


def observed(read: Network, likelihood: Likelihood, shape: Shape, *, spec: Spec = NO_SPEC) -> Model:
    """p(x | cond) by an observation model, whose parameters are read off the conditions.

    Args:
        read: (variables, cond) -> [B, ...], `likelihood.outputs(shape)` numbers an example.
        likelihood: such as `math.bernoulli`.
        shape: of x.
        spec: of the conditions.
    """

    def output(variables: Variables, cond: Batch, key: Key | None, train: bool) -> tuple[Array, Variables]:
        out, variables = read(variables, cond, key=_of_network(key), train=train)
        if out.size != len(out) * likelihood.outputs(shape):
            raise UserError(
                f"The network gives {out.size // len(out)} numbers an example, but the likelihood of x {shape} takes "
                f"{likelihood.outputs(shape)}: likelihood.outputs(shape)."
            )
        return out.reshape(len(out), *shape[:-1], -1), variables

    def terms(variables: Variables, batch: Batch, key: Key, *, train: bool = False):
        out, variables = output(variables, conditions(batch), key, train)
        return {"nll": likelihood.nll(out, batch["x"])}, variables

    def draw(variables: Variables, key: Key, n: int, cond: Batch, *, train: bool = False):
        out, variables = output(variables, cond, key, train)
        return likelihood.sample(key, out), variables

    def mean(variables: Variables, n: int, cond: Batch, *, train: bool = False):
        out, variables = output(variables, cond, None, train)
        return likelihood.mean(out), variables

    return Model(
        spec={**image_spec(shape), **spec},
        init=read.init,
        card=Card(support=Levels(likelihood.levels)),
        density=Density(terms=_nats(terms, "-log p(x | z)"), exact=True),
        sampler=Sampler(draw=draw, mean=mean),
        check=checker({}, of_x=likelihood.check),
    )


def critic_of(read: Of[Array]) -> Critic:
    """The critic of a network of what it sees, examples of one array -> [B, 1]; it is told no condition."""

    def score(
        variables: Variables, x: Array, cond: Batch = NO_CONDITION, key: Key | None = None, *, train: bool = False
    ):
        out, variables = read(variables, x, key=key, train=train)
        return out.reshape(len(out)), variables

    return Critic(score=score)


def read_off(read: Network, of: Callable[[Array], Array]) -> Network:
    """A network, and what a function makes of its output: a slice, say."""

    def run(variables: Variables, *args: Any, train: bool = False, **settings: Any):
        out, variables = read(variables, *args, train=train, **settings)
        return of(out), variables

    return Network(init=read.init, run=run)


def shared(read: Network) -> Network:
    """A network that another part brings; in `variational` the posterior does, which is initialised first."""
    return Network(init=lambda key, *args: NOTHING, run=read.run)


def check_continuous(model: Model, what: str) -> None:
    """Checks that a prior or a base is a density, as the z is that is drawn or mapped.

    Raises:
        UserError: it is a probability of levels.
    """
    if (levels := levels_of(model)) is not None:
        raise UserError(f"The {what} is a probability of {levels} levels, but z is continuous; give it a density.")


def _of_network(key: Key | None) -> Key | None:
    """The key that a network is given, apart from the noise of the distribution around it."""
    return None if key is None else aside(key, NETWORK)


def _nats(terms, formula: str) -> Explained:
    return Explained(terms=terms, formulas={"nll": formula}, units={"nll": "nats"})
