"""PixelCNN++ on scikit-learn's 8x8 digits of 17 grey levels: data that needs no network.

    genjax-zoo train pixel_cnn_pp_digits

Exact 17-level likelihood, so that bits/dim can be compared with any other model's of these digits.

Cost: not measured. Unfinished: "test/nll" 76.9 nats, 1.73 bits/dim, at step 750, still falling.
"""

import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models


def experiment(
    *,
    features: int = 32,
    blocks: int = 1,
    scales: int = 2,
    components: int = 5,
    dropout: float = 0.3,
    learning_rate: float = 2e-3,
    batch_size: int = 64,
    steps: int = 2_000,
    seed: int = 0,
) -> Experiment:
    """PixelCNN++ (Salimans et al. 2017) on 8x8 digits.

    Args:
        features: channels of both streams.
        blocks: residual blocks of every scale in each pass.
        scales: each half of the one before.
        components: logistics in the mixture.
        dropout: the share that every block leaves out in training.
        learning_rate: Adam's step size at first; it falls to zero along a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.pixel_cnn_pp(
        shape=(8, 8, 1),
        levels=17,
        dropout=dropout,
        features=features,
        blocks=blocks,
        scales=scales,
        components=components,
    )
    tx = optax.adam(optax.cosine_decay_schedule(learning_rate, steps), b1=0.95, b2=0.9995)
    return likelihood_experiment(
        model,
        {"model": Player(terms=model.nll, tx=tx, ema=0.995)},
        data.splits("digits", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        eval_every=250,
        save_every=250,
        steps_per_call=10,
    )
