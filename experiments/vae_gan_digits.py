"""VAE-GAN on scikit-learn's 8x8 digits: three players, and no special case in the train step.

    genjax-zoo train vae_gan_digits

An Experiment of its own: it has three players, and no likelihood of x.

Cost: 4 minutes on two CPU cores. Unfinished: its pictures were looked at, and no number was measured.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, models


def experiment(
    *,
    latent: int = 16,
    similarity: float = 0.1,
    learning_rate: float = 3e-4,
    batch_size: int = 64,
    steps: int = 4_000,
    seed: int = 0,
) -> Experiment:
    """VAE-GAN (Larsen et al. 2016) on 8x8 digits.

    Args:
        latent: the dimension of z.
        similarity: the weight of feature distortion against fooling, for the decoder; gamma in the paper.
        learning_rate: Adam's step size, for all three.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.vae_gan(shape=(8, 8, 1), latent=latent, widths=(64, 128))
    terms = models.vae_gan_terms(model)
    adam = optax.adam(learning_rate, b1=0.5)
    digits = data.splits("digits", batch_size=batch_size, seed=seed, valid=False)
    return Experiment(
        model=model,
        players={
            "encoder": Player(terms=terms, weights={"distortion": 1.0, "rate": 1.0}, tx=adam, owns=("encoder",)),
            "decoder": Player(
                terms=terms, weights={"distortion": similarity, "fool": 1.0}, tx=adam, owns=("decoder",), ema=0.999
            ),
            "discriminator": Player(terms=terms, weights={"critic": 1.0}, tx=adam, owns=("discriminator",)),
        },
        data=digits.train,
        evals={"samples": evals.sample_grid(n=64), "reconstructions": evals.reconstructions(digits.test, n=32)},
        steps=steps,
        seed=seed,
        steps_per_call=10,
    )
