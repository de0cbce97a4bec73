"""One step body, three ways to shard it: shard_map, pmap, and jit with a global view.

This is the only file that knows how many devices there are.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from genjax_zoo.core import PyTree, TrainState
from genjax_zoo.errors import UserError
from genjax_zoo.math.devices import AXIS

Backend = Literal["shard_map", "pmap", "jit"]
MEMBERS = "members"  # of a sweep
BATCH = P(AXIS)  # a batch, split over the devices
STACKED = P(None, AXIS)  # a stack of batches, for several steps in one call


def data_mesh(devices: Any = None) -> Mesh:
    """All devices (or the given ones) as one mesh with the axis "data"."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def member_mesh(members: int) -> Mesh:
    """As many of this process's devices as divide the members of a sweep, with the axis "members"."""
    devices = max(d for d in range(1, jax.local_device_count() + 1) if members % d == 0)
    return jax.make_mesh((devices,), (MEMBERS,), axis_types=(AxisType.Auto,), devices=jax.local_devices()[:devices])


def parallelize(
    make: Callable[..., Callable], mesh: Mesh, *, backend: Backend = "shard_map", split: P = BATCH
) -> Callable[..., tuple[TrainState, Any]]:
    """Compiles a step body for all devices of a mesh.

    Args:
        make: make(axis=name) builds the body (state, batch) -> (state, metrics) for one device; axis None is the global
            view. `functools.partial(make_step, players)` is one.
        mesh: from `data_mesh`.
        backend: "shard_map" (default), "pmap", or "jit".
        split: how the second argument is split: BATCH, STACKED, or P() for resident data.

    Returns:
        (state, batch) -> (state, metrics) on placed arguments; the state is donated.

    Raises:
        UserError: an unknown backend.
    """
    if backend == "shard_map":
        body = make(axis=AXIS)
        sharded = jax.shard_map(body, mesh=mesh, in_specs=(P(), split), out_specs=(P(), P()))
        return jax.jit(sharded, donate_argnums=0)
    if backend == "pmap":
        axis, devices, body = {BATCH: 0, STACKED: 1, P(): None}[split], list(mesh.devices.flat), make(axis=AXIS)
        mapped = jax.pmap(
            lambda _, state, batch: body(state, batch),
            AXIS,
            in_axes=(0, None, axis),  # the state is not folded; pmap insists on one argument that is
            out_axes=(None, None),
            devices=devices,
            donate_argnums=1,
        )
        ranks = jnp.arange(len(devices))
        return lambda state, batch: mapped(ranks, state, _fold(batch, axis, len(devices)))
    if backend == "jit":
        whole, parts = NamedSharding(mesh, P()), NamedSharding(mesh, split)
        return jax.jit(make(axis=None), in_shardings=(None, parts), out_shardings=(None, whole), donate_argnums=0)
    raise UserError(f"Unknown backend '{backend}'; use shard_map, pmap or jit.")


def place(mesh: Mesh, state: TrainState, batch: Any, *, split: P = BATCH) -> tuple[TrainState, Any]:
    """Puts the state on every device and a batch's parts on their own.

    Raises:
        UserError: the devices do not divide the batch.
    """
    return replicate(mesh, state), place_batch(mesh, batch, split=split)


def replicate(mesh: Mesh, tree: PyTree) -> PyTree:
    """Puts a copy of the tree on every device, of all processes."""
    sharding = NamedSharding(mesh, P())

    def put(x: Any) -> Any:
        if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):  # device_put does not take keys to another process's devices
            return jax.random.wrap_key_data(put(jax.random.key_data(x)), impl=jax.random.key_impl(x))
        return jax.device_put(np.asarray(x), sharding)

    return jax.device_put(tree, sharding) if sharding.is_fully_addressable else jax.tree.map(put, tree)


def place_batch(mesh: Mesh, batch: Mapping[str, Any], *, split: P = BATCH) -> Mapping[str, jax.Array]:
    """Spreads this process's part of a batch over its devices.

    Raises:
        UserError: the devices do not divide the batch.
    """
    sharding = NamedSharding(mesh, split)
    if split != P():
        axis = split.index(AXIS)
        check_divides(mesh, next(iter(batch.values())).shape[axis] * jax.process_count())
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x), dict(batch))


def check_divides(mesh: Mesh, batch_size: int) -> None:
    """Checks that the devices divide a batch.

    Raises:
        UserError: they do not.
    """
    devices = mesh.size
    if batch_size % devices:
        near = max(devices, round(batch_size / devices) * devices)
        raise UserError(f"A batch of {batch_size} does not divide over {devices} devices; use {near}.")


def _fold(batch: Any, axis: int | None, devices: int) -> Any:
    """Splits the batch axis into [devices, part], which is what pmap maps over."""
    if axis is None:
        return batch
    return jax.tree.map(
        lambda x: x.reshape(*x.shape[:axis], devices, x.shape[axis] // devices, *x.shape[axis + 1 :]), batch
    )
