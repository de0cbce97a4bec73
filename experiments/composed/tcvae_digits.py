"""beta-TC-VAE on scikit-learn's 8x8 digits: the rate of a VAE in three parts, of which one is weighed.

    genjax-zoo train tcvae_digits

`--beta 1` is the VAE's bound.

Cost: under a minute on two CPU cores. Expected: "test/nelbo" 97.7 nats, with a rate of 4.0.
"""

import math

import jax
import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, Model, Player, compose, data, likelihood_experiment, losses, models
from genjax_zoo.core import Density, TermFn, part, require, total
from genjax_zoo.math import discretized_logistic


# own
def total_correlation(model: Model, n: int) -> TermFn:
    """The distortion, and mutual information, total correlation and dimension-wise KL of a set of n examples."""
    _, posterior, observation = compose.parts_of(model)
    moments, observed = part(posterior, Density, "gaussian"), require(observation, Density).terms

    def log_normal(z, mean, log_std):
        return -0.5 * ((z - mean) * jnp.exp(-log_std)) ** 2 - log_std - 0.5 * math.log(2 * math.pi)

    def terms(variables, batch, key, train):
        k_z, k_x = jax.random.split(key)
        q, variables = moments(variables, {"given": batch["x"]}, key=k_z, train=train)
        z = q[0] + jnp.exp(q[1]) * jax.random.normal(k_z, q[0].shape)
        of_x, variables = observed(variables, {**batch, "z": z}, k_x, train=train)
        everyone = losses.gathered(q)
        pairs, size = log_normal(z[:, None], *everyone), math.log(n * len(everyone[0]))
        log_q, log_p = jnp.sum(log_normal(z, *q), axis=-1), jnp.sum(log_normal(z, 0.0, 0.0), axis=-1)
        log_qz = jax.nn.logsumexp(jnp.sum(pairs, axis=-1), axis=1) - size
        log_qzs = jnp.sum(jax.nn.logsumexp(pairs, axis=1) - size, axis=-1)
        return {
            "distortion": total(of_x),
            "mi": log_q - log_qz,
            "tc": log_qz - log_qzs,
            "kl": log_qzs - log_p,
        }, variables

    return terms


# end


def experiment(
    *,
    latent: int = 6,
    hidden: int = 64,
    beta: float = 6.0,
    learning_rate: float = 2e-3,
    batch_size: int = 128,
    steps: int = 2_000,
    seed: int = 0,
) -> Experiment:
    """beta-TC-VAE (Chen et al. 2018, arXiv:1802.04942) on 8x8 digits.

    Args:
        latent: the dimension of z.
        hidden: the width of the hidden layer.
        beta: the weight of the total correlation; 1 is the bound.
        learning_rate: Adam's step size.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.vae(shape=(8, 8, 1), latent=latent, hidden=(hidden,), likelihood=discretized_logistic(17))
    digits = data.splits("digits", batch_size=batch_size, seed=seed, valid=False)
    terms = total_correlation(model, len(digits.train))  # own
    weights = {"distortion": 1.0, "mi": 1.0, "tc": beta, "kl": 1.0}  # own
    player = Player(terms=terms, weights=weights, tx=optax.adam(learning_rate))
    return likelihood_experiment(model, {"vae": player}, digits, steps=steps, seed=seed, steps_per_call=20)
