"""Calls of a model's methods by name, as a wrapper of its data space answers them.

A loss that trains a network asks for its methods by name (`model.apply(variables, "discriminate", x, cond)`), past the
fields of the model. So a wrapper gives an `apply` of its own, which changes what goes in and what comes out of the
methods that it knows, and refuses the others in a sentence.
"""

from collections.abc import Callable, Mapping
from typing import Any

from genjax_zoo.core import Array, Batch, Key, Model, TermFn, Variables

Apply = Callable[..., tuple[Any, Variables]]
Of = Callable[[Array], Array]  # x [B, ...] -> y [B, ...], elementwise

TAKE_X = ("encode", "codes", "posterior", "discriminate", "classify")  # first, a batch or x itself
GIVE_X = ("sample", "decode")
NO_X = ("sample_prior", "code_nll")


def of_data(model: Model, wrapper: str, into: Of | None, back: Of, fields: Mapping[str, Apply]) -> Apply:
    """The `apply` of a model whose inner one sees y = into(x) and gives x = back(y).

    Args:
        model: the inner one.
        wrapper: its name, for what is refused.
        into: changes x; None is what cannot be done without a key, so that methods of x are refused.
        back: changes what is drawn.
        fields: methods that the wrapper answers itself.
    """

    def apply(variables: Variables, method: str, *args: Any, **how: Any) -> tuple[Any, Variables]:
        if method in fields:
            return fields[method](variables, *args, **how)
        if method in GIVE_X:
            y, variables = model.apply(variables, method, *args, **how)
            return back(y), variables
        if method in TAKE_X and into is not None:
            given, *rest = args
            y = {**given, "x": into(given["x"])} if isinstance(given, Mapping) else into(given)
            return model.apply(variables, method, y, *rest, **how)
        if method in NO_X:
            return model.apply(variables, method, *args, **how)
        raise ValueError(
            f"wrap.{wrapper} changes x, and cannot tell what that does to the method '{method}'; make the loss of the "
            f"model inside, of data in the space that it sees."
        )

    return apply


def of_conditions(model: Model, with_fixed: Callable[[Batch, int], Batch]) -> Apply:
    """The `apply` of a model whose methods are told `with_fixed(cond, n)` for every batch or condition they take."""

    def apply(variables: Variables, method: str, *args: Any, **how: Any) -> tuple[Any, Variables]:
        def told(given: Any) -> Any:
            return with_fixed(given, _count(method, args)) if isinstance(given, Mapping) else given

        return model.apply(variables, method, *map(told, args), **how)

    return apply


def _count(method: str, args: tuple[Any, ...]) -> int:
    """How many examples a call is of."""
    first = args[0]
    if method in ("sample", "sample_prior"):
        return args[1]  # (key, n, cond)
    if method == "start":
        return first  # (n, cond)
    return len(first["x"]) if isinstance(first, Mapping) else len(first)


def of_terms(terms: TermFn | None, name: str) -> Apply:
    """A TermFn as the method of its name."""

    def call(variables: Variables, batch: Batch, key: Key, train: bool = False) -> tuple[Any, Variables]:
        if terms is None:
            raise ValueError(f"This model has no '{name}'.")
        return terms(variables, batch, key, train)

    return call
