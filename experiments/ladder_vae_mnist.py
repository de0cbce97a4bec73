"""Ladder VAE on statically binarized MNIST: three layers of latents, 8x8, 4x4 and 2x2, of 32 channels.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train experiments/ladder_vae_mnist.py

FOLDER/mnist_static holds Larochelle's three files. For an accelerator: a step is 33 GFLOP by XLA's
own count. The default is ten epochs of 781 steps, and the bound that it prints is unfinished.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, losses, main, models


def experiment(
    *,
    layers: int = 3,
    latent: int = 32,
    features: int = 64,
    blocks: int = 4,
    free_bits: float = 0.5,
    learning_rate: float = 3e-4,
    batch_size: int = 64,
    steps: int = 7_810,
    test_k: int = 1_000,
    seed: int = 0,
) -> Experiment:
    """Ladder VAE (Sønderby et al. 2016, arXiv:1602.02282) on statically binarized MNIST.

    Args:
        layers: of latents.
        latent: channels of every latent.
        features: channels of every convolution.
        blocks: residual blocks per layer and pass.
        free_bits: nats of every layer's rate that cost nothing.
        learning_rate: Adamax's step size.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        test_k: draws of all latents per image in the bound on the test set.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.ladder_vae(shape=(28, 28, 1), layers=layers, latent=latent, features=features, blocks=blocks)
    terms = losses.free_bits(model.nelbo, free_bits)
    valid, test = (data.load("mnist-static", split, batch_size=500) for split in ("valid", "test"))
    return Experiment(
        model=model,
        players={"vae": Player(terms=terms, tx=optax.adamax(learning_rate), ema=0.999)},
        data=data.load("mnist-static", "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        evals={
            "valid": evals.likelihood(valid),
            "test": evals.likelihood(test),
            "test_iw": evals.iw_bound(test, k=test_k, chunk=10),
            "samples": evals.sample_grid(n=64),
            "reconstructions": evals.reconstructions(test, n=32),
        },
        eval_every=steps,
        save_every=500,
    )


if __name__ == "__main__":
    main(experiment)
