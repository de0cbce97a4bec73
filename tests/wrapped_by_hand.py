"""Wrappers, losses and evaluations by hand: transform the data, call the model inside, add the log-determinant."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from genjax_zoo import compose, data, evals, losses, precision, wrap
from genjax_zoo.core import (
    FROZEN,
    Critic,
    Density,
    Latent,
    Model,
    Sampler,
    behaviour,
    conditions,
    part,
    require,
    total,
)
from genjax_zoo.math import logit, logit_inverse, tiled

KEY, SHAPE, LEVELS, K = jax.random.key(0), (2, 2, 1), 5, 3
SIZE = math.prod(SHAPE)


# ---- wrappers, and what each is by hand ----


def unchanged(x, key):
    return x, jnp.zeros(len(x))


@behaviour
class ByHand:
    """A wrapper, (model, its variables) -> Model, and what it is by hand: where nothing is said, nothing changes."""

    wrapper: Callable[[Model, Any], Model] = lambda model, variables: model
    into: Callable[[Any, Any], Any] = unchanged  # x and a key, of noise, -> y and log |det dy/dx| [B]
    back: Callable[[Any], Any] = lambda y: y
    shown: Callable[[Any], Any] = lambda batch: batch  # the batch outside
    told: Callable[[Any, int], Any] = lambda batch, n: batch  # what that is inside
    held: Callable[[Any], Any] = lambda variables: variables  # the variables outside
    noise: bool = False  # whether a key is split for it
    temperature: float = 1.0
    trains: bool = True

    def inside(self, batch, key):
        """The batch and the key of the model inside, and the log-determinant."""
        k_noise, k_model = jax.random.split(key) if self.noise else (key, key)
        batch = self.told(batch, len(batch["x"]))
        y, log_det = self.into(batch["x"], k_noise)
        return {**batch, "x": y}, k_model, log_det

    def log_w(self, model, variables, batch, key, k):
        """Log weights [k, B] of a batch outside; the noise belongs to each draw."""
        rows = k
        if self.noise:
            batch, k = {name: tiled(value, k) for name, value in batch.items()}, 1
        inner, key, log_det = self.inside(batch, key)
        return (model.log_weights(variables, inner, key, k) + log_det).reshape(rows, -1)

    def drawn(self, model, variables, key, n, cond):
        """Samples, as the model inside draws them."""
        return model.sample(variables, key, n, self.told(cond, n), temperature=self.temperature)


def scale_into(x, key):
    return (x - 0.25) * -3.0, jnp.full(len(x), SIZE * math.log(3))


def scale_back(y):
    return y / -3.0 + 0.25


def logit_into(x, key):
    y, log_det = logit(x, 0.1)
    return y, jnp.sum(log_det, axis=(1, 2, 3))


def logit_back(y):
    return logit_inverse(y, 0.1)


def noise_into(x, key):
    y = ((LEVELS - 1) * x + jax.random.uniform(key, x.shape)) / LEVELS
    return y, jnp.full(len(x), -SIZE * math.log(LEVELS))


def noise_back(y):
    return jnp.clip(jnp.floor(LEVELS * y), 0, LEVELS - 1) / (LEVELS - 1)


def noise_and_logit_into(x, key):
    y, of_noise = noise_into(x, key)
    z, of_logit = logit_into(y, key)
    return z, of_noise + of_logit


def under_a_name(variables):
    return {c: {f"mine/{net}": tree for net, tree in nets.items()} for c, nets in variables.items()}


def constant(variables):
    names = sorted({net for nets in variables.values() for net in nets})
    return {
        "params": {},
        FROZEN: {net: {c: nets[net] for c, nets in variables.items() if net in nets} for net in names},
    }


def without(batch, name):
    return {n: value for n, value in batch.items() if n != name}


def always_two(batch, n):
    return {**batch, "label": jnp.full(n, 2)}


def scaled(model, variables):
    return wrap.scaled(model, shift=0.25, scale=-3.0)


WRAPPERS = {
    "scaled": ByHand(wrapper=scaled, into=scale_into, back=scale_back),
    "logit_space": ByHand(wrapper=lambda model, v: wrap.logit_space(model, 0.1), into=logit_into, back=logit_back),
    "dequantized": ByHand(
        wrapper=lambda model, v: wrap.dequantized(model, LEVELS), into=noise_into, back=noise_back, noise=True
    ),
    "conditioned": ByHand(
        wrapper=lambda model, v: wrap.conditioned(model, label=2),
        shown=lambda batch: without(batch, "label"),
        told=always_two,
    ),
    "renamed": ByHand(  # what is still called "label" is another's
        wrapper=lambda model, v: wrap.renamed(model, label="y"),
        shown=lambda batch: {**batch, "y": 2 - batch["label"]},
        told=lambda batch, n: {**without(batch, "y"), "label": batch["y"]},
    ),
    "tempered": ByHand(wrapper=lambda model, v: wrap.tempered(model, 0.5), temperature=0.5),
    "with_memory": ByHand(wrapper=lambda model, v: wrap.with_memory(model)),
    "scope": ByHand(wrapper=lambda model, v: compose.scope(model, "mine"), held=under_a_name),
    "frozen": ByHand(wrapper=compose.frozen, held=constant, trains=False),
    "in_precision": ByHand(wrapper=lambda model, v: precision.in_precision(model, jnp.float32)),
    "scaled, fixed, under a name": ByHand(
        wrapper=lambda model, v: compose.scope(wrap.conditioned(scaled(model, v), label=2), "mine"),
        into=scale_into,
        back=scale_back,
        shown=lambda batch: without(batch, "label"),
        told=always_two,
        held=under_a_name,
    ),
    "levels of a constant in logit space": ByHand(
        wrapper=lambda model, v: wrap.dequantized(wrap.logit_space(compose.frozen(model, v), 0.1), LEVELS),
        into=noise_and_logit_into,
        back=lambda y: noise_back(logit_back(y)),
        held=constant,
        noise=True,
        trains=False,
    ),
}


# ---- losses: asked of a model, (variables, batch, key) -> numbers; and by hand of the model inside ----


def of_density(model):
    terms = require(model, Density).terms
    return lambda v, batch, key: total(terms(v, batch, key)[0])


def density_by_hand(by, model):
    def run(v, batch, key):
        inner, key, log_det = by.inside(batch, key)
        return total(require(model, Density).terms(v, inner, key)[0]) - log_det

    return run


def statistics(variables):
    """The batch statistics in variables, wherever they are."""
    leaves = jax.tree_util.tree_leaves_with_path(variables)
    return [jnp.ravel(x) for path, x in leaves if "batch_stats" in jax.tree_util.keystr(path)]


def of_training(model):
    """The terms in training mode, and the statistics that they leave."""
    density = require(model, Density)

    def run(v, batch, key):
        terms, after = density.terms(v, batch, key, train=True)
        return [total(terms), *statistics(after)]

    return run


def training_by_hand(by, model):
    def run(v, batch, key):
        inner, key, log_det = by.inside(batch, key)
        terms, after = require(model, Density).terms(v, inner, key, train=by.trains)
        return [total(terms) - log_det, *statistics(after)]

    return run


def of_free_bits(model):
    terms = losses.free_bits(require(model, Density).terms, 9.0)
    return lambda v, batch, key: total(terms(v, batch, key)[0])


def free_bits_by_hand(by, model):
    def run(v, batch, key):
        inner, key, log_det = by.inside(batch, key)
        terms, _ = require(model, Density).terms(v, inner, key)
        return sum(jnp.maximum(9.0, x) if n.startswith("rate") else x for n, x in terms.items()) - log_det

    return run


def weighted(estimator):
    def of(model):
        terms = losses.importance_weighted(model, k=K, estimator=estimator)
        return lambda v, batch, key: terms(v, batch, key)[0]["iw_nelbo"]

    return of


def weighted_by_hand(by, model):
    return lambda v, batch, key: math.log(K) - jax.nn.logsumexp(by.log_w(model, v, batch, key, K), axis=0)


def of_critic(model):
    critic, _ = losses.adversarial(model)
    return lambda v, batch, key: critic(v, batch, key)[0]["adversarial"]


def critic_by_hand(by, model):
    def run(v, batch, key):
        fake = scored(by, model, v, jax.random.split(key, 4)[0], batch)
        inner, _, _ = by.inside(batch, key)
        real, _ = require(model, Critic).score(v, inner["x"], conditions(inner))
        return jax.nn.softplus(-real) + jax.nn.softplus(fake)

    return run


def of_generator(model):
    _, generator = losses.adversarial(model)
    return lambda v, batch, key: generator(v, batch, key)[0]["adversarial"]


def generator_by_hand(by, model):
    return lambda v, batch, key: jax.nn.softplus(-scored(by, model, v, jax.random.split(key, 3)[0], batch))


def scored(by, model, v, key, batch):
    """The critic's scores of samples, both of the model inside."""
    cond, n = conditions(batch), len(batch["x"])
    return require(model, Critic).score(v, by.drawn(model, v, key, n, cond), by.told(cond, n))[0]


