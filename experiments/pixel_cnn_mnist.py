"""PixelCNN on statically binarized MNIST: 7x7, then 15 residual blocks of h = 128.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train pixel_cnn_mnist

FOLDER/mnist_static holds Larochelle's three files. The paper reports 81.30 nats. Adam with batches of 64 stands where
the paper has RMSProp with batches of 16.

Cost: 13 minutes on one CPU core for 1,372 steps of `--features 16 --layers 7`. Unfinished: "test/nll" 94.8 nats there.
"""

import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models


def experiment(
    *,
    features: int = 128,
    layers: int = 15,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    steps: int = 50_000,
    seed: int = 0,
) -> Experiment:
    """PixelCNN (van den Oord et al. 2016, arXiv:1601.06759, Table 4).

    Args:
        features: h; maps between blocks have 2 h channels.
        layers: residual blocks.
        learning_rate: Adam's step size at the start; it falls to zero along a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.pixel_cnn(shape=(28, 28, 1), features=features, layers=layers)
    player = Player(terms=model.nll, tx=optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))
    mnist = data.splits("mnist-static", batch_size=batch_size, seed=seed, eval_batch_size=100)
    return likelihood_experiment(model, {"model": player}, mnist, steps=steps, seed=seed)
