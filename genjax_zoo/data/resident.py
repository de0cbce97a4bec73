"""Data whose batches are a pure function of (seed, step): on the device, or read ahead by the host.

`Resident` lives on the device and is gathered inside the compiled step. `Streamed` stays with the host: Grain gathers
batches ahead of the step, in threads or processes. Both give the same batches, bit for bit, because the order is a
permutation computed from (seed, epoch) and an example's noise is keyed by its place in the whole batch.
"""

import dataclasses
import itertools
import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.data.shuffle import shuffled, shuffled_on_host
from genjax_zoo.data.support import Support
from genjax_zoo.data.transforms import Array, Transform, support_of
from genjax_zoo.errors import UserError

AT_ONCE = 4  # steps that Grain reads as one element: a fourth of its cost per element


class Origin(NamedTuple):
    """What `load` was asked for, so that another split of the same data can be loaded; see `data.reload`."""

    name: str
    options: tuple[tuple[str, Any], ...] = ()
    transform: Transform | None = None  # in place of the protocol's own
    folder: str | None = None  # the data folder at the time
    path: str | None = None  # of a user's own data

    @property
    def title(self) -> str:
        """The name, with the options that are not the protocol's."""
        return title_of(self.name, dict(self.options))


def title_of(name: Any, options: Mapping[str, Any]) -> str:
    """The name of data, with the options that are not the protocol's."""
    return f"{name}" + (f"({', '.join(f'{k}={v}' for k, v in sorted(options.items()))})" if options else "")


def _field(**default: Any) -> Any:
    return dataclasses.field(metadata={"static": True}, **default)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Indexed:
    """What both share: arrays of examples, and which of them are in a step's batch.

    Training data is reshuffled every epoch and its last partial batch is left out. Evaluation data keeps its order and
    draws its noise from the position alone; its last batch is filled by wrapping around, and `mask` is 0 there.
    """

    _numpy: ClassVar[Any]  # jax.numpy or numpy
    _shuffled: ClassVar[Callable[..., Any]]

    arrays: Mapping[str, Any]  # each [N, ...]
    transform: Transform = _field()
    batch_size: int = _field()
    seed: int = _field()
    train: bool = _field()
    origin: Origin | None = _field(default=None)  # None of data built by hand

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def check(self) -> None:
        """Checks what was given, by shapes alone.

        Raises:
            UserError: no examples, arrays of different lengths, a batch that training data cannot fill, or a seed that
                is no unsigned number of 32 bits.
        """
        lengths = {name: array.shape[0] if array.shape else 0 for name, array in self.arrays.items()}
        n = min(lengths.values(), default=0)
        if n < max(lengths.values(), default=0):
            raise UserError(f"The arrays have different lengths, {lengths}; each holds one value of every example.")
        if n == 0:
            raise UserError("These data have no examples.")
        if self.batch_size < 1 or (self.train and self.batch_size > n):
            raise UserError(f"A batch of {self.batch_size} is not in 1 ... {n}, the number of examples.")
        if isinstance(self.seed, numbers.Integral):  # else it is an argument of a compiled program
            check_seed(self.seed)

    @property
    def support(self) -> Support | None:
        """What a likelihood of x is of; None where the transform does not say."""
        return support_of(self.transform)

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        self.check()
        return len(self) // self.batch_size if self.train else -(-len(self) // self.batch_size)

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """One example, after the transform."""
        self.check()
        one = {name: jax.ShapeDtypeStruct((1, *array.shape[1:]), array.dtype) for name, array in self.arrays.items()}
        batch = jax.eval_shape(lambda raw: self.finish(raw, 0), one)
        return {name: jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for name, x in batch.items()}

    def at(self, step: Any, shard: Any = 0, shards: int = 1) -> Mapping[str, Array]:
        """The batch of a step: of its `batch_size` examples, part `shard` of `shards`."""
        return self.finish(self.read(step, shard, shards), step, shard)

    def read(self, step: Any, shard: Any = 0, shards: int = 1) -> Mapping[str, Any]:
        """The raw examples of a batch."""
        index = self._index(step, shard, shards)
        return {name: array[index] for name, array in self.arrays.items()}

    def stream(self, start: int, stop: int, shard: int = 0, shards: int = 1) -> Iterator[Mapping[str, Any]]:
        """The raw examples of the steps start ... stop - 1, part `shard` of `shards`."""
        return (self.read(step, shard, shards) for step in range(start, stop))

    def finish(self, raw: Mapping[str, Any], step: Any, shard: Any = 0) -> Mapping[str, Array]:
        """What the model sees of raw examples that are part `shard` of a batch. Traceable.

        An example's noise depends on the seed, the step and its place in the whole batch, never on the sharding.
        """
        part = len(next(iter(raw.values())))
        place = shard * part + jnp.arange(part)
        key = jax.random.fold_in(jax.random.key(self.seed), step if self.train else 0)
        counter = place if self.train else (step * self.batch_size + place) % len(self)
        return self.transform(raw, jax.vmap(lambda i: jax.random.fold_in(key, i))(counter))

    def mask(self, step: Any) -> Array:
        """Float [batch_size]; 0 where evaluation wraps around to fill the last batch."""
        position = step * self.batch_size + jnp.arange(self.batch_size)
        return ((position < len(self)) | self.train).astype(jnp.float32)

    def examples(self, step: int) -> np.ndarray:
        """The numbers of the examples in the batch of a step, int [batch_size]."""
        return np.asarray(self._index(step, 0, 1))

    def _index(self, step: Any, shard: Any, shards: int) -> Any:
        part = self.batch_size // shards
        step = self._numpy.asarray(step, np.int32)
        position = (step % self.batches) * self.batch_size + shard * part + self._numpy.arange(part)
        if not self.train:
            return position % len(self)
        return self._shuffled(position, step // self.batches, self.seed, len(self))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Resident(_Indexed):
    """Arrays on the device, as a pytree: a compiled step takes them as an argument and gathers its batch itself."""

    resident = True
    _numpy = jnp
    _shuffled = staticmethod(shuffled)

    def read(self, step: Any, shard: Any = 0, shards: int = 1) -> Mapping[str, Array]:
        """The raw examples of a batch, gathered as rows: XLA gathers them up to 20 times faster than images on CPU."""
        index = self._index(step, shard, shards)
        rows = {name: array.reshape(len(array), -1)[index] for name, array in self.arrays.items()}
        return {name: row.reshape(-1, *self.arrays[name].shape[1:]) for name, row in rows.items()}


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Streamed(_Indexed):
    """Arrays with the host, in memory or mapped from a file; `stream` reads batches ahead of the step.

    `threads` read within this process, `workers` are processes; neither changes a batch.
    """

    threads: int = 1
    workers: int = 0

    resident = False
    _numpy = np
    _shuffled = staticmethod(shuffled_on_host)

    def stream(self, start: int, stop: int, shard: int = 0, shards: int = 1) -> Iterator[Mapping[str, np.ndarray]]:
        """Read ahead by Grain; where that is not installed, when they are asked for."""
        try:
            import grain
        except ImportError:
            return super().stream(start, stop, shard, shards)

        def read(first: int) -> list[Mapping[str, np.ndarray]]:
            return [self.read(step, shard, shards) for step in range(first, min(first + AT_ONCE, stop))]

        firsts = grain.MapDataset.range(start, stop, AT_ONCE).map(read)
        batches = firsts.to_iter_dataset(grain.ReadOptions(num_threads=self.threads, prefetch_buffer_size=3))
        if self.workers:
            _let_grain_fork()
            batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=self.workers))
        return itertools.chain.from_iterable(batches)


