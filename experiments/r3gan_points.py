"""A relativistic GAN with R1 and R2 on points in the plane: the game of R3GAN, which drops no modes.

    genjax-zoo sweep r3gan_points --seeds 10
    genjax-zoo sweep r3gan_points --seeds 10 --points ring8

See gan_points for the plain game, PacGAN and what is counted.

Cost: three seeds take 28 minutes on one CPU core. Expected: all 25 modes, 96 % within 3 sigma.
"""

import optax

from genjax_zoo import Experiment, data, evals, gan_experiment, losses, models


def experiment(
    *,
    points: str = "grid25",
    gamma: float = 0.3,
    hidden: int = 128,
    layers: int = 8,
    learning_rate: float = 2e-3,
    batch_size: int = 256,
    steps: int = 20_000,
    seed: int = 0,
) -> Experiment:
    """R3GAN (Huang et al. 2024) in two dimensions.

    Args:
        points: the set, grid25 or ring8.
        gamma: of R1 and R2, whose weights are gamma / 2.
        hidden: width of the networks' layers.
        layers: how many; what lies between modes are the places where the generator jumps, and deep ones jump shorter.
        learning_rate: Adam's step size at first, for both; it falls to zero by a cosine.
        batch_size: points per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.r3gan(shape=(2,), latent=2, hidden=(hidden,) * layers)
    bound = 1.6 if points == "ring8" else 5.0
    return gan_experiment(
        model,
        losses.adversarial(model, losses.adversary("relativistic"), r1=losses.r1, r2=losses.r2),
        optax.adam(optax.cosine_decay_schedule(learning_rate, steps), b1=0.0, b2=0.9),
        data.load(points, "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        penalties={"r1": gamma / 2, "r2": gamma / 2},
        samples=None,
        more={"coverage": evals.mode_coverage(*data.mixture(points)), "points": evals.sample_map(bound=bound)},
        eval_every=max(1, steps // 5),
        save_every=max(1, steps // 5),
        log_every=500,
        steps_per_call=50,
    )
