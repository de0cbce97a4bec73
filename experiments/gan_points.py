"""GAN on points in the plane, whose modes can be counted: how many it reaches, and what packing does (PacGAN).

    genjax-zoo sweep gan_points --seeds 10
    genjax-zoo sweep gan_points --seeds 10 --pack 4

The networks and the optimizer are those of Lin et al. 2018, sec. 4.1 (arXiv:1712.04086), who train for 400,000 steps.
"coverage/modes" counts modes among 2,500 samples, "coverage/high_quality" is the share within 3 sigma of one.

Cost: ten seeds take an hour on one CPU core for 8,000 steps. Unfinished: 17.7 modes there, and 12.2 with --pack 4; the
paper reports 17.3 and 24.8.
"""

import flax.linen as nn
import jax
import optax

from genjax_zoo import Experiment, data, evals, gan_experiment, losses, models


def experiment(
    *,
    points: str = "grid25",
    adversary: str = "non_saturating",
    pack: int = 1,
    learning_rate: float = 1e-4,
    batch_size: int = 100,
    steps: int = 20_000,
    seed: int = 0,
) -> Experiment:
    """GAN (Goodfellow et al. 2014) and PacGAN (Lin et al. 2018) in two dimensions.

    Args:
        points: the set, grid25 or ring8.
        adversary: the game: minimax, non_saturating, least_squares, hinge, wasserstein, relativistic, ...
        pack: examples that the discriminator sees at once; 1 is a plain GAN.
        learning_rate: Adam's step size, for both.
        batch_size: points per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.gan(
        shape=(2,),
        latent=2,
        hidden=(400,) * 4,
        critic_hidden=(200,) * 3,
        pieces=5,
        normalised=True,
        pack=pack,
        kernel_init=nn.initializers.normal(0.02),
        prior=jax.random.normal,
    )
    bound = 1.6 if points == "ring8" else 5.0
    return gan_experiment(
        model,
        losses.adversarial(model, losses.adversary(adversary)),
        optax.adam(learning_rate, b1=0.8),
        data.load(points, "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        ema=0.0,
        samples=None,
        more={"coverage": evals.mode_coverage(*data.mixture(points)), "points": evals.sample_map(bound=bound)},
        eval_every=max(1, steps // 5),
        save_every=max(1, steps // 5),
        log_every=500,
        steps_per_call=50,
    )
