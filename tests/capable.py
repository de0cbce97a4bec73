"""Capabilities of models that are made by hand, of functions that give their value alone."""

from typing import Any

from genjax_zoo.core import Card, Critic, Density, Explained, Latent, Levels, Model, Of, Sampler


def of(function) -> Of:
    """A function (variables, ...) -> value as one that hands on the state."""

    def call(variables, *args, train=False, **settings):
        return function(variables, *args, **settings), variables

    return call


def sampler(draw, **settings) -> Sampler:
    """Of draw(variables, key, n, cond) -> x."""
    return Sampler(draw=of(lambda v, key, n, cond={}, **how: draw(v, key, n, cond, **how)), settings=settings)


def density(terms, *, exact=True, weigh=None, **stated) -> Density:
    """Of a TermFn, whose terms are in nats where nothing else is stated; and of weigh(variables, batch, key, k)."""
    explained = Explained(terms=terms, **(stated or {"rest": "nats"}))
    return Density(terms=explained, exact=exact, weigh=weigh and of(weigh))


def latent(prior=None, **functions) -> Latent:
    """Of prior(variables, key, n, cond) -> z, and of encode, decode and means."""
    drawn = prior and Model(spec={}, init=lambda key, batch: {}, sampler=sampler(prior))
    given: dict[str, Any] = {name: of(function) for name, function in functions.items()}
    return Latent(prior=drawn, **given)


def critic(score) -> Critic:
    """Of score(variables, x, cond) -> [B]."""
    return Critic(score=of(lambda v, x, cond={}, key=None: score(v, x, cond)))


def levels(count) -> Card:
    """The card of a model of so many levels, or of a density."""
    return Card(support=Levels(count))
