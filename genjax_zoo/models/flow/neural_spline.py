"""Neural spline flows (Durkan, Bekasov, Murray & Papamakarios 2019, arXiv:1906.04032).

Every number goes through a monotone rational-quadratic spline, in couplings or autoregressively; between the layers a
linear map by its LU factors mixes the numbers.
"""

import math
from collections.abc import Callable

import flax.linen as nn

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.math import rational_quadratic
from genjax_zoo.models.flow.flow import Shape, flattened, flow
from genjax_zoo.models.flow.real_nvp import check_dimensions, conditioner
from genjax_zoo.nn import ActNorm, Chain, Coupling, InvertibleConv, MaskedAutoregressive, MaskedMLP, Stack
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

    Args:
        shape: of x; two numbers or more.
        layers: couplings.
        hidden: widths of each coupling's network.
        bins: of every spline.
        bound: splines act on [-bound, bound]; the data enter with mean 0 and variance 1.
        activation: in the networks.
        classes: of a label that the density is given, or 0.
        conditions: other things that it is given, of any kind; see `nn.conditions`.
        unroll: layers compiled out at a time.

    Raises:
        UserError: x is one number, or a spline cannot have these bins.
    """
    check_dimensions(shape)
    map, dimensions = rational_quadratic(bins, bound), math.prod(shape)
    layer = Chain((InvertibleConv(), Coupling(map, conditioner(dimensions, map, hidden, activation))))
    return flow(
        shape, flattened(shape, ActNorm(), Stack(layer, layers, unroll)), classes=classes, conditions=conditions
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
    """RQ-NSF (AR): autoregressive splines; the arguments are those of `spline_coupling`."""
    map, dimensions = rational_quadratic(bins, bound), math.prod(shape)
    network = MaskedMLP(dimensions, map.parameters, hidden, activation)
    layer = Chain((InvertibleConv(), MaskedAutoregressive(map, network)))
    return flow(
        shape, flattened(shape, ActNorm(), Stack(layer, layers, unroll)), classes=classes, conditions=conditions
    )
