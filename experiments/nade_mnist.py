"""NADE on static binary MNIST: 500 hidden units, bits in raster order.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train nade_mnist

FOLDER holds Larochelle's binarization (see `genjax-zoo list data`). The MADE paper quotes 88.33 nats for NADE in a
fixed order. The best checkpoint by validation counts.

Cost: 15 minutes on one CPU core for 2,800 steps. Unfinished: "test/nll" 95.4 nats there.
"""

import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models


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
    player = Player(terms=model.nll, tx=optax.adam(optax.cosine_decay_schedule(learning_rate, steps)), ema=0.999)
    mnist = data.splits("mnist-static", batch_size=batch_size, seed=seed, eval_batch_size=500)
    return likelihood_experiment(model, {"nade": player}, mnist, steps=steps, seed=seed)
