"""Factoring out half of the channels at every scale (Dinh et al. 2016, sec. 3.6; split prior of Glow, sec. 2)."""

import math

import jax
import jax.numpy as jnp

from genjax_zoo.nn.bijections import Bijection, Mapped, given, no_log_det

Array = jax.Array
Shape = tuple[int, int, int]


class Multiscale(Bijection):
    """Scales one after another; after each but the last, the second half of the channels leaves for the latent.

    What leaves goes through `priors[i]`, a bijection given what stays, so that a learned p(left | stays) becomes one
    more layer and the whole latent, [B, D], has one prior.
    """

    shapes: tuple[Shape, ...]  # of what comes out of every scale, before it is halved
    scales: tuple[Bijection, ...]
    priors: tuple[Bijection, ...]  # one fewer

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> Mapped:
        total, latents = no_log_det(x), []
        for index, scale in enumerate(self.scales):
            x, log_det = scale.forward(x, cond, train)
            total = total + log_det
            if index < len(self.priors):
                x, left = jnp.split(x, 2, axis=-1)
                left, log_det = self.priors[index].forward(left, given(x, cond), train)
                total = total + log_det
                latents.append(left.reshape(len(x), -1))
        return jnp.concatenate([*latents, x.reshape(len(x), -1)], axis=-1), total

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> Mapped:
        halves = [(*shape[:2], shape[2] // 2) for shape in self.shapes[:-1]]
        ends = [sum(math.prod(shape) for shape in halves[: index + 1]) for index in range(len(halves))]
        *latents, x = jnp.split(y, ends, axis=-1)
        x, total = x.reshape(len(y), *self.shapes[-1]), no_log_det(y)
        for index in reversed(range(len(self.scales))):
            if index < len(self.priors):
                left = latents[index].reshape(len(y), *halves[index])
                left, log_det = self.priors[index].inverse(left, given(x, cond), train)
                total = total + log_det
                x = jnp.concatenate([x, left], axis=-1)
            x, log_det = self.scales[index].inverse(x, cond, train)
            total = total + log_det
        return x, total
