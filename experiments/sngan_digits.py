"""SNGAN on scikit-learn's 8x8 digits: residual networks, a spectrally normalised critic.

genjax-zoo train experiments/sngan_digits.py
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, losses, main, models, train


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
    critic, generator = losses.adversarial(model, losses.adversary(adversary), augment=changed)
    adam, weights = optax.adam(learning_rate, b1=0.0, b2=0.9), {"adversarial": 1.0}
    return Experiment(
        model=model,
        players={
            "critic": Player(terms=critic, weights=weights, tx=adam, owns=("discriminator",)),
            "generator": Player(terms=generator, weights=weights, tx=adam, owns=("generator",), ema=0.999),
        },
        data=data.load("digits", "train", batch_size=batch_size, seed=seed),
        evals={
            "health": evals.held_out_coverage(data.load("digits", "test", batch_size=250)),
            "samples": evals.sample_grid(n=64),
        },
        alarms=(train.critic_wins(), train.collapsed("health/coverage")),
        steps=steps,
        seed=seed,
        steps_per_call=10,
    )


if __name__ == "__main__":
    main(experiment)
