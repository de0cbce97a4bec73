"""VAE on scikit-learn's 8x8 digits: the main job, on data that needs no network.

    genjax-zoo train vae_digits

Exact 17-level likelihood, so bits/dim can be compared with any other model's.

Cost: 20 seconds on two CPU cores. Expected: "test/nelbo" 90.9 nats, 2.05 bits/dim.
"""

import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models
from genjax_zoo.math import discretized_logistic


def experiment(
    *,
    latent: int = 16,
    hidden: int = 256,
    beta: float = 1.0,
    learning_rate: float = 2e-3,
    batch_size: int = 128,
    steps: int = 2_000,
    seed: int = 0,
) -> Experiment:
    """VAE (Kingma & Welling 2013) on 8x8 digits.

    Args:
        latent: the dimension of z.
        hidden: the width of the two hidden layers.
        beta: the weight of the KL divergence; 1 is the bound.
        learning_rate: Adam's step size at the start; it falls to zero along a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    model = models.vae(shape=(8, 8, 1), latent=latent, hidden=(hidden, hidden), likelihood=discretized_logistic(17))
    player = Player(terms=model.nelbo, weights={"distortion": 1.0, "rate": beta}, tx=optax.adam(schedule), ema=0.99)
    digits = data.splits("digits", batch_size=batch_size, seed=seed)
    return likelihood_experiment(
        model, {"vae": player}, digits, steps=steps, seed=seed, reconstructions=32, eval_every=500, steps_per_call=50
    )
