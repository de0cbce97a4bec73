"""Mistakes that the tests must see: one line of the package each, and the tests that fail when it is wrong.

The tests named must all fail, and pass without the mistake. Every test in the table is one that runs in seconds.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """One mistake in one line."""

    file: str  # below genjax_zoo/
    old: str  # a line or part of one, found once in the file
    new: str
    tests: tuple[str, ...]  # below tests/, as pytest names them; each must fail


MUTANTS = (
    Mutant(
        "train/step.py",
        "_mean_over(axis, jnp.mean(value)) for term",
        "_mean_over(axis, jnp.sum(value)) for term",
        ("test_step.py::test_one_turn_by_hand",),
    ),
)
