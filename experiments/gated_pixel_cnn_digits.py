"""Gated PixelCNN on scikit-learn's 8x8 digits, all 17 grey levels, given the label.

    genjax-zoo train gated_pixel_cnn_digits
    genjax-zoo sample runs/gated_pixel_cnn_digits --cond label=3

Each column of samples.png is one label. "bits/dim" is exact. 1,297 images are soon learnt by heart: more steps, or more
features, make the likelihood of others worse.

Cost: not measured; minutes of two CPU cores. Expected: "test/nll" 76.0 nats, 1.71 bits/dim.
"""

import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, models


def experiment(
    *,
    features: int = 32,
    layers: int = 5,
    learning_rate: float = 2e-3,
    batch_size: int = 128,
    steps: int = 500,
    seed: int = 0,
) -> Experiment:
    """Gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328) of 8x8 digits given their label.

    Args:
        features: channels of both stacks.
        layers: the first one with a 5x5 kernel.
        learning_rate: AdamW's step size at the start, with a weight decay of 0.1; it falls to zero along a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    model = models.gated_pixel_cnn(shape=(8, 8, 1), levels=17, features=features, layers=layers, size=5, classes=10)
    return likelihood_experiment(
        model,
        {"model": Player(terms=model.nll, tx=optax.adamw(schedule, weight_decay=0.1), ema=0.99)},
        data.splits("digits", batch_size=batch_size, conditions=("label",), seed=seed),
        steps=steps,
        seed=seed,
        samples=evals.sample_grid(n=100, cond={"label": jnp.arange(100) % 10}),
        eval_every=50,
        steps_per_call=50,
    )
