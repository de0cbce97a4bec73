"""VampPrior: a VAE with a variational mixture of posteriors prior (Tomczak & Welling 2018, arXiv:1705.07120).

p(z) = 1/K sum_k q(z|u_k): the prior is the mean posterior of K pseudo-inputs u_k, which are learned like weights.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Key, Model, sized
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.math import Likelihood, bernoulli, gaussian_mixture_nll, gaussian_nll, gaussian_of
from genjax_zoo.models.vae.vae import VAE, Shape
from genjax_zoo.nn import GatedMLP


class PseudoInputs(nn.Module):
    """K learned images in [0, 1], all dark at first (mean 0.05, as in the paper's code)."""

    k: int
    shape: Shape

    @nn.compact
    def __call__(self) -> Array:
        """[K, H, W, C]."""
        draw = nn.initializers.normal(0.01)
        u = self.param("u", lambda *args: 0.05 + draw(*args), (self.k, *self.shape), jnp.float32)
        return jnp.clip(u, 0.0, 1.0)


class VampPrior(VAE):
    """Networks "encoder", "decoder" and "pseudo_inputs"."""

    pseudo_inputs: PseudoInputs
    formulas = {**VAE.formulas, "rate": "log q(z | x) - log p(z), z ~ q(z | x), p(z) = mean_k q(z | u_k)"}

    def posterior(self, batch: Batch, train: bool = False) -> tuple[Array, Array]:
        """The mean and log standard deviation of q(z|x), both [B, latent]; the variance is in [e^-6, e^2]."""
        mean, log_variance = gaussian_of(self.encoder(batch["x"], train))
        return mean, 0.5 * jnp.clip(log_variance, -6.0, 2.0)

    def log_prior(self, z: Array, train: bool = False) -> Array:
        """Log p(z), [B], nats."""
        return -gaussian_mixture_nll(z, *self.posterior({"x": self.pseudo_inputs()}, train))

    def rate(self, z: Array, mean: Array, log_std: Array, train: bool = False) -> Array:
        """Log q(z|x) - log p(z) at z, [B], nats: KL to a mixture has no closed form."""
        return -gaussian_nll(z, mean, log_std) - self.log_prior(z, train)

    def sample_prior(self, key: Key, n: int, cond: Batch, train: bool = False, temperature: float = 1.0) -> Array:
        """The posterior of a pseudo-input drawn at random, and a draw from it, [n, latent]."""
        k_component, k_noise = jax.random.split(key)
        component = jax.random.randint(k_component, (n,), 0, self.pseudo_inputs.k)
        mean, log_std = self.posterior({"x": self.pseudo_inputs()[component]}, train)
        return mean + temperature * jnp.exp(log_std) * jax.random.normal(k_noise, mean.shape, mean.dtype)


@sized
def vamp_prior(
    *,
    shape: Shape,
    latent: int = 40,
    hidden: tuple[int, ...] = (300, 300),
    pseudo_inputs: int = 500,
    likelihood: Likelihood = bernoulli,
) -> Model:
    """The one-layer VampPrior VAE, of gated dense layers.

    Args:
        shape: an image's [H, W, C].
        latent: the dimension of z.
        hidden: widths of the encoder's layers; the decoder's are the same, reversed.
        pseudo_inputs: K, the components of the prior.
        likelihood: the observation model.
    """
    encoder = GatedMLP(hidden, 2 * latent)
    decoder = GatedMLP(hidden[::-1], likelihood.outputs(shape))
    module = VampPrior(shape, latent, likelihood, encoder, decoder, PseudoInputs(pseudo_inputs, shape))
    return from_linen(module, image_spec(shape))
