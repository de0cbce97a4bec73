"""What players own and weigh: checked before the first step, read in every turn."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jax
import optax

from genjax_zoo.core import FROZEN, Batch, Model, Player, Spec, Variables, networks, unit_of
from genjax_zoo.errors import UserError

Weights = Mapping[str, float | optax.Schedule]  # by term


def owned_networks(player: Player, variables: Variables) -> tuple[str, ...]:
    """The networks a player writes."""
    return _owned_of(player.owns, networks(variables))


def weights_by_player(model: Model, players: Mapping[str, Player], batch: Batch | Spec) -> Mapping[str, Weights]:
    """Each player's weights by term, its own or those that follow from the units; a batch's shapes are enough.

    Raises:
        UserError: as `create_state`.
    """
    key = jax.random.key(0)
    shapes = jax.eval_shape(model.init, key, batch)
    _check_ownership(players, networks(shapes), shapes.get(FROZEN, {}))
    weights: dict[str, Weights] = {}
    nats: dict[int, tuple[str, set[str]]] = {}  # terms -> a player of theirs, and what of a likelihood none weighs
    for name, player in players.items():
        returned = jax.eval_shape(lambda v, b, k, p=player: p.terms(v, b, k, train=True), shapes, batch, key)
        terms = _terms_of(name, returned, len(jax.tree.leaves(batch)) and next(iter(batch.values())).shape[:1])
        weights[name] = weights_of(player, terms)
        _check_weights(name, player, weights[name], terms)
        _, left = nats.setdefault(id(player.terms), (name, {t for t in terms if unit_of(player.terms, t) == "nats"}))
        left -= set(weights[name])
    for name, left in nats.values():
        if left:
            raise UserError(
                f"No player weighs '{min(left)}', a term of the likelihood that player '{name}' computes; give it to a "
                f"player, weight 0 leaves it out on purpose."
            )
    return weights


def weights_of(player: Player, terms: Collection[str]) -> Weights:
    """A player's weights: its own, or one of each term of a likelihood."""
    if player.weights is not None:
        return player.weights
    return {term: 1.0 for term in terms if unit_of(player.terms, term) == "nats"}


def _terms_of(name: str, returned: Any, each: Any) -> Mapping[str, Any]:
    """The terms that a TermFn returned, after a look at what that is."""
    pair = isinstance(returned, tuple) and len(returned) == 2 and all(isinstance(one, Mapping) for one in returned)
    if not pair:
        raise UserError(
            f"The terms of player '{name}' must return a pair: the terms by name, each one number per example, and the "
            f"variables, as in: return {{'name': loss}}, variables."
        )
    for term, value in returned[0].items():
        if value.shape != each:
            raise UserError(
                f"The term '{term}' of player '{name}' has the shape {value.shape}; it must be one number per example, "
                f"{each}."
            )
    return returned[0]


def _owned_of(owns: Iterable[str] | None, available: tuple[str, ...]) -> tuple[str, ...]:
    """The networks that these names own: "a" is all of "a/..."."""
    if owns is None:
        return available
    names = tuple(owns)
    return tuple(n for n in available if any(n == name or n.startswith(f"{name}/") for name in names))


def _check_ownership(players: Mapping[str, Player], available: tuple[str, ...], frozen: Collection[str]) -> None:
    owner: dict[str, str] = {}
    for name, player in players.items():
        for asked in player.owns or ():
            if not _owned_of((asked,), available):
                why = "which is frozen, and" if _owned_of((asked,), tuple(frozen)) else "but"
                raise UserError(f"Player '{name}' owns '{asked}', {why} the model has networks {sorted(available)}.")
        for network in _owned_of(player.owns, available):
            if network in owner:
                raise UserError(
                    f"Players '{owner[network]}' and '{name}' both own '{network}', and each network has one owner; "
                    f"give one player both terms."
                )
            owner[network] = name
        if not _owned_of(player.owns, available):
            raise UserError(
                f"Player '{name}' owns no network, and so has nothing to learn; give it one, or leave it out."
            )
    missing = sorted(set(available) - set(owner))
    if missing:
        raise UserError(
            f"No player owns '{missing[0]}'; add it to a player's 'owns' ({sorted(players)}), or freeze it: "
            f"compose.frozen."
        )


def _check_weights(name: str, player: Player, weights: Weights, terms: Collection[str]) -> None:
    if unknown := sorted(set(weights) - set(terms)):
        raise UserError(f"Player '{name}' weighs '{unknown[0]}', but its terms are {sorted(terms)}.")
    unstated = [term for term in terms if unit_of(player.terms, term) is None]
    if player.weights is None and unstated:
        raise UserError(
            f"Player '{name}' has no weights, and its term '{unstated[0]}' does not state its unit; give it "
            f"weights={{'{unstated[0]}': 1.0, ...}}, or let core.Explained state the unit."
        )
    if not weights:
        raise UserError(f"Player '{name}' weighs none of its terms {sorted(terms)}; give it weights.")
