"""DCGAN: deep convolutional generative adversarial networks (Radford et al. 2015, arXiv:1511.06434).

The generator maps z ~ N(0, I) to an image in [0, 1]; the discriminator maps an image to one real score. Which game they
play is not decided here: see `losses.adversarial`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Key, Model
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.nn import ImageDecoder, ImageEncoder, Norm, batch_norm, no_norm
from genjax_zoo.nn.image import INIT


class DCGAN(nn.Module):
    """Networks "generator" and "discriminator"."""

    latent: int
    generator: ImageDecoder
    discriminator: ImageEncoder

    def __call__(self, batch: Batch, key: Key, train: bool = False) -> Array:
        fake = self.sample(key, len(batch["x"]), {}, train)
        return self.discriminate(fake, {}, train)

    def decode(self, z: Array, cond: Batch, train: bool = False) -> Array:
        """The image of a latent, [B, H, W, C] in [0, 1]."""
        return (jnp.tanh(self.generator(z, train)) + 1) / 2

    def sample(self, key: Key, n: int, cond: Batch, train: bool = False) -> Array:
        """Images of n draws from N(0, I)."""
        return self.decode(self.sample_prior(key, n, cond, train), cond, train)

    def sample_prior(self, key: Key, n: int, cond: Batch, train: bool = False) -> Array:
        """Draws from N(0, I), [n, latent]."""
        return jax.random.normal(key, (n, self.latent))

    def discriminate(self, x: Array, cond: Batch, train: bool = False) -> Array:
        """One score per image, [B]; high where it looks real."""
        return self.discriminator(2 * x - 1, train)[:, 0]


def dcgan(
    *,
    shape: tuple[int, int, int],
    latent: int = 100,
    widths: tuple[int, ...] = (64, 128, 256),
    norm: Norm = batch_norm,
    edge_norm: Norm = no_norm,
) -> Model:
    """DCGAN.

    Args:
        shape: an image's [H, W, C]; divisible by 2 ** len(widths).
        latent: the dimension of z.
        widths: channels of the discriminator's layers; the generator's are the same, reversed.
        norm: of the discriminator's inner layers: `batch_norm` (the paper), `spectral_norm` or `no_norm`.
        edge_norm: of its first and last layer: `no_norm` (the paper) or `spectral_norm`.
    """
    generator = ImageDecoder(shape, widths[::-1], norm=batch_norm, init=INIT)
    discriminator = ImageEncoder(widths, 1, norm=norm, edge_norm=edge_norm, init=INIT)
    return from_linen(DCGAN(latent, generator, discriminator), image_spec(shape))
