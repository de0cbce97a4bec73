"""Neural spline flows (Durkan, Bekasov, Murray & Papamakarios 2019, arXiv:1906.04032).

Every number goes through a monotone rational-quadratic spline, in couplings or autoregressively; between the layers a
linear map by its LU factors mixes the numbers.
"""

import math
from collections.abc import Callable

import flax.linen as nn

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.math import Shape, rational_quadratic
from genjax_zoo.models.flow.flow import flat_chain, flow
from genjax_zoo.nn import (
    ActNorm,
    Chain,
    Coupling,
    InvertibleConv,
    MaskedAutoregressive,
    MaskedMLP,
    Stack,
    check_dimensions,
    conditioner,
)
from genjax_zoo.nn.conditions import NO_CONDITIONS, Conditions


@factory("Durkan, Bekasov, Murray & Papamakarios 2019, arXiv:1906.04032")
def spline_coupling(
    *,
    shape: Shape,
    layers: int = 8,
    hidden: tuple[int, ...] = (256, 256),
    bins: int = 8,
    bound: float = 3.0,
    activation: Callable[[Array], Array] = nn.relu,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
    unroll: int = 1,
) -> Model:
    """RQ-NSF (C): spline couplings of x as a flat vector, which sample as fast as they score.

    Terms: "prior" (nats), "log_det" (nats). Network: "bijection".

    Args:
        shape: the shape of x; two numbers or more.
        layers: couplings.
        hidden: widths of each coupling's network.
        bins: bins of every spline.
        bound: splines act on [-bound, bound]; the data enter with mean 0 and variance 1.
        activation: the function between their layers.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.
        unroll: layers compiled out at a time.

    Raises:
        UserError: x is one number, or a spline cannot have these bins.
    """
    check_dimensions(shape)
    map, dimensions = rational_quadratic(bins, bound), math.prod(shape)
    layer = Chain((InvertibleConv(), Coupling(map, conditioner(dimensions, map, hidden, activation))))
    return flow(
        shape, flat_chain(shape, ActNorm(), Stack(layer, layers, unroll)), classes=classes, conditions=conditions
    )


@factory("Durkan, Bekasov, Murray & Papamakarios 2019, arXiv:1906.04032")
def spline_autoregressive(
    *,
    shape: Shape,
    layers: int = 8,
    hidden: tuple[int, ...] = (256, 256),
    bins: int = 8,
    bound: float = 3.0,
    activation: Callable[[Array], Array] = nn.relu,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
    unroll: int = 1,
) -> Model:
    """RQ-NSF (AR): autoregressive splines; the arguments are those of `spline_coupling`.

    Terms: "prior" (nats), "log_det" (nats). Network: "bijection".
    """
    map, dimensions = rational_quadratic(bins, bound), math.prod(shape)
    network = MaskedMLP(dimensions, map.parameters, hidden, activation)
    layer = Chain((InvertibleConv(), MaskedAutoregressive(map, network)))
    return flow(
        shape, flat_chain(shape, ActNorm(), Stack(layer, layers, unroll)), classes=classes, conditions=conditions
    )
