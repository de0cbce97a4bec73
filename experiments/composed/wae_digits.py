"""WAE-MMD on scikit-learn's 8x8 digits: a deterministic encoder, whose codes a kernel compares with the prior's draws.

    genjax-zoo train wae_digits

An Experiment of its own: it trains no likelihood.

Cost: under a minute on two CPU cores. Expected: "test/reconstruction_error" 0.021 a number, with an "mmd" of 0.01, from
0.5.
"""

import jax
import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, Model, Player, compose, data, evals, losses, models
from genjax_zoo.core import Latent, Sampler, TermFn, part, require
from genjax_zoo.math import gaussian

# own
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def kernel_matching(model: Model, scale: float) -> TermFn:
    """Squared errors, and the distance of the codes to the prior by inverse multiquadratic kernels, without bias."""
    encode, decode = part(model, Latent, "encode"), part(model, Latent, "decode")
    prior = require(compose.parts_of(model)[0], Sampler).draw

    def kernel(a, b):
        squares = jnp.sum((a[:, None] - b) ** 2, axis=-1)
        return sum(c * scale / (c * scale + squares) for c in SCALES)

    def terms(variables, batch, key, train):
        k_z, k_prior = jax.random.split(key)
        z, variables = encode(variables, batch, k_z, train=train)
        rebuilt, variables = decode(variables, z, train=train)
        drawn, variables = prior(variables, k_prior, len(z), train=train)
        codes, draws = losses.gathered((z, drawn))
        own = kernel(z, codes) + kernel(drawn, draws)
        within = (jnp.sum(own, axis=1) - 2 * len(SCALES)) / (len(codes) - 1)  # without itself, of kernel 1
        errors = (batch["x"] - rebuilt).reshape(len(z), -1)
        return {"distortion": jnp.sum(errors**2, 1), "mmd": within - 2 * jnp.mean(kernel(z, draws), 1)}, variables

    return terms


# end


def experiment(
    *,
    latent: int = 6,
    hidden: int = 64,
    weight: float = 10.0,
    learning_rate: float = 2e-3,
    batch_size: int = 128,
    steps: int = 2_000,
    seed: int = 0,
) -> Experiment:
    """WAE (Tolstikhin et al. 2017, arXiv:1711.01558) on 8x8 digits.

    Args:
        latent: the dimension of z.
        hidden: the width of the hidden layer.
        weight: of the kernel distance; lambda in the paper.
        learning_rate: Adam's step size.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.vae(shape=(8, 8, 1), latent=latent, hidden=(hidden,), likelihood=gaussian(0.1))
    weights = {"distortion": 1.0, "mmd": weight}  # own
    digits = data.splits("digits", batch_size=batch_size, seed=seed, valid=False)
    return Experiment(
        model=model,
        players={
            "wae": Player(
                terms=kernel_matching(model, 2.0 * latent), weights=weights, tx=optax.adam(learning_rate)
            )  # own
        },
        data=digits.train,
        steps=steps,
        seed=seed,
        evals={"test": evals.reconstruction_error(digits.test), "samples": evals.sample_grid()},
        steps_per_call=20,
    )
