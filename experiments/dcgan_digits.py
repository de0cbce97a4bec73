"""DCGAN on scikit-learn's 8x8 digits: two players.

    genjax-zoo train experiments/dcgan_digits.py

The critic is spectrally normalised, which keeps the game stable at this size; --adversary picks the game.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, losses, main, models, nn


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
    critic, generator = losses.adversarial(model, losses.adversary(adversary))
    adam = optax.adam(learning_rate, b1=0.5)
    weights = {"adversarial": 1.0}
    return Experiment(
        model=model,
        players={
            "critic": Player(terms=critic, weights=weights, tx=adam, owns=("discriminator",)),
            "generator": Player(terms=generator, weights=weights, tx=adam, owns=("generator",), ema=0.999),
        },
        data=data.load("digits", "train", batch_size=batch_size, seed=seed),
        evals={"samples": evals.sample_grid(n=64)},
        steps=steps,
        seed=seed,
        steps_per_call=10,
    )


if __name__ == "__main__":
    main(experiment)
