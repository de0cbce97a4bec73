"""DCGAN on Stacked MNIST, three random digits as red, green and blue: which of its 1,000 modes are drawn (PacGAN).

    GENJAX_ZOO_DATA=FOLDER genjax-zoo sweep dcgan_stacked_mnist --seeds 10
    GENJAX_ZOO_DATA=FOLDER genjax-zoo sweep dcgan_stacked_mnist --seeds 10 --pack 2

FOLDER/mnist holds MNIST's four files. The recipe is that of Lin et al. 2018, sec. 4.2 (arXiv:1712.04086): 50 epochs of
128,000 images, the generator's turn twice as often as the critic's. "modes/modes" and "modes/mode_kl" (nats) are of
26,000 samples at the end, by the zoo's own classifier; on the way the batch of "health/coverage" warns of a collapse.

Cost: 23 minutes on one CPU core for 3,000 steps of one seed. Unfinished: 861 modes there with --pack 2; the paper
reports 1,000, and 78.9 without.
"""

import optax

from genjax_zoo import Experiment, data, evals, gan_experiment, judges, losses, models, train


def experiment(
    *,
    adversary: str = "non_saturating",
    pack: int = 1,
    latent: int = 100,
    width: int = 64,
    learning_rate: float = 2e-4,
    batch_size: int = 64,
    steps: int = 100_000,
    mode_samples: int = 26_000,
    seed: int = 0,
) -> Experiment:
    """DCGAN (Radford et al. 2015) and PacDCGAN (Lin et al. 2018).

    Args:
        adversary: the game: minimax, non_saturating, least_squares, hinge, wasserstein, relativistic, ...
        pack: examples that the discriminator sees at once; 1 is a plain DCGAN.
        latent: the dimension of z.
        width: channels of the discriminator's first layer; each of the three others has twice as many.
        learning_rate: Adam's step size, for both.
        batch_size: images per step, over all devices.
        steps: train up to this step; the critic's turn comes on every second one.
        mode_samples: in which modes are counted.
        seed: of parameters, noise, and the training data's order.
    """
    widths = (width, 2 * width, 4 * width, 8 * width)
    model = models.dcgan(shape=(28, 28, 3), latent=latent, widths=widths, pack=pack, prior=models.uniform)
    stacked = data.splits("stacked-mnist", batch_size=batch_size, seed=seed, valid=False)
    return gan_experiment(
        model,
        losses.adversarial(model, losses.adversary(adversary)),
        optax.adam(learning_rate, b1=0.5),
        stacked.train,
        steps=steps,
        seed=seed,
        critic_every=2,
        ema=0.0,
        more={
            "modes": evals.stacked_modes(mode_samples),
            "health": evals.held_out_coverage(stacked.test, lambda x: judges.mnist().features(x[..., :1])),
        },
        alarms=(train.critic_wins(), train.collapsed("health/coverage", below=0.2)),
        eval_every=max(1, steps // 5),
    )
