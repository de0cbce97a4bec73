"""VAE on dynamically binarized MNIST, or on its 256 grey levels: 784-512-512, z 32.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train vae_mnist
    GENJAX_ZOO_DATA=FOLDER genjax-zoo train vae_mnist --grey

FOLDER/mnist holds the four original .gz files. `--steps 400000` is a full training. The bound with --grey is on the
same probability that `pixel_cnn_pp_mnist` gives exactly and `glow --data mnist` bounds.

Cost: 6 minutes on two CPU cores, and 17 with --grey. Unfinished: "test/nelbo" 92.7 nats, still falling; 974 with --grey
at step 12,150.
"""

import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models
from genjax_zoo.math import bernoulli, discretized_logistic


def experiment(
    *,
    grey: bool = False,
    latent: int = 32,
    beta: float = 1.0,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    steps: int = 20_000,
    seed: int = 0,
) -> Experiment:
    """VAE (Kingma & Welling 2013) on MNIST.

    Args:
        grey: of all grey levels, by a discretized logistic; else of bits drawn anew each time.
        latent: the dimension of z.
        beta: the weight of the KL divergence; 1 is the bound.
        learning_rate: Adam's step size.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    name, likelihood = ("mnist", discretized_logistic(256)) if grey else ("mnist-dynamic", bernoulli)
    model = models.vae(shape=(28, 28, 1), latent=latent, hidden=(512, 512), likelihood=likelihood)
    weights = {"distortion": 1.0, "rate": beta}
    return likelihood_experiment(
        model,
        {"vae": Player(terms=model.nelbo, weights=weights, tx=optax.adam(learning_rate), ema=0.999)},
        data.splits(name, batch_size=batch_size, seed=seed, eval_batch_size=500),
        steps=steps,
        seed=seed,
        reconstructions=32,
        eval_every=5_000,
        save_every=5_000,
        steps_per_call=50,
    )
