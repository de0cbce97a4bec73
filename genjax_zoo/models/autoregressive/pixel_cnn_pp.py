"""PixelCNN++: a mixture of logistics for every pixel, by two streams over several scales.

Salimans et al. 2017, arXiv:1701.05517. The paper normalises weights and initialises them from a batch; here they are
plain parameters, so that one step of the cached view has nothing to normalise. As in every network of finite depth, a
place does not see pixels too far to its right in the row above; `conditionals.sees` says exactly which.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Array, Batch, Key, Model, Terms, factory
from genjax_zoo.errors import UserError
from genjax_zoo.math import Shape, logistic_mixture_logits, logistic_mixture_nll, logistic_mixture_parameters
from genjax_zoo.models.autoregressive.autoregressive import Autoregressive, autoregressive
from genjax_zoo.nn import NO_CONDITIONS, Conditions, Conv, Streams, with_classes
from genjax_zoo.nn.causal import shift_down, shift_right
from genjax_zoo.nn.pixels import move
from genjax_zoo.nn.shifted import down_shifted, pad_columns
from genjax_zoo.nn.streams import write


class PixelCNNPPCache(NamedTuple):
    """Where the network stands."""

    pixels: Array  # [n, 1, W, C + 1], the row above the last
    first: Array  # [W, n, F]: what the rows above give to the horizontal stream's places
    cond: Array | None
    streams: Any


class PixelCNNPPNetwork(nn.Module):
    """Parameters of the mixture of every pixel; int levels [B, H, W, C] in."""

    levels: int  # K
    channels: int
    features: int
    blocks: int
    scales: int
    components: int
    dropout: float
    conditional: bool = False

    def setup(self):
        none = ((0, 0), (0, 0))
        self.vertical = Conv(self.features, (2, 3), none)
        self.across = Conv(self.features, (1, 3), none)
        self.left = nn.Dense(self.features)
        self.left_above = nn.Dense(self.features, use_bias=False)
        self.streams = Streams(self.features, self.blocks, self.scales, self.dropout, self.conditional)
        self.out = nn.Dense(logistic_mixture_parameters(self.channels, self.components))

    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """Logits [B, H, W, C, K] of every level given those before it."""
        parameters = self.parameters(x, cond)
        return jnp.stack([self.choices(parameters, x, channel) for channel in range(self.channels)], axis=-2)

    def parameters(self, x: Array, cond: Array | None = None, key: Key | None = None) -> Array:
        """[B, H, W, P]; the key is of dropout, None is without."""
        pixels = self._pixels(x)
        above = shift_down(pixels)
        vertical = self._vertical(jnp.zeros_like(pixels[:, :1]), pixels)
        left = self.left(pixels) + self.left_above(above)
        horizontal = shift_down(self.across(pad_columns(pixels))) + shift_right(left)
        _, horizontal = self.streams((shift_down(vertical), horizontal), cond, key)
        return self.out(nn.elu(horizontal))

    def start(self, n: int, columns: int, cond: Array | None = None) -> PixelCNNPPCache:
        """Before the first row."""
        pixels = jnp.zeros((n, 1, columns, self.channels + 1))
        return PixelCNNPPCache(pixels, jnp.zeros((columns, n, self.features)), cond, self.streams.start(n, columns))

    def begin_row(self, cache: PixelCNNPPCache, above: Array, row: Array) -> PixelCNNPPCache:
        """Moves the vertical streams past the row above, int [n, W, C]."""
        pixels = jnp.where(row == 0, 0, self._pixels(above[:, None]))
        vertical = jnp.where(row == 0, 0, self._vertical(cache.pixels, pixels))
        across = jnp.where(row == 0, 0, self.across(pad_columns(pixels)))
        first = (across + shift_right(self.left_above(pixels)))[:, 0].swapaxes(0, 1)
        _, streams = self.streams.begin_row(cache.streams, vertical, row, cache.cond)
        return PixelCNNPPCache(pixels, first, cache.cond, streams)

    def step(self, cache: PixelCNNPPCache, previous: Array, row: Array, column: Array) -> tuple[Array, PixelCNNPPCache]:
        """Moves the horizontal streams past the pixel before, int [n, C]; parameters [n, P]."""
        left = jnp.where(column == 0, 0, self.left(self._pixels(previous)))
        first = jax.lax.dynamic_index_in_dim(cache.first, column, keepdims=False)
        horizontal, place = self.streams.step(cache.streams, first + left, row, column)
        return self.out(nn.elu(horizontal)), cache._replace(streams=write(cache.streams, place, column))

    def choices(self, h: Array, x: Array, channel: int) -> Array:
        """Logits [..., K] of one channel, given parameters [..., P] and the channels before in x [..., C]."""
        return logistic_mixture_logits(h, x, channel, levels=self.levels)

    @nn.nowrap
    def sees(self, rows: int, columns: int) -> np.ndarray:
        """Which numbers each depends on, by the kernels' reach; bool [D, D] in raster order, as core.Conditionals."""
        count = rows * columns
        pixels = np.eye(count, dtype=bool).reshape(rows, columns, count)
        across = pixels | move(pixels, 0, 1) | move(pixels, 0, -1)
        horizontal = move(across, 1, 0) | move(pixels | move(pixels, 1, 0), 0, 1)
        streams = Streams(1, self.blocks, self.scales)
        _, seen = streams.reach((move(down_shifted(pixels), 1, 0), horizontal))
        one = np.ones((self.channels, self.channels), bool)
        return np.kron(seen.reshape(count, count), one) | np.kron(np.eye(count, dtype=bool), np.tril(one, -1))

    def _pixels(self, x: Array) -> Array:
        """In [-1, 1], with a channel of ones by which the border is seen."""
        values = 2 * x.astype(float) / (self.levels - 1) - 1
        return jnp.pad(values, (*[(0, 0)] * (values.ndim - 1), (0, 1)), constant_values=1.0)

    def _vertical(self, above: Array, pixels: Array) -> Array:
        return self.vertical(pad_columns(jnp.concatenate([above, pixels], axis=1)))


