"""The original GAN's dense networks on MNIST, in the game of WGAN-GP; the original game, DRAGAN or LeCam by flags.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train gan_mnist
    GENJAX_ZOO_DATA=FOLDER genjax-zoo train gan_mnist --adversary non_saturating --wgan-gp 0
    GENJAX_ZOO_DATA=FOLDER genjax-zoo train gan_mnist --adversary non_saturating --wgan-gp 0 --dragan 10

FOLDER/mnist holds MNIST's four files. With these networks the original game, the second command, collapses to one digit
within 10,000 steps; the penalised one does not.

Cost: half an hour on one CPU core. Unfinished: "health/coverage" 83 % at step 8,000, still rising.
"""

import optax

from genjax_zoo import Experiment, data, evals, gan_experiment, judges, losses, models, train, wrap


def experiment(
    *,
    adversary: str = "wasserstein",
    wgan_gp: float = 10.0,
    dragan: float = 0.0,
    lecam: float = 0.0,
    learning_rate: float = 2e-4,
    batch_size: int = 100,
    steps: int = 20_000,
    seed: int = 0,
) -> Experiment:
    """GAN (Goodfellow et al. 2014) and WGAN-GP (Gulrajani et al. 2017, arXiv:1704.00028).

    Args:
        adversary: the game: minimax, non_saturating, least_squares, hinge, wasserstein, relativistic, ...
        wgan_gp: the weight of the gradient penalty between real and fake, 10 in the paper; 0 leaves it out.
        dragan: the weight of the one around real images.
        lecam: the weight of the distance from earlier scores.
        learning_rate: Adam's step size, for both.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = wrap.with_memory(models.gan(shape=(28, 28, 1)))
    asked = {"wgan_gp": wgan_gp, "dragan": dragan, "lecam": lecam}
    penalties = {name: weight for name, weight in asked.items() if weight}
    terms = {name: getattr(losses, name) for name in penalties}
    mnist = data.splits("mnist", batch_size=batch_size, seed=seed, eval_batch_size=500, valid=False)
    return gan_experiment(
        model,
        losses.adversarial(model, losses.adversary(adversary), **terms),
        optax.adam(learning_rate, b1=0.5),
        mnist.train,
        steps=steps,
        seed=seed,
        penalties=penalties,
        more={"health": evals.held_out_coverage(mnist.test, judges.mnist().features)},
        alarms=(train.collapsed("health/coverage"), *(() if adversary == "wasserstein" else (train.critic_wins(),))),
    )
