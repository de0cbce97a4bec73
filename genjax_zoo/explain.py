"""What an experiment's players minimise, in words and formulas."""

import optax

from genjax_zoo.core import Experiment, Player, conditions, formulas


def explain(experiment: Experiment) -> str:
    """Each player's objective as a formula with its weights, where they change from the first step to the last.

    A term that says no formula stands by its name. Means are over the batch; x is an example, z a draw from the prior
    where nothing else is said of it.
    """
    given = ", ".join(conditions(experiment.model.spec))
    players = [_player(name, player, experiment.steps) for name, player in experiment.players.items()]
    return "\n".join([*players, *([f"All is given {given}."] if given else [])])


def _player(name: str, player: Player, steps: int) -> str:
    written = formulas(player.terms)
    owns = "all networks" if player.owns is None else ", ".join(player.owns)
    turns = "every step" if player.every == 1 else f"every {player.every} steps"
    averaged = f", averaged by {player.ema:g} for evaluation" if player.ema else ""
    lines = [f"{name} writes {owns} {turns}{averaged}; it minimises the mean of"]
    for term, weight in player.weights.items():
        formula = f"{term}: {written[term]}" if term in written else term
        lines.append(f"  {_weight(weight, steps):>12} * {formula}")
    return "\n".join(lines)


def _weight(weight: float | optax.Schedule, steps: int) -> str:
    if not callable(weight):
        return f"{weight:g}"
    first, last = float(weight(0)), float(weight(steps))  # type: ignore[arg-type]
    return f"{first:g}" if first == last else f"{first:g} ... {last:g}"
