"""What the step asks of an optimizer, whichever it is: an update, whether it made one, and what it leaves alone."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.extend.core import ClosedJaxpr, Literal

from genjax_zoo.core import Array, PyTree
from genjax_zoo.errors import UserError

Update = Callable[[PyTree, Any, PyTree], tuple[PyTree, Any]]  # (gradients, state, params) -> (updates, state)


def update_of(name: str, tx: optax.GradientTransformation, **given: Any) -> Update:
    """An optimizer's update, which is given what more it may ask for: `value`, `grad` and `value_fn`.

    Raises:
        UserError: when called, if it asks for something else.
    """
    more = given if any(p.kind is p.VAR_KEYWORD for p in inspect.signature(tx.update).parameters.values()) else {}

    def update(gradients: PyTree, state: Any, params: PyTree) -> tuple[PyTree, Any]:
        try:
            return tx.update(gradients, state, params, **more)
        except TypeError as error:
            if "argument" not in str(error):
                raise
            raise UserError(
                f"The optimizer of player '{name}' cannot be used here: {error}. It is given the gradients, its state "
                f"and the parameters{', and value, grad and value_fn' if more else ''}."
            ) from error

    return update


def has_updated(before: Any, after: Any) -> Array:
    """Whether a turn updated its player: not while gradients accumulate, nor where `apply_if_finite` dropped it."""
    emitted = [new != old for old, new in _counts(before, after, "gradient_step")]  # of optax.MultiSteps
    dropped = [new != old for old, new in _counts(before, after, "total_notfinite")]
    made = jnp.any(jnp.stack(emitted)) if emitted else jnp.ones((), bool)
    return made & ~jnp.any(jnp.stack(dropped)) if dropped else made


def _counts(before: Any, after: Any, name: str) -> list[tuple[Array, Array]]:
    both = (optax.tree.get_all_with_path(state, name) for state in (before, after))
    return [(old, new) for (_, old), (_, new) in zip(*both)]


def zero_gradients(program: ClosedJaxpr, gradients: PyTree) -> PyTree:
    """Which leaves of the gradient, the last results of a program, are zero whatever comes in."""
    found = always_zero(program, [False] * len(program.jaxpr.invars))
    leaves, structure = jax.tree.flatten(gradients)
    return jax.tree.unflatten(structure, found[len(found) - len(leaves) :])


def names_left_alone(
    update: Update, gradients: PyTree, zero: PyTree, state: Any, params: Mapping[str, PyTree]
) -> list[str]:
    """The networks that have no gradient, or that the optimizer never moves, such as by `optax.set_to_zero`.

    Args:
        update: from `update_of`.
        gradients: the player's.
        zero: from `zero_gradients`.
        state: the optimizer's.
        params: the networks.
    """
    closed, shapes = jax.make_jaxpr(lambda *args: update(*args)[0], return_shape=True)(gradients, state, params)
    known = jax.tree.leaves((zero, *jax.tree.map(lambda _: False, (state, params))))
    still = jax.tree.unflatten(jax.tree.structure(shapes), always_zero(closed, known))
    return [n for n in params if all(jax.tree.leaves(zero[n])) or all(jax.tree.leaves(still[n]))]


def always_zero(program: ClosedJaxpr, known: list[bool]) -> list[bool]:
    """Which results of a program are zero whatever comes in, given which arguments are. It may miss some."""
    jaxpr = program.jaxpr
    zero: dict[Any, bool] = dict(zip(jaxpr.invars, known))

    def is_zero(v: Any) -> bool:
        return bool(np.ndim(v.val) == 0 and v.val == 0) if isinstance(v, Literal) else zero.get(v, False)

    for equation in jaxpr.eqns:
        given, name, params = [is_zero(v) for v in equation.invars], equation.primitive.name, equation.params
        if name == "cond":
            each = [always_zero(branch, given[1:]) for branch in params["branches"]]
            found = [all(ways) for ways in zip(*each)]
        elif isinstance(inner := params.get("jaxpr", params.get("call_jaxpr")), ClosedJaxpr) and name not in LOOPS:
            found = always_zero(inner, given)
        else:
            still = given[1:] if name == "select_n" else given[:1] if name in OF_THE_FIRST else given
            found = [any(given) if name in PRODUCTS else name in LINEAR and all(still)] * len(equation.outvars)
        zero.update(zip(equation.outvars, found))
    return [is_zero(v) for v in jaxpr.outvars]


LOOPS = {"scan", "while"}
PRODUCTS = {"mul", "dot_general", "conv_general_dilated"}
OF_THE_FIRST = {"div", "dynamic_slice"}
LINEAR = {
    *("add", "add_any", "sub", "neg", "select_n", "concatenate", "pad", "copy", "copy_p", "convert_element_type"),
    *("reshape", "broadcast_in_dim", "transpose", "squeeze", "expand_dims", "slice", "reduce_sum", "rev"),
    *("psum", "psum_invariant", "pvary", "pcast", "all_gather", "reduce_scatter", *OF_THE_FIRST),
}
