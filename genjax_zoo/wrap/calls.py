"""What wrappers have in common: functions of changed arguments or with changed values, and what is left out."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from genjax_zoo.core import Model, Of, Variables, levels_of
from genjax_zoo.errors import UserError

Given = TypeVar("Given")
Value = TypeVar("Value")
Changed = TypeVar("Changed")


def map_argument(run: Of[Value], change: Callable[[Given], Any]) -> Of[Value]:
    """The function of what `change` makes of its first argument."""

    def call(variables: Variables, first: Given, *args: Any, **how: Any) -> tuple[Value, Variables]:
        return run(variables, change(first), *args, **how)

    return call


def map_value(run: Of[Value], change: Callable[[Value], Changed]) -> Of[Changed]:
    """The function whose value is what `change` makes of it."""

    def call(variables: Variables, *args: Any, **how: Any) -> tuple[Changed, Variables]:
        value, variables = run(variables, *args, **how)
        return change(value), variables

    return call


def record_lost(model: Model, by: str, lost: Mapping[str, Any]) -> Mapping[str, str]:
    """What a model lacks, and which wrapper dropped it: what it had of `lost` was dropped by this one."""
    return {**model.left_out, **{name: by for name, value in lost.items() if value is not None}}


def check_density(model: Model, by: str) -> None:
    """Checks that x may be changed or made levels of.

    Raises:
        UserError: the model's likelihood is a probability of levels already.
    """
    if (levels := levels_of(model)) is not None:
        raise UserError(
            f"{by} is for a density of continuous x, but this model's likelihood is a probability of {levels} "
            f"levels, which has no change of variables; build the model with a density, such as math.gaussian()."
        )
