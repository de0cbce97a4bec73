"""VAE-GAN: autoencoding beyond pixels using a learned similarity metric (Larsen et al. 2016, arXiv:1512.09300).

The reconstruction error is measured in a layer Dis_l of the discriminator instead of in pixels. Three players:

    encoder        distortion + rate            equation 5: L_prior + L_llike
    decoder        gamma * distortion + fool    equation 9: gamma L_llike - L_GAN
    discriminator  critic                       equation 7: L_GAN, over real, reconstructed and sampled images
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.compose import distribution, gaussian, union
from genjax_zoo.core import (
    NETWORK,
    NO_CONDITION,
    Array,
    Batch,
    Critic,
    Density,
    Explained,
    Key,
    Latent,
    Model,
    Sampler,
    Terms,
    Unit,
    Variables,
    aside,
    factory,
    part,
    require,
)
from genjax_zoo.core.specs import checker, image_spec, with_checks
from genjax_zoo.errors import UserError
from genjax_zoo.linen import network, reader, run_once
from genjax_zoo.losses import Adversary, non_saturating
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


@factory("Larsen et al. 2016, arXiv:1512.09300")
def vae_gan(*, shape: tuple[int, int, int], latent: int = 128, widths: tuple[int, ...] = (64, 128, 256)) -> Model:
    """VAE-GAN.

    Terms: none of its own, see `models.vae_gan_terms`. Networks: "encoder", "decoder", "discriminator".

    Args:
        shape: an image's [H, W, C].
        latent: the dimension of z.
        widths: channels of the encoder's and discriminator's layers; the decoder's are the same, reversed.
    """
    encoder = reader("encoder", ImageEncoder(widths, 2 * latent, norm=batch_norm), "given")
    decoder = network("decoder", ImageDecoder(shape, widths[::-1], norm=batch_norm))
    discriminator = network("discriminator", Discriminator(widths))
    prior = distribution((latent,))
    posterior = gaussian(encoder, (latent,), spec={"given": image_spec(shape)["x"]})
    of_prior, of_posterior = require(prior, Sampler), part(posterior, Sampler, "mean")

    def init(key: Key, batch: Batch) -> Variables:
        k_encoder, k_decoder, k_discriminator = jax.random.split(key, 3)
        return union(
            encoder.init(k_encoder, {"given": batch["x"]}),
            decoder.init(k_decoder, jnp.zeros((len(batch["x"]), latent))),
            discriminator.init(k_discriminator, batch["x"]),
        )

    def encode(variables: Variables, batch: Batch, key: Key, *, train: bool = False):
        return of_posterior(variables, len(batch["x"]), {"given": batch["x"]}, train=train)

    def decode(
        variables: Variables, z: Array, cond: Batch = NO_CONDITION, key: Key | None = None, *, train: bool = False
    ):
        x, variables = decoder(variables, z, train=train)
        return nn.sigmoid(x), variables

    def draw(variables: Variables, key: Key, n: int, cond: Batch = NO_CONDITION, *, train: bool = False, **how: float):
        z, variables = of_prior.draw(variables, key, n, cond, train=train, **how)
        return decode(variables, z, train=train)

    def features(
        variables: Variables, x: Array, cond: Batch = NO_CONDITION, key: Key | None = None, *, train: bool = False
    ):
        return discriminator(variables, x, train=train)

    def score(
        variables: Variables, x: Array, cond: Batch = NO_CONDITION, key: Key | None = None, *, train: bool = False
    ):
        (scores, _), variables = discriminator(variables, x, train=train)
        return scores, variables

    model = Model(
        spec=image_spec(shape),
        init=run_once(init),
        sampler=Sampler(draw=draw, settings=of_prior.settings),
        latent=Latent(prior=prior, posterior=posterior, encode=encode, decode=decode),
        critic=Critic(score=score, features=features),
        check=checker({}, bounded=True),
    )
    return with_checks(model)


def vae_gan_terms(model: Model, adversary: Adversary = non_saturating) -> Explained:
    """All terms of a VAE-GAN, for three players to weigh.

    Args:
        model: samples and decodes, its posterior is Gaussian, its prior N(0, I), and its critic has features.
        adversary: the game.

    Returns:
        A TermFn with "distortion" (Gaussian nats up to a constant, in the discriminator's features), "rate" (nats),
        "critic" and "fool". Reconstructions and samples from the prior both count as fakes, half each.

    Raises:
        UserError: the model lacks one of these.
    """
    sampler, posterior = require(model, Sampler), require(model, Latent).posterior
    decode, features = part(model, Latent, "decode"), part(model, Critic, "features")
    if posterior is None:
        raise UserError("This model has no 'latent.posterior', whose rate is a term of a VAE-GAN.")
    moments = part(posterior, Density, "gaussian")

    def run(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
        k_posterior, k_prior = jax.random.split(key)
        keys = iter(jax.random.split(aside(key, NETWORK), 4))  # of dropout
        x, no = batch["x"], NO_CONDITION
        (mean, log_std), variables = moments(variables, {"given": x}, train=train)
        z = mean + jnp.exp(log_std) * jax.random.normal(k_posterior, mean.shape, mean.dtype)
        rebuilt, variables = decode(variables, z, no, key=next(keys), train=train)
        sampled, variables = sampler.draw(variables, k_prior, len(x), no, train=train)
        (real, real_features), variables = features(variables, x, no, key=next(keys), train=train)
        (fake, fake_features), variables = features(variables, rebuilt, no, key=next(keys), train=train)
        (prior, _), variables = features(variables, sampled, no, key=next(keys), train=train)
        difference = (real_features - fake_features).reshape(len(x), -1)
        terms = {
            "distortion": 0.5 * jnp.sum(difference**2, axis=-1),
            "rate": gaussian_kl(mean, log_std),
            "critic": 0.5 * (adversary.critic(real, fake) + adversary.critic(real, prior)),
            "fool": 0.5 * (adversary.generator(real, fake) + adversary.generator(real, prior)),
        }
        return terms, variables

    of_critic, of_generator = adversary.formulas
    both = "mean over z ~ q(z | x) and z ~ p(z) of"
    written = {
        "distortion": "0.5 * ||h(x) - h(G(z))||**2, z ~ q(z | x), h = features of D",
        "rate": "KL(q(z | x) || p(z))",
        "critic": f"{both} {of_critic}",
        "fool": f"{both} {of_generator}",
    }
    units: dict[str, Unit] = {"distortion": "nats", "rate": "nats", "critic": "loss", "fool": "loss"}
    return Explained(terms=run, formulas=written, units=units)
