"""Change of variables: a density by an invertible map between x and the z of a base, exact both ways.

-log p(x) = -log p(z) - log |det dz/dx|, z = forward(x): the terms "prior" and "log_det".
"""

import dataclasses
import math
from collections.abc import Callable

import jax

from genjax_zoo.compose.parts import CONTINUOUS, check_continuous
from genjax_zoo.compose.trees import union
from genjax_zoo.core import (
    CONTEXT,
    NO_CONDITION,
    Array,
    Batch,
    Density,
    Explained,
    Key,
    Latent,
    Model,
    Of,
    Sampler,
    Variables,
    aside,
    if_there,
    likelihood,
    require,
)
from genjax_zoo.core import conditions as conditions_of
from genjax_zoo.core.specs import checker, image_spec, with_checks
from genjax_zoo.errors import UserError
from genjax_zoo.linen import Network, network, run_once
from genjax_zoo.math import Shape
from genjax_zoo.nn import Bijection
from genjax_zoo.nn.conditions import NO_CONDITIONS, Conditions, classes_of, condition_spec, embed_conditions


def pushed(
    base: Model,
    bijection: Bijection,
    *,
    shape: Shape | None = None,
    conditions: Conditions = NO_CONDITIONS,
    context: Network | None = None,
    name: str = "bijection",
    begin: Callable[..., tuple[Array, Array]] = Bijection.forward,
) -> Model:
    """The model of x, where z = bijection.forward(x | cond) is of the base: a flow, or a flow posterior.

    Args:
        base: p(z | cond), of z [B, D].
        bijection: x [B, *shape] -> z; a network of the name "bijection".
        shape: of x; that of z if None.
        conditions: what every layer is given, beside what the base is: see `nn.conditions`.
        context: reads [B, K] off the conditions for the layers, by a network of its own, instead of their embedding.
        name: of the network.
        begin: the way that initialises it; `Bijection.inverse` where only samples are wanted of a slow one.

    Raises:
        UserError: when initialised, if base and bijection have a network of one name.
    """
    if not isinstance(bijection, Bijection):
        raise UserError(f"A bijection is an nn.Bijection, with forward and inverse, not {type(bijection).__name__}.")
    check_continuous(base, "base")
    forward, inverse = (network(name, bijection, method) for method in (Bijection.forward, Bijection.inverse))
    x_shape, turned = base.spec["x"].shape if shape is None else shape, begin is not Bijection.forward

    def given(v: Variables, cond: Batch, key: Key | None, train: bool) -> tuple[Array | None, Variables]:
        if context is None:
            return embed_conditions(cond, conditions), v
        return context(v, cond, key=None if key is None else aside(key, CONTEXT), train=train)

    def initialise(key: Key, batch: Batch) -> Variables:
        k_base, k_map, k_context, k_z = jax.random.split(key, 4)
        cond = conditions_of(batch)
        v = {"params": {}} if context is None else context.init(k_context, batch)
        seen, _ = given(v, cond, k_z, True)
        if not turned:
            z, _ = forward(made := forward.init(k_map, batch["x"], seen), batch["x"], seen)[0]
            return union(base.init(k_base, {**cond, "x": z}), made, v)
        v = union(base.init(k_base, {**cond, "x": batch["x"].reshape(-1, *base.spec["x"].shape)}), v)
        z, _ = require(base, Sampler).draw(v, k_z, len(batch["x"]), cond)
        return union(v, inverse.init(k_map, z, seen))

    def terms(v: Variables, batch: Batch, key: Key, *, train: bool = False):
        cond = conditions_of(batch)
        seen, v = given(v, cond, key, train)
        (z, log_det), v = forward(v, batch["x"], seen, train=train)
        base_terms = require(base, Density).terms
        of_z, v = base_terms(v, {**cond, "x": z}, key, train=train)
        return {"prior": likelihood(base_terms, of_z), "log_det": -log_det}, v

    def draw(v: Variables, key: Key, n: int, cond: Batch = NO_CONDITION, *, train: bool = False, **how: float):
        z, v = require(base, Sampler).draw(v, key, n, cond, train=train, **how)
        return decode(v, z, cond, key, train=train)

    def scoring(base_scored: Of[tuple[Array, Array]]) -> Of[tuple[Array, Array]]:
        def scored(v: Variables, key: Key, n: int, cond: Batch = NO_CONDITION, *, train: bool = False):
            (z, nats), v = base_scored(v, key, n, cond, train=train)
            seen, v = given(v, cond, key, train)
            (x, log_det), v = inverse(v, z, seen, train=train)
            return (x, nats + log_det), v

        return scored

    def encode(v: Variables, batch: Batch, key: Key | None = None, *, train: bool = False):
        seen, v = given(v, conditions_of(batch), key, train)
        (z, _), v = forward(v, batch["x"], seen, train=train)
        return z, v

    def decode(v: Variables, z: Array, cond: Batch = NO_CONDITION, key: Key | None = None, *, train: bool = False):
        seen, v = given(v, cond, key, train)
        (x, _), v = inverse(v, z, seen, train=train)
        return x, v

    def check(batch: Batch) -> None:
        base.check(conditions_of(batch))
        of_conditions(batch)

    def sampler(of: Sampler) -> Sampler:
        return Sampler(draw=draw, scored=if_there(of.scored, scoring), settings=of.settings)

    of_conditions = checker(classes_of(conditions))
    written = {"prior": "-log p(z), z = f(x)", "log_det": "-log |det df/dx|"}
    stated = Explained(terms=terms, formulas=written, units=dict.fromkeys(written, "nats"))
    model = Model(
        spec={**conditions_of(base.spec), **image_spec(x_shape), **condition_spec(conditions)},
        init=run_once(initialise),
        card=dataclasses.replace(CONTINUOUS, family="flow", frozen=base.card.frozen),
        density=if_there(base.density, lambda of: Density(terms=stated, exact=of.exact)),
        sampler=if_there(base.sampler, sampler),
        latent=Latent(prior=base, encode=encode, decode=decode),
        check=check,
    )
    if math.prod(x_shape) != math.prod(base.spec["x"].shape):
        raise UserError(f"The base is of {math.prod(base.spec['x'].shape)} numbers, and x {tuple(x_shape)} of others.")
    return with_checks(model)
