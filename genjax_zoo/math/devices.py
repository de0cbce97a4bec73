"""The devices that a batch is spread over, as a mapped axis: what couples its examples is of all of them."""

from typing import Any

import jax
import jax.numpy as jnp

from genjax_zoo.errors import UserError

AXIS = "data"  # the one name of the axis


def mapped_axis() -> str | None:
    """The axis that the batch is mapped over by shard_map, pmap or vmap, or None in a global view."""
    try:
        jax.lax.axis_index(AXIS)
    except NameError:
        return None
    return AXIS


def gathered(tree: Any) -> Any:
    """All devices' examples: arrays [B / devices, ...] -> [B, ...], in the order of the whole batch.

    A term that compares examples with each other (a total correlation, a kernel distance, statistics of a minibatch)
    is of the whole batch only if it gathers the others first:

        scores = jnp.mean(kernel(z[:, None], gathered(z)), axis=1)  # [B / devices], each against all B

    Gradients flow back to the device that an example came from. Where the batch is in one piece, this is the identity.

    Raises:
        UserError: an array without an axis of examples.
    """
    axis = mapped_axis()
    if any(jnp.ndim(x) == 0 for x in jax.tree.leaves(tree)):
        raise UserError("gathered is of arrays [B, ...], one entry per example; gather before you take the mean.")
    return tree if axis is None else jax.tree.map(lambda x: jax.lax.all_gather(x, axis, tiled=True), tree)


def mean_over_devices(tree: Any) -> Any:
    """The mean of the devices' arrays, the same on all of them."""
    axis = mapped_axis()
    return tree if axis is None else jax.lax.pmean(tree, axis)
