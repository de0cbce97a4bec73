"""Ladder VAE on statically binarized MNIST: three layers of latents, 8x8, 4x4 and 2x2, of 32 channels.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train ladder_vae_mnist

FOLDER/mnist_static holds Larochelle's three files. The default is ten epochs of 781 steps.

Cost: 33 GFLOP a step by XLA's own count; not measured, for it needs an accelerator. Unfinished: "test_iw/iw-1000" of
79.24 nats is reported by addtt/ladder-vae-pytorch.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, losses, models


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
    mnist = data.splits("mnist-static", batch_size=batch_size, seed=seed, eval_batch_size=500)
    return likelihood_experiment(
        model,
        {"vae": Player(terms=terms, tx=optax.adamax(learning_rate), ema=0.999)},
        mnist,
        steps=steps,
        seed=seed,
        more={"test_iw": evals.iw_bound(mnist.test, k=test_k, chunk=10)},
        reconstructions=32,
        best=False,  # it is evaluated once
        eval_every=steps,
        save_every=500,
    )
