"""Arrays and functions of variables: the words that everything else is said in, and what terms and models state."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple, Protocol, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp

Array = jax.Array
Key = jax.Array  # a typed key, from jax.random.key
PyTree = Any
Batch = Mapping[str, Array]  # "x" is modelled; every other entry ("label", "mel") is a condition
Spec = Mapping[str, jax.ShapeDtypeStruct]  # one example, without the batch axis
Variables = Mapping[str, PyTree]  # Linen collections: {"params": {network: ...}, "batch_stats": {network: ...}}
Terms = Mapping[str, Array]  # name -> float[B]; nats where it is a likelihood; never reduced
Unit = Literal["nats", "loss", "look"]  # of a likelihood, of anything else that is minimised, of what is only logged
NO_CONDITION: Batch = {}
MEMORY, TURNS = "memory", "turns"  # what `wrap.with_memory` keeps for penalties, and the clock in it
FROZEN = "frozen"  # the collection of models that no player owns; see `compose.frozen`

_Value = TypeVar("_Value", covariant=True)
_Class = TypeVar("_Class", bound=type)


class Of(Protocol[_Value]):
    """Arrays -> (value, variables)."""

    def __call__(
        self, variables: Variables, /, *args: Any, train: bool = False, **settings: Any
    ) -> tuple[_Value, Variables]: ...


class FromBatch(Protocol[_Value]):
    """A batch and a key -> (value, variables): a likelihood's terms, or a source of real or fake examples."""

    def __call__(
        self, variables: Variables, batch: Batch, key: Key, /, *, train: bool = False
    ) -> tuple[_Value, Variables]: ...


class TermFn(Protocol):
    """A loss: named terms, each float [B]. It is called with train=..., so that a default is optional."""

    def __call__(self, variables: Variables, batch: Batch, key: Key, /, *, train: bool) -> tuple[Terms, Variables]: ...


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False)
def behaviour(cls: _Class) -> _Class:
    """Makes `cls` a frozen dataclass of functions and settings, compared by identity."""
    return dataclasses.dataclass(frozen=True, kw_only=True, eq=False)(cls)  # type: ignore[return-value]


class Levels(NamedTuple):
    """What a likelihood is of."""

    number: int | None  # K, a probability of the levels x = k / (K - 1); None is a density of continuous x


@behaviour
class Card:
    """What a model is called, and what its likelihood is of."""

    name: str = "own"  # in MODELS
    family: str = "own"  # "vae", "gan", "flow", "autoregressive"
    paper: str = ""
    support: Levels | None = None  # None is not stated
    frozen: tuple[str, ...] = ()  # where the constants in it came from


@behaviour
class Explained:
    """A TermFn that states its terms: formulas in plain text and units, by name."""

    terms: FromBatch[Terms]
    formulas: Mapping[str, str] = dataclasses.field(default_factory=dict)
    units: Mapping[str, Unit] = dataclasses.field(default_factory=dict)
    rest: Unit | None = None  # of a term that `units` does not name; None is not stated

    def __call__(self, variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
        return self.terms(variables, batch, key, train=train)


def formulas(terms: Any) -> Mapping[str, str]:
    """The formulas of a TermFn's terms, by name; those that it does not say are left out."""
    return terms.formulas if isinstance(terms, Explained) else {}


def unit_of(terms: Any, name: str) -> Unit | None:
    """The unit of one of a TermFn's terms, or None where it is not stated."""
    if not isinstance(terms, Explained):
        return None
    return terms.units[name] if name in terms.units else terms.rest


def networks(variables: Variables) -> tuple[str, ...]:
    """The names of the networks, which are the keys of the parameters."""
    return tuple(variables["params"])


def conditions(batch: Mapping[str, Any]) -> dict[str, Any]:
    """What a batch or a spec has besides "x"."""
    return {name: value for name, value in batch.items() if name != "x"}


def dimensions(spec: Spec) -> int:
    """How many numbers one "x" has; bits/dim divides by it."""
    return math.prod(spec["x"].shape)


DROPOUT, NETWORK, CONTEXT, PRIOR, OBSERVATION, SOURCE, SCORE, MORE = range(8)  # who is given which key aside


def aside(key: Key, which: int) -> Key:
    """A key that is none of those that `jax.random.split` makes of this one: those are its first `fold_in`s.

    Who shares a key with others takes one that is named after it, whatever the others do with theirs.
    """
    return jax.random.fold_in(key, 2**31 - 1 - which)


def likelihood(stated: Explained, terms: Terms) -> Array:
    """The sum of those terms that are part of the likelihood, float [B]: those in nats, or all where none is stated."""
    return total({name: terms[name] for name in likelihood_names(stated, terms)})


def likelihood_names(stated: Any, names: Iterable[str]) -> list[str]:
    """The names of the terms that are part of a likelihood: those in nats, or all where none is stated."""
    every = list(names)
    return [name for name in every if unit_of(stated, name) == "nats"] or every


def total(terms: Terms) -> Array:
    """The sum of all terms, float [B]."""
    return jnp.sum(jnp.stack(list(terms.values())), axis=0)
