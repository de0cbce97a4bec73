"""WaveNet: a stack of dilated causal convolutions over sound (van den Oord et al. 2016, arXiv:1609.03499).

Each layer's gates see its input now and `dilation` steps ago. Step by step, a layer keeps its last `dilation` inputs in
a ring of its own (Le Paine et al. 2016, arXiv:1611.09482); all rings are segments of one buffer, so that the part of
the past in all gates is one product, before the first layer is asked for anything.
"""

import dataclasses
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen.dtypes import promote_dtype

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.errors import UserError
from genjax_zoo.math.convolve import convolve_causal
from genjax_zoo.models.autoregressive.autoregressive import autoregressive
from genjax_zoo.nn import Conditions, width, with_classes
from genjax_zoo.nn.causal import gate

SPOKEN_DIGIT: Conditions = {"label": 10, "speaker": 6}


class WaveNetCache(NamedTuple):
    """The rings, and what stays as it is while they turn."""

    rings: Array  # [sum of all dilations, n, R], a segment for each layer: its inputs of the last steps
    past: Array  # [layers, R, G], of what each layer finds in its ring
    biases: Array  # [layers, n, G], the condition's among them
    now: list[Array]  # of each layer's input, [R, G]
    residual: list[Array]  # of each layer but the last, [G / 2, R]


class WaveNetwork(nn.Module):
    """Logits of every code given those before it; int codes [B, 1, T, 1] in, [B, 1, T, 1, K] out."""

    levels: int  # K
    dilations: tuple[int, ...]  # powers of two
    features: int = 64  # R, of the residual stream
    gates: int = 128  # G, half of tanh and half of sigmoid
    skip: int = 256  # S
    conditions: int = 0  # numbers in the condition

    def setup(self):
        count, each, half = len(self.dilations), nn.initializers.lecun_normal(batch_axis=(0,)), self.gates // 2
        wide = nn.initializers.lecun_normal(in_axis=(1, 2), batch_axis=(0,))
        none = nn.initializers.zeros
        self.embed = nn.Embed(self.levels + 1, self.features)  # the last one stands for nothing before
        self.kernels = self.param("kernels", wide, (count, 2, self.features, self.gates), jnp.float32)
        self.biases = self.param("biases", none, (count, self.gates), jnp.float32)
        self.residual = self.param("residual", each, (count - 1, half, self.features), jnp.float32)
        self.residual_biases = self.param("residual_biases", none, (count - 1, self.features), jnp.float32)
        self.skips = nn.Dense(self.skip)
        self.hidden = nn.Dense(self.skip)
        self.logits = nn.Dense(self.levels)
        if self.conditions:
            spread = nn.initializers.lecun_normal(in_axis=0, out_axis=(1, 2))
            shape = (self.conditions, count, self.gates)
            self.condition = self.param("condition", spread, shape, jnp.float32)

    def __call__(self, x: Array, cond: Array | None = None) -> Array:
        """All at once."""
        codes = x.reshape(len(x), -1)
        before = jnp.pad(codes[:, :-1], ((0, 0), (1, 0)), constant_values=self.levels)
        h, kernels, residual = promote_dtype(self.embed(before), self.kernels, self.residual)
        biases, seen = self._biases(len(x), cond), []
        for layer, dilation in enumerate(self.dilations):
            seen.append(gate(convolve_causal(h, kernels[layer], dilation) + biases[layer][:, None]))
            if layer < len(self.dilations) - 1:  # the last layer feeds the skip connections alone
                h = h + seen[-1] @ residual[layer] + self.residual_biases[layer]
        return self._head(jnp.concatenate(seen, axis=-1))[:, None, :, None]

    def start(self, n: int, columns: int, cond: Array | None = None) -> WaveNetCache:
        """Nothing in the rings, and weights as the steps want them."""
        rings = jnp.zeros((sum(self.dilations), n, self.features), self.kernels.dtype)
        now = list(self.kernels[:, 1])
        return WaveNetCache(rings, self.kernels[:, 0], self._biases(n, cond), now, list(self.residual))

    def begin_row(self, cache: WaveNetCache, above: Array, row: Array) -> WaveNetCache:
        """A sound is one row."""
        return cache

    def step(self, cache: WaveNetCache, previous: Array, row: Array, column: Array) -> tuple[Array, WaveNetCache]:
        """Takes in the code before, int [n, 1]: what the skip connections carry, [n, layers * G / 2]."""
        starts = np.cumsum((0, *self.dilations[:-1]))
        places = [start + (column & (dilation - 1)) for start, dilation in zip(starts.tolist(), self.dilations)]
        kept = [jax.lax.dynamic_index_in_dim(cache.rings, place, keepdims=False) for place in places]
        past = jnp.einsum("lnr,lrg->lng", jnp.stack(kept), cache.past) + cache.biases
        h = self.embed(jnp.where(column == 0, self.levels, previous[:, 0]))
        inputs, seen = [], []
        for layer, now in enumerate(cache.now):
            inputs.append(h)
            seen.append(gate(past[layer] + h @ now))
            if layer < len(cache.residual):
                h = h + seen[-1] @ cache.residual[layer] + self.residual_biases[layer]
        rings = cache.rings
        for place, entry in reversed(list(zip(places, inputs))):  # the last layer's comes last: by then all are read
            rings = jax.lax.dynamic_update_index_in_dim(rings, entry, place, 0)
        return jnp.concatenate(seen, axis=-1), cache._replace(rings=rings)

    def choices(self, h: Array, x: Array, channel: int) -> Array:
        """Logits [n, K]."""
        return self._head(h)

    def _biases(self, n: int, cond: Array | None) -> Array:
        """Of all gates, [layers, n, G]."""
        biases = jnp.broadcast_to(self.biases[:, None], (len(self.dilations), n, self.gates))
        return biases + jnp.einsum("nd,dlg->lng", cond, self.condition) if self.conditions else biases

    def _head(self, seen: Array) -> Array:
        return self.logits(nn.relu(self.hidden(nn.relu(self.skips(seen)))))


