"""Projection GAN on scikit-learn's 8x8 digits, given the label.

genjax-zoo train experiments/projection_gan_digits.py
genjax-zoo sample runs/projection_gan_digits -n 10 --cond label=0,1,2,3,4,5,6,7,8,9
"""

import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, Player, data, evals, losses, main, models, train


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
    critic, generator = losses.adversarial(model, losses.hinge)
    adam, weights = optax.adam(learning_rate, b1=0.0, b2=0.9), {"adversarial": 1.0}
    return Experiment(
        model=model,
        players={
            "critic": Player(terms=critic, weights=weights, tx=adam, owns=("discriminator",)),
            "generator": Player(terms=generator, weights=weights, tx=adam, owns=("generator",), ema=0.999),
        },
        data=data.load("digits", "train", batch_size=batch_size, conditions=("label",), seed=seed),
        evals={
            "health": evals.held_out_coverage(data.load("digits", "test", batch_size=250, conditions=("label",))),
            "samples": evals.sample_grid(n=100, cond={"label": jnp.repeat(jnp.arange(10), 10)}),
        },
        alarms=(train.critic_wins(), train.collapsed("health/coverage")),
        steps=steps,
        seed=seed,
        steps_per_call=10,
    )


if __name__ == "__main__":
    main(experiment)
