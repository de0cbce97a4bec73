"""LVAE: ladder variational autoencoders, of convolutions (Sønderby et al. 2016, arXiv:1602.02282).

From below, a deterministic pass x -> d_1 ... d_L. From above, p(z_L), and p(z_i|z_>i) from the state of the pass down;
q(z_i|z_>i, x) merges that state with d_i. -log p(x) <= distortion + rate_1 + ... + rate_L, a KL for every layer, of
which `losses.free_bits` leaves some for nothing. Architecture after addtt/ladder-vae-pytorch: gated residual blocks
with ELU and batch norm, skip connections, a learned p(z_L). For the world outside a latent is noise: `decode` takes
(z_i - mean_p) / std_p of all layers side by side, so that the prior of all of it is N(0, I).
"""

from collections.abc import Sequence

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import Array, Batch, Key, Model, Terms, factory
from genjax_zoo.errors import UserError
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.math import Gaussian, ImageShape, Likelihood, bernoulli, gaussian_kl, gaussian_nll, gaussian_of, tile
from genjax_zoo.math.convolve import double, halve
from genjax_zoo.nn import Conv, GatedBlocks, Strided

Layer = tuple[Array, Gaussian, Gaussian]  # z_i, q(z_i|z_>i, x), p(z_i|z_>i)


class BottomUp(nn.Module):
    """x -> d_1 ... d_L, each half the size of the one before; d_1 is a quarter of x."""

    layers: int
    features: int
    blocks: int
    dropout: float

    @nn.compact
    def __call__(self, x: Array, train: bool, key: Key) -> list[Array]:
        """[B, H, W, C] -> L times [B, h, w, features]."""
        x = Strided(halve, self.features, name="in")(x)
        below = []
        for index in range(self.layers):
            x = Strided(halve, self.features, name=f"down_{index}")(nn.elu(x))
            blocks = GatedBlocks(self.blocks, self.dropout, name=f"blocks_{index}")
            x = blocks(x, train, jax.random.fold_in(key, index))
            below.append(x)
        return below


class TopDown(nn.Module):
    """z_L ... z_1 -> what p(x|z) is made of."""

    layers: int
    features: int
    latent: int
    blocks: int
    dropout: float
    top: tuple[int, int]  # [h, w] of z_L
    channels: int

    @nn.compact
    def __call__(
        self, noise: Sequence[Array], below: Sequence[Array] | None, train: bool, key: Key
    ) -> tuple[Array, list[Layer]]:
        """Draws every z_i by its noise, from q where `below` is given, else from p.

        Args:
            noise: of z_1 ... z_L, each [B, h, w, latent].
            below: d_1 ... d_L, or None.
            train: as everywhere.
            key: of the dropout.

        Returns:
            [B, H, W, channels], and what became of z_1 ... z_L (without `below`, q is p).
        """
        state, layers = jnp.zeros((len(noise[-1]), *self.top, self.features), noise[-1].dtype), []
        prior = self.param("prior", nn.initializers.zeros, (*self.top, 2 * self.latent), jnp.float32)
        for index in reversed(range(self.layers)):
            k_merge, k_blocks = jax.random.split(jax.random.fold_in(key, index))
            topmost = index == self.layers - 1
            p = gaussian_of(prior) if topmost else gaussian_of(Conv(2 * self.latent, name=f"p_{index}")(nn.elu(state)))
            p = (jnp.broadcast_to(p[0], noise[index].shape), jnp.broadcast_to(p[1], noise[index].shape))
            q = p
            if below is not None:
                merged = below[index] if topmost else self._merge(f"merge_{index}", state, below[index])
                merged = GatedBlocks(1, self.dropout, name=f"q_blocks_{index}")(merged, train, k_merge)
                q = gaussian_of(Conv(2 * self.latent, name=f"q_{index}")(nn.elu(merged)))
            z = q[0] + jnp.exp(q[1]) * noise[index]
            layers.append((z, q, p))
            drawn = Conv(self.features, name=f"z_{index}")(z)
            state = drawn if topmost else self._merge(f"skip_{index}", state, drawn)
            state = GatedBlocks(self.blocks, self.dropout, name=f"blocks_{index}")(state, train, k_blocks)
            state = Strided(double, self.features, name=f"up_{index}")(nn.elu(state))
        return Strided(double, self.channels, name="out")(nn.elu(state)), layers[::-1]

    def _merge(self, name: str, a: Array, b: Array) -> Array:
        return a + nn.Dense(self.features, name=name)(nn.elu(jnp.concatenate([a, b], axis=-1)))