class PixelCNNPP(Autoregressive):
    """Network "network"; the likelihood by the mixture itself, where the root's takes logits of all levels."""

    def nll(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        """Minus the log of the product of all conditionals, nats [B]; the key is of dropout."""
        x, _ = self._inputs(batch)
        return {"nll": logistic_mixture_nll(self.parameters(batch, key, train), x, levels=self.levels)}

    def parameters(self, batch: Batch, key: Key, train: bool = False) -> Array:
        """Of the mixture of every pixel, [B, H, W, P]."""
        return self.network.parameters(*self._inputs(batch), key if train else None)


@factory("Salimans et al. 2017, arXiv:1701.05517")
def pixel_cnn_pp(
    *,
    shape: Shape,
    levels: int = 256,
    features: int = 160,
    blocks: int = 5,
    scales: int = 3,
    components: int = 10,
    dropout: float = 0.5,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
) -> Model:
    """PixelCNN++ over images.

    Term: "nll" (nats). Network: "network".

    Args:
        shape: an image's [H, W, C]; rows and columns divisible by 2 ** (scales - 1).
        levels: grey levels of every number, K.
        features: channels of both streams, at every scale.
        blocks: residual blocks at every scale of each pass; the pass up has one more at all scales but the coarsest.
        scales: resolutions, each half of the one before.
        components: logistics in the mixture.
        dropout: the share that every block leaves out in training.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.

    Raises:
        UserError: the image cannot be halved so often, or is none; a setting out of its range.
    """
    factor = 2 ** (scales - 1) if scales >= 1 else 1
    for name, value in {"features": features, "blocks": blocks, "scales": scales, "components": components}.items():
        if value < 1:
            raise UserError(f"PixelCNN++ needs {name} of 1 or more, not {value}.")
    if not 0 <= dropout < 1:
        raise UserError(f"The share that dropout leaves out is in [0, 1), not {dropout}.")
    if any(side % factor for side in shape[:2]):
        raise UserError(
            f"An image of {'x'.join(map(str, shape[:2]))} cannot be halved {scales - 1} times; use fewer scales."
        )
    settings = (levels, shape[-1], features, blocks, scales, components, dropout)
    given = with_classes(conditions, classes)
    network = PixelCNNPPNetwork(*settings, conditional=bool(given))
    return autoregressive(network, shape=shape, levels=levels, conditions=given, sees=network.sees, root=PixelCNNPP)
