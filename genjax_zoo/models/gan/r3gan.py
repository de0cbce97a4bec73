"""R3GAN: the GAN is dead; long live the GAN! (Huang et al. 2024, arXiv:2501.05441).

Networks without normalisation: bottleneck blocks with grouped convolutions, linear interpolation between sizes, and a
learned basis of 4x4 images where z comes in and the score goes out. They play `losses.relativistic` with R1 and R2.
"""

import flax.linen as nn
import jax.numpy as jnp

from genjax_zoo.core import Array, Model, factory
from genjax_zoo.errors import UserError
from genjax_zoo.models.gan.gan import gan_of
from genjax_zoo.nn import MLP, NO_CONDITIONS, BottleneckBlock, Conditions, leaky_init, leaky_relu, linear_resize

LINEAR = nn.initializers.variance_scaling(1.0, "fan_in", "normal")


class Generator(nn.Module):
    """A basis weighed by z, then per size: blocks, and interpolation to the next."""

    shape: tuple[int, ...]
    widths: tuple[int, ...]  # from the smallest size to the image's
    blocks: int
    groups: int
    expansion: int

    @nn.compact
    def __call__(self, z: Array, label: Array | None, train: bool) -> Array:
        """[B, latent] -> [B, H, W, C] in [0, 1]."""
        height, width, channels = self.shape
        factor = 2 ** (len(self.widths) - 1)
        smallest = (height // factor, width // factor, self.widths[0])
        basis = self.param("basis", nn.initializers.normal(1.0), smallest, jnp.float32)
        x = nn.Dense(self.widths[0], use_bias=False, kernel_init=LINEAR, name="weights")(z)[:, None, None] * basis
        for index, features in enumerate(self.widths):
            if index:
                x = linear_resize(_straight(x, features, f"straight_{index}"), 2)
            x = _blocks(x, self, index)
        return nn.sigmoid(nn.Dense(channels, use_bias=False, kernel_init=LINEAR, name="out")(x))


class Discriminator(nn.Module):
    """The generator's mirror image: blocks, smaller sizes, and a product with a basis."""

    widths: tuple[int, ...]  # from the image's size to the smallest
    blocks: int
    groups: int
    expansion: int

    @nn.compact
    def __call__(self, x: Array, label: Array | None, train: bool) -> Array:
        """[P, H, W, C] -> [P, 1]."""
        x = nn.Dense(self.widths[0], use_bias=False, kernel_init=LINEAR, name="in")(2 * x - 1)
        for index, features in enumerate(self.widths):
            if index:
                x = _straight(linear_resize(x, 0.5), features, f"straight_{index}")
            x = _blocks(x, self, index)
        scale = (x.shape[1] * x.shape[2]) ** -0.5  # of a sum over this many places
        basis = self.param("basis", nn.initializers.normal(scale), x.shape[1:], jnp.float32)
        return nn.Dense(1, use_bias=False, kernel_init=LINEAR, name="out")(jnp.sum(x * basis, axis=(1, 2)))


def _blocks(x: Array, network: Generator | Discriminator, index: int) -> Array:
    width, depth = network.expansion * network.widths[index], network.blocks * len(network.widths)
    for block in range(network.blocks):
        x = BottleneckBlock(width, min(network.groups, width), depth, name=f"block_{index}_{block}")(x)
    return x


def _straight(x: Array, features: int, name: str) -> Array:
    return x if x.shape[-1] == features else nn.Dense(features, use_bias=False, kernel_init=LINEAR, name=name)(x)


class PointGenerator(nn.Module):
    """Dense layers for points, which have no places to interpolate between."""

    features: int
    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, z: Array, label: Array | None, train: bool) -> Array:
        """[B, latent] -> [B, features]."""
        return MLP(self.hidden, self.features, leaky_relu, kernel_init=leaky_init(1.0), name="mlp")(z)


class PointDiscriminator(nn.Module):
    """Dense layers that score points."""

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array, label: Array | None, train: bool) -> Array:
        """[P, D] -> [P, 1]."""
        return MLP(self.hidden, 1, leaky_relu, kernel_init=leaky_init(1.0), name="mlp")(x)


@factory("Huang et al. 2024, arXiv:2501.05441")
def r3gan(
    *,
    shape: tuple[int, ...],
    latent: int = 64,
    widths: tuple[int, ...] = (64, 64, 64, 64),
    blocks: int = 2,
    groups: int = 16,
    expansion: int = 2,
    hidden: tuple[int, ...] = (128, 128, 128),
    conditions: Conditions = NO_CONDITIONS,
    pack: int = 1,
) -> Model:
    """R3GAN; of points [D] with dense networks of the same activations.

    Terms: none of its own, see `losses.adversarial`. Networks: "generator", "discriminator".

    Args:
        shape: an image's [H, W, C], divisible by 2 ** (len(widths) - 1), or a point's [D].
        latent: the dimension of z.
        widths: channels at each size, from the smallest to the image's.
        blocks: bottleneck blocks at each size.
        groups: groups of the grouped convolutions.
        expansion: how many times as wide the inside of a block is.
        hidden: widths of the dense networks, for points.
        conditions: what both networks are given: how many classes, or the shape of floats, by name; see nn.conditions.
        pack: examples that the discriminator sees at once (PacGAN).

    Raises:
        UserError: an image that cannot be halved so often; when initialised, if groups do not divide a block's width.
    """
    if len(shape) == 1:
        networks = PointGenerator(shape[0], hidden), PointDiscriminator(hidden)
    else:
        factor = 2 ** (len(widths) - 1)
        if shape[0] % factor or shape[1] % factor:
            fit = ", ".join(_near(size, factor) for size in shape[:2])
            raise UserError(
                f"{len(widths)} widths halve an image {len(widths) - 1} times, which {shape[0]}x{shape[1]} does not "
                f"allow; use multiples of {factor} (rows and columns of {fit}), or fewer widths."
            )
        settings = (blocks, groups, expansion)
        networks = Generator(shape, widths, *settings), Discriminator(widths[::-1], *settings)
    return gan_of(*networks, shape=shape, latent=latent, conditions=conditions, pack=pack)


def _near(size: int, factor: int) -> str:
    """The multiples next to a size, in words."""
    below, above = size // factor * factor, -(-size // factor) * factor
    return f"{above}" if below in (0, above) else f"{below} or {above}"
