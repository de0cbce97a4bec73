"""Gated PixelCNN on statically binarized MNIST: 10 layers of 64 features.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train gated_pixel_cnn_mnist

FOLDER/mnist_static holds Larochelle's three files. The paper has no number for MNIST; PixelCNN reports 81.30 nats.

Cost: not measured, for it needs an accelerator. Unfinished: it was run for a few steps only.
"""

import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models


def experiment(
    *,
    features: int = 64,
    layers: int = 10,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    steps: int = 50_000,
    seed: int = 0,
) -> Experiment:
    """Gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328).

    Args:
        features: channels of both stacks.
        layers: the first one with a 7x7 kernel.
        learning_rate: Adam's step size at the start; it falls to zero along a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.gated_pixel_cnn(shape=(28, 28, 1), features=features, layers=layers)
    player = Player(terms=model.nll, tx=optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))
    mnist = data.splits("mnist-static", batch_size=batch_size, seed=seed, eval_batch_size=100)
    return likelihood_experiment(model, {"model": player}, mnist, steps=steps, seed=seed)
