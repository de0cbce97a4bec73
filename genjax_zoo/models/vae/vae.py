"""VAE: auto-encoding variational Bayes (Kingma & Welling 2013, arXiv:1312.6114).

q(z|x) = N(mean, std^2), network "encoder"; p(z) = N(0, I); p(x|z), network "decoder" and an observation model.
-log p(x) <= E_q[-log p(x|z)] + KL(q(z|x) || p(z)) = distortion + rate.
The beta-VAE (Higgins et al. 2017) is this model with the weight beta on "rate".
"""

from collections.abc import Callable

import flax.linen as nn

from genjax_zoo.compose import distribution, gaussian, observed, variational
from genjax_zoo.core import Array, Model, factory
from genjax_zoo.linen import reader
from genjax_zoo.math import ImageShape, Likelihood, bernoulli
from genjax_zoo.nn import MLP, ImageDecoder, ImageEncoder, batch_norm


@factory("Kingma & Welling 2013, arXiv:1312.6114")
def vae(
    *,
    shape: ImageShape,
    latent: int = 32,
    hidden: tuple[int, ...] = (512, 512),
    activation: Callable[[Array], Array] = nn.relu,
    likelihood: Likelihood = bernoulli,
) -> Model:
    """The MLP VAE.

    Terms: "distortion" (nats), "rate" (nats). Networks: "encoder", "decoder".

    Args:
        shape: an image's [H, W, C].
        latent: the dimension of z.
        hidden: widths of the encoder's layers; the decoder's are the same, reversed.
        activation: the function between layers.
        likelihood: the observation model, such as `bernoulli` or `discretized_logistic(levels)`.
    """
    encoder = MLP(hidden, 2 * latent, activation)
    decoder = MLP(hidden[::-1], likelihood.outputs(shape), activation)
    return of_networks(encoder, decoder, latent, likelihood, shape)


@factory("Kingma & Welling 2013, arXiv:1312.6114; Radford et al. 2015, arXiv:1511.06434")
def conv_vae(
    *, shape: ImageShape, latent: int = 32, widths: tuple[int, ...] = (64, 128), likelihood: Likelihood = bernoulli
) -> Model:
    """The convolutional VAE, on the DCGAN pyramid.

    Terms: "distortion" (nats), "rate" (nats). Networks: "encoder", "decoder".

    Args:
        shape: an image's [H, W, C].
        latent: the dimension of z.
        widths: channels of the encoder's layers; the decoder's are the same, reversed.
        likelihood: the observation model, such as `bernoulli` or `discretized_logistic(levels)`.
    """
    height, width, channels = shape
    encoder = ImageEncoder(widths, 2 * latent, norm=batch_norm)
    output = (height, width, channels * likelihood.parameters)
    decoder = ImageDecoder(output, widths[::-1], norm=batch_norm)
    return of_networks(encoder, decoder, latent, likelihood, shape)


def of_networks(
    encoder: nn.Module, decoder: nn.Module, latent: int, likelihood: Likelihood, shape: ImageShape
) -> Model:
    """The VAE of x [B, H, W, C] -> [B, 2 * latent] and z [B, latent] -> what the likelihood takes."""
    return variational(
        prior=distribution((latent,)),
        posterior=gaussian(reader("encoder", encoder, "given"), (latent,)),
        observation=observed(reader("decoder", decoder, "z"), likelihood, shape),
    )
