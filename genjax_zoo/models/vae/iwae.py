"""IWAE: importance weighted autoencoders of several stochastic layers (Burda et al. 2015, arXiv:1509.00519).

q(z_1|x) q(z_2|z_1) ... q(z_L|z_{L-1}) from below, p(z_L) = N(0, I) ... p(z_1|z_2) p(x|z_1) from above: a VAE whose
prior is a VAE. With `losses.importance_weighted` this is the paper's IWAE, with `nelbo` its VAE; one layer alone is
`models.vae` with tanh. For the world outside a latent is noise: `decode` takes (z_i - mean(z_{i+1})) / std(z_{i+1}) of
all layers side by side, so that the prior of all of it is N(0, I).
"""

import dataclasses

import jax.numpy as jnp
import numpy as np

from genjax_zoo.compose import distribution, gaussian, observed, variational
from genjax_zoo.core import NO_CONDITION, Array, Batch, Key, Latent, Model, Variables, factory, part, require
from genjax_zoo.errors import UserError
from genjax_zoo.linen import reader
from genjax_zoo.math import ImageShape, Likelihood, bernoulli, gaussian_of
from genjax_zoo.nn import MLP


@factory("Burda et al. 2015, arXiv:1509.00519")
def iwae(
    *,
    shape: ImageShape,
    latent: tuple[int, ...] = (100, 50),
    hidden: tuple[tuple[int, ...], ...] = ((200, 200), (100, 100)),
    likelihood: Likelihood = bernoulli,
) -> Model:
    """The paper's model, of tanh layers.

    Terms: "distortion" (nats), "rate_<i>" (nats) of each layer. Networks: "encoders_<i>" from x, "decoders_<i>" to x.

    Args:
        shape: an image's [H, W, C].
        latent: dimensions of z_1 ... z_L.
        hidden: for each z_i the widths of the layers that lead to it; those that lead away are the same, reversed.
        likelihood: the observation model.

    Raises:
        UserError: `latent` and `hidden` are not of one length.
    """
    if len(latent) != len(hidden):
        raise UserError(f"There are {len(latent)} latents, but hidden layers for {len(hidden)}; give one each.")
    emitted = (likelihood.outputs(shape), *(2 * z for z in latent[:-1]))
    encoders, decoders = [], []
    for index, (widths, z, count) in enumerate(zip(hidden, latent, emitted)):
        encoders.append(reader(f"encoders_{index}", MLP(widths, 2 * z, jnp.tanh), "given"))
        decoders.append(reader(f"decoders_{index}", MLP(widths[::-1], count, jnp.tanh), "z"))

    model = distribution((latent[-1],))
    for index in reversed(range(len(latent))):
        model = variational(
            prior=model,
            posterior=gaussian(encoders[index], (latent[index],)),
            observation=gaussian(decoders[index], (latent[index - 1],))
            if index
            else observed(decoders[0], likelihood, shape),
        )

    def above(variables: Variables, index: int, z: Array, train: bool):
        """The mean and log standard deviation of p(z_i|z_{i+1}), i counted from 0."""
        out, variables = decoders[index + 1](variables, {"z": z}, train=train)
        return gaussian_of(out), variables

    def encode(variables: Variables, batch: Batch, key: Key, *, train: bool = False):
        """The noise of the posterior means, each given the one below, [B, sum of latent]."""
        zs, noise, below = [], [], batch["x"]
        for encoder in encoders:
            out, variables = encoder(variables, {"given": below}, train=train)
            below, _ = gaussian_of(out)
            zs.append(below)
        for index, z in enumerate(zs[:-1]):
            (mean, log_std), variables = above(variables, index, zs[index + 1], train)
            noise.append((z - mean) * jnp.exp(-log_std))
        return jnp.concatenate([*noise, zs[-1]], axis=-1), variables

    def decode(v: Variables, z: Array, cond: Batch = NO_CONDITION, key: Key | None = None, *, train: bool = False):
        """The mean of p(x|z_1), [B, H, W, C], from the noise of all layers."""
        *below, first = jnp.split(z, np.cumsum(latent)[:-1], axis=-1)
        for index in reversed(range(len(below))):
            (mean, log_std), v = above(v, index, first, train)
            first = mean + jnp.exp(log_std) * below[index]
        return from_first(v, first, cond, key, train=train)

    layered = require(model, Latent)
    from_first = part(model, Latent, "decode")
    noise = Latent(prior=distribution((sum(latent),)), encode=encode, decode=decode, means=layered.means)
    return dataclasses.replace(model, latent=noise)
