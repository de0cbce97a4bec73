"""R3GAN on Stacked MNIST, three random digits as red, green and blue: which of its 1,000 modes are drawn.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo sweep r3gan_stacked_mnist --seeds 10

FOLDER/mnist holds MNIST's four files. See dcgan_stacked_mnist for what is counted.

Cost: not measured, for it needs an accelerator. Unfinished: it was run for a few steps only; the paper reports
"modes/mode_kl" 0.029 nats.
"""

import optax

from genjax_zoo import Experiment, data, evals, gan_experiment, losses, models, train


def experiment(
    *,
    gamma: float = 1.0,
    latent: int = 64,
    width: int = 64,
    blocks: int = 2,
    learning_rate: float = 2e-4,
    batch_size: int = 64,
    steps: int = 100_000,
    mode_samples: int = 26_000,
    seed: int = 0,
) -> Experiment:
    """R3GAN (Huang et al. 2024): the relativistic game with R1 and R2, without normalisation.

    Args:
        gamma: of R1 and R2, whose weights are gamma / 2.
        latent: the dimension of z.
        width: channels at each size.
        blocks: at each size.
        learning_rate: Adam's step size, for both.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        mode_samples: in which modes are counted.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.r3gan(shape=(28, 28, 3), latent=latent, widths=(width,) * 3, blocks=blocks)
    return gan_experiment(
        model,
        losses.adversarial(model, losses.adversary("relativistic"), r1=losses.r1, r2=losses.r2),
        optax.adam(learning_rate, b1=0.0, b2=0.99),
        data.load("stacked-mnist", "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        penalties={"r1": gamma / 2, "r2": gamma / 2},
        more={"modes": evals.stacked_modes(mode_samples)},
        alarms=(train.critic_wins(),),
        eval_every=max(1, steps // 5),
    )
