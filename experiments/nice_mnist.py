"""NICE on dequantized MNIST: four additive couplings of 392-1000x5-392, a logistic prior.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train experiments/nice_mnist.py

FOLDER/mnist holds the four original .gz files. The paper trains for 1,500 epochs of 250 steps (375,000 steps); log p(x)
is minus "test/nll". The default is 20 epochs, and the number that it prints is unfinished.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, main, models


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
    valid, test = (data.load("mnist-deq", split, batch_size=500) for split in ("valid", "test"))
    return Experiment(
        model=model,
        players={"flow": Player(terms=model.nll, tx=tx)},
        data=data.load("mnist-deq", "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        evals={
            "valid": evals.likelihood(valid),
            "test": evals.likelihood(test),
            "samples": evals.sample_grid(n=64),
            "temperatures": evals.temperatures(),
        },
        eval_every=1_000,
        save_every=1_000,
        best="valid/nll",
    )


if __name__ == "__main__":
    main(experiment)
