"""GAN: generative adversarial networks (Goodfellow et al. 2014, arXiv:1406.2661), and what all GANs here share.

The generator maps z to x, the discriminator maps x to one real score. Which game they play is not decided here: see
`losses.adversarial`. A discriminator that is given packs of examples scores each pack (PacGAN, Lin et al. 2018,
arXiv:1712.04086): a generator that always makes the same few is found out, because its packs are less diverse.

Conditions make a conditional GAN (Mirza & Osindero 2014, arXiv:1411.1784): as one vector, see `nn.conditions`, they lie
beside z, and beside each example that the discriminator sees, as constant channels of an image or numbers of a point.
"""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Key, Model, factory
from genjax_zoo.errors import UserError
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.nn import (
    NO_CONDITIONS,
    Conditions,
    MaxoutMLP,
    Normalised,
    classes_of,
    condition_spec,
    embed_conditions,
    with_classes,
)

Initializer = nn.initializers.Initializer
PriorDraw = Callable[[Key, tuple[int, ...]], Array]


def uniform(key: Key, shape: tuple[int, ...]) -> Array:
    """Uniform draws on [-1, 1], the prior of the early papers."""
    return jax.random.uniform(key, shape, jnp.float32, minval=-1)


class GAN(nn.Module):
    """Networks "generator", (z, label, train) -> x, and "discriminator", (x, label, train) -> [P, 1]."""

    latent: int
    generator: nn.Module
    discriminator: nn.Module
    conditions: Conditions  # that both are given as one vector
    pack: int = 1
    prior: PriorDraw = jax.random.normal

    def __call__(self, batch: Batch, key: Key, train: bool = False) -> Array:
        fake = self.sample(key, len(batch["x"]), batch, train)
        return self.discriminate(fake, batch, train)

    def decode(self, z: Array, cond: Batch, train: bool = False) -> Array:
        """The example of a latent, [B, ...]."""
        return self.generator(add_conditions(z, embed_conditions(cond, self.conditions)), cond.get("label"), train)

    def sample(self, key: Key, n: int, cond: Batch, train: bool = False, **how: float) -> Array:
        """Examples of n draws from the prior."""
        return self.decode(self.sample_prior(key, n, cond, train, **how), cond, train)

    def sample_prior(self, key: Key, n: int, cond: Batch, train: bool = False, temperature: float = 1.0) -> Array:
        """Draws from the prior, [n, latent]."""
        if temperature != 1 and self.prior is not jax.random.normal:
            raise UserError(
                "A temperature is of a Gaussian prior, and this GAN's is another; use prior=jax.random.normal."
            )
        return temperature * self.prior(key, (n, self.latent)).astype(jnp.float32)

    def discriminate(self, x: Array, cond: Batch, train: bool = False) -> Array:
        """One score per pack of examples, [B / pack]; high where they look real."""
        label = cond.get("label")
        label = None if label is None else label.reshape(-1, self.pack)
        seen = pack_examples(add_conditions(x, embed_conditions(cond, self.conditions)), self.pack)
        return self.discriminator(seen, label, train)[:, 0]


def gan_of(
    generator: nn.Module,
    discriminator: nn.Module,
    *,
    shape: tuple[int, ...],
    latent: int,
    conditions: Conditions = NO_CONDITIONS,
    pack: int = 1,
    prior: PriorDraw = jax.random.normal,
) -> Model:
    """The model of two networks, of points [D] or of images [H, W, C] in [0, 1].

    Raises:
        UserError: a condition that cannot be one.
    """
    given = with_classes(conditions)
    module = GAN(latent, generator, discriminator, given, pack, prior)
    spec = {**image_spec(shape), **condition_spec(given)}
    return from_linen(module, spec, classes=classes_of(given), bounded=len(shape) == 3)


def add_conditions(x: Array, given: Array | None) -> Array:
    """X [B, ..., C] with a vector [B, D] of conditions as more channels, the same at all places: [B, ..., C + D]."""
    if given is None:
        return x
    everywhere = given.reshape(len(given), *[1] * (x.ndim - 2), -1)
    return jnp.concatenate([x, jnp.broadcast_to(everywhere, (*x.shape[:-1], given.shape[-1]))], axis=-1)


def pack_examples(x: Array, count: int) -> Array:
    """Consecutive examples as channels of one, [B, ..., C] -> [B / count, ..., count * C].

    Raises:
        UserError: `count` does not divide B.
    """
    if count < 1 or len(x) % count:
        raise UserError(f"Packs of {count} do not divide a batch of {len(x)} (on each device); use a multiple.")
    if count == 1:
        return x
    packs = jnp.moveaxis(x.reshape(-1, count, *x.shape[1:]), 1, -2)
    return packs.reshape(*packs.shape[:-2], -1)


class Generator(nn.Module):
    """Dense layers with ReLUs; images end in a sigmoid, points do not."""

    shape: tuple[int, ...]
    hidden: tuple[int, ...]
    normalised: bool
    kernel_init: Initializer

    @nn.compact
    def __call__(self, z: Array, label: Array | None, train: bool) -> Array:
        """[B, latent] -> [B, *shape]."""
        for index, width in enumerate(self.hidden):
            z = nn.Dense(width, kernel_init=self.kernel_init, name=f"hidden_{index}")(z)
            z = nn.relu(Normalised(name=f"norm_{index}")(z, None, train) if self.normalised else z)
        x = nn.Dense(math.prod(self.shape), kernel_init=self.kernel_init, name="out")(z).reshape(-1, *self.shape)
        return nn.sigmoid(x) if len(self.shape) == 3 else x


class Discriminator(nn.Module):
    """Maxout layers (Goodfellow et al. 2013), without the paper's dropout."""

    hidden: tuple[int, ...]
    pieces: int
    kernel_init: Initializer

    @nn.compact
    def __call__(self, x: Array, label: Array | None, train: bool) -> Array:
        """[P, ...] -> [P, 1]."""
        return MaxoutMLP(self.hidden, 1, self.pieces, self.kernel_init, name="maxout")(x)


@factory("Goodfellow et al. 2014, arXiv:1406.2661")
def gan(
    *,
    shape: tuple[int, ...],
    latent: int = 100,
    hidden: tuple[int, ...] = (1200, 1200),
    critic_hidden: tuple[int, ...] = (240, 240),
    pieces: int = 5,
    normalised: bool = False,
    conditions: Conditions = NO_CONDITIONS,
    pack: int = 1,
    kernel_init: Initializer = nn.linear.default_kernel_init,
    prior: PriorDraw = uniform,
) -> Model:
    """The original GAN, of dense layers.

    Terms: none of its own, see `losses.adversarial`. Networks: "generator", "discriminator".

    Args:
        shape: an image's [H, W, C], in [0, 1], or a point's [D].
        latent: the dimension of z.
        hidden: widths of the generator's layers.
        critic_hidden: widths of the discriminator's maxout layers.
        pieces: linear functions of which a maxout unit takes the largest.
        normalised: whether the generator has batch norm.
        conditions: what both networks are given: how many classes, or the shape of floats, by name; see nn.conditions.
        pack: examples that the discriminator sees at once.
        kernel_init: the initializer of all layers' kernels.
        prior: a draw of z, (key, shape) -> [n, latent].
    """
    networks = Generator(shape, hidden, normalised, kernel_init), Discriminator(critic_hidden, pieces, kernel_init)
    return gan_of(*networks, shape=shape, latent=latent, conditions=conditions, pack=pack, prior=prior)
