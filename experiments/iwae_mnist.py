"""IWAE on dynamically binarized MNIST: 784-200-200-50, or with a second stochastic layer, 784-200-200-100-100-100-50.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train experiments/iwae_mnist.py

FOLDER/mnist holds the four original .gz files. `--k 1` is the paper's VAE, `--layers 2` its deeper model. The
paper trains for 3,280 epochs of 600 steps; the default is 20, and the bound that it prints is unfinished. The last
evaluation draws 5,000 latents per image.
"""

from typing import Literal

import optax

from genjax_zoo import Experiment, Player, data, evals, losses, main, models

Estimator = Literal["reparameterized", "sticking_the_landing", "doubly_reparameterized"]


def experiment(
    *,
    k: int = 50,
    layers: Literal[1, 2] = 1,
    estimator: Estimator = "reparameterized",
    learning_rate: float = 1e-3,
    batch_size: int = 100,
    steps: int = 12_000,
    test_k: int = 5_000,
    seed: int = 0,
) -> Experiment:
    """IWAE (Burda et al. 2015, arXiv:1509.00519) on dynamically binarized MNIST.

    Args:
        k: draws of z per image in training; 1 is the VAE.
        layers: stochastic ones.
        estimator: whose gradient to take, of `losses.importance`.
        learning_rate: Adam's step size at the start; it falls to a tenth along a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        test_k: draws of z per image in the bound on the test set.
        seed: of parameters, noise, and the training data's order.
    """
    shallow, deep = ((50,), ((200, 200),)), ((100, 50), ((200, 200), (100, 100)))
    latent, hidden = deep if layers == 2 else shallow
    model = models.iwae(shape=(28, 28, 1), latent=latent, hidden=hidden)
    terms = losses.importance_weighted(model, k=k, estimator=getattr(losses, estimator))
    schedule = optax.cosine_decay_schedule(learning_rate, steps, alpha=0.1)
    player = Player(terms=terms, tx=optax.adam(schedule, eps=1e-4), ema=0.999)
    test = data.load("mnist-dynamic", "test", batch_size=500)
    return Experiment(
        model=model,
        players={"vae": player},
        data=data.load("mnist-dynamic", "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        evals={
            "test": evals.likelihood(test),
            "test_iw": evals.iw_bound(test, k=test_k),
            "units": evals.active_units(test),
            "samples": evals.sample_grid(n=64),
            "reconstructions": evals.reconstructions(test, n=32),
        },
        eval_every=steps,
        save_every=1_000,
        steps_per_call=20,
    )


if __name__ == "__main__":
    main(experiment)
