"""PixelCNN: a stack of masked convolutions (van den Oord et al. 2016, arXiv:1601.06759, sec. 3.3 and 3.5).

It has a blind spot: pixels above that are further to the right than the kernels reach while they climb to their row
(gated PixelCNN closes it with a second stack). `conditionals.sees` says exactly which.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.errors import UserError
from genjax_zoo.math import Shape
from genjax_zoo.models.autoregressive.autoregressive import autoregressive
from genjax_zoo.nn import NO_CONDITIONS, Conditions, with_classes
from genjax_zoo.nn.pixels import MaskedConv, MaskedState, PixelNetwork, write_pixel


class BlockState(NamedTuple):
    """What a block knows when it comes to a pixel."""

    conv: MaskedState
    row: Array  # [W, n, h], the convolution's inputs: of this row behind the pixel, of the row above ahead of it
    bias: Array  # [n, h], the condition's


class MaskedBlock(nn.Module):
    """x + up(relu(conv(relu(down(relu(x)))))): 2 h -> h -> 3x3 with mask B -> 2 h; a condition is the conv's bias."""

    features: int  # h

    def setup(self):
        self.down = nn.Dense(self.features)
        self.conv = MaskedConv(self.features)
        self.up = nn.Dense(2 * self.features)
        self.bias = nn.Dense(self.features, use_bias=False)

    def __call__(self, x: Array, cond: Array | None) -> Array:
        """[B, H, W, 2 h] -> the same."""
        hidden = self.conv(nn.relu(self.down(nn.relu(x))))
        return self._out(x, hidden + self._bias(cond, len(x))[:, None, None])

    def start(self, columns: int, n: int, cond: Array | None) -> BlockState:
        """Before the first row."""
        conv = self.conv.start(self.features, columns, n)
        return BlockState(conv, jnp.zeros((columns, n, self.features)), self._bias(cond, n))

    def begin_row(self, state: BlockState, is_first: Array) -> BlockState:
        """What the row above adds to all pixels of this row, in one product."""
        return state._replace(conv=self.conv.begin_row(state.conv, state.row.swapaxes(0, 1)))

    def step(self, state: BlockState, x: Array, column: Array) -> tuple[Array, BlockState]:
        """One pixel [n, 2 h]."""
        inputs = nn.relu(self.down(nn.relu(x)))
        hidden, conv = self.conv.step(state.conv, inputs, column)
        return self._out(x, hidden + state.bias), BlockState(conv, write_pixel(state.row, inputs, column), state.bias)

    @nn.nowrap
    def reach(self, seen: np.ndarray) -> np.ndarray:
        """See nn.pixels; mask B includes what the residual connection passes on."""
        return MaskedConv(1).reach(seen)

    def _bias(self, cond: Array | None, n: int) -> Array:
        return jnp.zeros((n, self.features)) if cond is None else self.bias(cond)

    def _out(self, x: Array, hidden: Array) -> Array:
        return x + self.up(nn.relu(hidden))


@factory("van den Oord et al. 2016, arXiv:1601.06759")
def pixel_cnn(
    *,
    shape: Shape,
    levels: int = 2,
    features: int = 128,
    layers: int = 15,
    size: int = 7,
    head_features: int = 32,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
) -> Model:
    """PixelCNN over images.

    Term: "nll" (nats). Network: "network".

    Args:
        shape: an image's [H, W, C].
        levels: grey levels of every number, K; 2 for binary images.
        features: h; maps between blocks have 2 h channels.
        layers: residual blocks; each sees one pixel further.
        size: rows and columns of the first layer's kernel, odd.
        head_features: channels of the hidden layer before the logits; the paper's are 32 for MNIST, 1,024 for CIFAR-10.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.

    Raises:
        UserError: a kernel that is even or below 3, or x that is no image.
    """
    return pixel_model(
        stack(lambda: MaskedBlock(features), layers),
        shape=shape,
        levels=levels,
        features=features,
        size=size,
        head_features=head_features,
        conditions=with_classes(conditions, classes),
    )


def stack(make: Callable[[], Any], layers: int) -> tuple[Any, ...]:
    """So many layers, with parameters of their own."""
    return tuple(make() for _ in range(layers))


def pixel_model(
    layers: tuple[Any, ...],
    *,
    shape: Shape,
    levels: int,
    features: int,
    size: int,
    head_features: int,
    conditions: Conditions,
) -> Model:
    """The model of a masked convolution, these layers of nn.pixels over 2 h channels, and a head.

    Raises:
        UserError: a kernel that is even or below 3, or x that is no image.
    """
    if size < 3 or size % 2 == 0:
        raise UserError(f"The first kernel's size must be odd and at least 3, not {size}.")
    network = PixelNetwork(levels, shape[-1], 2 * features, size, layers, head_features)
    return autoregressive(network, shape=shape, levels=levels, conditions=conditions, sees=network.sees)
