"""Normalisation whose result does not depend on how the batch is sharded.

A norm here is a function (make_layer, x, train) -> y: it makes the layer, runs it, and normalises its output or its
weights, so that a network takes one as a value. It creates submodules, so it is called inside a compact method.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax

from genjax_zoo.errors import UserError
from genjax_zoo.math.devices import mapped_axis

MakeLayer = Callable[..., nn.Module]  # a layer class with everything set but use_bias
Norm = Callable[[MakeLayer, jax.Array, bool], jax.Array]


def check_places(x: jax.Array) -> None:
    """Checks that a batch x [B, ..., C], over all devices, has a spread to be normalised by.

    Raises:
        UserError: it has one number of each channel.
    """
    axis = mapped_axis()
    if math.prod(x.shape[:-1]) * (1 if axis is None else jax.lax.axis_size(axis)) < 2:
        raise UserError(
            "Batch norm takes the spread of a batch, and one number of each channel has none: train with a batch of "
            "two examples or more, or with another norm."
        )


def no_norm(make_layer: MakeLayer, x: jax.Array, train: bool) -> jax.Array:
    """The layer alone."""
    return make_layer()(x)


def batch_norm(make_layer: MakeLayer, x: jax.Array, train: bool) -> jax.Array:
    """The layer's output normalised by the statistics of the whole batch, over all devices (Ioffe & Szegedy 2015)."""
    y = make_layer(use_bias=False)(x)  # a bias would be subtracted again with the mean
    if train:
        check_places(y)
    return nn.BatchNorm(use_running_average=not train, momentum=0.9, axis_name=mapped_axis())(y)


def spectral_norm(make_layer: MakeLayer, x: jax.Array, train: bool) -> jax.Array:
    """The layer with its weights divided by their largest singular value (Miyato et al. 2018, arXiv:1802.05957)."""
    return nn.SpectralNorm(make_layer())(x, update_stats=train)


def batch_normalised(x: jax.Array, train: bool, label: jax.Array | None = None, classes: int = 0) -> jax.Array:
    """X [B, ..., C] normalised over the whole batch; with classes, scaled and shifted by the label's own numbers.

    Conditional batch norm is by Dumoulin et al. 2016, arXiv:1610.07629. Creates submodules, as a norm does.
    """
    if train:
        check_places(x)
    shared = not classes
    normal = nn.BatchNorm(
        use_running_average=not train, momentum=0.9, axis_name=mapped_axis(), use_scale=shared, use_bias=shared
    )(x)
    if shared:
        return normal
    scale = nn.Embed(classes, x.shape[-1], embedding_init=nn.initializers.ones, name="scale")(label)
    shift = nn.Embed(classes, x.shape[-1], embedding_init=nn.initializers.zeros, name="shift")(label)
    along = (len(x), *[1] * (x.ndim - 2), x.shape[-1])
    return normal * scale.reshape(along) + shift.reshape(along)
