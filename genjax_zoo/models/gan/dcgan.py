"""DCGAN: deep convolutional generative adversarial networks (Radford et al. 2015, arXiv:1511.06434)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.models.gan.gan import PriorDraw, gan_of
from genjax_zoo.nn import NO_CONDITIONS, Conditions, ImageDecoder, ImageEncoder, Norm, batch_norm, no_norm
from genjax_zoo.nn.image import INIT


class Generator(nn.Module):
    """The transposed pyramid, with batch norm and ReLUs."""

    shape: tuple[int, int, int]
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, z: Array, label: Array | None, train: bool) -> Array:
        """[B, latent] -> [B, H, W, C] in [0, 1]."""
        x = ImageDecoder(self.shape, self.widths, norm=batch_norm, kernel_init=INIT, name="decoder")(z, train)
        return (jnp.tanh(x) + 1) / 2


class Discriminator(nn.Module):
    """The pyramid, with leaky ReLUs."""

    widths: tuple[int, ...]
    norm: Norm
    edge_norm: Norm

    @nn.compact
    def __call__(self, x: Array, label: Array | None, train: bool) -> Array:
        """[P, H, W, C] -> [P, 1]."""
        encoder = ImageEncoder(self.widths, 1, self.norm, self.edge_norm, kernel_init=INIT, name="encoder")
        return encoder(2 * x - 1, train)


@factory("Radford et al. 2015, arXiv:1511.06434")
def dcgan(
    *,
    shape: tuple[int, int, int],
    latent: int = 100,
    widths: tuple[int, ...] = (64, 128, 256),
    norm: Norm = batch_norm,
    edge_norm: Norm = no_norm,
    conditions: Conditions = NO_CONDITIONS,
    pack: int = 1,
    prior: PriorDraw = jax.random.normal,
) -> Model:
    """DCGAN.

    Terms: none of its own, see `losses.adversarial`. Networks: "generator", "discriminator".

    Args:
        shape: an image's [H, W, C].
        latent: the dimension of z.
        widths: channels of the discriminator's layers; the generator's are the same, reversed.
        norm: that of the discriminator's inner layers: `batch_norm` (the paper), `spectral_norm` or `no_norm`.
        edge_norm: that of its first and last layer: `no_norm` (the paper) or `spectral_norm`.
        conditions: what both networks are given: how many classes, or the shape of floats, by name; see nn.conditions.
        pack: examples that the discriminator sees at once (PacGAN).
        prior: a draw of z, (key, shape) -> [n, latent].
    """
    networks = Generator(shape, widths[::-1]), Discriminator(widths, norm, edge_norm)
    return gan_of(*networks, shape=shape, latent=latent, conditions=conditions, pack=pack, prior=prior)
