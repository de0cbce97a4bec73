"""InfoGAN on scikit-learn's 8x8 digits: DCGAN with a categorical code in z, and a network that reads it off x again.

    genjax-zoo train infogan_digits

An Experiment of its own: it has three players.

Cost: a minute on two CPU cores. Expected: "generator/information" 0.02 nats, from log 10 = 2.3: the code is read off x.
"""

import jax
import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, Model, Player, compose, data, evals, losses, models, nn
from genjax_zoo.core import Array, Key, Latent, Of, TermFn, part


# own
def coded(codes: int):
    """Draws z: a one-hot code of so many classes, and noise."""

    def prior(key: Key, shape: tuple[int, ...]) -> Array:
        k_code, k_noise = jax.random.split(key)
        code = jax.nn.one_hot(jax.random.randint(k_code, shape[:1], 0, codes), codes)
        return jnp.concatenate([code, jax.random.normal(k_noise, (shape[0], shape[1] - codes))], axis=1)

    return prior


def information(model: Model, recognise: Of[Array], prior, size: int, codes: int) -> TermFn:
    """The cross entropy of the code, as the recogniser reads it off x: a bound on their mutual information."""
    decode = part(model, Latent, "decode")

    def terms(variables, batch, key, train):
        z = prior(key, (len(batch["x"]), size))
        x, variables = decode(variables, z, train=train)
        logits, variables = recognise(variables, x, train=train)
        return {"information": optax.softmax_cross_entropy(logits, z[:, :codes])}, variables

    return terms


# end


def experiment(
    *,
    codes: int = 10,
    noise: int = 16,
    widths: tuple[int, ...] = (16, 32),
    weight: float = 1.0,
    learning_rate: float = 2e-4,
    batch_size: int = 64,
    steps: int = 2_000,
    seed: int = 0,
) -> Experiment:
    """InfoGAN (Chen et al. 2016, arXiv:1606.03657) on 8x8 digits.

    Args:
        codes: classes of the code.
        noise: the other numbers of z.
        widths: channels of the critic's and the recogniser's layers; the generator's are the same, reversed.
        weight: of the information; lambda in the paper.
        learning_rate: Adam's step size, for all three.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    prior, size = coded(codes), codes + noise  # own
    gan = models.dcgan(shape=(8, 8, 1), latent=size, widths=widths, prior=prior)
    model, recognise = compose.with_network(  # own
        gan,
        "recogniser",
        nn.ImageEncoder(widths, codes),
        jnp.zeros((1, 8, 8, 1)),  # own
    )
    read = information(model, recognise, prior, size, codes)  # own
    critic, generator = losses.adversarial(model)
    adam = optax.adam(learning_rate, b1=0.5)
    return Experiment(
        model=model,
        players={
            "critic": Player(terms=critic, weights={"adversarial": 1.0}, tx=adam, owns=("discriminator",)),
            "generator": Player(
                terms=losses.merge(generator, read),  # own
                weights={"adversarial": 1.0, "information": weight},  # own
                tx=adam,
                owns=("generator",),
            ),
            "recogniser": Player(terms=read, weights={"information": weight}, tx=adam, owns=("recogniser",)),  # own
        },
        data=data.load("digits", "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        evals={"samples": evals.sample_grid()},
        steps_per_call=20,
    )
