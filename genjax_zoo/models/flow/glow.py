"""Glow: generative flow with invertible 1x1 convolutions (Kingma & Dhariwal 2018, arXiv:1807.03039).

Each step is ActNorm, a 1x1 convolution by its LU factors and an affine coupling; after each scale half of the channels
leave, with a Gaussian prior that a convolution reads off the other half.
"""

import flax.linen as nn
import jax

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.math import ImageShape, affine
from genjax_zoo.models.flow.flow import flow
from genjax_zoo.nn import (
    ActNorm,
    Chain,
    Conditional,
    Conv,
    Coupling,
    InvertibleConv,
    Multiscale,
    Squeeze,
    Stack,
    scale_shapes,
)
from genjax_zoo.nn.conditions import NO_CONDITIONS, Conditions


class Convolutions(nn.Module):
    """A 3x3 convolution, a 1x1 one and a 3x3 one that starts at zero; the last alone where the width is 0."""

    width: int
    features: int

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """[B, H, W, C] -> [B, H, W, features]."""
        if self.width:
            x = nn.relu(Conv(self.width, name="in")(x))
            x = nn.relu(nn.Dense(self.width, name="middle")(x))
        return Conv(self.features, kernel_init=nn.initializers.zeros, name="out")(x)


@factory("Kingma & Dhariwal 2018, arXiv:1807.03039")
def glow(
    *,
    shape: ImageShape,
    scales: int = 3,
    steps: int = 32,
    width: int = 512,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
    unroll: int = 1,
) -> Model:
    """The model; `wrap.tempered` draws its samples at a lower temperature.

    Terms: "prior" (nats), "log_det" (nats). Network: "bijection".

    Args:
        shape: an image's [H, W, C]; H and W divisible by 2 ** scales.
        scales: L; half of the channels leave after each but the last.
        steps: steps of flow at each scale, K.
        width: channels of the couplings' networks.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.
        unroll: steps compiled out at a time.

    Raises:
        UserError: more scales than the size allows.
    """
    shapes = scale_shapes(shape, scales, last_squeezes=True)
    near_one = affine(lambda raw: jax.nn.log_sigmoid(raw + 2))  # as the authors' code
    each, priors = [], []
    for _, _, channels in shapes:
        coupling = Coupling(near_one, Convolutions(width, near_one.parameters * (channels - channels // 2)))
        step = Chain((ActNorm(), InvertibleConv(), coupling))
        each.append(Chain((Squeeze(), Stack(step, steps, unroll))))
        priors.append(Conditional(affine(), Convolutions(0, channels)))
    return flow(shape, Multiscale(shapes, tuple(each), tuple(priors[:-1])), classes=classes, conditions=conditions)
