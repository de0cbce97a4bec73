"""Factoring out half of the channels at every scale (Dinh et al. 2016, sec. 3.6; split prior of Glow, sec. 2)."""

import math

import jax
import jax.numpy as jnp

from genjax_zoo.errors import UserError
from genjax_zoo.math import ImageShape
from genjax_zoo.nn.bijections import Bijection, WithLogDet, no_log_det, with_condition

Array = jax.Array


class Multiscale(Bijection):
    """Scales one after another; after each but the last, the second half of the channels leaves for the latent.

    What leaves goes through `priors[i]`, a bijection given what stays, so that a learned p(left | stays) becomes one
    more layer and the whole latent, [B, D], has one prior.
    """

    shapes: tuple[ImageShape, ...]  # of what comes out of every scale, before it is halved
    scales: tuple[Bijection, ...]
    priors: tuple[Bijection, ...]  # one fewer

    def forward(self, x: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        total, latents = no_log_det(x), []
        for index, scale in enumerate(self.scales):
            x, log_det = scale.forward(x, cond, train)
            total = total + log_det
            if index < len(self.priors):
                x, left = jnp.split(x, 2, axis=-1)
                left, log_det = self.priors[index].forward(left, with_condition(x, cond), train)
                total = total + log_det
                latents.append(left.reshape(len(x), -1))
        return jnp.concatenate([*latents, x.reshape(len(x), -1)], axis=-1), total

    def inverse(self, y: Array, cond: Array | None = None, train: bool = False) -> WithLogDet:
        halves = [(*shape[:2], shape[2] // 2) for shape in self.shapes[:-1]]
        ends = [sum(math.prod(shape) for shape in halves[: index + 1]) for index in range(len(halves))]
        *latents, x = jnp.split(y, ends, axis=-1)
        x, total = x.reshape(len(y), *self.shapes[-1]), no_log_det(y)
        for index in reversed(range(len(self.scales))):
            if index < len(self.priors):
                left = latents[index].reshape(len(y), *halves[index])
                left, log_det = self.priors[index].inverse(left, with_condition(x, cond), train)
                total = total + log_det
                x = jnp.concatenate([x, left], axis=-1)
            x, log_det = self.scales[index].inverse(x, cond, train)
            total = total + log_det
        return x, total


def scale_shapes(shape: ImageShape, scales: int, *, last_squeezes: bool) -> tuple[ImageShape, ...]:
    """What comes out of every scale of a multi-scale flow, before half of the channels leave.

    Raises:
        UserError: fewer than one scale, or more than the size allows.
    """
    height, width, channels = shape
    squeezes = scales if last_squeezes else scales - 1
    possible = min((size & -size).bit_length() - 1 for size in (height, width)) + (0 if last_squeezes else 1)
    if not 1 <= scales <= possible:
        raise UserError(
            f"An image of {height}x{width} allows 1 ... {possible} scales, not {scales}; pad it, or use fewer."
        )
    shapes = [(height >> s, width >> s, channels * 2 ** (s + 1)) for s in range(1, squeezes + 1)]
    if not last_squeezes:
        shapes.append((height >> squeezes, width >> squeezes, channels * 2**squeezes))
    return tuple(shapes)
