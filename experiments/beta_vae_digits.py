"""beta-VAE on scikit-learn's 8x8 digits: fewer latent dimensions in use, each with a meaning of its own.

    genjax-zoo train beta_vae_digits
    genjax-zoo latent runs/beta_vae_digits

`--beta 1` is the VAE. The rate is what z costs, the distortion what it leaves.

Cost: half a minute on two CPU cores. Expected: "test/nelbo" 99.3 nats of which 2.6 are rate, 5 of 16 units active.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, models
from genjax_zoo.math import discretized_logistic


def experiment(
    *,
    latent: int = 16,
    beta: float = 4.0,
    warm_up: int | None = None,
    learning_rate: float = 2e-3,
    batch_size: int = 128,
    steps: int = 2_000,
    seed: int = 0,
) -> Experiment:
    """beta-VAE (Higgins et al. 2017, "Learning basic visual concepts") of convolutions on 8x8 digits.

    Args:
        latent: the dimension of z.
        beta: the weight of the KL divergence.
        warm_up: steps in which that weight grows from 0 to beta; a quarter of all where it is not given.
        learning_rate: Adam's step size at the start; it falls to zero along a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    model = models.conv_vae(shape=(8, 8, 1), latent=latent, widths=(32, 64), likelihood=discretized_logistic(17))
    warm_up = steps // 4 if warm_up is None else warm_up
    weights = {"distortion": 1.0, "rate": optax.linear_schedule(0.0, beta, warm_up) if warm_up else beta}
    digits = data.splits("digits", batch_size=batch_size, conditions=("label",), seed=seed, valid=False)
    return likelihood_experiment(
        model,
        {"vae": Player(terms=model.nelbo, weights=weights, tx=optax.adam(schedule), ema=0.99)},
        digits,
        steps=steps,
        seed=seed,
        more={"units": evals.active_units(digits.test)},
        reconstructions=32,
        eval_every=500,
        steps_per_call=10,
    )
