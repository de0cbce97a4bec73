"""MAF (5) of flat MNIST in logit space: five masked layers of 784-1024-1024, batch norm between.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train experiments/maf_mnist.py

FOLDER/mnist holds the four original .gz files. "test_logit_space/nll" is minus the log-density in logit space, as MAF
reports it, and "test/nll" that of x in [0, 1). The best checkpoint by validation counts; the paper stops when 30
epochs of 500 steps bring nothing.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, main, models, wrap


def experiment(
    *,
    layers: int = 5,
    hidden: int = 1_024,
    learning_rate: float = 1e-4,
    batch_size: int = 100,
    steps: int = 30_000,
    seed: int = 0,
) -> Experiment:
    """MAF (Papamakarios et al. 2017) on MNIST in logit space.

    Args:
        layers: autoregressive ones.
        hidden: width of both layers of each layer's MADE.
        learning_rate: Adam's step size.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = wrap.logit_space(models.maf(shape=(28, 28, 1), layers=layers, hidden=(hidden, hidden)))
    valid, test = (data.load("mnist-deq", split, batch_size=500) for split in ("valid", "test"))
    player = Player(terms=model.nll, tx=optax.adam(learning_rate))
    return Experiment(
        model=model,
        players={"flow": player},
        data=data.load("mnist-deq", "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        evals={
            "valid": evals.likelihood(valid),
            "test": evals.likelihood(test),
            "test_logit_space": evals.likelihood(test, leave_out=("logit",)),
            "samples": evals.sample_grid(n=64),
        },
        eval_every=1_000,
        save_every=1_000,
        best="valid/nll",
    )


if __name__ == "__main__":
    main(experiment)
