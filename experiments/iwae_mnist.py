"""IWAE on dynamically binarized MNIST: 784-200-200-50, or with a second stochastic layer, 784-200-200-100-100-100-50.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train iwae_mnist
    GENJAX_ZOO_DATA=FOLDER genjax-zoo train iwae_mnist --k 1 --learning-rate 0.002 --steps 450000

FOLDER/mnist holds the four original .gz files. `--k 1` is the paper's VAE, `--layers 2` its deeper model. The paper
trains for 3,280 epochs of 600 steps; the default is 20. The last evaluation draws 5,000 latents per image.

Cost: 4 steps/s on one CPU core, 135 with --k 1. Unfinished by the first command; the paper reports "test_iw/iw-5000"
84.78 nats. Expected of the second: 87.3 nats after an hour; reported are 86.76.
"""

from typing import Literal

import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, losses, models

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
    mnist = data.splits("mnist-dynamic", batch_size=batch_size, seed=seed, eval_batch_size=500, valid=False)
    return likelihood_experiment(
        model,
        {"vae": Player(terms=terms, tx=optax.adam(schedule, eps=1e-4), ema=0.999)},
        mnist,
        steps=steps,
        seed=seed,
        more={"test_iw": evals.iw_bound(mnist.test, k=test_k), "units": evals.active_units(mnist.test)},
        reconstructions=32,
        eval_every=steps,
        steps_per_call=20,
    )
