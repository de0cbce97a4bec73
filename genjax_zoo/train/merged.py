"""One function for several that differ in numbers alone: each is traced, and what differs becomes an argument.

A number of an experiment may act through anything: a closure, a schedule, Python's own arithmetic. So nothing is
asked of the code: what it makes is compared, equation by equation.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Array, PyTree
from genjax_zoo.errors import UserError

Values = Sequence[Any]
Read = Callable[[Values, Values], Any]  # (what is known so far, numbers) -> a value
Call = Callable[..., list[Any]]  # (numbers, *arguments) -> results
INLINE = {"jit", "pjit", "closed_call", "core_call", "remat", "checkpoint", "custom_jvp_call", "custom_vjp_call"}
RULES = {"jvp_jaxpr_fun", "jvp_jaxpr_thunk", "fwd_jaxpr_thunk", "bwd"}  # of derivatives, which are taken already


class Unalike(UserError):
    """Functions differ in more than numbers; `places` are those that are unlike the first."""

    def __init__(self, places: Sequence[int]):
        super().__init__(f"Functions {list(places)} make another program than function 0.")
        self.places = places


def merge_functions(
    functions: Sequence[Callable[..., PyTree]], arguments: Sequence[Sequence[PyTree]]
) -> tuple[Callable[..., PyTree], list[Array]]:
    """Traces functions, and makes them one.

    Args:
        functions: of the same arguments, but for their values.
        arguments: of each, arrays or their shapes.

    Returns:
        The function (numbers, *arguments) -> result, and the numbers, each [functions, ...]: with those of function i,
        it is function i.

    Raises:
        Unalike: they differ in shapes, branches or anything but numbers.
    """
    traced = [jax.make_jaxpr(f, return_shape=True)(*a) for f, a in zip(functions, arguments, strict=True)]
    structures = [(jax.tree.structure(a), jax.tree.structure(out)) for a, (_, out) in zip(arguments, traced)]
    _require(structures)
    numbers: list[Array] = []
    call = _together([jaxpr for jaxpr, _ in traced], numbers)
    structure = structures[0][1]
    return lambda numbers, *given: jax.tree.unflatten(structure, call(numbers, *jax.tree.leaves(given))), numbers


def same(one: Any, other: Any) -> bool:
    """Whether two arrays are the same in every bit, keys too."""
    if one is other:
        return True
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return np.asarray(_bits(one)).tobytes() == np.asarray(_bits(other)).tobytes()


def _bits(x: Any) -> Any:
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x


def _together(jaxprs: Sequence[jex.ClosedJaxpr], numbers: list[Array]) -> Call:
    """What all jaxprs do, given the numbers in which they differ, which are added to `numbers`."""
    first = jaxprs[0]
    if all(one is first for one in jaxprs):
        return lambda _, *given: jex.jaxpr_as_fun(first)(*given)
    places: list[dict[Any, Any]] = [dict(zip(one.jaxpr.constvars, map(_Constant, one.consts))) for one in jaxprs]
    count = 0

    def define(variables: Sequence[Sequence[Any]]) -> None:
        nonlocal count
        _require([[(v.aval.shape, v.aval.dtype) for v in of] for of in variables])
        for place, of in zip(places, variables):
            place.update(zip(of, range(count, count + len(of))))
        count += len(variables[0])

    def read(atoms: Sequence[Any]) -> Read:
        found = [_literal(a) if isinstance(a, jex.Literal) else place[a] for a, place in zip(atoms, places)]
        return _read(found, numbers)

    define([one.jaxpr.invars for one in jaxprs])
    steps: list[tuple[Call, list[Read]]] = []
    _require([len(one.jaxpr.eqns) for one in jaxprs])
    for equations in zip(*(one.jaxpr.eqns for one in jaxprs)):
        _require([(e.primitive, len(e.invars)) for e in equations])
        reads = [read(atoms) for atoms in zip(*(e.invars for e in equations))]
        steps.append((_call(equations, numbers), reads))
        define([e.outvars for e in equations])
    _require([len(one.jaxpr.outvars) for one in jaxprs])
    results = [read(atoms) for atoms in zip(*(one.jaxpr.outvars for one in jaxprs))]

    def call(numbers: Values, *given: Any) -> list[Any]:
        known = list(given)
        for step, reads in steps:
            known += step(numbers, *(one(known, numbers) for one in reads))
        return [one(known, numbers) for one in results]

    return call


class _Constant:
    def __init__(self, value: Any):
        self.value = value


def _literal(atom: Any) -> _Constant:
    return _Constant(np.asarray(atom.val, atom.aval.dtype))


def _read(found: Sequence[Any], numbers: list[Array]) -> Read:
    """A value that was computed before, a constant of all, or one of each."""
    first = found[0]
    if not isinstance(first, _Constant):
        _require(found)
        return lambda known, _: known[first]
    _require([one if not isinstance(one, _Constant) else (one.value.shape, one.value.dtype) for one in found])
    if all(same(first.value, one.value) for one in found):
        return lambda _, __: first.value
    place = len(numbers)
    numbers.append(jnp.stack([one.value for one in found]))
    return lambda _, given: given[place]


def _call(equations: Sequence[Any], numbers: list[Array]) -> Call:
    """What an equation does; one that holds others is opened only where these differ."""
    first = equations[0]
    inner = {name: list(_closed(value)) for name, value in first.params.items()}
    inner = {name: found for name, found in inner.items() if found}
    for name in set().union(*(e.params for e in equations)) - set(inner) - RULES - {"name"}:
        _require([e.params.get(name) for e in equations])
    before = len(numbers)
    calls = {}
    for name in inner:
        of_each = [list(_closed(e.params[name])) for e in equations]
        _require([len(of) for of in of_each])
        calls[name] = [_together(jaxprs, numbers) for jaxprs in zip(*of_each)]
    if len(numbers) == before:
        return lambda _, *given: _bind(first, given)
    opened = _opened(first, calls)
    if opened is None:
        raise Unalike(range(1, len(equations)))
    return opened


def _closed(value: Any) -> Sequence[jex.ClosedJaxpr]:
    """The jaxprs that a parameter of an equation is."""
    if isinstance(value, jex.ClosedJaxpr):
        return [value]
    if isinstance(value, jex.Jaxpr):
        return [jex.ClosedJaxpr(value, ())]
    many = isinstance(value, tuple | list) and any(isinstance(one, jex.ClosedJaxpr) for one in value)
    return list(value) if many else []  # type: ignore[arg-type]


def _bind(equation: Any, given: Sequence[Any]) -> list[Any]:
    found = equation.primitive.get_bind_params(equation.params)
    functions, params = found if isinstance(found, tuple) else ((), found)  # until jax 0.9, and since
    with equation.ctx.manager:
        result = equation.primitive.bind(*functions, *given, **params)
    return list(result) if equation.primitive.multiple_results else [result]


def _opened(equation: Any, calls: dict[str, list[Call]]) -> Call | None:
    """A loop, a branch or a call with numbers in it that differ; None of anything else."""
    name, params = equation.primitive.name, equation.params
    if name in INLINE and len(calls) == 1:
        ((inside,),) = calls.values()
        return inside
    if name == "scan":
        ((body,),) = calls.values()
        inside = params[
            "jaxpr"
        ].jaxpr  # constants and what is carried have one shape there and here, what is stacked not
        carried = len(inside.invars) - sum(map(_stacked, inside.invars, equation.invars))
        constants = carried - sum(not _stacked(*pair) for pair in zip(inside.outvars, equation.outvars))

        def scan(numbers: Values, *given: Any) -> list[Any]:
            def one(carry, x):
                results = body(numbers, *given[:constants], *carry, *x)
                return results[: len(carry)], results[len(carry) :]

            kept = {name: params[name] for name in ("length", "reverse", "unroll")}
            carry, stacked = jax.lax.scan(one, list(given[constants:carried]), list(given[carried:]), **kept)
            return [*carry, *stacked]

        return scan
    if name == "while":
        (until,), (body,) = calls["cond_jaxpr"], calls["body_jaxpr"]
        of_until, of_body = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]

        def loop(numbers: Values, *given: Any) -> list[Any]:
            return jax.lax.while_loop(
                lambda carry: until(numbers, *given[:of_until], *carry)[0],
                lambda carry: body(numbers, *given[of_until:of_body], *carry),
                list(given[of_body:]),
            )

        return loop
    if name == "cond":
        branches = calls["branches"]
        return lambda numbers, index, *given: jax.lax.switch(
            index, [lambda *g, branch=branch: branch(numbers, *g) for branch in branches], *given
        )
    return None


def _stacked(inside: Any, outside: Any) -> bool:
    return inside.aval.shape != outside.aval.shape


def _require(found: Sequence[Any]) -> None:
    """All are equal, or those that are not are named."""
    places = [place for place, one in enumerate(found) if one is not found[0] and not _equal(one, found[0])]
    if places:
        raise Unalike(places)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray | jax.Array):
        return isinstance(other, type(one)) and same(one, other)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return type(one) is type(other) and bool(one == other)
