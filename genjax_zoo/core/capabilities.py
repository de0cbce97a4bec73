"""A method of a user's module that is named like a capability becomes that capability.

    method      signature                        becomes
    nll, nelbo  (batch, key, train)              density: terms, each float [B]
    log_weights (batch, k, key, train)           density.weigh: log p(x, z) / q(z | x) of k draws of z, [k, B], nats
    sample      (key, n, cond, train)            sampler.draw: x [n, ...]
    scored      (key, n, cond, train)            sampler.scored: x and -log p(x) [n] of one pass
    sample_prior (key, n, cond, train)           latent.prior: z [n, ...]; also temperature=1.0 where it has one, see
                                                 wrap.tempered, which `sample` is given and hands on as well
    encode      (batch, key, train)              latent.encode: z [B, ...]
    decode      (z, cond, train)                 latent.decode: x [B, ...]
    posterior_means (batch, k, key, train)       latent.means: E_q[z | x] of all layers, by k draws, [B, ...]
    codes       (batch, train)                   codes: int [B, ...], indices into a code book
    discriminate (x, cond, train)                critic.score: [B]
    classify    (x, train)                       judge.classify: logits [B, classes]
    features                                     of a critic (x, cond, train) -> (scores, features); of a judge
                                                 (x, train) -> [B, D]
    logits, start, begin_row, step, choices      conditionals, in two views, each with train at the end; attributes
                                                 `grid` and `levels` beside them
    __call__    (batch, key, train)              of Linen: anything; it runs every network once, for init

An attribute `likelihood` is asked whether it is one of the first batch, and states what the density is of. An attribute
`formulas` says the terms of nll and nelbo in plain text, by name: those that it does not name are no part of the
likelihood. `linen` and `nnx` say how a module's methods are functions of variables.
"""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from genjax_zoo.core import (
    NO_CONDITION,
    Array,
    Batch,
    Card,
    Conditionals,
    Critic,
    Density,
    Explained,
    Judge,
    Key,
    Latent,
    Levels,
    Model,
    Of,
    Sampler,
    Spec,
    Variables,
    if_there,
)
from genjax_zoo.core.specs import checker, with_checks
from genjax_zoo.errors import UserError

NO_CLASSES: Mapping[str, int] = {}


def model_of_methods(
    module: object,
    pure: Callable[[str], Of[Any]],
    init: Callable[[Key, Batch], Variables],
    spec: Spec,
    *,
    classes: Mapping[str, int],
    bounded: bool,
    card: Card | None,
) -> Model:
    """The Model of a module by the table above.

    Args:
        module: its class has the methods; its attributes state facts.
        pure: a method, by name, as a function of variables.
        init: (key, batch) -> variables.
        spec: name -> shape and dtype of one example, without the batch axis.
        classes: name -> how many classes a condition has, 0 ... classes - 1.
        bounded: whether x is in [0, 1].
        card: the model's facts; what its likelihood is of is added, where the module has a `likelihood` or `levels`.

    Raises:
        UserError: from any of the model's functions, for a batch that does not fit `spec`, or the likelihood.
    """
    kind, likelihood = type(module), getattr(module, "likelihood", None)

    def own(method: str) -> Of[Any] | None:
        return pure(method) if hasattr(kind, method) else None

    def of_batch(method: str) -> Of[Any] | None:
        """A method (batch), (batch, key) or (batch, k, key) as the function (variables, batch, key, k)."""
        taken = inspect.signature(getattr(kind, method)).parameters if hasattr(kind, method) else {}

        def changed(run: Of[Any]) -> Of[Any]:
            def call(variables: Variables, batch: Batch, *more: Any, train: bool = False, **how: Any):
                if unknown := [name for name in how if name not in taken]:
                    raise UserError(
                        f"The method '{method}' takes no '{unknown[0]}', which this estimator asks for; give it this "
                        f"argument, or take estimator=losses.reparameterized."
                    )
                key, k = (more[0] if more else None), more[1:]
                return run(variables, batch, *k, key=key, train=train, **how)

            return call

        return if_there(own(method), changed)

    def of_cond(method: str) -> Of[Any] | None:
        """A method (array, cond) as the function (variables, array, cond, key)."""

        def changed(run: Of[Any]) -> Of[Any]:
            def call(
                v: Variables, x: Array, cond: Batch = NO_CONDITION, key: Key | None = None, *, train: bool = False
            ):
                return run(v, x, cond, key=key, train=train)

            return call

        return if_there(own(method), changed)

    def density() -> Density | None:
        method = "nll" if hasattr(kind, "nll") else "nelbo"
        terms, written = of_batch(method), getattr(module, "formulas", {})
        if terms is None:
            return None
        units = {**dict.fromkeys(written, "nats"), **getattr(module, "units", {})}
        stated = Explained(terms=terms, formulas=written, units=units, rest=None if written else "nats")
        return Density(terms=stated, exact=method == "nll", weigh=of_batch("log_weights"))

    def sampler(method: str) -> Sampler | None:
        draw = own(method)
        scored = own("scored") if method == "sample" else None
        return None if draw is None else Sampler(draw=draw, scored=scored, settings=_settings(kind, method))

    def latent() -> Latent | None:
        prior, encode, decode = sampler("sample_prior"), of_batch("encode"), of_cond("decode")
        if prior is None and encode is None and decode is None:
            return None
        of_prior = prior and Model(spec=spec, init=init, sampler=prior)
        return Latent(prior=of_prior, encode=encode, decode=decode, means=of_batch("posterior_means"))

    def conditionals() -> Conditionals | None:
        if not hasattr(kind, "step"):
            return None
        grid, levels = (getattr(module, name) for name in ("grid", "levels"))
        views = {name: pure(name) for name in ("logits", "start", "begin_row", "step", "choices")}
        return Conditionals(grid=grid, levels=levels, **views)

    judges, score = own("classify"), of_cond("discriminate")
    levels = getattr(module, "levels", None) if likelihood is None else likelihood.levels
    facts, stated = card or Card(), likelihood is not None or levels is not None
    model = Model(
        spec=spec,
        init=init,
        card=dataclasses.replace(facts, support=Levels(levels)) if stated and facts.support is None else facts,
        density=density(),
        sampler=sampler("sample"),
        latent=latent(),
        conditionals=conditionals(),
        codes=of_batch("codes"),
        critic=None if score is None else Critic(score=score, features=of_cond("features")),
        judge=None if judges is None else Judge(classify=judges, features=None if score else own("features")),
        check=checker(classes, bounded=bounded, of_x=None if likelihood is None else likelihood.check),
    )
    return with_checks(model)


def _settings(kind: type, method: str) -> Mapping[str, Any]:
    """The settings of a method that draws, with their defaults; those of `sample_prior` where it hands all on."""
    taken = inspect.signature(getattr(kind, method)).parameters
    own = {name: one.default for name, one in taken.items() if name == "temperature"}
    hands_on = any(one.kind is one.VAR_KEYWORD for one in taken.values())
    return own or (_settings(kind, "sample_prior") if hands_on and hasattr(kind, "sample_prior") else {})
