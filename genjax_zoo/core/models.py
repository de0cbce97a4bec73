"""What a model can do, as values: the capabilities, and the Model that holds them."""

import dataclasses
import functools
import inspect
import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from genjax_zoo.core.types import (
    NO_CONDITION,
    Array,
    Batch,
    Card,
    Explained,
    Key,
    Levels,
    Of,
    PyTree,
    Spec,
    Variables,
    behaviour,
    likelihood,
)
from genjax_zoo.errors import UserError

_Kind = TypeVar("_Kind")
_Other = TypeVar("_Other")
_Factory = TypeVar("_Factory", bound=Callable[..., "Model"])


@behaviour
class Density:
    """A likelihood: terms that sum to -log p(x | cond) of each example, exactly, or to an upper bound on it."""

    terms: Explained  # a bound is one in expectation over the key
    exact: bool
    weigh: Of[Array] | None = None  # (v, batch, key, k, *, detached=, tilt=) -> log p(x, z) / q(z | x) [k, B], nats
    gaussian: Of[tuple[Array, Array]] | None = None  # (v, batch) -> mean, log std of a diagonal Gaussian p(x | cond)

    @property
    def name(self) -> str:
        """How it is reported: "nll" or "nelbo"."""
        return "nll" if self.exact else "nelbo"


@behaviour
class Sampler:
    """Draws of x [n, ...], by (variables, key, n, cond, **settings)."""

    draw: Of[Array]
    scored: Of[tuple[Array, Array]] | None = None  # the same -> x, -log p(x | cond) [n] in one pass, reparameterised
    mean: Of[Array] | None = None  # (v, n, cond) -> E[x | cond] [n, ...]
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # what `draw` takes, with defaults


@behaviour
class Latent:
    """A latent space: p(z), and the ways between z and x. Of a flow both ways are exact, a GAN has one."""

    prior: "Model | None" = None  # p(z | cond)
    posterior: "Model | None" = None  # q(z | given = x, cond)
    observation: "Model | None" = None  # p(x | z = z, cond)
    encode: Of[Array] | None = None  # (v, batch, key) -> z [B, ...]; the posterior's mean
    decode: Of[Array] | None = None  # (v, z, cond) -> x [B, ...]; the observation's mean
    means: Of[Array] | None = None  # (v, batch, key, k draws) -> E_q[z | x] of all layers of latents, [B, ...]


@behaviour
class Critic:
    """Scores (v, x, cond, key) -> [B], or one for each pack of examples, high where they look real."""

    score: Of[Array]
    features: Of[tuple[Array, Array]] | None = None  # the same -> (scores, what similarity is measured in) in one pass


@behaviour
class Judge:
    """A classifier: (v, x) -> logits [B, classes]."""

    classify: Of[Array]
    features: Of[Array] | None = None  # (v, x) -> [B, D]


@behaviour
class Conditionals:
    """p(x) = prod_i p(x_i | those before), over `levels` levels each: one network in two views.

    All numbers at once, for likelihoods; and place after place at the cost of one place, for sampling. Numbers come in
    raster order: rows, columns, channels. Level k is x = k / (levels - 1). A place is one row's and column's channels.
    """

    grid: tuple[int, int, int]  # rows, columns, channels that x is seen as; a sequence has one row
    levels: int  # K
    logits: Of[Array]  # (v, batch) -> [B, *grid, K], of each number given those before it
    start: Of[PyTree]  # (v, n, cond={}) -> cache, before the first row
    begin_row: Of[PyTree]  # (v, cache, levels of the row above, row) -> cache
    step: Of[tuple[Any, PyTree]]  # (v, cache, levels before, row, column) -> (h, cache)
    choices: Of[Array]  # (v, h, levels [n, channels], channel: int) -> logits [n, K]
    sees: Any = None  # bool [D, D], which numbers each claims to depend on; None is all before it


@behaviour
class Model:
    """A generative model: what it can do is a value here, and what it cannot is None.

    A conditional model has more than "x" in `spec`. The methods ask the capabilities for one value, as an evaluation
    wants it; in a loss, ask `require(model, Sampler)` and the like, which hand on the state and may be trained.
    """

    spec: Spec
    init: Callable[[Key, Batch], Variables]  # from a real batch: data-dependent initialisation needs it
    card: Card = Card()
    density: Density | None = None
    sampler: Sampler | None = None
    latent: Latent | None = None
    conditionals: Conditionals | None = None  # of an autoregressive model
    codes: Of[Array] | None = None  # (v, batch) -> int [B, ...], indices into a code book
    critic: Critic | None = None
    judge: Judge | None = None
    check: Callable[[Mapping[str, Any]], None] = lambda batch: None  # raises ValueError for values outside of its range
    of_length: Callable[[int], "Model"] | None = None  # of a sequence: the same parameters at another length
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)  # capability -> the wrapper that dropped it

    @property
    def nll(self) -> Explained:
        """The terms of the exact likelihood. ValueError: there is none."""
        density = require(self, Density)
        if not density.exact:
            raise UserError("This model has no 'nll': its likelihood is a bound, which is 'nelbo'.")
        return density.terms

    @property
    def nelbo(self) -> Explained:
        """The terms of the bound. ValueError: there is none."""
        density = require(self, Density)
        if density.exact:
            raise UserError("This model has no 'nelbo': its likelihood is exact, which is 'nll'.")
        return density.terms

    def log_weights(self, variables: Variables, batch: Batch, key: Key, k: int) -> Array:
        """Log p(x, z) / q(z | x) of k draws of z for each x, [k, B], nats."""
        return part(self, Density, "weigh")(variables, batch, key, k)[0]

    def sample(self, variables: Variables, key: Key, n: int, cond: Batch = NO_CONDITION, **settings: Any) -> Array:
        """X [n, ...], drawn from the model."""
        return require(self, Sampler).draw(variables, key, n, cond, **settings)[0]

    def sample_prior(self, variables: Variables, key: Key, n: int, cond: Batch = NO_CONDITION, **how: Any) -> Array:
        """Z [n, ...], drawn from the prior, for `decode`."""
        prior = require(self, Latent).prior
        if prior is None:
            raise UserError(_lacks(self, "latent.prior"))
        return require(prior, Sampler).draw(variables, key, n, cond, **how)[0]

    def encode(self, variables: Variables, batch: Batch, key: Key) -> Array:
        """Z [B, ...] of x."""
        return part(self, Latent, "encode")(variables, batch, key)[0]

    def decode(self, variables: Variables, z: Array, cond: Batch = NO_CONDITION) -> Array:
        """X [B, ...] of z."""
        return part(self, Latent, "decode")(variables, z, cond)[0]


