"""VQ-VAE: neural discrete representation learning (van den Oord et al. 2017, arXiv:1711.00937).

An image becomes a small grid of codes. Two players: the autoencoder learns to rebuild from codes, the prior learns
which codes there are (`vector_quantized`). q(c|x) is certain, so -log p(x) <= -log p(x|c) - log P(c), a bound
that any other model's can be compared with.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import optax

from genjax_zoo.core import Array, Batch, Density, Explained, Key, Model, Terms, Variables, factory, require
from genjax_zoo.errors import UserError
from genjax_zoo.inference.sampling import cached, draw_levels
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.math import ImageShape, Likelihood, bernoulli, sum_per_example
from genjax_zoo.math.convolve import double
from genjax_zoo.models.autoregressive.autoregressive import network_views
from genjax_zoo.nn import Conv, GatedPixelCNN, Pyramid, Quantizer, ResidualBlock, Strided


class Encoder(nn.Module):
    """Halves the image once per width, then two residual blocks."""

    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """[B, H, W, C] -> [B, h, w, widths[-1]]."""
        x = Pyramid(self.widths, activation=nn.relu, name="pyramid")(x, train)
        for index in range(2):
            x = ResidualBlock(self.widths[-1] // 2, name=f"block_{index}")(x)
        return nn.relu(x)


class Decoder(nn.Module):
    """Two residual blocks, then the image is doubled once per width."""

    channels: int
    widths: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Array, train: bool = False) -> Array:
        """[B, h, w, D] -> [B, H, W, channels]."""
        x = Conv(self.widths[0], name="in")(x)
        for index in range(2):
            x = ResidualBlock(self.widths[0] // 2, name=f"block_{index}")(x)
        for index, width in enumerate(self.widths[1:]):
            x = nn.relu(Strided(double, width, name=f"up_{index}")(nn.relu(x)))
        return Strided(double, self.channels, name="out")(x)


class VQVAE(nn.Module):
    """Networks "encoder", "quantizer" (with the code book), "decoder" and "prior"."""

    likelihood: Likelihood
    grid: tuple[int, int]  # [h, w] of the codes
    encoder: Encoder
    quantizer: Quantizer
    decoder: Decoder
    prior: GatedPixelCNN
    formulas = {
        "distortion": "-log p(x | c), c = the codes nearest to e(x)",
        "commitment": "||e(x) - constant(c)||**2, summed over places",
        "rate": "-log P(c), c = the codes nearest to e(x)",
    }
    units = {"commitment": "loss"}

    def __call__(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        return self.nelbo(batch, key, train)

    def nelbo(self, batch: Batch, key: Key, train: bool = False) -> Terms:
        """Distortion, and rate: what the prior takes to name the codes, nats [B].

        In training the codes move, and there is the commitment: the squared distance to them, which no likelihood has.
        """
        quantized, codes, commitment = self.quantizer(self.encoder(batch["x"], train), train)
        distortion = self.likelihood.nll(self.decoder(quantized, train), batch["x"])
        logits = self.prior(codes[..., None])[..., 0, :]
        rate = sum_per_example(optax.softmax_cross_entropy_with_integer_labels(logits, codes))
        return {"distortion": distortion, "rate": rate, **({"commitment": commitment} if train else {})}

    def codes(self, batch: Batch, train: bool = False) -> Array:
        """Indices into the code book, int [B, h, w]."""
        return self.quantizer(self.encoder(batch["x"], train))[1]

    def encode(self, batch: Batch, key: Key, train: bool = False) -> Array:
        """The codes themselves, [B, h, w, D]."""
        return self.quantizer(self.encoder(batch["x"], train))[0]

    def decode(self, z: Array, cond: Batch, train: bool = False) -> Array:
        """The mean of p(x|c), [B, H, W, C], of the codes nearest to z [B, h, w, D]."""
        return self.likelihood.mean(self.decoder(self.quantizer.snap(z), train))

    def sample_prior(self, key: Key, n: int, cond: Batch, train: bool = False, temperature: float = 1.0) -> Array:
        """Draws from the prior, one code at a time, its logits divided by the temperature, [n, h, w, D]."""
        prior, variables = self.prior.unbind()
        views = network_views(prior, (*self.grid, 1), prior.levels)
        codes = cached(views, variables, n, draw_levels(key, temperature=temperature))[..., 0]  # type: ignore[arg-type]
        return self.quantizer.book()[codes]

    def sample(self, key: Key, n: int, cond: Batch, train: bool = False, **how: float) -> Array:
        """A draw from the prior, then from p(x|c), [n, H, W, C]."""
        k_codes, k_x = jax.random.split(key)
        return self.likelihood.sample(k_x, self.decoder(self.sample_prior(k_codes, n, cond, train, **how), train))


@factory("van den Oord et al. 2017, arXiv:1711.00937")
def vq_vae(
    *,
    shape: ImageShape,
    codes: int = 512,
    features: int = 64,
    widths: tuple[int, ...] = (64, 128),
    decay: float = 0.99,
    restart_below: float = 0.03,
    prior_features: int = 64,
    prior_layers: int = 6,
    likelihood: Likelihood = bernoulli,
) -> Model:
    """VQ-VAE with a gated PixelCNN over the codes.

    Terms: "distortion" (nats), "rate" (nats), "commitment" (loss).
    Networks: "encoder", "quantizer", "decoder", "prior".

    Args:
        shape: an image's [H, W, C]; divisible by 2 ** len(widths).
        codes: codes in the code book, K.
        features: the dimension of a code.
        widths: channels of the encoder's layers; the decoder's are the same, reversed.
        decay: the decay of the moving averages that the codes are.
        restart_below: the share of an even use below which a code restarts at a vector of the batch.
        prior_features: channels of the prior.
        prior_layers: layers of the prior.
        likelihood: the observation model.

    Raises:
        UserError: the image cannot be halved so often.
    """
    height, width, channels = shape
    factor = 2 ** len(widths)
    if height % factor or width % factor:
        raise UserError(f"An image of {height}x{width} cannot be halved {len(widths)} times; use fewer widths.")
    module = VQVAE(
        likelihood,
        (height // factor, width // factor),
        Encoder(widths),
        Quantizer(codes, features, decay, restart_below),
        Decoder(channels * likelihood.parameters, widths[::-1]),
        GatedPixelCNN(codes, features=prior_features, layers=prior_layers),
    )
    return from_linen(module, image_spec(shape))


def vector_quantized(model: Model) -> tuple[Explained, Explained]:
    """The two sides of a VQ-VAE: (autoencoder's terms, prior's terms).

    Args:
        model: has `codes`, and a density with a rate.

    Returns:
        Two TermFns: one with "distortion" (nats) and, in training, "commitment"; the other with "rate" (nats) of the
        codes, whose gradient reaches only the prior. A compiled turn of one side computes nothing of the other.

    Raises:
        UserError: the model has no `codes`, or no density.
    """
    if model.codes is None:
        raise UserError("This model has no 'codes', whose rate is one side of a VQ-VAE.")
    stated = require(model, Density).terms

    def side(mine: Callable[[str], bool]) -> Explained:
        def run(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
            terms, variables = stated(variables, batch, key, train=train)
            return {name: value for name, value in terms.items() if mine(name)}, variables

        written = {name: text for name, text in stated.formulas.items() if mine(name)}
        return Explained(terms=run, formulas=written, units=stated.units, rest=stated.rest)

    return side(lambda name: name != "rate"), side(lambda name: name == "rate")
