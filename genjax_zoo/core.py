"""The types everything is written in: Model, Player, TrainState, Experiment and the function type TermFn.

A Model is a bundle of pure functions. A Player weighs named per-example terms and writes only the networks it owns.
One train step lets the players take turns. An Experiment is a model, its players and their data.

Frozen dataclasses hold behaviour, NamedTuples hold arrays; the two never mix.
"""

import dataclasses
import functools
import math
import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import optax

Array = jax.Array
Key = jax.Array  # a typed key, from jax.random.key
PyTree = Any
Batch = Mapping[str, Array]  # "x" is modelled; every other entry ("label", "mel") is a condition
Spec = Mapping[str, jax.ShapeDtypeStruct]  # one example, without the batch axis
Variables = Mapping[str, PyTree]  # Linen collections: {"params": {network: ...}, "batch_stats": {network: ...}}
Terms = Mapping[str, Array]  # name -> float[B]; nats where it is a likelihood; never reduced
TermFn = Callable[[Variables, Batch, Key, bool], tuple[Terms, Variables]]  # the bool is train
NO_CONDITION: Batch = {}
MEMORY, TURNS = "memory", "turns"  # what `wrap.with_memory` keeps for penalties, and the clock in it

_MISSING: Any = None
_Class = TypeVar("_Class", bound=type)
_Factory = TypeVar("_Factory", bound=Callable[..., "Model"])


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False)
def behaviour(cls: _Class) -> _Class:
    """Makes `cls` a frozen dataclass of functions and settings, compared by identity."""
    return dataclasses.dataclass(frozen=True, kw_only=True, eq=False)(cls)  # type: ignore[return-value]


@behaviour
class Model:
    """A generative model as pure functions. What a model cannot do is None, so no flag can lie.

    An exact likelihood is `nll`, a bound is `nelbo`, a GAN has neither. A latent space is `decode` and the prior on it;
    an invertible model has `encode`, `decode` and `nll`. A conditional model has more than "x" in `spec`.

    The optional fields are typed as if present, so that `Player(terms=model.nelbo)` needs no cast; `Player` and
    `require` say it in a sentence where one is missing.
    """

    spec: Spec
    init: Callable[[Key, Batch], Variables]  # from a real batch: data-dependent initialisation needs it
    apply: Callable[..., tuple[Any, Variables]]  # (variables, method, *args, key=None, train=False, ...)
    sample: Callable[..., Array] = _MISSING  # (variables, key, n, cond={}) -> x [n, ...]
    nll: TermFn = _MISSING  # terms sum exactly to -log p(x | cond)
    nelbo: TermFn = _MISSING  # terms sum to an upper bound on it, in expectation over the key
    log_weights: Callable[..., Array] = _MISSING  # (variables, batch, key, k) -> log p(x, z) / q(z | x) [k, B], nats
    encode: Callable[..., Array] = _MISSING  # (variables, batch, key) -> z [B, ...]
    posterior_means: Callable[..., Array] = _MISSING  # (variables, batch, key, k draws) -> E_q[z | x] of all layers
    decode: Callable[..., Array] = _MISSING  # (variables, z, cond={}) -> x [B, ...]
    sample_prior: Callable[..., Array] = _MISSING  # (variables, key, n, cond={}) -> z [n, ...], for `decode`
    codes: Callable[..., Array] = _MISSING  # (variables, batch) -> int [B, ...], indices into a code book
    conditionals: "Conditionals" = _MISSING  # of an autoregressive model: p(x_i | those before)
    check: Callable[[Mapping[str, Any]], None] = lambda batch: None  # raises ValueError for values outside of its range
    of_length: Callable[[int], "Model"] = _MISSING  # of a sequence: the same parameters at another length
    at_temperature: Callable[[float], "Model"] = _MISSING  # draws from a prior as many times as wide; see wrap.tempered
    made: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)  # the fields that came together

    def __post_init__(self):
        if not self.made:
            came = [field.name for field in dataclasses.fields(self) if field.name != "made"]
            object.__setattr__(self, "made", {name: getattr(self, name) for name in came})


