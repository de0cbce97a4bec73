"""Alarms: what of a run's numbers is worth a warning while it trains.

An alarm is a function of one log's, or one evaluation's, numbers; it gives a sentence or None. An Experiment lists its
own. One is sounded of every flow with batch norm, without being listed: `better_by_batch`.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from genjax_zoo.core import (
    Alarm,
    Array,
    Batch,
    Density,
    Experiment,
    Key,
    TrainState,
    Variables,
    compiled,
    dimensions,
    total,
)


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


def better_by_batch(experiment: Experiment, state: TrainState, *, above: float = 0.5, examples: int = 64) -> str | None:
    """A flow's density of training examples is far better by their batch's own statistics than by the moving averages.

    Then the training likelihood is none: in a batch of few examples each of them decides on its own density. In a
    healthy flow the two are within a tenth of a nat for each number of x.

    Args:
        experiment: gives the model and the data.
        state: gives the variables.
        above: nats for each number of x, from which on it is told.
        examples: of training, at least, over which it is taken.

    Returns:
        A sentence, or None: also for a model whose state or likelihood has no such statistics.
    """
    model, data = experiment.model, experiment.data
    if model.density is None or "batch_stats" not in state.variables:
        return None
    key, count = jax.random.key(experiment.seed), -(-examples // data.batch_size)
    first, gaps = int(state.step), []
    for step in range(first, first + count):
        gap = _better_by_batch(model.density)(state.variables, data.at(step), jax.random.fold_in(key, step))
        if gap is None:
            return None
        gaps.append(float(gap))
    each = sum(gaps) / count / dimensions(model.spec)
    if not each > above:
        return None
    return (
        f"By their own batch's statistics, training examples have a density {each:.2g} nats per number of x better "
        f"than by the moving averages, so that the training likelihood is none; take larger batches than "
        f"{data.batch_size}, or build the flow with norm=ActNorm."
    )


@compiled
def _better_by_batch(density: Density):
    """The program of the difference, nats per example; it gives None where no term is a log-determinant."""
    terms = density.terms

    @jax.jit
    def run(variables: Variables, batch: Batch, key: Key) -> Array | None:
        averaged, of_batch = (terms(variables, batch, key, train=train)[0] for train in (False, True))
        return jnp.mean(total(averaged) - total(of_batch)) if "log_det" in averaged else None

    return run
