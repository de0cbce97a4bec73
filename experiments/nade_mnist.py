"""NADE on static binary MNIST: 500 hidden units, bits in raster order.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train experiments/nade_mnist.py

FOLDER holds Larochelle's binarization (see `genjax-zoo list data`). The MADE paper quotes 88.33 nats for NADE in a
fixed order. The best checkpoint by validation counts.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, main, models


def experiment(
    *,
    hidden: int = 500,
    learning_rate: float = 1e-3,
    batch_size: int = 100,
    steps: int = 100_000,
    seed: int = 0,
) -> Experiment:
    """NADE (Larochelle & Murray 2011) on binary 28x28 MNIST.

    Args:
        hidden: units.
        learning_rate: Adam's step size at the start; it falls to zero along a cosine. The paper has plain SGD.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.nade(shape=(28, 28, 1), hidden=hidden)
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    valid, test = (data.load("mnist-static", split, batch_size=500) for split in ("valid", "test"))
    return Experiment(
        model=model,
        players={"nade": Player(terms=model.nll, tx=optax.adam(schedule), ema=0.999)},
        data=data.load("mnist-static", "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        evals={
            "valid": evals.likelihood(valid),
            "test": evals.likelihood(test),
            "samples": evals.sample_grid(n=64),
        },
        eval_every=1_000,
        save_every=1_000,
        best="valid/nll",
    )


if __name__ == "__main__":
    main(experiment)