def check_seed(seed: int) -> None:
    """Refuses what is no unsigned number of 32 bits: of more, JAX's keys would leave out the upper ones.

    Raises:
        UserError: it is another number.
    """
    if not 0 <= seed < 2**32:
        raise UserError(f"A seed is a whole number in 0 ... {2**32 - 1:,}, not {seed:,}.")


def not_finite(entries: Mapping[str, Any], numbers: np.ndarray | None = None) -> str | None:
    """Says where the first NaN or infinity is, "'mel' of example 7 is nan"; None where all numbers are finite.

    Args:
        entries: name -> array [N, ...].
        numbers: of the examples, int [N]; None is 0 ... N - 1.
    """
    for name, array in entries.items():
        if not jnp.issubdtype(array.dtype, jnp.floating):
            continue
        array = np.asarray(array, None if array.dtype.kind == "f" else np.float32)
        if np.isfinite(array.min()) and np.isfinite(array.max()):  # both are NaN where one number is
            continue
        flat = array.reshape(len(array), -1)
        wrong = np.flatnonzero(~np.isfinite(flat).all(axis=1))
        value = flat[wrong[0]][~np.isfinite(flat[wrong[0]])][0]
        others = f", the first of {len(wrong):,} such examples" if len(wrong) > 1 else ""
        return f"'{name}' of example {wrong[0] if numbers is None else numbers[wrong[0]]} is {float(value)}{others}"
    return None


def _let_grain_fork() -> None:
    """Grain's worker processes read absl's flags, which nobody has parsed here."""
    from absl import flags

    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
