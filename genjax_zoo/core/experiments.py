"""What is trained: players, their state, their data, and the experiment that names them all."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import optax

from genjax_zoo.core.models import Model
from genjax_zoo.core.types import Array, Batch, Key, PyTree, Spec, TermFn, Variables, behaviour
from genjax_zoo.errors import UserError


@behaviour
class Player:
    """One side of the game: terms, their weights, an optimizer, and the networks it may write.

    A weight without a term raises in `create_state`, and so does a likelihood's term that no player weighs; any other
    term without a weight is only logged. Schedules, of weights as of the optimizer, count the updates that this player
    has made: a step on which it sits out is none, nor is one that only accumulates a gradient.
    """

    terms: TermFn
    tx: optax.GradientTransformation
    weights: Mapping[str, float | optax.Schedule] | None = None  # None weighs a likelihood's terms by one
    owns: tuple[str, ...] | None = None  # networks; "a" is all of "a/..."; None is all of them
    every: int = 1  # plays on steps divisible by this
    ema: float = 0.0  # > 0 averages what it owns, for evaluation; less at first: (1 + n) / (10 + n) at update n

    def __post_init__(self):
        if self.terms is None:
            raise UserError("A player's terms are None: the model lacks what was asked of it; see its fields.")
        if self.every < 1 or not 0 <= self.ema < 1:
            raise UserError(f"A player's every is at least 1 and its ema in [0, 1), not {self.every} and {self.ema}.")


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
            raise UserError(f"A seed is a whole number in 0 ... {2**32 - 1:,}, not {self.seed:,}.")
