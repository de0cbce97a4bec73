"""VAE: auto-encoding variational Bayes (Kingma & Welling 2013, arXiv:1312.6114).

q(z|x) = N(mean, std^2), the encoder; p(z) = N(0, I); p(x|z), the decoder and an observation model.
-log p(x) <= E_q[-log p(x|z)] + KL(q(z|x) || p(z)) = distortion + rate.
The beta-VAE (Higgins et al. 2017) is this model with the weight beta on "rate".
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Key, Model, Terms, conditions, sized
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.math import Likelihood, bernoulli, gaussian_kl, gaussian_nll, gaussian_of, tiled, tilted
from genjax_zoo.nn import MLP, ImageDecoder, ImageEncoder, batch_norm

Shape = tuple[int, int, int]


class VAE(nn.Module):
    """A Gaussian VAE over images; networks "encoder" and "decoder". Another prior or posterior overrides a method."""

    shape: Shape
    latent: int
    likelihood: Likelihood
    encoder: nn.Module  # x [B, H, W, C] -> [B, 2 * latent]
    decoder: nn.Module  # z [B, latent] -> [B, H, W, C * likelihood.parameters]
    formulas = {"distortion": "-log p(x | z), z ~ q(z | x)", "rate": "KL(q(z | x) || p(z))"}

    def __call__(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        return self.nelbo(batch, key, train)

    def posterior(self, batch: Batch, train: bool = False) -> tuple[Array, Array]:
        """The mean and log standard deviation of q(z|x), both [B, latent]."""
        return gaussian_of(self.encoder(batch["x"], train))

    def output(self, z: Array, cond: Batch, train: bool = False) -> Array:
        """What p(x|z) is made of, [B, H, W, C * likelihood.parameters]."""
        return self.decoder(z, train).reshape(len(z), *self.shape[:2], -1)

    def log_prior(self, z: Array, train: bool = False) -> Array:
        """Log p(z), [B], nats."""
        return -gaussian_nll(z, jnp.zeros(()), jnp.zeros(()))

    def rate(self, z: Array, mean: Array, log_std: Array, train: bool = False) -> Array:
        """KL(q(z|x) || p(z)) in nats [B], or an estimate of it at z."""
        return gaussian_kl(mean, log_std)

    def sample_prior(self, key: Key, n: int, cond: Batch, train: bool = False, temperature: float = 1.0) -> Array:
        """Draws from p(z), [n, latent]."""
        return temperature * jax.random.normal(key, (n, self.latent), jnp.float32)

    def nelbo(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        """Distortion and rate, nats [B]."""
        mean, log_std = self.posterior(batch, train)
        z = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)
        output = self.output(z, conditions(batch), train)
        return {
            "distortion": self.likelihood.nll(output, batch["x"]),
            "rate": self.rate(z, mean, log_std, train),
        }

    def log_weights(
        self,
        batch: Batch,
        k: int,
        key: Key,
        train: bool = False,
        detached: bool = False,
        tilt: Array | None = None,
    ) -> Array:
        """Log p(x, z) / q(z|x) of k draws of z for each x, [k, B], nats; for the rest see `losses.importance`."""
        mean, log_std = (tiled(part, k) for part in self.posterior(batch, train))  # [k * B, latent]
        z = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)
        if tilt is not None:
            z = tilted(z, tilt.reshape(-1, 1))
        if detached:
            mean, log_std = jax.lax.stop_gradient((mean, log_std))
        batch = {name: tiled(value, k) for name, value in batch.items()}
        log_p = self.log_prior(z, train) - self.likelihood.nll(self.output(z, conditions(batch), train), batch["x"])
        return (log_p + gaussian_nll(z, mean, log_std)).reshape(k, -1)

    def encode(self, batch: Batch, key: Key, train: bool = False) -> Array:
        """The posterior mean [B, latent]."""
        return self.posterior(batch, train)[0]

    def decode(self, z: Array, cond: Batch, train: bool = False) -> Array:
        """The mean of p(x|z), [B, H, W, C]."""
        return self.likelihood.mean(self.output(z, cond, train))

    def sample(self, key: Key, n: int, cond: Batch, train: bool = False, **how: float) -> Array:
        """A draw from p(z), then from p(x|z), [n, H, W, C]; `how` is of the prior."""
        k_z, k_x = jax.random.split(key)
        z = self.sample_prior(k_z, n, cond, train, **how)
        return self.likelihood.sample(k_x, self.output(z, cond, train))


@sized
def vae(
    *,
    shape: Shape,
    latent: int = 32,
    hidden: tuple[int, ...] = (512, 512),
    activation: Callable[[Array], Array] = nn.relu,
    likelihood: Likelihood = bernoulli,
) -> Model:
    """The MLP VAE.

    Args:
        shape: an image's [H, W, C].
        latent: the dimension of z.
        hidden: widths of the encoder's layers; the decoder's are the same, reversed.
        activation: between layers.
        likelihood: the observation model, such as `bernoulli` or `discretized_logistic(levels)`.
    """
    encoder = MLP(hidden, 2 * latent, activation)
    decoder = MLP(hidden[::-1], likelihood.outputs(shape), activation)
    return from_linen(VAE(shape, latent, likelihood, encoder, decoder), image_spec(shape))


@sized
def conv_vae(
    *, shape: Shape, latent: int = 32, widths: tuple[int, ...] = (64, 128), likelihood: Likelihood = bernoulli
) -> Model:
    """The convolutional VAE, on the DCGAN pyramid."""
    height, width, channels = shape
    encoder = ImageEncoder(widths, 2 * latent, norm=batch_norm)
    output = (height, width, channels * likelihood.parameters)
    decoder = ImageDecoder(output, widths[::-1], norm=batch_norm)
    return from_linen(VAE(shape, latent, likelihood, encoder, decoder), image_spec(shape))
