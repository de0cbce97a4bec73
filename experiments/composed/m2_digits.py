"""Semi-supervised VAE on scikit-learn's 8x8 digits, of which few have labels: a CVAE and a classifier in one bound.

    genjax-zoo train m2_digits

Cost: a minute on two CPU cores. Expected: "accuracy/accuracy" 0.93 by 100 labels, and a bound of 90.7 nats.
"""

import dataclasses

import jax
import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, Model, Player, compose, data, evals, judges, likelihood_experiment, models
from genjax_zoo.core import Density, Explained, Judge, TermFn, require, total
from genjax_zoo.math import discretized_logistic, tile


# own
def semi_supervised(cvae: Model, judge: Model, classes: int) -> tuple[Density, TermFn]:
    """The bound on -log p(x), over all labels by the judge's odds; and the terms of examples of which some have one."""
    given_label, classify = require(cvae, Density).terms, require(judge, Judge).classify
    judged = judges.cross_entropy(judge)

    def unlabelled(variables, batch, key, *, train=False):
        logits, variables = classify(variables, batch["x"], train=train)
        log_q, labels = jax.nn.log_softmax(logits), jnp.repeat(jnp.arange(classes), len(logits))
        every = {"x": tile(batch["x"], classes), "label": labels}
        terms, variables = given_label(variables, every, key, train=train)
        q = jnp.exp(log_q)
        means = {name: jnp.sum(q * term.reshape(classes, -1).T, axis=1) for name, term in terms.items()}
        return {**means, "label_rate": jnp.sum(q * log_q, axis=1) + jnp.log(classes)}, variables

    def semi(variables, batch, key, *, train=False):
        k_all, k_one, k_judge = jax.random.split(key, 3)
        over_all, variables = unlabelled(variables, batch, k_all, train=train)
        of_one, variables = given_label(variables, batch, k_one, train=train)
        cross, variables = judged(variables, batch, k_judge, train=train)
        bound = jnp.where(batch["labelled"], total(of_one) + jnp.log(classes), total(over_all))
        return {"bound": bound, "cross_entropy": jnp.where(batch["labelled"], cross["cross_entropy"], 0.0)}, variables

    return Density(terms=Explained(terms=unlabelled, rest="nats"), exact=False), semi


# end


def experiment(
    *,
    labels: int = 100,
    alpha: float = 50.0,
    latent: int = 6,
    hidden: int = 64,
    widths: tuple[int, int] = (8, 16),
    learning_rate: float = 2e-3,
    batch_size: int = 128,
    steps: int = 2_000,
    seed: int = 0,
) -> Experiment:
    """M2 (Kingma et al. 2014, arXiv:1406.5298) on 8x8 digits.

    Args:
        labels: how many training images have one.
        alpha: the weight of the classifier's cross entropy, where there is a label.
        latent: the dimension of z.
        hidden: the width of the CVAE's hidden layer.
        widths: channels of the classifier's layers.
        learning_rate: Adam's step size.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    cvae = models.cvae(shape=(8, 8, 1), latent=latent, hidden=(hidden,), likelihood=discretized_logistic(17))
    judge = judges.image_classifier(shape=(8, 8, 1), widths=widths, strides=(1, 2), features=16)
    both = compose.merge(cvae=cvae, judge=judge)  # own
    density, terms = semi_supervised(both["cvae"], both["judge"], 10)  # own
    model = both.model(both["cvae"], density=density, judge=both["judge"].judge)  # own
    digits = data.splits("digits", batch_size=batch_size, seed=seed, conditions=("label",), valid=False)
    known = jnp.arange(len(digits.train)) < labels  # own
    train = dataclasses.replace(digits.train, arrays={**digits.train.arrays, "labelled": known})  # own
    return likelihood_experiment(
        model,
        {
            "m2": Player(
                terms=terms,
                weights={"bound": 1.0, "cross_entropy": alpha},  # own
                tx=optax.adam(learning_rate),
            )
        },
        digits._replace(train=train),  # own
        steps=steps,
        seed=seed,
        samples=None,
        more={"accuracy": evals.accuracy(digits.test)},
        steps_per_call=20,
    )
