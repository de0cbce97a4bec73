"""VampPrior: a VAE with a variational mixture of posteriors prior (Tomczak & Welling 2018, arXiv:1705.07120).

p(z) = 1/K sum_k q(z|u_k): the prior is the mean posterior of K pseudo-inputs u_k, which are learned like weights.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.compose import gaussian, observed, variational
from genjax_zoo.core import Array, Batch, Density, Explained, Key, Model, Sampler, Variables, factory
from genjax_zoo.core.specs import image_spec
from genjax_zoo.linen import network, reader
from genjax_zoo.math import ImageShape, Likelihood, bernoulli, gaussian_mixture_nll, gaussian_of
from genjax_zoo.nn import GatedMLP


class PseudoInputs(nn.Module):
    """K learned images in [0, 1], all dark at first (mean 0.05, as in the paper's code)."""

    k: int
    shape: ImageShape

    @nn.compact
    def __call__(self) -> Array:
        """[K, H, W, C]."""
        draw = nn.initializers.normal(0.01)
        u = self.param("u", lambda *args: 0.05 + draw(*args), (self.k, *self.shape), jnp.float32)
        return jnp.clip(u, 0.0, 1.0)


def mixture_prior(encoder: nn.Module, pseudo_inputs: PseudoInputs, latent: int) -> Model:
    """p(z) = mean_k q(z|u_k), by the encoder that the posterior brings; its own network is "pseudo_inputs"."""
    inputs, moments = network("pseudo_inputs", pseudo_inputs), network("encoder", encoder)

    def components(variables: Variables, train: bool):
        u, variables = inputs(variables)
        out, variables = moments(variables, u, train=train)
        return bounded_moments(out), variables

    def terms(variables: Variables, batch: Batch, key: Key, *, train: bool = False):
        mixture, variables = components(variables, train)
        return {"nll": gaussian_mixture_nll(batch["x"], *mixture)}, variables

    def draw(variables: Variables, key: Key, n: int, cond: Batch, *, train: bool = False, temperature: float = 1.0):
        k_component, k_noise = jax.random.split(key)
        component = jax.random.randint(k_component, (n,), 0, pseudo_inputs.k)
        (mean, log_std), variables = components(variables, train)
        mean, log_std = mean[component], log_std[component]
        z = mean + temperature * jnp.exp(log_std) * jax.random.normal(k_noise, mean.shape, mean.dtype)
        return z, variables

    return Model(
        spec=image_spec((latent,)),
        init=lambda key, batch: inputs.init(key),
        density=Density(terms=Explained(terms=terms, rest="nats"), exact=True),
        sampler=Sampler(draw=draw, settings={"temperature": 1.0}),
    )


def bounded_moments(output: Array) -> tuple[Array, Array]:
    """The mean and log standard deviation of q(z|x), both [B, latent]; the variance is in [e^-6, e^2]."""
    mean, log_variance = gaussian_of(output)
    return mean, 0.5 * jnp.clip(log_variance, -6.0, 2.0)


@factory("Tomczak & Welling 2018, arXiv:1705.07120")
def vamp_prior(
    *,
    shape: ImageShape,
    latent: int = 40,
    hidden: tuple[int, ...] = (300, 300),
    pseudo_inputs: int = 500,
    likelihood: Likelihood = bernoulli,
) -> Model:
    """The one-layer VampPrior VAE, of gated dense layers.

    Terms: "distortion" (nats), "rate" (nats). Networks: "encoder", "decoder", "pseudo_inputs".

    Args:
        shape: an image's [H, W, C].
        latent: the dimension of z.
        hidden: widths of the encoder's layers; the decoder's are the same, reversed.
        pseudo_inputs: K, the components of the prior.
        likelihood: the observation model.
    """
    encoder, decoder = GatedMLP(hidden, 2 * latent), GatedMLP(hidden[::-1], likelihood.outputs(shape))
    return variational(
        prior=mixture_prior(encoder, PseudoInputs(pseudo_inputs, shape), latent),
        posterior=gaussian(reader("encoder", encoder, "given"), (latent,), moments=bounded_moments),
        observation=observed(reader("decoder", decoder, "z"), likelihood, shape),
    )