class LadderVAE(nn.Module):
    """Networks "bottom_up" and "top_down"."""

    shape: ImageShape
    likelihood: Likelihood
    bottom_up: BottomUp
    top_down: TopDown

    def __call__(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        return self.nelbo(batch, key, train)

    @property
    def formulas(self) -> dict[str, str]:
        """Of the terms of `nelbo`."""
        last, texts = self.top_down.layers, {"distortion": "-log p(x | z), z ~ q(z | x)"}
        for index in range(1, last + 1):
            above = "".join(f", z_{other}" for other in range(index + 1, last + 1))
            given = f" | {above[2:]}" if above else ""
            texts[f"rate_{index}"] = f"KL(q(z_{index} | x{above}) || p(z_{index}{given}))"
        return texts

    def nelbo(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        """Distortion and the KL divergence of every layer, nats [B]."""
        k_noise, k_drop = jax.random.split(key)
        below = self.bottom_up(self._padded(batch["x"]), train, jax.random.fold_in(k_drop, 0))
        output, layers = self._run(self._noise(k_noise, len(batch["x"])), below, train, jax.random.fold_in(k_drop, 1))
        rates = {f"rate_{i + 1}": _kl(q, p) for i, (_, q, p) in enumerate(layers)}
        return {"distortion": self.likelihood.nll(output, batch["x"]), **rates}

    def log_weights(
        self, batch: Batch, k: int, key: Key, train: bool = False, detached: bool = False, tilt: Array | None = None
    ) -> Array:
        """Log p(x, z) / q(z|x) of k draws of all layers for each x, [k, B], nats."""
        if detached or tilt is not None:
            raise UserError("A ladder's q shares its layers with p; use estimator=reparameterized.")
        k_noise, k_drop = jax.random.split(key)
        below = [tile(d, k) for d in self.bottom_up(self._padded(batch["x"]), train, k_drop)]
        x = tile(batch["x"], k)
        output, layers = self._run(self._noise(k_noise, len(x)), below, train, k_drop)
        log_w = -self.likelihood.nll(output, x)
        for z, q, p in layers:
            log_w += gaussian_nll(z, *q) - gaussian_nll(z, *p)
        return log_w.reshape(k, -1)

    def posterior_means(self, batch: Batch, k: int, key: Key, train: bool = False) -> Array:
        """E[z_i|x] under q, of each layer by the means of q(z_i|z_>i, x) at k draws, [B, numbers of all z]."""
        k_noise, k_drop = jax.random.split(key)
        below = [tile(d, k) for d in self.bottom_up(self._padded(batch["x"]), train, k_drop)]
        _, layers = self._run(self._noise(k_noise, k * len(batch["x"])), below, train, k_drop)
        means = _flat([mean for _, (mean, _), _ in layers])
        return jnp.mean(means.reshape(k, -1, means.shape[-1]), axis=0)

    def encode(self, batch: Batch, key: Key, train: bool = False) -> Array:
        """The noise of the posterior means, each given those above, [B, numbers of all z]."""
        below = self.bottom_up(self._padded(batch["x"]), train, key)
        still = [jnp.zeros_like(noise) for noise in self._noise(key, len(batch["x"]))]
        _, layers = self._run(still, below, train, key)
        return _flat([(z - mean) * jnp.exp(-log_std) for z, _, (mean, log_std) in layers])

    def decode(self, z: Array, cond: Batch, train: bool = False) -> Array:
        """The mean of p(x|z), [B, H, W, C], from the noise of all layers."""
        return self.likelihood.mean(self._generate(z, train))

    def sample_prior(self, key: Key, n: int, cond: Batch, train: bool = False, temperature: float = 1.0) -> Array:
        """Draws from N(0, I), [n, numbers of all z]."""
        return temperature * _flat(self._noise(key, n))

    def sample(self, key: Key, n: int, cond: Batch, train: bool = False, **how: float) -> Array:
        """A draw from the prior, layer by layer, then from p(x|z), [n, H, W, C]."""
        k_z, k_x = jax.random.split(key)
        return self.likelihood.sample(k_x, self._generate(self.sample_prior(k_z, n, cond, train, **how), train))

    def _generate(self, z: Array, train: bool) -> Array:
        sizes = [int(np.prod(shape)) for shape in self._shapes()]
        parts = jnp.split(z, np.cumsum(sizes)[:-1], axis=-1)
        noise = [part.reshape(-1, *shape) for part, shape in zip(parts, self._shapes())]
        return self._run(noise, None, train, jax.random.key(0))[0]

    def _run(
        self, noise: Sequence[Array], below: Sequence[Array] | None, train: bool, key: Key
    ) -> tuple[Array, list[Layer]]:
        output, layers = self.top_down(noise, below, train, key)
        (top, _), (left, _) = self._margins()
        return output[:, top : top + self.shape[0], left : left + self.shape[1]], layers

    def _noise(self, key: Key, n: int) -> list[Array]:
        keyed = [(jax.random.fold_in(key, i), (n, *shape)) for i, shape in enumerate(self._shapes())]
        return [jax.random.normal(k, shape, jnp.float32) for k, shape in keyed]

    def _shapes(self) -> list[tuple[int, int, int]]:
        """Of z_1 ... z_L."""
        (h, w), count = self.top_down.top, self.top_down.layers
        return [(h * 2**i, w * 2**i, self.top_down.latent) for i in reversed(range(count))]

    def _margins(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns of zeros before and after, which make the image divisible."""
        factor = 2 ** (self.top_down.layers + 1)
        missing = [factor * side - size for side, size in zip(self.top_down.top, self.shape)]
        return (missing[0] // 2, missing[0] - missing[0] // 2), (missing[1] // 2, missing[1] - missing[1] // 2)

    def _padded(self, x: Array) -> Array:
        return jnp.pad(x, ((0, 0), *self._margins(), (0, 0)))


@factory("Sønderby et al. 2016, arXiv:1602.02282")
def ladder_vae(
    *,
    shape: ImageShape,
    layers: int = 3,
    latent: int = 32,
    features: int = 64,
    blocks: int = 4,
    dropout: float = 0.2,
    likelihood: Likelihood = bernoulli,
) -> Model:
    """The ladder VAE.

    Terms: "distortion" (nats), "rate_<i>" (nats) of each layer. Networks: "bottom_up", "top_down".

    Args:
        shape: an image's [H, W, C]; padded with zeros to a multiple of 2 ** (layers + 1).
        layers: layers of latents, L.
        latent: channels of every z.
        features: channels of every convolution.
        blocks: residual blocks per layer and pass.
        dropout: the share of their features that is dropped in training.
        likelihood: the observation model.
    """
    factor = 2 ** (layers + 1)
    top = (-(-shape[0] // factor), -(-shape[1] // factor))
    bottom_up = BottomUp(layers, features, blocks, dropout)
    top_down = TopDown(layers, features, latent, blocks, dropout, top, shape[2] * likelihood.parameters)
    return from_linen(LadderVAE(shape, likelihood, bottom_up, top_down), image_spec(shape))


def _kl(q: Gaussian, p: Gaussian) -> Array:
    """KL(q || p) of Gaussians [B, h, w, latent], nats [B]."""
    return gaussian_kl((q[0] - p[0]) * jnp.exp(-p[1]), q[1] - p[1])


def _flat(parts: Sequence[Array]) -> Array:
    return jnp.concatenate([part.reshape(len(part), -1) for part in parts], axis=-1)
