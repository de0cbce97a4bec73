"""Adversarial autoencoder on scikit-learn's 8x8 digits: a VAE's three parts, and a critic of z in place of the rate.

    genjax-zoo train aae_digits

An Experiment of its own: it trains no likelihood.

Cost: under a minute on two CPU cores. Expected: "test/reconstruction_error" 0.022 a number, with an accuracy of the
critic of 0.8.
"""

import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, Model, Player, compose, data, evals, losses, models, nn
from genjax_zoo.core import Critic, Density, Explained, Sampler, conditions, require, total
from genjax_zoo.losses import Adversary
from genjax_zoo.math import discretized_logistic


# own
def adversarial_autoencoder(model: Model, critic: Critic, adversary: Adversary) -> tuple[Explained, Explained]:
    """The critic's terms, and the autoencoder's: the critic tells draws from q(z | x) from those of the prior."""
    prior, posterior, observation = compose.parts_of(model)
    infer, observed = require(posterior, Sampler).draw, require(observation, Density).terms

    def codes(variables, batch, key, *, train=False):
        return infer(variables, key, len(batch["x"]), {**conditions(batch), "given": batch["x"]}, train=train)

    def reconstruct(variables, batch, key, train):
        z, variables = codes(variables, batch, key, train=train)
        of_x, variables = observed(variables, {**batch, "z": z}, key, train=train)
        return {"distortion": total(of_x)}, variables

    of_critic, fool = losses.game(critic, codes, losses.samples_of(prior), adversary)
    return of_critic, losses.merge(reconstruct, fool)


# end


def experiment(
    *,
    latent: int = 6,
    hidden: int = 64,
    fool: float = 5.0,
    adversary: str = "non_saturating",
    learning_rate: float = 2e-3,
    batch_size: int = 128,
    steps: int = 2_000,
    seed: int = 0,
) -> Experiment:
    """AAE (Makhzani et al. 2015, arXiv:1511.05644) on 8x8 digits; its two turns of the encoder are one.

    Args:
        latent: the dimension of z.
        hidden: the width of the hidden layers.
        fool: the weight of the game against the distortion.
        adversary: the game, a name in `losses.ADVERSARIES`.
        learning_rate: Adam's step size.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    vae = models.vae(shape=(8, 8, 1), latent=latent, hidden=(hidden,), likelihood=discretized_logistic(17))
    model, score = compose.with_network(vae, "critic", nn.MLP((hidden, hidden), 1), jnp.zeros((1, latent)))  # own
    critics, autoencoder = adversarial_autoencoder(model, compose.critic_of(score), losses.adversary(adversary))  # own
    weights = {"distortion": 1.0, "adversarial": fool}  # own
    digits = data.splits("digits", batch_size=batch_size, seed=seed, valid=False)
    return Experiment(
        model=model,
        players={
            "critic": Player(
                terms=critics,
                weights={"adversarial": 1.0},
                tx=optax.adam(learning_rate / 2, b1=0.5),
                owns=("critic",),
            ),
            "autoencoder": Player(
                terms=autoencoder, weights=weights, tx=optax.adam(learning_rate), owns=("encoder", "decoder")
            ),
        },
        data=digits.train,
        steps=steps,
        seed=seed,
        evals={"test": evals.reconstruction_error(digits.test), "samples": evals.sample_grid()},
        steps_per_call=20,
    )
