"""PixelCNN++ on MNIST's 256 grey levels: the exact likelihood, in bits/dim.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train pixel_cnn_pp_mnist

FOLDER/mnist holds the four original .gz files. The defaults are a network for one small accelerator; the paper's, on
CIFAR-10, is `--features 160 --blocks 5 --components 10 --dropout 0.5`, and `--features 24 --blocks 1` trains on two
cores. Bits/dim are of all 784 pixels, most of which are 0.

Cost: not measured, for it needs an accelerator. Unfinished: `--features 16 --blocks 1` had 1.20 bits/dim at step 800,
after half an epoch.
"""

import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models


def experiment(
    *,
    features: int = 64,
    blocks: int = 2,
    scales: int = 3,
    components: int = 10,
    dropout: float = 0.2,
    learning_rate: float = 1e-3,
    decay: float = 0.999995,
    ema: float = 0.9995,
    batch_size: int = 64,
    steps: int = 50_000,
    seed: int = 0,
) -> Experiment:
    """PixelCNN++ (Salimans et al. 2017) on MNIST.

    Args:
        features: channels of both streams.
        blocks: residual blocks of every scale in each pass.
        scales: each half of the one before.
        components: logistics in the mixture.
        dropout: the share that every block leaves out in training.
        learning_rate: Adam's step size at first.
        decay: of the step size, with every step.
        ema: of the parameters that are evaluated.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.pixel_cnn_pp(
        shape=(28, 28, 1),
        dropout=dropout,
        features=features,
        blocks=blocks,
        scales=scales,
        components=components,
    )
    tx = optax.adam(optax.exponential_decay(learning_rate, 1, decay), b1=0.95, b2=0.9995)
    mnist = data.splits("mnist", batch_size=batch_size, seed=seed, eval_batch_size=100)
    player = Player(terms=model.nll, tx=tx, ema=ema)
    return likelihood_experiment(model, {"model": player}, mnist, steps=steps, seed=seed)
