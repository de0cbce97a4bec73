"""What a checkpoint holds, leaf by leaf, so that a changed bit is noticed: Orbax itself does not notice one.

A leaf's digest is a sum over its positions of a hash of (position, bits). Sums do not depend on how the leaf is
sharded; a hash leaves no pattern of flips that cancel, as they do where the bits are only weighed: flip the top bits of
two numbers, and their changes add up to 2^32.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, PyTree
from genjax_zoo.errors import UserError

Record = dict[str, tuple[list[int], int]]  # a leaf's name -> its shape, and its digest


@jax.jit
def digests(tree: PyTree) -> PyTree:
    """Each leaf's."""
    return jax.tree.map(leaf_digest, tree)


def record(tree: PyTree, found: PyTree) -> Record:
    """What is written beside a saved tree, of its leaves and their `digests`."""
    values = by_name(found)
    return {name: (list(shape), int(values[name])) for name, shape in shapes(tree).items()}


def fingerprint(tree: PyTree) -> str:
    """What tells a tree from any other, in 16 letters."""
    return _seal(record(tree, digests(tree)))[:16]


def seal(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """A record with a digest of itself, as JSON takes it."""
    return {"leaves": leaves, "sha256": _seal(leaves)}


def open_seal(saved: Any) -> Any:
    """The record in a `sealed` one.

    Raises:
        UserError: it was changed.
    """
    if not isinstance(saved, dict) or saved.get("sha256") != _seal(saved.get("leaves")):
        raise UserError("its record of what was saved has changed")
    return saved["leaves"]


def shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """The shape of every leaf by its name; a key's is that of its data, as which it is saved."""
    return {name: tuple(_raw(leaf).shape) for name, leaf in by_name(tree).items()}


def by_name(tree: PyTree) -> dict[str, Any]:
    """A tree's leaves by name, "variables/params/encoder/out/bias", whatever containers hold them."""
    return {
        "/".join(str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", "")))) for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _seal(leaves: Any) -> str:
    return hashlib.sha256(json.dumps(leaves, sort_keys=True).encode()).hexdigest()


def _raw(leaf: Any) -> Any:
    key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return jax.eval_shape(jax.random.key_data, leaf) if key else leaf


def leaf_digest(leaf: Array) -> Array:
    """uint32 []: of a leaf of any type, keys included."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if leaf.dtype == jnp.bool_:
        leaf = leaf.astype(jnp.uint8)
    if leaf.dtype.itemsize == 8:
        leaf = jax.lax.bitcast_convert_type(leaf, jnp.uint32)
    bits = jax.lax.bitcast_convert_type(leaf, jnp.dtype(f"uint{8 * leaf.dtype.itemsize}")).astype(jnp.uint32).ravel()
    place = jnp.arange(bits.size, dtype=jnp.uint32)
    return jnp.sum(_mixed(bits ^ _mixed(place)), dtype=jnp.uint32)


def _mixed(x: Array) -> Array:
    """A hash of uint32 that is one to one: "lowbias32" of Wellons' hash prospector, 2018."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)
