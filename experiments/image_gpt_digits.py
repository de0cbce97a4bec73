"""ImageGPT on scikit-learn's 8x8 digits of 17 levels, given the label.

    genjax-zoo train image_gpt_digits
    genjax-zoo sample runs/image_gpt_digits --cond label=3

Each column of samples.png is one label. "test/nll" is in nats given the label.

Cost: not measured. Unfinished: "test/nll" 92.0 nats at step 250, still falling.
"""

import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, models


def experiment(
    *,
    features: int = 64,
    layers: int = 4,
    heads: int = 2,
    dropout: float = 0.2,
    learning_rate: float = 2e-3,
    batch_size: int = 64,
    steps: int = 3_000,
    seed: int = 0,
) -> Experiment:
    """ImageGPT (Chen et al. 2020) on 8x8 digits, given the label.

    Args:
        features: of every token.
        layers: transformer blocks.
        heads: of attention.
        dropout: share of features dropped in training: the training set is 1,297 images.
        learning_rate: Adam's step size after a warm-up of one step in thirty; it falls to zero along a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.image_gpt(
        shape=(8, 8, 1), levels=17, features=features, layers=layers, heads=heads, classes=10, dropout=dropout
    )
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, steps // 30, steps)
    return likelihood_experiment(
        model,
        {"image_gpt": Player(terms=model.nll, tx=optax.adam(schedule), ema=0.99)},
        data.splits("digits", batch_size=batch_size, conditions=("label",), seed=seed),
        steps=steps,
        seed=seed,
        samples=evals.sample_grid(n=100, cond={"label": jnp.arange(100) % 10}),
        eval_every=250,
        save_every=250,
        steps_per_call=10,
    )
