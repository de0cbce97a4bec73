"""VAE-GAN: autoencoding beyond pixels using a learned similarity metric (Larsen et al. 2016, arXiv:1512.09300).

The reconstruction error is measured in a layer Dis_l of the discriminator instead of in pixels. Three players:

    encoder        distortion + rate            equation 5: L_prior + L_llike
    decoder        gamma * distortion + fool    equation 9: gamma L_llike - L_GAN
    discriminator  critic                       equation 7: L_GAN, over real, reconstructed and sampled images
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Key, Model, sized
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.math import gaussian_kl
from genjax_zoo.nn import ImageDecoder, ImageEncoder, Pyramid, batch_norm


class Discriminator(nn.Module):
    """Scores an image, and gives the features in which similarity is measured."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> tuple[Array, Array]:
        """[B, H, W, C] -> (scores [B], features [B, h, w, widths[-1]])."""
        features = Pyramid(self.widths, norm=batch_norm, name="pyramid")(2 * x - 1, train)
        score = nn.Dense(1, name="out")(features.reshape(len(x), -1))
        return score[:, 0], features


class VAEGAN(nn.Module):
    """Networks "encoder", "decoder" and "discriminator"."""

    latent: int
    encoder: ImageEncoder
    decoder: ImageDecoder
    discriminator: Discriminator

    def __call__(self, batch: Batch, key: Key, train: bool = False) -> tuple[Array, Array]:
        z, _ = self.posterior(batch["x"], key, train)
        return self.discriminate(self.decode(z, {}, train), train)

    def posterior(self, x: Array, key: Key, train: bool = False) -> tuple[Array, Array]:
        """A draw from q(z|x) [B, latent], and KL(q(z|x) || N(0, I)) in nats [B]."""
        mean, log_std = jnp.split(self.encoder(x, train), 2, axis=-1)
        z = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape, mean.dtype)
        return z, gaussian_kl(mean, log_std)

    def discriminate(self, x: Array, train: bool = False) -> tuple[Array, Array]:
        """Scores [B] and features [B, h, w, C]."""
        return self.discriminator(x, train)

    def encode(self, batch: Batch, key: Key, train: bool = False) -> Array:
        """The posterior mean [B, latent]."""
        return self.encoder(batch["x"], train)[:, : self.latent]

    def decode(self, z: Array, cond: Batch, train: bool = False) -> Array:
        """The image of a latent, [B, H, W, C] in [0, 1]."""
        return nn.sigmoid(self.decoder(z, train))

    def sample(self, key: Key, n: int, cond: Batch, train: bool = False, **how: float) -> Array:
        """Images of n draws from N(0, I)."""
        return self.decode(self.sample_prior(key, n, cond, train, **how), cond, train)

    def sample_prior(self, key: Key, n: int, cond: Batch, train: bool = False, temperature: float = 1.0) -> Array:
        """Draws from N(0, I), [n, latent]."""
        return temperature * jax.random.normal(key, (n, self.latent), jnp.float32)


@sized
def vae_gan(*, shape: tuple[int, int, int], latent: int = 128, widths: tuple[int, ...] = (64, 128, 256)) -> Model:
    """VAE-GAN.

    Args:
        shape: an image's [H, W, C].
        latent: the dimension of z.
        widths: channels of the encoder's and discriminator's layers; the decoder's are the same, reversed.
    """
    module = VAEGAN(
        latent,
        ImageEncoder(widths, 2 * latent, norm=batch_norm),
        ImageDecoder(shape, widths[::-1], norm=batch_norm),
        Discriminator(widths),
    )
    return from_linen(module, image_spec(shape), bounded=True)
