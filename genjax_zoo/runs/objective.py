"""What an experiment's model is, and what its players minimise, in words and formulas."""

import optax

from genjax_zoo.core import Card, Experiment, Explained, Player, TermFn, conditions, formulas, unit_of
from genjax_zoo.train.players import weights_of

UNITS = {"nats": " [nats]", "loss": "", "look": " [only looked at]", None: ""}  # behind a term's name


def explain(experiment: Experiment) -> str:
    """The model's card, and each player's objective as a formula with its weights, where they change over training.

    A term that says no formula stands by its name. Means are over the batch; x is an example, z a draw from the prior
    where nothing else is said of it.
    """
    given = ", ".join(conditions(experiment.model.spec))
    players = [_player(name, player, experiment.steps) for name, player in experiment.players.items()]
    about = [_card(experiment.model.card, experiment.model.density is not None)]
    return "\n".join([*about, *players, *([f"All is given {given}."] if given else [])])


def _card(card: Card, likelihood: bool) -> str:
    """A line or two: name, family, paper; what the likelihood is of; and where frozen models came from."""
    named = "A model of one's own" if card.name == "own" else f"{card.name} ({card.family})"
    line = f"{named}{', ' if card.paper else ''}{card.paper}"
    if card.support is not None and likelihood:
        (levels,) = card.support
        line += f"; its likelihood is {'a density' if levels is None else f'a probability of {levels} levels'}"
    elif likelihood:
        line += "; it does not state what its likelihood is of"
    return "\n".join([f"{line}.", *([f"Frozen in it: {'; '.join(card.frozen)}."] if card.frozen else [])])


def _player(name: str, player: Player, steps: int) -> str:
    written = formulas(player.terms)
    owns = "all networks" if player.owns is None else ", ".join(player.owns)
    turns = "every step" if player.every == 1 else f"every {player.every} steps"
    averaged = f", averaged by {player.ema:g} for evaluation" if player.ema else ""
    lines = [f"{name} writes {owns} {turns}{averaged}; it minimises the mean of"]
    weights = weights_of(player, _named(player.terms))
    for term, weight in weights.items():
        formula = f": {written[term]}" if term in written else ""
        lines.append(f"  {_weight(weight, steps):>12} * {term}{UNITS[unit_of(player.terms, term)]}{formula}")
    return "\n".join(lines if weights else [*lines, f"  {'1':>12} * each term of the likelihood [nats]"])


def _named(terms: TermFn) -> tuple[str, ...]:
    """The terms that a TermFn names, without running it."""
    return tuple({**terms.formulas, **terms.units}) if isinstance(terms, Explained) else ()


def _weight(weight: float | optax.Schedule, steps: int) -> str:
    if not callable(weight):
        return f"{weight:g}"
    first, last = float(weight(0)), float(weight(steps))  # type: ignore[arg-type]
    return f"{first:g}" if first == last else f"{first:g} ... {last:g}"
