"""SNGAN: spectral normalization for generative adversarial networks (Miyato et al. 2018, arXiv:1802.05957), residual.

The networks of the paper's table 4 for 32x32 images: three doublings in the generator; two halvings and two more blocks
in the discriminator. Other sizes have as many doublings as lead to them from 4 rows or columns, and one halving less.
"""

import flax.linen as nn
import jax.numpy as jnp

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.models.gan.gan import gan_of
from genjax_zoo.nn import (
    NO_CONDITIONS,
    Conditions,
    Conv,
    DownBlock,
    Normalised,
    UpBlock,
    halvings,
    spectral_norm,
)
from genjax_zoo.nn.resnet import XAVIER


class Generator(nn.Module):
    """A dense layer to a small image, and blocks that double it; with classes, batch norm is given the label."""

    shape: tuple[int, int, int]
    features: int
    classes: int = 0

    @nn.compact
    def __call__(self, z: Array, label: Array | None, train: bool) -> Array:
        """[B, latent] -> [B, H, W, C] in [0, 1]."""
        (height, width, channels), count = self.shape, halvings(self.shape)
        small = (height // 2**count, width // 2**count, self.features)
        x = nn.Dense(small[0] * small[1] * small[2], kernel_init=XAVIER, name="project")(z).reshape(-1, *small)
        for index in range(count):
            x = UpBlock(self.features, self.classes, name=f"up_{index}")(x, label, train)
        x = nn.relu(Normalised(name="norm")(x, None, train))
        return (jnp.tanh(Conv(channels, kernel_init=XAVIER, name="out")(x)) + 1) / 2


class Discriminator(nn.Module):
    """Blocks that halve the image, two that do not, and a sum over places; with classes, a projection on the label."""

    features: int
    halvings: int
    classes: int = 0

    @nn.compact
    def __call__(self, x: Array, label: Array | None, train: bool) -> Array:
        """[P, H, W, C] and labels [P, pack] or None -> [P, 1]."""
        x = 2 * x - 1
        for index in range(self.halvings + 2):
            block = DownBlock(self.features, halves=index < self.halvings, first=index == 0, name=f"down_{index}")
            x = block(x, train)
        h = jnp.sum(nn.relu(x), axis=(1, 2))
        score = spectral_norm(lambda: nn.Dense(1, kernel_init=XAVIER, name="out"), h, train)
        if self.classes:
            assert label is not None
            direction = nn.SpectralNorm(nn.Embed(self.classes, self.features, name="label"))(label, update_stats=train)
            score = score + jnp.sum(h * jnp.sum(direction, axis=1), axis=-1, keepdims=True)
        return score


@factory("Miyato et al. 2018, arXiv:1802.05957")
def sngan(
    *,
    shape: tuple[int, int, int],
    latent: int = 128,
    features: int = 128,
    conditions: Conditions = NO_CONDITIONS,
    pack: int = 1,
) -> Model:
    """SNGAN.

    Terms: none of its own, see `losses.adversarial`. Networks: "generator", "discriminator".

    Args:
        shape: an image's [H, W, C], of sizes that halve down to 4.
        latent: the dimension of z.
        features: channels of all blocks; the paper's generator has 256, its discriminator 128.
        conditions: what both networks are given: how many classes, or the shape of floats, by name; see nn.conditions.
        pack: examples that the discriminator sees at once (PacGAN).
    """
    networks = Generator(shape, features), Discriminator(features, halvings(shape) - 1)
    return gan_of(*networks, shape=shape, latent=latent, conditions=conditions, pack=pack)
