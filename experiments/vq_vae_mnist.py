"""VQ-VAE on dynamically binarized MNIST: 7x7 codes out of 128, and a gated PixelCNN over them.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train vq_vae_mnist

FOLDER/mnist holds the four original .gz files. The autoencoder and the prior learn side by side: the rate is high while
codes still move. nelbo is distortion + rate, an upper bound on -log p(x).

Cost: not measured; minutes of an accelerator. Unfinished: "test/nelbo" 247 nats at step 1,242, when the prior had
barely begun.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, models


def experiment(
    *,
    codes: int = 128,
    features: int = 16,
    prior_features: int = 32,
    prior_layers: int = 4,
    commitment: float = 0.25,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    steps: int = 20_000,
    seed: int = 0,
) -> Experiment:
    """VQ-VAE (van den Oord et al. 2017, arXiv:1711.00937) on dynamically binarized MNIST.

    Args:
        codes: in the code book.
        features: the dimension of a code.
        prior_features: channels of the prior.
        prior_layers: its layers.
        commitment: the weight that draws encodings to their codes.
        learning_rate: Adam's step size, of both players, at the start; it falls to zero along a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.vq_vae(
        shape=(28, 28, 1),
        codes=codes,
        features=features,
        widths=(32, 64),
        prior_features=prior_features,
        prior_layers=prior_layers,
    )
    autoencoder, prior = models.vector_quantized(model)
    adam = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    weights = {"distortion": 1.0, "commitment": commitment}
    players = {
        "autoencoder": Player(terms=autoencoder, weights=weights, tx=adam, owns=("encoder", "quantizer", "decoder")),
        "prior": Player(terms=prior, tx=adam, owns=("prior",), ema=0.999),
    }
    mnist = data.splits(
        "mnist-dynamic", batch_size=batch_size, seed=seed, eval_batch_size=500, conditions=("label",), valid=False
    )
    return likelihood_experiment(
        model,
        players,
        mnist,
        steps=steps,
        seed=seed,
        more={"codes": evals.code_book(mnist.test), "error": evals.reconstruction_error(mnist.test)},
        reconstructions=32,
        eval_every=5_000,
    )
