"""Checkpoints with Orbax: asynchronous, atomic, best and latest kept, and a digest of every leaf.

Orbax does not notice a flipped bit in saved weights, so a digest lies beside the state and is checked on restore. It
is a position-weighted sum of a leaf's bits: odd weights let no single flip cancel, and sums do not depend on how the
leaf is sharded.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy as keep

from genjax_zoo.core import Array, PyTree


class Checkpoints:
    """The checkpoints of one run folder; close it, or use it in a `with`."""

    def __init__(self, folder: Path, *, best: str | None = None, reading: bool = False):
        """Opens a folder.

        Args:
            folder: created if missing; what a killed save left behind is removed.
            best: the metric whose smallest value keeps its checkpoint, besides the latest two.
            reading: only reads, so that a save which another process is writing stays as it is.
        """
        self._best = best
        latest, smallest = keep.LatestN(2), keep.BestN(get_metric_fn=self._rank, reverse=True, n=1)
        options = ocp.CheckpointManagerOptions(
            best_fn=self._rank,  # without it Orbax does not write metrics, and forgets the best when reopened
            preservation_policy=keep.AnyPreservationPolicy([latest, smallest] if best else [latest]),
            cleanup_tmp_directories=not reading,
            create=not reading,
        )
        self._manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def _rank(self, metrics: Mapping[str, float]) -> float:
        value = metrics.get(self._best or "", math.inf)
        return value if math.isfinite(value) else math.inf  # what is not finite never ranks

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self._manager.close()

    @property
    def steps(self) -> list[int]:
        """The saved steps, in order."""
        return sorted(self._manager.all_steps())

    def save(self, step: int, state: PyTree, metrics: Mapping[str, float]) -> None:
        """Saves a copy of the state in the background; `metrics` ranks it if it has the best metric.

        Raises:
            orbax StepAlreadyExistsError: this step was saved before.
        """
        copy, digests = _snapshot(state)
        named = {name: int(value) for name, value in _by_name(digests).items()}
        ranked = {name: value for name, value in metrics.items() if name == self._best}
        args = ocp.args.Composite(state=ocp.args.StandardSave(copy), digest=ocp.args.JsonSave(named))
        saved = self._manager.save(step, args=args, metrics=ranked, force=True)
        assert saved, f"Orbax did not save step {step}"

    def wait(self) -> None:
        """Returns when everything is on disk."""
        self._manager.wait_until_finished()

    def drop_after(self, step: int) -> None:
        """Deletes what was saved later than a step."""
        for later in [saved for saved in self.steps if saved > step]:
            self._manager.delete(later)

    def best_step(self) -> int | None:
        """The step with the smallest best metric, or None."""
        values = {step: self._rank(self._manager.metrics(step) or {}) for step in self.steps}
        ranked = {step: value for step, value in values.items() if value < math.inf}
        return min(ranked, key=ranked.__getitem__) if ranked else None

    def restore(self, step: int, target: PyTree) -> PyTree:
        """The state of a saved step.

        Args:
            step: one of `steps`.
            target: jax.ShapeDtypeStruct leaves with a sharding on each; any number of devices.

        Raises:
            ValueError: the checkpoint cannot be read, has another structure, or its bits have changed.
        """
        place = f"checkpoint {step} in {self._manager.directory}"
        try:
            saved = _shapes(ocp.StandardCheckpointHandler().metadata(self._manager.directory / str(step) / "state"))
        except Exception:  # whatever is wrong with it, restoring says so
            saved = {}
        wanted = _shapes(target)
        other = [name for name, shape in wanted.items() if saved.get(name, shape) != shape]
        if other:
            raise ValueError(
                f"Cannot restore {place}: of {len(other)} leaves that differ, '{other[0]}' is {saved[other[0]]} in it, "
                f"and {wanted[other[0]]} in the model; restore it with the model that it was made by."
            )
        try:
            args = ocp.args.Composite(state=ocp.args.StandardRestore(target), digest=ocp.args.JsonRestore())
            restored: Any = self._manager.restore(step, args=args)
        except Exception as error:  # Orbax's own message can be hundreds of lines
            first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            raise ValueError(f"Cannot restore {place}: {first}") from error
        found = {name: int(value) for name, value in _by_name(_digest(restored.state)).items()}
        changed = [name for name, value in found.items() if restored.digest.get(name) != value]
        if changed:
            raise ValueError(
                f"The bits of '{changed[0]}' in {place} have changed since it was saved; delete that folder."
            )
        return restored.state


@jax.jit
def _snapshot(state: PyTree) -> tuple[PyTree, PyTree]:
    """A copy, which donation cannot overwrite while it is being written to disk, and its digests."""
    return jax.tree.map(jnp.copy, state), jax.tree.map(_leaf_digest, state)


@jax.jit
def _digest(state: PyTree) -> PyTree:
    return jax.tree.map(_leaf_digest, state)


def _leaf_digest(leaf: Array) -> Array:
    """uint32 []: the sum over positions i of (2 i + 1) * bits[i], modulo 2^32."""
    if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    if leaf.dtype == jnp.bool_:
        leaf = leaf.astype(jnp.uint8)
    if leaf.dtype.itemsize == 8:
        leaf = jax.lax.bitcast_convert_type(leaf, jnp.uint32)
    bits = jax.lax.bitcast_convert_type(leaf, jnp.dtype(f"uint{8 * leaf.dtype.itemsize}")).astype(jnp.uint32).ravel()
    return jnp.sum((2 * jnp.arange(bits.size, dtype=jnp.uint32) + 1) * bits, dtype=jnp.uint32)


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """The shape of every leaf by its name, "variables/params/encoder/out/bias", whatever containers hold it."""
    names: dict[str, tuple[int, ...]] = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.eval_shape(jax.random.key_data, leaf)  # as which it is saved
        name = "/".join(str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", "")))) for key in path)
        names[name] = tuple(leaf.shape)
    return names


def _by_name(tree: PyTree) -> dict[str, Any]:
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
