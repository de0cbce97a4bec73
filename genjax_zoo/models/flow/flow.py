"""What every flow is: a bijection from data to latents, and independent numbers of a prior; see `compose.pushed`.

-log p(x) = -log p(z) - log |det dz/dx|, z = forward(x); both are terms, "prior" and "log_det". Conditions are given to
every layer as one vector. The paper files build the bijection.
"""

import math

from genjax_zoo.compose import distribution, pushed
from genjax_zoo.core import Model
from genjax_zoo.math import Prior, Shape, normal
from genjax_zoo.nn import Bijection, Chain, Flatten
from genjax_zoo.nn.conditions import NO_CONDITIONS, Conditions, with_classes


def flow(
    shape: Shape,
    bijection: Bijection,
    *,
    prior: Prior = normal,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
) -> Model:
    """The model of a bijection from x [B, *shape] to [B, D]; `classes` > 0 asks for a label."""
    base = distribution((math.prod(shape),), prior)
    return pushed(base, bijection, shape=shape, conditions=with_classes(conditions, classes))


def flat_chain(shape: Shape, *layers: Bijection) -> Bijection:
    """Layers over [B, D], for x of any shape."""
    return Chain((Flatten(shape), *layers))
