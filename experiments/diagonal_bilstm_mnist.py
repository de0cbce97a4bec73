"""Diagonal BiLSTM on statically binarized MNIST: 7 layers of h = 16.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train experiments/diagonal_bilstm_mnist.py

FOLDER/mnist_static holds Larochelle's three files. The paper reports 79.20 nats, and 80.75 with --layers 1 --features
32. Adam with batches of 64 stands where the paper has RMSProp with batches of 16.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, main, models


def experiment(
    *,
    features: int = 16,
    layers: int = 7,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    steps: int = 50_000,
    seed: int = 0,
) -> Experiment:
    """Diagonal BiLSTM (van den Oord et al. 2016, arXiv:1601.06759, Table 4).

    Args:
        features: h; maps between layers have 2 h channels.
        layers: of LSTMs in both directions.
        learning_rate: Adam's step size at the start; it falls to zero along a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.diagonal_bilstm(shape=(28, 28, 1), features=features, layers=layers)
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    valid, test = (data.load("mnist-static", split, batch_size=100) for split in ("valid", "test"))
    return Experiment(
        model=model,
        players={"model": Player(terms=model.nll, tx=optax.adam(schedule))},
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