def of_samples(model):
    draw = require(model, Sampler).draw
    return lambda v, batch, key: draw(v, key, len(batch["x"]), conditions(batch))[0]


def samples_by_hand(by, model):
    return lambda v, batch, key: by.back(by.drawn(model, v, key, len(batch["x"]), conditions(batch)))


def of_codes(model):
    """Examples' codes, and what they decode to."""
    encode, decode = part(model, Latent, "encode"), part(model, Latent, "decode")

    def run(v, batch, key):
        z, _ = encode(v, batch, key)
        return z, decode(v, z, conditions(batch))[0]

    return run


def codes_by_hand(by, model):
    def run(v, batch, key):
        inner, key, _ = by.inside(batch, key)
        z = model.encode(v, inner, key)
        return z, by.back(model.decode(v, z, conditions(inner)))

    return run


ESTIMATORS = (losses.reparameterized, losses.sticking_the_landing, losses.doubly_reparameterized)
LOSSES = {
    "density": (of_density, density_by_hand),
    "training": (of_training, training_by_hand),
    "free_bits": (of_free_bits, free_bits_by_hand),
    **{f"weights, {estimator.__name__}": (weighted(estimator), weighted_by_hand) for estimator in ESTIMATORS},
    "critic": (of_critic, critic_by_hand),
    "generator": (of_generator, generator_by_hand),
    "samples": (of_samples, samples_by_hand),
    "codes": (of_codes, codes_by_hand),
}