def require(model: Model, kind: type[_Kind]) -> _Kind:
    """The capability of a model: `require(model, Sampler).draw`.

    Raises:
        UserError: the model lacks it, with what it has instead, and with the wrapper that left it out.
    """
    name = CAPABILITIES[kind]
    found = getattr(model, name)
    if found is None:
        raise UserError(_lacks(model, name))
    return found


def part(model: Model, kind: type, name: str) -> Of[Any]:
    """A function that not every capability of its kind has: `part(model, Latent, "encode")`.

    Raises:
        UserError: the model lacks it.
    """
    found = getattr(require(model, kind), name)
    if found is None:
        raise UserError(_lacks(model, f"{CAPABILITIES[kind]}.{name}"))
    return found


def stated_support(model: Model) -> Levels | None:
    """What a model says that its likelihood is of, in its card or by its conditionals; None where it does not say."""
    if model.card.support is None and model.conditionals is not None:
        return Levels(model.conditionals.levels)
    return model.card.support


def levels_of(model: Model) -> int | None:
    """K, where a model's likelihood is a probability of K levels; None of a density, and where it does not say."""
    said = stated_support(model)
    return said.number if said and (model.density or model.conditionals) else None


def if_there(value: _Kind | None, change: Callable[[_Kind], _Other]) -> _Other | None:
    """What `change` makes of a value that may not be there: of a capability, or of one of its functions."""
    return None if value is None else change(value)


CAPABILITIES: Mapping[type, str] = {
    Density: "density",
    Sampler: "sampler",
    Latent: "latent",
    Conditionals: "conditionals",
    Critic: "critic",
    Judge: "judge",
}


def _lacks(model: Model, what: str) -> str:
    has = ", ".join(name for name in (*CAPABILITIES.values(), "codes", "of_length") if getattr(model, name) is not None)
    by = model.left_out.get(what) or model.left_out.get(what.partition(".")[0])
    return f"This model has no '{what}'; it has {has or 'only init'}." + (f" It was left out by {by}." if by else "")


def log_prob(model: Model) -> Callable[..., Array]:
    """Log p(x | cond) of one example, for gradients, Hamiltonian Monte Carlo and other JAX programs.

    Returns:
        (variables, x [...], cond={}) -> nats []; `cond` has entries of one example.

    Raises:
        UserError: the model's likelihood is a bound, or it has none.
    """
    terms = model.nll

    def of(variables: Variables, x: Array, cond: Batch = NO_CONDITION) -> Array:
        one = {name: jnp.asarray(value)[None] for name, value in {**cond, "x": x}.items()}
        return -likelihood(terms, terms(variables, one, jax.random.key(0))[0])[0]

    return of


def factory(paper: str) -> Callable[[_Factory], _Factory]:
    """Makes a function a factory of models: its models say its name, the family's folder and the paper in their card.

    It takes no size below 1 (0 classes are none), alone or in tuples.

    Raises:
        UserError: when called, with the size's name; or for an argument that it does not have, with those it has.
    """

    def decorate(make: _Factory) -> _Factory:
        takes = inspect.signature(make).parameters

        @functools.wraps(make)
        def checked(**settings: Any) -> Model:
            if strange := [name for name in settings if name not in takes]:
                raise UserError(f"{make.__name__} has no argument '{strange[0]}'; it has {', '.join(takes)}.")
            for name, value in settings.items():
                least = 0 if name == "classes" else 1
                if wrong := [size for size in _sizes(value) if size < least]:
                    raise UserError(f"{name} must be at least {least}, not {wrong[0]}.")
            model = make(**settings)
            folder, _, _ = make.__module__.rpartition(".")
            about = {"name": make.__name__, "family": folder.rpartition(".")[2] or "own", "paper": paper}
            return dataclasses.replace(model, card=dataclasses.replace(model.card, **about))

        return checked  # type: ignore[return-value]

    return decorate


def _sizes(value: Any) -> Iterator[int]:
    if isinstance(value, list | tuple):
        for one in value:
            yield from _sizes(one)
    elif isinstance(value, numbers.Integral) and not isinstance(value, bool):
        yield int(value)
