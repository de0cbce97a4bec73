"""CVAE: deep conditional generative models (Sohn, Lee & Yan 2015, "Learning structured output representation").

q(z|x, y), p(z|y) and p(x|z, y) for a label y. z is kept as noise: the prior is N(0, I), and what the decoder sees is
mean(y) + std(y) * z, which is a draw from p(z|y). So one z means the same style under every label.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Model, sized
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.math import Likelihood, bernoulli, gaussian_of
from genjax_zoo.models.vae.vae import VAE, Shape
from genjax_zoo.nn import MLP


class CVAE(VAE):
    """A VAE given a label; networks "encoder", "prior" and "decoder"."""

    classes: int
    prior: nn.Module  # one-hot y [B, classes] -> mean and log standard deviation of p(z|y), [B, 2 * latent]

    def posterior(self, batch: Batch, train: bool = False) -> tuple[Array, Array]:
        """The mean and log standard deviation of the noise z given x and y, both [B, latent]."""
        y = self._one_hot(batch)
        flat = batch["x"].reshape(len(y), -1)
        mean, log_std = gaussian_of(self.encoder(jnp.concatenate([flat, y], axis=-1), train))
        centre, log_scale = gaussian_of(self.prior(y, train))
        return (mean - centre) * jnp.exp(-log_scale), log_std - log_scale

    def output(self, z: Array, cond: Batch, train: bool = False) -> Array:
        """What p(x|z, y) is made of, [B, H, W, C * likelihood.parameters]."""
        y = self._one_hot(cond)
        centre, log_scale = gaussian_of(self.prior(y, train))
        seen = jnp.concatenate([centre + jnp.exp(log_scale) * z, y], axis=-1)
        return self.decoder(seen, train).reshape(len(z), *self.shape[:2], -1)

    def _one_hot(self, cond: Batch) -> Array:
        return jax.nn.one_hot(cond["label"], self.classes, dtype=jnp.float32)


@sized
def cvae(
    *,
    shape: Shape,
    classes: int = 10,
    latent: int = 32,
    hidden: tuple[int, ...] = (512, 512),
    activation: Callable[[Array], Array] = nn.relu,
    likelihood: Likelihood = bernoulli,
) -> Model:
    """The conditional VAE; its batches have an int32 "label" [B] beside "x".

    Args:
        shape: an image's [H, W, C].
        classes: labels are 0 ... classes - 1.
        latent: the dimension of z.
        hidden: widths of the encoder's layers; the decoder's are the same, reversed.
        activation: between layers.
        likelihood: the observation model.
    """
    encoder = MLP(hidden, 2 * latent, activation)
    decoder = MLP(hidden[::-1], likelihood.outputs(shape), activation)
    module = CVAE(shape, latent, likelihood, encoder, decoder, classes, MLP((), 2 * latent))
    return from_linen(module, image_spec(shape, labelled=True), classes={"label": classes})
