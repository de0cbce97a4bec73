"""Terms made of terms: functions of (variables, batch, key, train) that return named losses [B]."""

import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Explained, Key, TermFn, Terms, Unit, Variables, formulas, unit_of
from genjax_zoo.errors import UserError


def merge(*functions: TermFn) -> Explained:
    """One TermFn with the terms of all; the state passes through them in order, and each gets a key of its own.

    Raises:
        UserError: when run, if two of them name a term alike.
    """
    units: dict[str, Unit] = {name: unit for function in functions for name, unit in _units(function)[0].items()}

    def run(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
        merged: dict[str, Array] = {}
        for index, function in enumerate(functions):
            terms, variables = function(variables, batch, jax.random.fold_in(key, index), train=train)
            twice = sorted(set(terms) & set(merged))
            if twice:
                raise UserError(f"Two merged functions have a term '{twice[0]}'; rename one.")
            merged |= terms
            units.update({name: unit for name in terms if (unit := unit_of(function, name)) is not None})
        return merged, variables

    return Explained(
        terms=run,
        formulas={name: text for f in functions for name, text in formulas(f).items()},
        units=units,  # those that a function states by its `rest` come in when their names are first known
    )


def free_bits(terms_of: TermFn, floor: float) -> Explained:
    """The same terms, but every one named "rate..." costs each example at least `floor` nats.

    After Kingma et al. 2016, arXiv:1606.04934, eq. 15, which floors the mean over a minibatch; here every example's own
    rate is floored, which is never less and does not couple the examples of a batch.

    Below the floor it has no gradient, so that a layer need not be switched off before it is of use. This is for
    training: what is no bound any more is not what `evals.likelihood` reports.
    """

    def run(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
        terms, variables = terms_of(variables, batch, key, train=train)
        return {n: jnp.maximum(x, floor) if n.startswith("rate") else x for n, x in terms.items()}, variables

    written = {n: f"max({floor:g}, {f})" if n.startswith("rate") else f for n, f in formulas(terms_of).items()}
    units, rest = _units(terms_of)
    return Explained(terms=run, formulas=written, units=units, rest=rest)


def _units(terms: TermFn) -> tuple[dict[str, Unit], Unit | None]:
    return (dict(terms.units), terms.rest) if isinstance(terms, Explained) else ({}, None)
