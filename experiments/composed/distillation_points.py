"""Probability density distillation on points in the plane: a trained Real NVP, frozen, teaches an IAF.

    genjax-zoo train distillation_teacher --workdir runs/distillation_teacher
    genjax-zoo train distillation_points

The student sees no data: it minimises KL(student || teacher), so that it may forget a moon, and the test set's nll
tells. What it learned from is kept in its own checkpoints.

Cost: under a minute on two CPU cores. Expected: "student/loss", which is the KL, 0.34 nats, from 4.
"""

import optax

from genjax_zoo import Experiment, Model, Player, compose, data, evals, likelihood_experiment, models, restore
from genjax_zoo.core import Density, Sampler, TermFn, part, require, total


# own
def distillation(student: Model, teacher: Model) -> TermFn:
    """KL(student || teacher) at the student's draws, as the teacher's nats less the student's own."""
    scored, known = part(student, Sampler, "scored"), require(teacher, Density).terms

    def terms(variables, batch, key, train):
        (x, nats), variables = scored(variables, key, len(batch["x"]), train=train)
        theirs, variables = known(variables, {"x": x}, key, train=train)
        return {"cross_entropy": total(theirs), "entropy": -nats}, variables

    return terms


# end


def experiment(
    *,
    teacher: str = "runs/distillation_teacher",
    layers: int = 8,
    hidden: int = 64,
    learning_rate: float = 1e-3,
    batch_size: int = 256,
    steps: int = 4_000,
    seed: int = 0,
) -> Experiment:
    """Probability density distillation (van den Oord et al. 2017, arXiv:1711.10433) in two dimensions.

    Args:
        teacher: the folder of its run.
        layers: autoregressive ones of the student.
        hidden: the width of each one's hidden layer.
        learning_rate: Adam's step size.
        batch_size: draws per step, over all devices.
        steps: train up to this step.
        seed: of parameters and noise.
    """
    taught = restore(teacher)  # own
    known = compose.frozen(taught.experiment.model, taught.variables, origin=taught.origin)  # own
    both = compose.merge(student=models.iaf(shape=(2,), layers=layers, hidden=(hidden,)), teacher=known)  # own
    weights = {"cross_entropy": 1.0, "entropy": 1.0}  # own
    return likelihood_experiment(
        both.model(both["student"]),  # own
        {
            "student": Player(
                terms=distillation(both["student"], both["teacher"]),  # own
                weights=weights,
                tx=optax.adam(learning_rate),
            )
        },
        data.splits("two-moons", batch_size=batch_size, seed=seed, eval_batch_size=1_000, valid=False),
        steps=steps,
        seed=seed,
        samples=None,
        more={"map": evals.sample_map()},
        steps_per_call=20,
    )
