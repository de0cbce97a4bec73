"""MADE on static binary MNIST: one order, one mask, direct connections.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train made_binary_mnist
    GENJAX_ZOO_DATA=FOLDER genjax-zoo train made_binary_mnist --hidden 500 500

FOLDER holds Larochelle's binarization (see `genjax-zoo list data`). The paper reports 88.40 nats for one layer of 8,000
units with one mask and 89.59 for two layers. The best checkpoint by validation counts.

Cost: the second command takes 12 minutes on one CPU core for 19,000 steps. Unfinished: "test/nll" 96.7 nats there,
still falling.
"""

import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models


def experiment(
    *,
    hidden: tuple[int, ...] = (8_000,),
    direct: bool = True,
    learning_rate: float = 0.01,
    batch_size: int = 100,
    steps: int = 50_000,
    seed: int = 0,
) -> Experiment:
    """MADE (Germain et al. 2015) on binary 28x28 MNIST.

    Args:
        hidden: widths of the layers.
        direct: connects pixels with the output past the hidden layers as well.
        learning_rate: Adagrad's step size, as in the paper.
        batch_size: images per step, over all devices.
        steps: train up to this step; the paper stops when 30 epochs of 500 steps bring nothing.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.made(shape=(28, 28, 1), hidden=hidden, levels=2, direct=direct)
    tx = optax.adagrad(learning_rate, initial_accumulator_value=0.0, eps=1e-6)
    mnist = data.splits("mnist-static", batch_size=batch_size, seed=seed, eval_batch_size=500)
    return likelihood_experiment(model, {"made": Player(terms=model.nll, tx=tx)}, mnist, steps=steps, seed=seed)
