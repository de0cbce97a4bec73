"""Changes of variables: a density changes by the log-Jacobian, which becomes one more term; a bound stays a bound."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jax.core import Tracer

from genjax_zoo.core import (
    Array,
    Batch,
    Critic,
    Density,
    Judge,
    Key,
    Latent,
    Model,
    Of,
    Sampler,
    Terms,
    Variables,
    dimensions,
)
from genjax_zoo.errors import UserError
from genjax_zoo.math import logit, logit_inverse
from genjax_zoo.wrap.calls import check_density, map_argument, map_value, record_lost
from genjax_zoo.wrap.conditions import change_conditions


def over_data(
    model: Model,
    name: str,
    forward: Callable[[Array], tuple[Array, Array]],
    inverse: Callable[[Array], Array],
    *,
    formula: str = "",
    by: str = "wrap.over_data",
) -> Model:
    """The model of x whose inner one sees y = forward(x).

    Its density has one more term, -log |det dy/dx| in nats; what it draws is inverse(y); its critic, judge, codes and
    encodings are of y. Conditionals are left out, since neighbours in y are none in x.

    Args:
        model: of y; its likelihood is a density, where it has one.
        name: of the term. Where the model has a term of this name, it is added to that.
        forward: x [B, ...] -> (y, log |dy/dx| of every element), both of the shape of x.
        inverse: y -> x.
        formula: of the term, in plain text.
        by: what is said to have left out what the result lacks.

    Raises:
        UserError: the model's likelihood is a probability of levels, which has no change of variables.
    """
    check_density(model, by)

    def seen(x: Array) -> Array:
        return forward(x)[0]

    def log_det(x: Array) -> Array:
        return jnp.sum(forward(x)[1].reshape(len(x), -1), axis=1)

    def inner(batch: Batch) -> Batch:
        return {**batch, "x": seen(batch["x"])}

    def density(one: Density) -> Density:
        def terms(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
            named, variables = one.terms(variables, inner(batch), key, train=train)
            return {**named, name: named.get(name, 0) - log_det(batch["x"])}, variables

        def weighing(weigh: Of[Array]) -> Of[Array]:
            def run(variables: Variables, batch: Batch, *args: Any, **how: Any) -> tuple[Array, Variables]:
                log_w, variables = weigh(variables, inner(batch), *args, **how)
                return log_w + log_det(batch["x"]), variables

            return run

        said = {} if not formula else {name: "; ".join(filter(None, (one.terms.formulas.get(name), formula)))}
        stated = dataclasses.replace(
            one.terms,
            terms=terms,
            formulas={**one.terms.formulas, **said},
            units={**one.terms.units, name: "nats"},
        )
        return Density(terms=stated, exact=one.exact, weigh=one.weigh and weighing(one.weigh))

    def sampler(one: Sampler) -> Sampler:
        def back(drawn: tuple[Array, Array]) -> tuple[Array, Array]:
            x = inverse(drawn[0])
            return x, drawn[1] - log_det(x)

        scored = one.scored and map_value(one.scored, back)
        return Sampler(draw=map_value(one.draw, inverse), scored=scored, settings=one.settings)

    def latent(one: Latent) -> Latent:
        observed = {"formula": formula, "by": by}
        return Latent(
            prior=one.prior,
            posterior=one.posterior and _given(one.posterior, seen, by),
            observation=one.observation and over_data(one.observation, name, forward, inverse, **observed),
            encode=one.encode and map_argument(one.encode, inner),
            means=one.means and map_argument(one.means, inner),
            decode=one.decode and map_value(one.decode, inverse),
        )

    critic, judge, gaussian = model.critic, model.judge, model.density and model.density.gaussian
    lost = {
        "density.gaussian": gaussian,
        "sampler.mean": model.sampler and model.sampler.mean,
        "conditionals": model.conditionals,
        "of_length": model.of_length,
    }
    return Model(
        spec=model.spec,
        init=lambda key, batch: model.init(key, inner(batch)),
        card=model.card,
        check=lambda batch: model.check(inner(batch) if "x" in batch else batch),
        density=model.density and density(model.density),
        sampler=model.sampler and sampler(model.sampler),
        latent=model.latent and latent(model.latent),
        codes=model.codes and map_argument(model.codes, inner),
        critic=critic
        and Critic(
            score=map_argument(critic.score, seen), features=critic.features and map_argument(critic.features, seen)
        ),
        judge=judge
        and Judge(
            classify=map_argument(judge.classify, seen), features=judge.features and map_argument(judge.features, seen)
        ),
        left_out=record_lost(model, by, lost),
    )


def scaled(model: Model, *, shift: float, scale: float) -> Model:
    """The same model of x, where the inner one sees y = (x - shift) * scale. The term "scale" is -D log |scale|."""

    def forward(x: Array) -> tuple[Array, Array]:
        return (x - shift) * scale, jnp.full_like(x, math.log(abs(scale)))

    formula = f"-{dimensions(model.spec)} log {abs(scale):g}, the others are of y = (x - {shift:g}) * {scale:g}"
    return over_data(model, "scale", forward, lambda y: y / scale + shift, formula=formula, by="wrap.scaled")


def logit_space(model: Model, alpha: float = 1e-6) -> Model:
    """A density on [0, 1] from one on the reals, by y = logit(alpha + (1 - 2 alpha) x) (Dinh et al. 2016, sec. 4.1).

    The term "logit" is -log |dy/dx|, nats; without it the likelihood is that of y, which MAF reports.

    Raises:
        UserError: alpha outside (0, 0.5), where the logit of 0 or 1 is infinite; from `init`, for x outside [0, 1].
    """
    if not 0 < alpha < 0.5:
        raise UserError(
            f"logit_space needs alpha in (0, 0.5), not {alpha}: the logits of 0 and 1 are infinite; use 1e-6."
        )

    def check(batch: Mapping[str, Any]) -> None:
        x = batch.get("x")
        if x is not None and not isinstance(x, Tracer) and not bool(jnp.all((x >= 0) & (x <= 1))):
            raise UserError(
                f"The logit is of x in [0, 1], but x goes from {float(jnp.min(x)):.4g} to {float(jnp.max(x)):.4g}; "
                f"rescale it with wrap.scaled, or load pixels such as 'mnist-deq'."
            )
        through.check(batch)

    formula = f"-log |det dy/dx|, the others are of y = logit({alpha:g} + {1 - 2 * alpha:g} x)"
    through = over_data(
        model,
        "logit",
        lambda x: logit(x, alpha),
        lambda y: logit_inverse(y, alpha),
        formula=formula,
        by="wrap.logit_space",
    )
    init = through.init
    return dataclasses.replace(through, init=lambda key, batch: (check(batch), init(key, batch))[1], check=check)


def _given(posterior: Model, seen: Callable[[Array], Array], by: str) -> Model:
    """The posterior of a model of y = seen(x), given x. A latent space of its own is left out."""

    def tell(batch: Batch, n: int) -> Batch:
        return {**batch, "given": seen(batch["given"])} if "given" in batch else batch

    lost = {"latent": posterior.latent, "of_length": posterior.of_length}
    alone = dataclasses.replace(posterior, latent=None, of_length=None, left_out=record_lost(posterior, by, lost))
    return change_conditions(alone, tell, tell, lambda part, own: None, by)
