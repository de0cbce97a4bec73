"""VampPrior VAE on statically binarized MNIST: gated 784-300-300-40, 500 pseudo-inputs.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train vamp_prior_mnist
    GENJAX_ZOO_DATA=FOLDER genjax-zoo train vamp_prior_mnist --steps 60000 --warm-up 5000

FOLDER/mnist_static holds Larochelle's three files. The paper trains for up to 2,000 epochs of 500 steps, and anneals
the rate over the first 100; the default is 40 epochs.

Cost: 15 minutes on one CPU core; the second command 45. Unfinished by the first. Expected of the second:
"test_iw/iw-5000" 85.25 nats; the paper reports 85.57.
"""

import jax
import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, models


def experiment(
    *,
    pseudo_inputs: int = 500,
    learning_rate: float = 5e-4,
    batch_size: int = 100,
    steps: int = 20_000,
    warm_up: int | None = None,
    test_k: int = 5_000,
    seed: int = 0,
) -> Experiment:
    """VampPrior (Tomczak & Welling 2018, arXiv:1705.07120) on statically binarized MNIST.

    Args:
        pseudo_inputs: components of the prior.
        learning_rate: Adam's step size, on gradients that every leaf has normalised.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        warm_up: steps in which the weight of the rate grows from 0 to 1; a quarter of all where it is not given.
        test_k: draws of z per image in the bound on the test set.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.vamp_prior(shape=(28, 28, 1), pseudo_inputs=pseudo_inputs)
    normalise = optax.stateless(
        lambda gradients, _: jax.tree.map(lambda g: g / (jnp.linalg.norm(g) + 1e-10), gradients)
    )
    warm_up = steps // 4 if warm_up is None else warm_up
    weights = {"distortion": 1.0, "rate": optax.linear_schedule(0.0, 1.0, warm_up) if warm_up else 1.0}
    tx = optax.chain(normalise, optax.adam(learning_rate))
    mnist = data.splits("mnist-static", batch_size=batch_size, seed=seed, eval_batch_size=500)
    return likelihood_experiment(
        model,
        {"vae": Player(terms=model.nelbo, weights=weights, tx=tx, ema=0.999)},
        mnist,
        steps=steps,
        seed=seed,
        more={"test_iw": evals.iw_bound(mnist.test, k=test_k), "units": evals.active_units(mnist.test)},
        reconstructions=32,
        best=False,  # it is evaluated once
        eval_every=steps,
        save_every=5_000,
        steps_per_call=20,
    )
