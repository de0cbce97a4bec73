"""CVAE: deep conditional generative models (Sohn, Lee & Yan 2015, "Learning structured output representation").

q(z|x, y), p(z|y) and p(x|z, y) for a condition y: a label, a vector, an image. z is kept as noise: the prior is
N(0, I), and what the decoder sees is mean(y) + std(y) * z, which is a draw from p(z|y). So one z means the same style
under every label. Networks "encoder", "prior" and "decoder".
"""

import dataclasses
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.compose import distribution, gaussian, observed, union, variational
from genjax_zoo.core import Array, Batch, Key, Model, Variables, factory
from genjax_zoo.core.specs import checker
from genjax_zoo.errors import UserError
from genjax_zoo.linen import Network, network
from genjax_zoo.math import ImageShape, Likelihood, bernoulli, gaussian_of
from genjax_zoo.nn import MLP
from genjax_zoo.nn.conditions import (
    NO_CONDITIONS,
    Conditions,
    classes_of,
    condition_spec,
    embed_conditions,
    with_classes,
)


@factory("Sohn, Lee & Yan 2015")
def cvae(
    *,
    shape: ImageShape,
    classes: int | None = None,
    conditions: Conditions = NO_CONDITIONS,
    latent: int = 32,
    hidden: tuple[int, ...] = (512, 512),
    activation: Callable[[Array], Array] = nn.relu,
    likelihood: Likelihood = bernoulli,
) -> Model:
    """The conditional VAE; its batches have an int32 "label" [B] beside "x", or other conditions.

    Terms: "distortion" (nats), "rate" (nats). Networks: "encoder", "decoder", "prior".

    Args:
        shape: an image's [H, W, C].
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label, and None is 10 where
            there are no conditions, else 0.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.
        latent: the dimension of z.
        hidden: widths of the encoder's layers; the decoder's are the same, reversed.
        activation: the function between layers.
        likelihood: the observation model.

    Raises:
        UserError: neither classes nor conditions.
    """
    if classes is None:
        classes = 0 if conditions else 10
    given = with_classes(conditions, classes)
    if not given:
        raise UserError("A conditional VAE needs a condition: classes=10, or conditions={'context': (3,)}.")
    encoder = network("encoder", MLP(hidden, 2 * latent, activation))
    decoder = network("decoder", MLP(hidden[::-1], likelihood.outputs(shape), activation))
    prior = network("prior", MLP((), 2 * latent))  # y -> mean and log standard deviation of p(z|y), [B, 2 * latent]

    def of_y(variables: Variables, batch: Batch, train: bool):
        return _moments(prior, variables, _embedded(batch, given), train)

    def noise(variables: Variables, batch: Batch, *, key: Key | None = None, train: bool = False):
        """The mean and log standard deviation of the noise z given x and y, [B, 2 * latent]."""
        (mean, log_std), variables = _moments(encoder, variables, _beside(batch["given"], batch, given), train)
        (centre, log_scale), variables = of_y(variables, batch, train)
        return jnp.concatenate([(mean - centre) * jnp.exp(-log_scale), log_std - log_scale], axis=-1), variables

    def output(variables: Variables, batch: Batch, *, key: Key | None = None, train: bool = False):
        (centre, log_scale), variables = of_y(variables, batch, train)
        z = centre + jnp.exp(log_scale) * batch["z"]
        return decoder(variables, _beside(z, batch, given), train=train)

    def begin(key: Key, batch: Batch) -> Variables:
        k_encoder, k_prior = jax.random.split(key)
        of_encoder = encoder.init(k_encoder, _beside(batch["given"], batch, given))
        return union(of_encoder, prior.init(k_prior, _embedded(batch, given)))

    def begin_decoder(key: Key, batch: Batch) -> Variables:
        return decoder.init(key, _beside(batch["z"], batch, given))

    spec = condition_spec(given)
    return variational(
        prior=dataclasses.replace(distribution((latent,)), check=checker(classes_of(given))),
        posterior=gaussian(Network(init=begin, run=noise), (latent,), spec=spec),
        observation=observed(Network(init=begin_decoder, run=output), likelihood, shape, spec=spec),
    )


def _moments(read: Network, variables: Variables, x: Array, train: bool):
    out, variables = read(variables, x, train=train)
    return gaussian_of(out), variables


def _embedded(batch: Batch, given: Conditions) -> Array:
    y = embed_conditions(batch, given)
    assert y is not None  # a factory without conditions is refused
    return y


def _beside(array: Array, batch: Batch, given: Conditions) -> Array:
    """An array's numbers and the conditions'."""
    return jnp.concatenate([array.reshape(len(array), -1), _embedded(batch, given)], axis=-1)
