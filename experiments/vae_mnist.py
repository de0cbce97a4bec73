"""VAE on dynamically binarized MNIST, or on its 256 grey levels: 784-512-512, z 32.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train experiments/vae_mnist.py
    GENJAX_ZOO_DATA=FOLDER genjax-zoo train experiments/vae_mnist.py --grey

FOLDER/mnist holds the four original .gz files. `--steps 400000` is a full training; the default ends within minutes.
The bound with --grey is on the same probability that `pixel_cnn_pp_mnist` gives exactly and `glow_mnist` bounds.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, main, models
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
    player = Player(
        terms=model.nelbo, weights={"distortion": 1.0, "rate": beta}, tx=optax.adam(learning_rate), ema=0.999
    )
    valid, test = (data.load(name, split, batch_size=500) for split in ("valid", "test"))
    return Experiment(
        model=model,
        players={"vae": player},
        data=data.load(name, "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        evals={
            "valid": evals.likelihood(valid),
            "test": evals.likelihood(test),
            "samples": evals.sample_grid(n=64),
            "reconstructions": evals.reconstructions(test, n=32),
        },
        eval_every=5_000,
        save_every=5_000,
        best="valid/nelbo",
        steps_per_call=50,
    )


if __name__ == "__main__":
    main(experiment)
