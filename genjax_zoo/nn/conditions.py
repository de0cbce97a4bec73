"""Conditions of any kind as one vector: classes as one-hots, vectors and images as their numbers, side by side.

A model says what it is given as {"label": 10, "attributes": (40,), "mask": (28, 28, 1)}: how many classes, or the shape
of an array of floats. `classes=10` of a factory is short for {"label": 10}.
"""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Spec
from genjax_zoo.errors import UserError

Conditions = Mapping[str, int | tuple[int, ...]]  # name -> how many classes, or the shape of a float array
NO_CONDITIONS: Conditions = {}
RESERVED = ("x", "length")  # entries of a batch that are no conditions


def with_classes(conditions: Conditions, classes: int = 0) -> Conditions:
    """The conditions of a factory that takes both: `classes` is short for those of "label", and 0 for none.

    Raises:
        UserError: both name a label, or a condition cannot be one.
    """
    if classes and "label" in conditions:
        raise UserError(f"classes={classes} is short for conditions={{'label': {classes}}}; give one of them.")
    every = {"label": classes, **conditions} if classes else dict(conditions)
    for name, kind in every.items():
        if name in RESERVED:
            raise UserError(f"'{name}' is no condition: a batch has it for something else; give it another name.")
        if isinstance(kind, int) and kind < 1:
            raise UserError(f"The condition '{name}' needs one class or more, not {kind}.")
        if not isinstance(kind, int) and any(size < 1 for size in kind):
            raise UserError(f"The condition '{name}' of shape {tuple(kind)} has no numbers.")
    return every


def condition_spec(conditions: Conditions) -> Spec:
    """One example's conditions: an int32 for classes, a float32 array for a shape."""
    return {
        name: jax.ShapeDtypeStruct((), jnp.int32)
        if isinstance(kind, int)
        else jax.ShapeDtypeStruct(tuple(kind), jnp.float32)
        for name, kind in conditions.items()
    }


def classes_of(conditions: Conditions) -> dict[str, int]:
    """Those that are classes, with how many there are: what `from_linen` is told."""
    return {name: kind for name, kind in conditions.items() if isinstance(kind, int)}


def width(conditions: Conditions) -> int:
    """D, how many numbers `embed_conditions` gives."""
    return sum(kind if isinstance(kind, int) else math.prod(kind) for kind in conditions.values())


def embed_conditions(cond: Batch, conditions: Conditions) -> Array | None:
    """A batch's conditions as one vector [B, D], in the order of `conditions`; None where there are none.

    Args:
        cond: has each of them, [B] or [B, *shape]; what else it has is not read.
        conditions: the model's.
    """
    parts = [_vector(cond[name], kind) for name, kind in conditions.items()]
    return jnp.concatenate(parts, axis=-1) if parts else None


def _vector(value: Array, kind: int | tuple[int, ...]) -> Array:
    if isinstance(kind, int):
        return jax.nn.one_hot(value, kind, dtype=jnp.float32)
    return jnp.asarray(value, jnp.float32).reshape(len(value), -1)
