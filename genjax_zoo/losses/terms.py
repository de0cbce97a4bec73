"""Terms of whole models: functions of (variables, batch, key, train) that return named losses [B]."""

import jax
import jax.numpy as jnp

from genjax_zoo.core import (
    NO_CONDITION,
    Batch,
    Explained,
    Key,
    Model,
    TermFn,
    Terms,
    Variables,
    check_methods,
    formulas,
    require,
)
from genjax_zoo.losses.adversaries import Adversary, non_saturating


def merge(*functions: TermFn) -> TermFn:
    """One TermFn with the terms of all; the state passes through them in order, and each gets a key of its own.

    Raises:
        ValueError: when run, if two of them name a term alike.
    """

    def run(variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
        merged: dict[str, jax.Array] = {}
        for index, function in enumerate(functions):
            terms, variables = function(variables, batch, jax.random.fold_in(key, index), train)
            twice = sorted(set(terms) & set(merged))
            if twice:
                raise ValueError(f"Two merged functions have a term '{twice[0]}'; rename one.")
            merged |= terms
        return merged, variables

    return Explained(terms=run, formulas={name: text for f in functions for name, text in formulas(f).items()})


def free_bits(terms_of: TermFn, floor: float) -> TermFn:
    """The same terms, but every one named "rate..." costs each example at least `floor` nats.

    After Kingma et al. 2016, arXiv:1606.04934, eq. 15, which floors the mean over a minibatch; here every example's own
    rate is floored, which is never less and does not couple the examples of a batch.

    Below the floor it has no gradient, so that a layer need not be switched off before it is of use. This is for
    training: what is no bound any more is not what `evals.likelihood` reports.
    """

    def run(variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
        terms, variables = terms_of(variables, batch, key, train)
        return {n: jnp.maximum(x, floor) if n.startswith("rate") else x for n, x in terms.items()}, variables

    written = {n: f"max({floor:g}, {f})" if n.startswith("rate") else f for n, f in formulas(terms_of).items()}
    return Explained(terms=run, formulas=written)


def vae_gan_terms(model: Model, adversary: Adversary = non_saturating) -> TermFn:
    """All terms of a VAE-GAN (Larsen et al. 2016), for three players to weigh.

    Returns:
        A TermFn with "distortion" (Gaussian nats up to a constant, in the discriminator's features), "rate" (nats),
        "critic" and "fool". Reconstructions and samples from the prior both count as fakes, half each.

    Raises:
        ValueError: the model has another `sample`, `sample_prior` or `decode` than `apply` gives.
    """
    check_methods(model, "sample", "sample_prior", "decode")

    def run(variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
        k_posterior, k_prior = jax.random.split(key)
        keys = iter(jax.random.split(jax.random.fold_in(key, 1), 4))  # of dropout
        x = batch["x"]
        (z, rate), variables = model.apply(variables, "posterior", x, key=k_posterior, train=train)
        rebuilt, variables = model.apply(variables, "decode", z, NO_CONDITION, key=next(keys), train=train)
        sampled, variables = model.apply(variables, "sample", k_prior, len(x), NO_CONDITION, train=train)
        (real, real_features), variables = model.apply(variables, "discriminate", x, key=next(keys), train=train)
        (fake, fake_features), variables = model.apply(variables, "discriminate", rebuilt, key=next(keys), train=train)
        (prior, _), variables = model.apply(variables, "discriminate", sampled, key=next(keys), train=train)
        difference = (real_features - fake_features).reshape(len(x), -1)
        terms = {
            "distortion": 0.5 * jnp.sum(difference**2, axis=-1),
            "rate": rate,
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
    return Explained(terms=run, formulas=written)


def vector_quantized(model: Model) -> tuple[TermFn, TermFn]:
    """The two sides of a VQ-VAE: (autoencoder's terms, prior's terms).

    Args:
        model: has `codes`, and methods "autoencode" and "code_nll".

    Returns:
        Two TermFns: one with "distortion" (nats) and "commitment", the other with "rate" (nats) of the codes as they
        are now, whose gradient reaches only the prior.

    Raises:
        ValueError: the model has no `codes`, or a `nelbo` other than `apply` gives.
    """
    (codes_of,) = require(model, "codes")
    check_methods(model, "nelbo")

    def autoencoder(variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
        return model.apply(variables, "autoencode", batch, key=key, train=train)

    def prior(variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
        codes = codes_of(variables, batch)
        rate, variables = model.apply(variables, "code_nll", codes, key=key, train=train)
        return {"rate": rate}, variables

    written = formulas(model.nelbo)
    return Explained(terms=autoencoder, formulas=written), Explained(terms=prior, formulas=written)