# ---- evaluations: of a model, and by hand the means of losses by hand ----


def split(batch):
    return data.Resident(arrays=batch, transform=lambda raw, keys: raw, batch_size=len(batch["x"]), seed=0, train=False)


FIRST = jax.random.fold_in(KEY, 0)  # of the first batch


def likelihood(model, v, batch):
    return evals.likelihood(split(batch))(model, v, KEY)[require(model, Density).name]


def likelihood_by_hand(by, model, v, batch):
    return jnp.mean(density_by_hand(by, model)(v, batch, FIRST))


def per_example(model, v, batch):
    return evals.nats_per_example(model, v, KEY, split(batch))


def per_example_by_hand(by, model, v, batch):
    return density_by_hand(by, model)(v, batch, FIRST)


def iw_bound(model, v, batch):
    return evals.iw_bound(split(batch), k=K)(model, v, KEY)[f"iw-{K}"]


def iw_bound_by_hand(by, model, v, batch):
    return jnp.mean(weighted_by_hand(by, model)(v, batch, jax.random.fold_in(FIRST, 0)))


def reconstruction_error(model, v, batch):
    return evals.reconstruction_error(split(batch))(model, v, KEY)["reconstruction_error"]


def reconstruction_error_by_hand(by, model, v, batch):
    return jnp.mean((codes_by_hand(by, model)(v, batch, KEY)[1] - batch["x"]) ** 2)


def sample_grid(model, v, batch):
    return evals.sample_grid(len(batch["x"]), conditions(batch))(model, v, KEY)["samples"]


def sample_grid_by_hand(by, model, v, batch):
    return samples_by_hand(by, model)(v, batch, KEY)


EVALS = {
    "evals.likelihood": (likelihood, likelihood_by_hand),
    "evals.nats_per_example": (per_example, per_example_by_hand),
    "evals.iw_bound": (iw_bound, iw_bound_by_hand),
    "evals.reconstruction_error": (reconstruction_error, reconstruction_error_by_hand),
    "evals.sample_grid": (sample_grid, sample_grid_by_hand),
}
