"""Alarms: what of a run's numbers is worth a warning while it trains.

An alarm is a function of one log's, or one evaluation's, numbers; it gives a sentence or None. An Experiment lists its
own.
"""

from collections.abc import Mapping

from genjax_zoo.core import Alarm


def critic_wins(player: str = "critic", above: float = 0.99) -> Alarm:
    """The critic tells nearly all fakes: what the generator learns from it may fade, or the game be lost.

    No alarm for the Wasserstein game, whose critic is to be trained to its optimum.
    """

    def alarm(numbers: Mapping[str, float]) -> str | None:
        accuracy = numbers.get(f"{player}/accuracy", 0.0)
        if accuracy <= above:
            return None
        return f"'{player}' tells real from fake in {accuracy:.1%} of pairs; weaken it, or penalise its gradient."

    return alarm


def collapsed(name: str = "samples/coverage", below: float = 0.5) -> Alarm:
    """The samples cover too little of held-out data: mode collapse. `name` is an evaluation's number."""

    def alarm(numbers: Mapping[str, float]) -> str | None:
        coverage = numbers.get(name, 1.0)
        if coverage >= below:
            return None
        return f"Samples cover {coverage:.1%} of held-out examples ('{name}'); the generator may have collapsed."

    return alarm


def steep(player: str, above: float) -> Alarm:
    """The norm of a player's gradient is beyond what it should be."""

    def alarm(numbers: Mapping[str, float]) -> str | None:
        norm = numbers.get(f"{player}/grad_norm", 0.0)
        if norm <= above:
            return None
        return f"The gradient of '{player}' has a norm of {norm:.3g}, above {above:g}; clip it, or learn more slowly."

    return alarm