@behaviour
class Conditionals:
    """p(x) = prod_i p(x_i | those before), over `levels` levels each: one network in two views.

    All numbers at once, for likelihoods; and place after place at the cost of one place, for sampling. Numbers come in
    raster order: rows, columns, channels. Level k is x = k / (levels - 1). A place is one row's and column's channels.
    """

    grid: tuple[int, int, int]  # rows, columns, channels that x is seen as; a sequence has one row
    levels: int  # K
    logits: Callable[..., Array]  # (variables, batch) -> [B, *grid, K], of each number given those before
    start: Callable[..., PyTree]  # (variables, n, cond={}) -> cache, before the first row
    begin_row: Callable[..., PyTree]  # (variables, cache, levels of the row above, row) -> cache
    step: Callable[..., tuple[Any, PyTree]]  # (variables, cache, levels before, row, column) -> (h, cache)
    choices: Callable[..., Array]  # (variables, h, levels [n, channels], channel: int) -> logits [n, K]
    sees: Any = None  # bool [D, D], which numbers each claims to depend on; None is all before it


@behaviour
class Explained:
    """A TermFn that says its terms as formulas in plain text; see `formulas`."""

    terms: TermFn
    formulas: Mapping[str, str]  # by the term's name

    def __call__(self, variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
        return self.terms(variables, batch, key, train)


def formulas(terms: TermFn) -> Mapping[str, str]:
    """The formulas of a TermFn's terms, by name; those that it does not say are left out."""
    return getattr(terms, "formulas", {})


@behaviour
class Player:
    """One side of the game: terms, their weights, an optimizer, and the networks it may write.

    A term without a weight is only logged; a weight without a term raises in `create_state`. Schedules, of weights as
    of the optimizer, count the updates that this player has made: a step on which it sits out is none, nor is one that
    only accumulates a gradient.
    """

    terms: TermFn
    weights: Mapping[str, float | optax.Schedule]
    tx: optax.GradientTransformation
    owns: tuple[str, ...] | None = None  # networks; None is all of them
    every: int = 1  # plays on steps divisible by this
    ema: float = 0.0  # > 0 averages what it owns, for evaluation; less at first: (1 + n) / (10 + n) at update n

    def __post_init__(self):
        if self.terms is None:
            raise ValueError("A player's terms are None: the model lacks what was asked of it; see its fields.")
        if self.every < 1 or not 0 <= self.ema < 1:
            raise ValueError(f"A player's every is at least 1 and its ema in [0, 1), not {self.every} and {self.ema}.")


class TrainState(NamedTuple):
    """Arrays only, so it is donated, sharded and checkpointed as it is."""

    step: Array  # int32 []
    key: Key
    variables: Variables
    ema: Mapping[str, PyTree]  # network -> averaged parameters, for the players with ema > 0
    opt_state: Mapping[str, optax.OptState]  # player -> its optimizer's state
    updates: Mapping[str, Array]  # player -> how many it has made, int32 []: the clock of its schedules


class Data(Protocol):
    """What training and evaluation read. A batch is a pure function of (seed, step)."""

    @property
    def spec(self) -> Spec:
        """One example, as the model sees it."""
        ...

    @property
    def batch_size(self) -> int:
        """Examples in a batch, over all devices."""
        ...

    @property
    def batches(self) -> int:
        """Batches in an epoch; evaluation walks at(0) ... at(batches - 1)."""
        ...

    @property
    def resident(self) -> bool:
        """Whether this is a pytree of arrays whose `at` can be traced inside a compiled step."""
        ...

    def at(self, step: Any, shard: Any = 0, shards: int = 1) -> Batch:
        """The part `shard` of `shards` of the batch of one step."""
        ...

    def stream(self, start: int, stop: int, shard: int = 0, shards: int = 1) -> Iterator[Mapping[str, Any]]:
        """Raw examples of the steps start ... stop - 1, for data that is not resident: what the host reads ahead."""
        ...

    def finish(self, raw: Mapping[str, Any], step: Any, shard: Any = 0) -> Batch:
        """The batch of raw examples, inside the compiled step."""
        ...

    def mask(self, step: Any) -> Array:
        """Float [batch_size]; 0 where an example only pads the last batch of an evaluation."""
        ...


Eval = Callable[[Model, Variables, Key], Mapping[str, Any]]  # -> {name: a number, or images [n, H, W, C] in [0, 1]}
Alarm = Callable[[Mapping[str, float]], str | None]  # a log's or an evaluation's numbers -> a warning, or None


@behaviour
class Experiment:
    """Everything one run needs. An experiment file is a function that returns this."""

    model: Model
    players: Mapping[str, Player]  # ordered: turns are taken in this order
    data: Data
    steps: int
    evals: Mapping[str, Eval] = dataclasses.field(default_factory=dict)
    eval_every: int = 1_000
    save_every: int = 1_000
    log_every: int = 100
    steps_per_call: int = 1  # k > 1 runs k steps in one compiled scan
    alarms: tuple[Alarm, ...] = ()  # asked of every log and every evaluation
    best: str | None = None  # the evaluated number, "eval/name", whose smallest value keeps its checkpoint
    seed: int = 0  # in 0 ... 2^32 - 1

    def __post_init__(self):
        if not 0 <= self.seed < 2**32:  # of more, JAX's keys would leave out the upper bits
            raise ValueError(f"A seed is a whole number in 0 ... {2**32 - 1:,}, not {self.seed:,}.")


def networks(variables: Variables) -> tuple[str, ...]:
    """The names of the networks, which are the keys of the parameters."""
    return tuple(variables["params"])


def conditions(batch: Mapping[str, Any]) -> dict[str, Any]:
    """What a batch or a spec has besides "x"."""
    return {name: value for name, value in batch.items() if name != "x"}


def dimensions(spec: Spec) -> int:
    """How many numbers one "x" has; bits/dim divides by it."""
    return math.prod(spec["x"].shape)


def require(model: Model, *fields: str) -> tuple[Any, ...]:
    """The named fields of a model.

    Raises:
        ValueError: the model lacks one, with what it has instead; or has it from before another field was replaced on
            which it depends. What is asked for in one call is taken as it is: there the two are compared.
    """
    optional = [f.name for f in dataclasses.fields(model) if f.default is None]  # type: ignore[arg-type]
    for name in fields:
        if getattr(model, name) is None:
            has = [f for f in optional if getattr(model, f) is not None]
            raise ValueError(f"This model has no '{name}'; it has {', '.join(has) or 'only init and apply'}.")
        for other in DEPENDS_ON.get(name, ()):
            if other not in fields and replaced(model, other) and not replaced(model, name):
                raise ValueError(
                    f"The model's '{other}' was replaced, but its '{name}' is still that of the model before; "
                    f"replace '{name}' as well, or set {name}=None."
                )
    return tuple(getattr(model, name) for name in fields)


DEPENDS_ON: Mapping[str, tuple[str, ...]] = {  # what a field says again that others have said
    "log_weights": ("nll", "nelbo"),
    "sample": ("sample_prior", "decode", "conditionals"),
    "conditionals": ("nll",),
    "of_length": ("nll", "sample", "conditionals"),
    "at_temperature": ("apply", "sample", "sample_prior", "decode", "conditionals"),
}


def replaced(model: Model, field: str) -> bool:
    """Whether a field is another than the one that was made together with the rest, by `dataclasses.replace`."""
    function = getattr(model, field)
    return function is not None and function is not model.made.get(field)


def changed(model: Model, **fields: Any) -> Model:
    """The model with fields that are derived from its own of the same names, which so stay relatives of the rest.

    What `dataclasses.replace` would take for a stranger among them; see `require`.
    """
    new = dataclasses.replace(model, **fields)
    came = {name: old if replaced(model, name) else getattr(new, name) for name, old in model.made.items()}
    return dataclasses.replace(new, made=came)


def check_methods(model: Model, *fields: str) -> None:
    """Checks that `model.apply` of these fields' names does what the fields do.

    Raises:
        ValueError: one of them was replaced, but not `apply`, which would go around it.
    """
    for name in fields:
        if replaced(model, name) and not replaced(model, "apply"):
            raise ValueError(
                f"The model's '{name}' was replaced, but this loss asks its network for '{name}' through `apply`, "
                f"which goes around that; override the method in the Linen module, or replace `apply` as well."
            )


def sized(factory: _Factory) -> _Factory:
    """A factory of models that takes no size below 1 (0 classes are none), alone or in tuples.

    Raises:
        ValueError: when called, with the size's name.
    """

    @functools.wraps(factory)
    def checked(**settings: Any) -> Model:
        for name, value in settings.items():
            least = 0 if name == "classes" else 1
            if wrong := [size for size in _sizes(value) if size < least]:
                raise ValueError(f"{name} must be at least {least}, not {wrong[0]}.")
        return factory(**settings)

    return checked  # type: ignore[return-value]


def _sizes(value: Any) -> Iterator[int]:
    if isinstance(value, list | tuple):
        for one in value:
            yield from _sizes(one)
    elif isinstance(value, numbers.Integral) and not isinstance(value, bool):
        yield int(value)


def likelihood_terms(model: Model) -> tuple[str, TermFn]:
    """The best likelihood a model has: ("nll", exact terms) or else ("nelbo", terms of a bound).

    Raises:
        ValueError: the model has neither.
    """
    name = "nll" if model.nll is not None else "nelbo"
    (terms,) = require(model, name)
    return name, terms


def total(terms: Terms) -> Array:
    """The sum of all terms, float [B]."""
    return jnp.sum(jnp.stack(list(terms.values())), axis=0)
