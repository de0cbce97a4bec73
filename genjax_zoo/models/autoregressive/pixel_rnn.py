"""PixelRNN: Row LSTM and Diagonal BiLSTM (van den Oord et al. 2016, arXiv:1601.06759, sec. 3.1 and 3.2).

A layer's LSTM has h features inside maps of 2 h: input-to-state convolutions see the map, state-to-state convolutions
the hidden states that came before, and a 1x1 convolution adds what they found to the map (sec. 3.3 and 3.5).

The diagonal layers see the image up to the pixel but for one thing: the first layer's mask hides the last pixel of the
row above from its own column, where the right-to-left direction begins, so that only the first kernel's reach shows it
to the row below. `conditionals.sees` says so.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.errors import UserError
from genjax_zoo.math import Shape, skew, unskew
from genjax_zoo.math.convolve import convolve
from genjax_zoo.models.autoregressive.pixel_cnn import pixel_model, stack
from genjax_zoo.nn import NO_CONDITIONS, Conditions, Conv, with_classes
from genjax_zoo.nn.causal import shift_down
from genjax_zoo.nn.pixels import move, write_pixel


def lstm(gates: Array, c: Array) -> tuple[Array, Array]:
    """Gates [..., 4 h], of output, forgetting, input and content, and the cells [..., h] -> (h, c)."""
    o, f, i, g = jnp.split(gates, 4, axis=-1)
    c = nn.sigmoid(f) * c + nn.sigmoid(i) * jnp.tanh(g)
    return nn.sigmoid(o) * jnp.tanh(c), c


class RowState(NamedTuple):
    """What a Row LSTM layer knows when it comes to a pixel."""

    left: Array  # [n, size // 2, 2 h], its inputs to the left of the pixel
    above: Array  # [W, n, 4 h], what the hidden row above and the condition add to the gates
    h: Array  # [W, n, h], hidden states: of this row behind the pixel, of the row above ahead of it
    c: Array  # [W, n, h], the cells, likewise
    bias: Array  # [n, 4 h], the condition's


class RowLSTM(nn.Module):
    """An LSTM that goes down the rows, a whole row at a time, with k x 1 convolutions along the row."""

    features: int  # h
    size: int = 3  # k, odd

    def setup(self):
        gates = 4 * self.features
        self.inputs = Conv(gates, (1, self.size // 2 + 1), ((0, 0), (0, 0)))
        shape = (1, self.size, self.features, gates)
        self.state = self.param("state", nn.linear.default_kernel_init, shape, jnp.float32)
        self.out = nn.Dense(2 * self.features)
        self.bias = nn.Dense(gates, use_bias=False)

    def __call__(self, x: Array, cond: Array | None) -> Array:
        """[B, H, W, 2 h] -> the same."""
        gates = self.inputs(jnp.pad(x, ((0, 0), (0, 0), (self.size // 2, 0), (0, 0))))
        gates = gates + self._bias(cond, len(x))[:, None, None]

        def row(carry: tuple[Array, Array], gates: Array):
            h, c = lstm(gates + self._from_above(carry[0]), carry[1])
            return (h, c), h

        nothing = jnp.zeros_like(gates, shape=(*gates[:, 0, :, 0].shape, self.features))
        _, hidden = jax.lax.scan(row, (nothing, nothing), gates.swapaxes(0, 1))
        return x + self.out(hidden.swapaxes(0, 1))

    def start(self, columns: int, n: int, cond: Array | None) -> RowState:
        """Before the first row."""
        bias, nothing = self._bias(cond, n), jnp.zeros((columns, n, self.features))
        left = jnp.zeros((n, self.size // 2, 2 * self.features))
        return RowState(left, jnp.zeros((columns, *bias.shape)), nothing, nothing, bias)

    def begin_row(self, state: RowState, is_first: Array) -> RowState:
        """What the hidden row above adds to the gates of all pixels of this row."""
        above = self._from_above(state.h.swapaxes(0, 1)).swapaxes(0, 1) + state.bias
        return state._replace(above=above, left=jnp.zeros_like(state.left))

    def step(self, state: RowState, x: Array, column: Array) -> tuple[Array, RowState]:
        """One pixel [n, 2 h]."""
        window = jnp.concatenate([state.left, x[:, None]], axis=1)
        h, c = lstm(self.inputs(window[:, None])[:, 0, 0] + state.above[column], state.c[column])
        rows = {"h": write_pixel(state.h, h, column), "c": write_pixel(state.c, c, column)}
        return x + self.out(h), state._replace(left=window[:, 1:], **rows)

    @nn.nowrap
    def reach(self, seen: np.ndarray) -> np.ndarray:
        """See nn.pixels: a triangle that widens upwards."""
        reach = self.size // 2
        gates = np.any([move(seen, 0, right) for right in range(reach + 1)], axis=0)
        for row in range(1, len(gates)):
            above = gates[row - 1 : row]
            gates[row] |= np.any([move(above, 0, right)[0] for right in range(-reach, reach + 1)], axis=0)
        return gates

    def _from_above(self, h: Array) -> Array:
        """Hidden row [n, W, h] -> gates of the row below, [n, W, 4 h]."""
        reach = self.size // 2
        return convolve(h[:, None], self.state.astype(h.dtype), ((0, 0), (reach, reach)))[:, 0]

    def _bias(self, cond: Array | None, n: int) -> Array:
        return jnp.zeros((n, 4 * self.features)) if cond is None else self.bias(cond)


class DiagonalState(NamedTuple):
    """What a Diagonal BiLSTM layer knows when it comes to a pixel."""

    x: Array  # [W, n, 2 h], its inputs: of this row behind the pixel, of the row above ahead of it
    hidden: Array  # [W, n, h], left-to-right hidden states, likewise
    above: Array  # [W, n, 4 h], what left-to-right hidden states above and the condition add to the gates
    right: Array  # [W, n, h], right-to-left hidden states of the row above
    left: tuple[Array, Array]  # left-to-right hidden state and cell of the pixel before, each [n, h]
    biases: Array  # [2, n, 4 h], of the two directions, with the condition's


class DiagonalBiLSTM(nn.Module):
    """Two LSTMs that go along the diagonals, from the top left and from the top right corner.

    A pixel's gates see the hidden states beside it and above it. The right-to-left states are those of the row above,
    so that no pixel sees what comes after it.
    """

    features: int  # h

    def setup(self):
        gates, init = 4 * self.features, nn.initializers.lecun_normal(batch_axis=0)
        # of the left-to-right and the right-to-left direction; of the map, the state beside and the state above
        self.kernel = self.param("kernel", init, (2, 4 * self.features, gates), jnp.float32)
        self.bias = self.param("bias", nn.initializers.zeros, (2, gates), jnp.float32)
        self.out = nn.Dense(2 * self.features)
        self.given = nn.Dense(2 * gates, use_bias=False)

    def __call__(self, x: Array, cond: Array | None) -> Array:
        """[B, H, W, 2 h] -> the same."""
        both = skew(jnp.stack([x, x[:, :, ::-1]]))  # [2, B, H, H + W - 1, 2 h]
        biases, rows = self._biases(cond, len(x))[:, :, None], jnp.arange(x.shape[1])[:, None]

        def diagonal(carry: tuple[Array, Array], inputs: tuple[Array, Array]):
            (h, c), (x, index) = carry, inputs  # [2, B, H, ...]
            above = jnp.pad(h, ((0, 0), (0, 0), (1, 0), (0, 0)))[:, :, :-1]
            seen = jnp.concatenate([x, h, above], axis=-1)
            gates = jnp.stack([seen[0] @ self.kernel[0], seen[1] @ self.kernel[1]])
            # a row whose first pixel is yet to come has no bias, which leaves its states at zero
            h, c = lstm(gates + jnp.where(rows <= index, biases, 0), c)
            return (h, c), h

        nothing = jnp.zeros_like(both, shape=(*both.shape[:3], self.features))
        columns = jnp.moveaxis(both, 3, 0), jnp.arange(both.shape[3])
        # gates are computed again for the gradient: on a CPU storing all of them takes longer
        _, hidden = jax.lax.scan(jax.checkpoint(diagonal, prevent_cse=False), (nothing, nothing), columns)
        left, right = unskew(jnp.moveaxis(hidden, 0, 3))
        return x + self.out(left + shift_down(right[:, :, ::-1]))

    def start(self, columns: int, n: int, cond: Array | None) -> DiagonalState:
        """Before the first row."""
        nothing = jnp.zeros((columns, n, self.features))
        x, above = jnp.zeros((columns, n, 2 * self.features)), jnp.zeros((columns, n, 4 * self.features))
        return DiagonalState(x, nothing, above, nothing, (nothing[0], nothing[0]), self._biases(cond, n))

    def begin_row(self, state: DiagonalState, is_first: Array) -> DiagonalState:
        """Runs the right-to-left direction over the row above, which is complete by now."""
        from_map, beside, above = jnp.split(self.kernel[1], (2 * self.features, 3 * self.features))

        def place(carry: tuple[Array, Array], gates: Array):
            h, c = lstm(gates + carry[0] @ beside, carry[1])
            return (h, c), h

        nothing = jnp.zeros_like(state.left[0])
        gates = state.x @ from_map + state.right @ above + state.biases[1]
        _, right = jax.lax.scan(place, (nothing, nothing), gates, reverse=True)
        return state._replace(
            above=state.hidden @ self.kernel[0, 3 * self.features :] + state.biases[0],
            right=jnp.where(is_first, 0, right),
            left=(nothing, nothing),
        )

    def step(self, state: DiagonalState, x: Array, column: Array) -> tuple[Array, DiagonalState]:
        """One pixel [n, 2 h] of the left-to-right direction."""
        seen = jnp.concatenate([x, state.left[0]], axis=-1)
        gates = seen @ self.kernel[0, : 3 * self.features] + state.above[column]
        h, c = lstm(gates, state.left[1])
        rows = {"x": write_pixel(state.x, x, column), "hidden": write_pixel(state.hidden, h, column)}
        return x + self.out(h + state.right[column]), state._replace(left=(h, c), **rows)

    @nn.nowrap
    def reach(self, seen: np.ndarray) -> np.ndarray:
        """See nn.pixels: all inputs above and to the left, and above and to the right, of the row above."""
        above = np.logical_or.accumulate(seen, axis=0)
        left = np.logical_or.accumulate(above, axis=1)
        right = np.logical_or.accumulate(above[:, ::-1], axis=1)[:, ::-1]
        return left | move(right, 1, 0)

    def _biases(self, cond: Array | None, n: int) -> Array:
        """Of both directions' gates, [2, n, 4 h]."""
        bias = jnp.broadcast_to(self.bias[:, None], (2, n, 4 * self.features))
        return bias if cond is None else bias + jnp.stack(jnp.split(self.given(cond), 2, axis=-1))


