"""ImageGPT on scikit-learn's 8x8 digits of 17 levels, given the label.

    genjax-zoo train experiments/image_gpt_digits.py
    genjax-zoo sample runs/image_gpt_digits --cond label=3

Each column of samples.png is one label. "test/nll" is in nats given the label.
"""

import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, Player, data, evals, main, models


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
    player = Player(terms=model.nll, tx=optax.adam(schedule), ema=0.99)
    train = data.load("digits", "train", batch_size=batch_size, conditions=("label",), seed=seed)
    valid, test = (data.load("digits", s, batch_size=250, conditions=("label",)) for s in ("valid", "test"))
    return Experiment(
        model=model,
        players={"image_gpt": player},
        data=train,
        steps=steps,
        seed=seed,
        evals={
            "valid": evals.likelihood(valid),
            "test": evals.likelihood(test),
            "samples": evals.sample_grid(n=100, cond={"label": jnp.arange(100) % 10}),
        },
        eval_every=250,
        save_every=250,
        best="valid/nll",
        steps_per_call=10,
    )


if __name__ == "__main__":
    main(experiment)
