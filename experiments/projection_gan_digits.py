"""Projection GAN on scikit-learn's 8x8 digits, given the label.

    genjax-zoo train projection_gan_digits
    genjax-zoo sample runs/projection_gan_digits -n 10 --cond label=0,1,2,3,4,5,6,7,8,9

Cost: 25 minutes on one CPU core. Unfinished: "health/coverage" 67 % at step 1,210.
"""

import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, data, evals, gan_experiment, losses, models, train


def experiment(
    *,
    latent: int = 32,
    features: int = 64,
    learning_rate: float = 2e-4,
    batch_size: int = 64,
    steps: int = 4_000,
    seed: int = 0,
) -> Experiment:
    """The conditional GAN of Miyato & Koyama 2018: hinge, spectral norm, conditional batch norm, a projection.

    Args:
        latent: the dimension of z.
        features: channels of all blocks.
        learning_rate: Adam's step size, for both.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.projection_gan(shape=(8, 8, 1), classes=10, latent=latent, features=features)
    digits = data.splits("digits", batch_size=batch_size, conditions=("label",), seed=seed, valid=False)
    return gan_experiment(
        model,
        losses.adversarial(model, losses.hinge),
        optax.adam(learning_rate, b1=0.0, b2=0.9),
        digits.train,
        steps=steps,
        seed=seed,
        samples=evals.sample_grid(n=100, cond={"label": jnp.repeat(jnp.arange(10), 10)}),
        more={"health": evals.held_out_coverage(digits.test)},
        alarms=(train.critic_wins(), train.collapsed("health/coverage")),
    )