@factory("van den Oord et al. 2016, arXiv:1601.06759")
def row_lstm(
    *,
    shape: Shape,
    levels: int = 2,
    features: int = 16,
    layers: int = 7,
    size: int = 7,
    row_size: int = 3,
    head_features: int = 32,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
) -> Model:
    """Row LSTM over images; it sees a triangle above each pixel, `conditionals.sees` says which.

    Term: "nll" (nats). Network: "network".

    Args:
        shape: an image's [H, W, C].
        levels: grey levels of every number, K; 2 for binary images.
        features: h; maps between layers have 2 h channels.
        layers: LSTM layers; the paper gives none for MNIST, these are the Diagonal BiLSTM's.
        size: rows and columns of the first layer's kernel, odd.
        row_size: columns k of the convolutions along the row, odd.
        head_features: channels of the hidden layer before the logits; the paper's are 32 for MNIST, 1,024 for CIFAR-10.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.

    Raises:
        UserError: a first kernel that is even or below 3, an even `row_size`, or x that is no image.
    """
    if row_size % 2 == 0:
        raise UserError(f"The size of the convolutions along the row must be odd, not {row_size}.")
    return pixel_model(
        stack(lambda: RowLSTM(features, row_size), layers),
        shape=shape,
        levels=levels,
        features=features,
        size=size,
        head_features=head_features,
        conditions=with_classes(conditions, classes),
    )


@factory("van den Oord et al. 2016, arXiv:1601.06759")
def diagonal_bilstm(
    *,
    shape: Shape,
    levels: int = 2,
    features: int = 16,
    layers: int = 7,
    size: int = 7,
    head_features: int = 32,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
) -> Model:
    """Diagonal BiLSTM over images, with the paper's sizes for MNIST.

    Term: "nll" (nats). Network: "network".

    Args:
        shape: an image's [H, W, C].
        levels: grey levels of every number, K; 2 for binary images.
        features: h; maps between layers have 2 h channels.
        layers: LSTM layers, each in both directions.
        size: rows and columns of the first layer's kernel, odd.
        head_features: channels of the hidden layer before the logits; the paper's are 32 for MNIST, 1,024 for CIFAR-10.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.

    Raises:
        UserError: a first kernel that is even or below 3, or x that is no image.
    """
    return pixel_model(
        stack(lambda: DiagonalBiLSTM(features), layers),
        shape=shape,
        levels=levels,
        features=features,
        size=size,
        head_features=head_features,
        conditions=with_classes(conditions, classes),
    )
