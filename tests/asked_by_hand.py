"""What is asked of a wrapped model, losses and evaluations, and the same by hand of the model inside."""

import math

import jax
import jax.numpy as jnp
from wrapped_by_hand import KEY, K

from genjax_zoo import data, evals, losses
from genjax_zoo.core import (
    Critic,
    Density,
    Latent,
    Sampler,
    conditions,
    part,
    require,
    total,
)

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
