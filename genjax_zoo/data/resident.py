"""A data set that lives on the device: decoded once, gathered and transformed inside the compiled step."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from genjax_zoo.data.shuffle import shuffled

Array = jax.Array
Transform = Callable[[Mapping[str, Array], Array], Mapping[str, Array]]  # (one example, key) -> one example


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Resident:
    """Arrays as a pytree, so that a compiled step takes them as an argument and not as a constant.

    Training data is reshuffled every epoch and its last partial batch is left out. Evaluation data keeps its order and
    draws its noise from the position alone; its last batch is filled by wrapping around, and `mask` is 0 there.
    """

    arrays: Mapping[str, Array]  # each [N, ...]
    transform: Transform = dataclasses.field(metadata={"static": True})
    batch_size: int = dataclasses.field(metadata={"static": True})
    seed: int = dataclasses.field(metadata={"static": True})
    train: bool = dataclasses.field(metadata={"static": True})

    resident = True

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    @property
    def batches(self) -> int:
        """Batches in an epoch."""
        return len(self) // self.batch_size if self.train else -(-len(self) // self.batch_size)

    @property
    def spec(self) -> Mapping[str, jax.ShapeDtypeStruct]:
        """One example, after the transform."""
        batch = jax.eval_shape(lambda: self.at(0))
        return {name: jax.ShapeDtypeStruct(x.shape[1:], x.dtype) for name, x in batch.items()}

    def at(self, step: Any, shard: Any = 0, shards: int = 1) -> Mapping[str, Array]:
        """The batch of a step: of its `batch_size` examples, part `shard` of `shards`.

        An example's noise depends on the seed, the step and its place in the whole batch, never on the sharding.
        """
        part = self.batch_size // shards
        place = shard * part + jnp.arange(part)
        epoch = jnp.asarray(step, jnp.int32) // self.batches
        position = (jnp.asarray(step, jnp.int32) % self.batches) * self.batch_size + place
        index = shuffled(position, epoch, self.seed, len(self)) if self.train else position % len(self)
        key = jax.random.fold_in(jax.random.key(self.seed), step if self.train else 0)
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(place if self.train else index)
        examples = {name: array[index] for name, array in self.arrays.items()}
        return jax.vmap(self.transform)(examples, keys)

    def mask(self, step: Any) -> Array:
        """Float [batch_size]; 0 where evaluation wraps around to fill the last batch."""
        position = step * self.batch_size + jnp.arange(self.batch_size)
        return ((position < len(self)) | self.train).astype(jnp.float32)
