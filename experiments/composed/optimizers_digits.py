"""A VAE on scikit-learn's 8x8 digits by what optax has: two rates, masked decay, clipping, accumulation, a stop.

    genjax-zoo train optimizers_digits --still decoder

Cost: seconds on two CPU cores. Expected: "test/nelbo" 95.4 nats where nothing is still.
"""

import jax
import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models
from genjax_zoo.math import discretized_logistic


# own
def matrices(params):
    """What weight decay is of: no biases."""
    return jax.tree.map(lambda p: p.ndim > 1, params)


def optimizer(rate: float, still: tuple[str, ...], every: int) -> optax.GradientTransformation:
    """Adam with a rate and a decay for each network, of the mean of so many gradients; those in `still` stand."""
    rates = {
        "encoder": optax.adamw(rate, weight_decay=1e-2, mask=matrices),
        "decoder": optax.adamw(rate / 2, mask=matrices),
    }
    stopped = dict.fromkeys(still, optax.set_to_zero())
    apart = optax.partition({**rates, **stopped}, lambda params: {name: name for name in params})
    return optax.MultiSteps(optax.chain(optax.clip_by_global_norm(1.0), apart), every).gradient_transformation()


# end


def experiment(
    *,
    latent: int = 6,
    hidden: int = 64,
    still: tuple[str, ...] = (),
    every: int = 4,
    learning_rate: float = 2e-3,
    batch_size: int = 32,
    steps: int = 4_000,
    seed: int = 0,
) -> Experiment:
    """VAE (Kingma & Welling 2013) on 8x8 digits, under an optimizer of several parts.

    Args:
        latent: the dimension of z.
        hidden: the width of the hidden layer.
        still: networks that do not learn.
        every: gradients that an update is the mean of.
        learning_rate: AdamW's step size of the encoder; half of it is the decoder's.
        batch_size: images per gradient, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.vae(shape=(8, 8, 1), latent=latent, hidden=(hidden,), likelihood=discretized_logistic(17))
    player = Player(terms=model.nelbo, tx=optimizer(learning_rate, still, every), ema=0.99)  # own
    digits = data.splits("digits", batch_size=batch_size, seed=seed, valid=False)
    return likelihood_experiment(model, {"vae": player}, digits, steps=steps, seed=seed, steps_per_call=20)
