"""DCGAN on scikit-learn's 8x8 digits: two players.

    genjax-zoo train dcgan_digits

The critic is spectrally normalised, which keeps the game stable at this size; --adversary picks the game.

Cost: 3 minutes on two CPU cores. Expected: 93 % "coverage" of 125 test images, in pixels, by `genjax-zoo compare`.
"""

import optax

from genjax_zoo import Experiment, data, gan_experiment, losses, models, nn


def experiment(
    *,
    adversary: str = "non_saturating",
    latent: int = 32,
    learning_rate: float = 2e-4,
    batch_size: int = 64,
    steps: int = 6_000,
    seed: int = 0,
) -> Experiment:
    """DCGAN (Radford et al. 2015) on 8x8 digits.

    Args:
        adversary: the game: minimax, non_saturating, least_squares, hinge, wasserstein, relativistic, ...
        latent: the dimension of z.
        learning_rate: Adam's step size, for both.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.dcgan(
        shape=(8, 8, 1), latent=latent, widths=(64, 128), norm=nn.spectral_norm, edge_norm=nn.spectral_norm
    )
    return gan_experiment(
        model,
        losses.adversarial(model, losses.adversary(adversary)),
        optax.adam(learning_rate, b1=0.5),
        data.load("digits", "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
    )
