"""R3GAN on Stacked MNIST, three random digits as red, green and blue: which of its 1,000 modes are drawn.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo sweep experiments/r3gan_stacked_mnist.py --seeds 10

FOLDER/mnist holds MNIST's four files. See dcgan_stacked_mnist for what is counted.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, losses, main, models, train


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
    critic, generator = losses.adversarial(model, losses.adversary("relativistic"), r1=losses.r1, r2=losses.r2)
    adam = optax.adam(learning_rate, b1=0.0, b2=0.99)
    weights = {"adversarial": 1.0, "r1": gamma / 2, "r2": gamma / 2}
    return Experiment(
        model=model,
        players={
            "critic": Player(terms=critic, weights=weights, tx=adam, owns=("discriminator",)),
            "generator": Player(terms=generator, weights={"adversarial": 1.0}, tx=adam, owns=("generator",), ema=0.999),
        },
        data=data.load("stacked-mnist", "train", batch_size=batch_size, seed=seed),
        evals={"modes": evals.stacked_modes(mode_samples), "samples": evals.sample_grid(n=64)},
        alarms=(train.critic_wins(),),
        steps=steps,
        seed=seed,
        steps_per_call=10,
        eval_every=max(1, steps // 5),
    )


if __name__ == "__main__":
    main(experiment)
