"""NICE on dequantized MNIST: four additive couplings of 392-1000x5-392, a logistic prior.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train nice_mnist

FOLDER/mnist holds the four original .gz files. The paper trains for 1,500 epochs of 250 steps (375,000 steps); log p(x)
is minus "test/nll". The default is 20 epochs.

Cost: not measured, for a full training needs an accelerator. Unfinished: the paper reports 1980.50 nats.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, models


def experiment(
    *,
    layers: int = 4,
    hidden: int = 1_000,
    learning_rate: float = 1e-3,
    decay: float = 1.0005,
    batch_size: int = 200,
    steps: int = 5_000,
    seed: int = 0,
) -> Experiment:
    """NICE (Dinh et al. 2014) on MNIST with uniform noise, as a density on [0, 1).

    Args:
        layers: couplings.
        hidden: width of the five layers of each coupling's network.
        learning_rate: Adam's step size at first; it goes down to a tenth.
        decay: divides the step size at every step.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.nice(shape=(28, 28, 1), layers=layers, hidden=(hidden,) * 5)
    rate = optax.exponential_decay(learning_rate, 1, 1 / decay, end_value=learning_rate / 10)
    tx = optax.chain(optax.clip_by_global_norm(1e3), optax.adam(rate, b2=0.99))
    return likelihood_experiment(
        model,
        {"flow": Player(terms=model.nll, tx=tx)},
        data.splits("mnist-deq", batch_size=batch_size, seed=seed, eval_batch_size=500),
        steps=steps,
        seed=seed,
        more={"temperatures": evals.temperatures()},
    )
