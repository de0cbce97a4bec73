"""A model of NNX for the table of cases, and the same in Linen with the same tree of variables."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from genjax_zoo import from_linen
from genjax_zoo.conformance import Case
from genjax_zoo.core import DROPOUT, Model, Player, aside
from genjax_zoo.math import discretized_logistic, gaussian_kl
from genjax_zoo.math.devices import mapped_axis
from genjax_zoo.nnx import from_nnx

SPEC = {"x": jax.ShapeDtypeStruct((8, 8, 1), jnp.float32)}
FORMULAS = {"distortion": "-log p(x | z)", "rate": "KL(q(z | x) || p(z))"}
LIKELIHOOD = discretized_logistic(17)
LATENT, HIDDEN, RATE = 3, 12, 0.5


class Encoder(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.hidden = nnx.Linear(64, HIDDEN, rngs=rngs)
        self.norm = nnx.BatchNorm(HIDDEN, rngs=rngs)
        self.drop = nnx.Dropout(RATE, rngs=rngs)
        self.out = nnx.Linear(HIDDEN, 2 * LATENT, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.out(self.drop(nnx.tanh(self.norm(self.hidden(x.reshape(-1, 64))))))


class VAE(nnx.Module):
    """Gaussian latents; batch norm and dropout in the encoder."""

    likelihood, formulas = LIKELIHOOD, FORMULAS

    def __init__(self, rngs: nnx.Rngs):
        self.encoder = Encoder(rngs)
        self.decoder = nnx.Linear(LATENT, 64 * 2, rngs=rngs)

    def nelbo(self, batch, key):
        mean, log_std = jnp.split(self.encoder(batch["x"]), 2, axis=-1)
        z = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)
        return {"distortion": self.likelihood.nll(self.output(z), batch["x"]), "rate": gaussian_kl(mean, log_std)}

    def output(self, z):
        return self.decoder(jnp.tanh(z)).reshape(-1, 8, 8, 2)

    def sample_prior(self, key, n, cond):
        return jax.random.normal(key, (n, LATENT))

    def sample(self, key, n, cond):
        k_z, k_x = jax.random.split(key)
        return self.likelihood.sample(k_x, self.output(self.sample_prior(k_z, n, cond)))

    def encode(self, batch):
        return self.encoder(batch["x"])[:, :LATENT]

    def decode(self, z, cond):
        return self.likelihood.mean(self.output(z))


class LinenEncoder(nn.Module):
    """The masks are those of the first stream of an NNX module that is given `key`."""

    @nn.compact
    def __call__(self, x: jax.Array, key: jax.Array, train: bool) -> jax.Array:
        h = nn.Dense(HIDDEN, name="hidden")(x.reshape(-1, 64))
        h = nn.BatchNorm(use_running_average=not train, axis_name=mapped_axis(), name="norm")(h)
        stream = jax.random.split(jax.random.fold_in(aside(key, DROPOUT), 0), ())
        h = nn.Dropout(RATE)(nn.tanh(h), deterministic=not train, rng=jax.random.fold_in(stream, 0))
        return nn.Dense(2 * LATENT, name="out")(h)


class LinenVAE(nn.Module):
    likelihood = LIKELIHOOD
    formulas = FORMULAS

    def setup(self):
        self.encoder, self.decoder = LinenEncoder(), nn.Dense(64 * 2)

    def __call__(self, batch, key, train):
        return self.nelbo(batch, key, train)

    def nelbo(self, batch, key, train):
        mean, log_std = jnp.split(self.encoder(batch["x"], key, train), 2, axis=-1)
        z = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)
        return {"distortion": self.likelihood.nll(self.output(z), batch["x"]), "rate": gaussian_kl(mean, log_std)}

    def output(self, z):
        return self.decoder(jnp.tanh(z)).reshape(-1, 8, 8, 2)

    def sample_prior(self, key, n, cond):
        return jax.random.normal(key, (n, LATENT))

    def sample(self, key, n, cond):
        k_z, k_x = jax.random.split(key)
        return self.likelihood.sample(k_x, self.output(self.sample_prior(k_z, n, cond)))

    def encode(self, batch, key, train):
        return self.encoder(batch["x"], key, train)[:, :LATENT]

    def decode(self, z, cond):
        return self.likelihood.mean(self.output(z))


def of(model: Model) -> Case:
    x = np.random.default_rng(0).uniform(size=(16, 1, 1, 1)) * np.linspace(0, 1, 64).reshape(8, 8, 1)
    players = {"vae": Player(terms=model.nelbo, tx=optax.adam(1e-3), ema=0.9)}
    return Case(model=model, players=players, batch={"x": jnp.asarray(np.round(16 * x) / 16, jnp.float32)})


def nnx_vae() -> Case:
    return of(from_nnx(VAE, SPEC))


def linen_vae() -> Case:
    return of(from_linen(LinenVAE(), SPEC))
