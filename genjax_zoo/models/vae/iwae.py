"""IWAE: importance weighted autoencoders of several stochastic layers (Burda et al. 2015, arXiv:1509.00519).

q(z_1|x) q(z_2|z_1) ... q(z_L|z_{L-1}) from below, p(z_L) = N(0, I) ... p(z_1|z_2) p(x|z_1) from above. With
`losses.importance_weighted` this is the paper's IWAE, with `nelbo` its VAE; one layer alone is `models.vae` with tanh.
For the world outside a latent is noise: `decode` takes (z_i - mean(z_{i+1})) / std(z_{i+1}) of all layers side by side,
so that the prior of all of it is N(0, I).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Array, Batch, Key, Model, Terms, sized
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.math import Gaussian, Likelihood, bernoulli, gaussian_kl, gaussian_nll, gaussian_of, tiled, tilted
from genjax_zoo.models.vae.vae import Shape
from genjax_zoo.nn import MLP


class IWAE(nn.Module):
    """Networks "encoders_0" (from x) ..., and "decoders_0" (to x), "decoders_1" (to z_1) ..."""

    shape: Shape
    latent: tuple[int, ...]  # dimensions of z_1 ... z_L
    likelihood: Likelihood
    encoders: tuple[nn.Module, ...]
    decoders: tuple[nn.Module, ...]

    def __call__(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        return self.nelbo(batch, key, train)

    @property
    def formulas(self) -> dict[str, str]:
        """Of the terms of `nelbo`."""
        last = len(self.latent)
        zs = ["x", *(f"z_{index}" for index in range(1, last + 1))]
        rates = [f"log q({z} | {below}) - log p({z} | {above})" for below, z, above in zip(zs, zs[1:], zs[2:])]
        rates.append(f"KL(q({zs[-1]} | {zs[-2]}) || p({zs[-1]}))")
        distortion = "-log p(x | z_1), z_1 ~ q(z_1 | x)"
        return {"distortion": distortion, **{f"rate_{index}": text for index, text in enumerate(rates, 1)}}

    def nelbo(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        """Distortion and one rate per layer, nats [B]; all rates but the last are estimates, which may be negative."""
        zs, posteriors = self.infer(batch["x"], 1, key, train)
        priors = self.priors(zs, train)
        terms = {"distortion": self.likelihood.nll(self.output(zs[0], train), batch["x"])}
        for index, (z, q, p) in enumerate(zip(zs, posteriors, priors)):
            top = index == len(zs) - 1
            terms[f"rate_{index + 1}"] = gaussian_kl(*q) if top else gaussian_nll(z, *p) - gaussian_nll(z, *q)
        return terms

    def log_weights(
        self,
        batch: Batch,
        k: int,
        key: Key,
        train: bool = False,
        detached: bool = False,
        tilt: Array | None = None,
    ) -> Array:
        """Log p(x, z) / q(z|x) of k draws of all layers for each x, [k, B], nats; see `losses.importance`."""
        zs, posteriors = self.infer(batch["x"], k, key, train)
        if tilt is not None:
            zs = [tilted(z, tilt.reshape(-1, 1)) for z in zs]
        if detached:  # of q's parameters, not of the z that a layer is given
            posteriors = [jax.lax.stop_gradient(posteriors[0])]
            for encoder, z in zip(self.encoders[1:], zs):
                network, variables = encoder.unbind()
                posteriors.append(gaussian_of(network.apply(jax.lax.stop_gradient(variables), z, train)))
        log_w = -self.likelihood.nll(self.output(zs[0], train), tiled(batch["x"], k))
        for z, q, p in zip(zs, posteriors, self.priors(zs, train)):
            log_w += gaussian_nll(z, *q) - gaussian_nll(z, *p)
        return log_w.reshape(k, -1)

    def infer(self, x: Array, k: int, key: Key, train: bool = False) -> tuple[list[Array], list[Gaussian]]:
        """K draws of z_1 ... z_L for each x, each [k * B, latent], and the Gaussians that they are drawn from."""
        zs, posteriors, below = [], [], x
        for index, encoder in enumerate(self.encoders):
            mean, log_std = gaussian_of(encoder(below, train))
            if index == 0:
                mean, log_std = tiled(mean, k), tiled(log_std, k)
            noise = jax.random.normal(jax.random.fold_in(key, index), mean.shape, mean.dtype)
            below = mean + jnp.exp(log_std) * noise
            zs.append(below)
            posteriors.append((mean, log_std))
        return zs, posteriors

    def priors(self, zs: Sequence[Array], train: bool = False) -> list[Gaussian]:
        """p(z_i|z_{i+1}) for every layer, p(z_L) last."""
        conditional = [gaussian_of(decoder(z, train)) for decoder, z in zip(self.decoders[1:], zs[1:])]
        return [*conditional, (jnp.zeros_like(zs[-1]), jnp.zeros_like(zs[-1]))]

    def output(self, z: Array, train: bool = False) -> Array:
        """What p(x|z_1) is made of, [B, H, W, C * likelihood.parameters]."""
        return self.decoders[0](z, train).reshape(len(z), *self.shape[:2], -1)

    def posterior_means(self, batch: Batch, k: int, key: Key, train: bool = False) -> Array:
        """E[z_i|x] under q, of each layer by the means of q(z_i|z_{i-1}) at k draws from below, [B, sum of latent]."""
        _, posteriors = self.infer(batch["x"], k, key, train)
        return jnp.concatenate([jnp.mean(mean.reshape(k, -1, mean.shape[-1]), axis=0) for mean, _ in posteriors], -1)

    def encode(self, batch: Batch, key: Key, train: bool = False) -> Array:
        """The noise of the posterior means, each given the one below, [B, sum of latent]."""
        zs, below = [], batch["x"]
        for encoder in self.encoders:
            below, _ = gaussian_of(encoder(below, train))
            zs.append(below)
        noise = [(z - mean) * jnp.exp(-log_std) for z, (mean, log_std) in zip(zs, self.priors(zs, train))]
        return jnp.concatenate(noise, axis=-1)

    def decode(self, z: Array, cond: Batch, train: bool = False) -> Array:
        """The mean of p(x|z_1), [B, H, W, C], from the noise of all layers."""
        return self.likelihood.mean(self.output(self._from_noise(z, train), train))

    def sample_prior(self, key: Key, n: int, cond: Batch, train: bool = False, temperature: float = 1.0) -> Array:
        """Draws from N(0, I), [n, sum of latent]."""
        return temperature * jax.random.normal(key, (n, sum(self.latent)), jnp.float32)

    def sample(self, key: Key, n: int, cond: Batch, train: bool = False, **how: float) -> Array:
        """A draw from the prior, layer by layer, then from p(x|z_1), [n, H, W, C]."""
        k_z, k_x = jax.random.split(key)
        z = self._from_noise(self.sample_prior(k_z, n, cond, train, **how), train)
        return self.likelihood.sample(k_x, self.output(z, train))

    def _from_noise(self, noise: Array, train: bool) -> Array:
        """z_1 [B, latent] from the noise of all layers."""
        *below, z = jnp.split(noise, np.cumsum(self.latent)[:-1], axis=-1)
        for decoder, part in zip(self.decoders[:0:-1], below[::-1]):
            mean, log_std = gaussian_of(decoder(z, train))
            z = mean + jnp.exp(log_std) * part
        return z


@sized
def iwae(
    *,
    shape: Shape,
    latent: tuple[int, ...] = (100, 50),
    hidden: tuple[tuple[int, ...], ...] = ((200, 200), (100, 100)),
    likelihood: Likelihood = bernoulli,
) -> Model:
    """The paper's model, of tanh layers.

    Args:
        shape: an image's [H, W, C].
        latent: dimensions of z_1 ... z_L.
        hidden: for each z_i the widths of the layers that lead to it; those that lead away are the same, reversed.
        likelihood: the observation model.

    Raises:
        ValueError: `latent` and `hidden` are not of one length.
    """
    if len(latent) != len(hidden):
        raise ValueError(f"There are {len(latent)} latents, but hidden layers for {len(hidden)}; give one each.")
    encoders = tuple(MLP(widths, 2 * z, jnp.tanh) for widths, z in zip(hidden, latent))
    emitted = (likelihood.outputs(shape), *(2 * z for z in latent[:-1]))
    decoders = tuple(MLP(widths[::-1], count, jnp.tanh) for widths, count in zip(hidden, emitted))
    return from_linen(IWAE(shape, latent, likelihood, encoders, decoders), image_spec(shape))