@factory("van den Oord et al. 2016, arXiv:1609.03499")
def wavenet(
    *,
    length: int = 4_096,
    levels: int = 256,
    layers: int = 20,
    block: int = 10,
    features: int = 64,
    gates: int = 128,
    skip: int = 256,
    conditions: Conditions = SPOKEN_DIGIT,
) -> Model:
    """WaveNet over mu-law codes: x [length, 1] is code / (levels - 1).

    Where a batch has the entry "length", int [B], `nll` counts only that many samples of each example. `of_length` is
    the same model of longer or shorter sounds.

    Term: "nll" (nats). Network: "network".

    Args:
        length: samples in an example; no parameter depends on it.
        levels: levels of every number, K, the mu-law codes of a sample.
        layers: convolutions of the stack; layer i looks back 2^(i mod block) samples.
        block: layers after which the dilations start again at 1.
        features: channels of the residual connections.
        gates: channels of tanh and sigmoid together.
        skip: channels of the skip connections and the head.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.
            They are a bias of every gate.

    Raises:
        UserError: no samples, no layers, an odd number of gates, or a condition of no classes or named "length".
    """
    if min(length, layers, block) < 1:
        raise UserError(f"length, layers and block must be at least 1, not {length}, {layers} and {block}.")
    if gates % 2 or gates < 2:
        raise UserError(f"gates must be even, half for tanh and half for sigmoid, not {gates}.")
    given, dilations = with_classes(conditions), tuple(2 ** (layer % block) for layer in range(layers))
    network = WaveNetwork(levels, dilations, features, gates, skip, width(given))
    model = autoregressive(
        network,
        shape=(length, 1),
        levels=levels,
        grid=(1, length, 1),
        conditions=given,
        sees=lambda rows, columns: _last(sum(dilations) + 1, columns),
    )
    settings: dict[str, Any] = {"levels": levels, "layers": layers, "block": block, "features": features}
    settings |= {"gates": gates, "skip": skip, "conditions": conditions}
    return dataclasses.replace(model, of_length=lambda length: wavenet(length=length, **settings))


def _last(reach: int, length: int) -> np.ndarray:
    """Which samples see which, bool [length, length]: the last `reach` before it; a view of one line of numbers."""
    ago = length - 1 - np.arange(2 * length - 1)
    return np.lib.stride_tricks.sliding_window_view((ago > 0) & (ago <= reach), length)[::-1]
