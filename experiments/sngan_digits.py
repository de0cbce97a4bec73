"""SNGAN on scikit-learn's 8x8 digits: residual networks, a spectrally normalised critic.

    genjax-zoo train sngan_digits

Cost: 15 minutes on one CPU core. Unfinished: "health/coverage" 67 % at step 1,910.
"""

import optax

from genjax_zoo import Experiment, data, evals, gan_experiment, losses, models, train


def experiment(
    *,
    adversary: str = "hinge",
    latent: int = 32,
    features: int = 64,
    augment: bool = False,
    learning_rate: float = 2e-4,
    batch_size: int = 64,
    steps: int = 4_000,
    seed: int = 0,
) -> Experiment:
    """SNGAN (Miyato et al. 2018).

    Args:
        adversary: the game: minimax, non_saturating, least_squares, hinge, wasserstein, relativistic, ...
        latent: the dimension of z.
        features: channels of all blocks.
        augment: differentiable augmentation of what the critic sees (Zhao et al. 2020): shifts and cutout.
        learning_rate: Adam's step size, for both.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.sngan(shape=(8, 8, 1), latent=latent, features=features)
    changed = losses.diff_augment(losses.translation, losses.cutout) if augment else None
    digits = data.splits("digits", batch_size=batch_size, seed=seed, valid=False)
    return gan_experiment(
        model,
        losses.adversarial(model, losses.adversary(adversary), augment=changed),
        optax.adam(learning_rate, b1=0.0, b2=0.9),
        digits.train,
        steps=steps,
        seed=seed,
        more={"health": evals.held_out_coverage(digits.test)},
        alarms=(train.critic_wins(), train.collapsed("health/coverage")),
    )
