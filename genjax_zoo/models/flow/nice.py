"""NICE: non-linear independent components estimation (Dinh, Krueger & Bengio 2014, arXiv:1410.8516).

Additive couplings, which keep volumes, then one scale per dimension; a logistic prior.
"""

import math

from genjax_zoo.core import Model, factory
from genjax_zoo.math import Prior, Shape, additive, logistic
from genjax_zoo.models.flow.flow import flat_chain, flow
from genjax_zoo.nn import Coupling, EvenOdd, Scale, Stack, check_dimensions, conditioner
from genjax_zoo.nn.conditions import NO_CONDITIONS, Conditions


@factory("Dinh, Krueger & Bengio 2014, arXiv:1410.8516")
def nice(
    *,
    shape: Shape,
    layers: int = 4,
    hidden: tuple[int, ...] = (1_000,) * 5,
    prior: Prior = logistic,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
    unroll: int = 1,
) -> Model:
    """The model.

    Terms: "prior" (nats), "log_det" (nats). Network: "bijection".

    Args:
        shape: the shape of x; two numbers or more.
        layers: couplings, which change the even and the odd numbers in turn.
        hidden: widths of each coupling's network.
        prior: the distribution of every latent number, `logistic` or `normal`.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.
        unroll: layers compiled out at a time.

    Raises:
        UserError: x is one number.
    """
    check_dimensions(shape)
    coupling = Coupling(additive, conditioner(math.prod(shape), additive, hidden))
    bijection = flat_chain(shape, EvenOdd(), Stack(coupling, layers, unroll), Scale())
    return flow(shape, bijection, prior=prior, classes=classes, conditions=conditions)
