"""What a model is told: conditions that are fixed, and entries under other names."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np

from genjax_zoo.core import (
    NO_CONDITION,
    Array,
    Batch,
    Critic,
    Density,
    Key,
    Latent,
    Model,
    Of,
    Sampler,
    Terms,
    Variables,
)
from genjax_zoo.errors import UserError
from genjax_zoo.wrap.calls import map_argument, record_lost

Value = TypeVar("Value")
OF_PARTS = ("given", "z")  # conditions of posteriors and observations, which need not be in their specs
Tell = Callable[[Batch, int], Batch]  # a batch or its conditions, of so many examples, as the inner model is told them


def conditioned(model: Model, **conditions: Any) -> Model:
    """A conditional model with some of its conditions fixed: `conditioned(model, label=3)` draws threes.

    Raises:
        UserError: the model has no such condition, or its values have another type or shape.
    """
    fixed = {}
    for name, value in conditions.items():
        if name == "x" or name not in model.spec:
            raise UserError(f"The model has no condition '{name}'; it has {sorted(set(model.spec) - {'x'})}.")
        one, given = model.spec[name], np.asarray(value)
        if given.dtype.kind not in "biuf" or jnp.issubdtype(one.dtype, jnp.integer) and given.dtype.kind not in "iu":
            raise UserError(f"The condition '{name}' is of {one.dtype}, not {value!r}; give a number of it.")
        if given.shape != tuple(one.shape):
            raise UserError(f"The condition '{name}' is of shape {tuple(one.shape)}, not {given.shape}.")
        fixed[name] = jnp.asarray(value, one.dtype)
    model.check({name: value[None] for name, value in fixed.items()})
    return _conditioned(model, fixed)


def _conditioned(model: Model, fixed: Mapping[str, Array]) -> Model:
    def tell(batch: Batch, n: int) -> Batch:
        return {**batch, **{name: jnp.broadcast_to(value, (n, *value.shape)) for name, value in fixed.items()}}

    def part(inner: Model, own: tuple[str, ...]) -> Model:
        return _conditioned(inner, {name: value for name, value in fixed.items() if name not in own})

    of_length = model.of_length
    return dataclasses.replace(
        change_conditions(model, tell, tell, part, by="wrap.conditioned"),
        spec={name: one for name, one in model.spec.items() if name not in fixed},
        of_length=of_length and (lambda length: _conditioned(of_length(length), fixed)),
    )


def renamed(model: Model, **names: str) -> Model:
    """The same model under other names: `renamed(model, label="y")` is told "y" what the inner one calls "label".

    So the parts of a model may differ in what they call one thing. What is modelled is an entry, too: of a posterior
    that is to be asked with a batch of {"x": the image, "z": its code}, it is `renamed(posterior, given="x", x="z")`.

    Raises:
        UserError: the model has no such entry, or two would have one name; when run, if a renamed one is not given.
    """
    for name in names:
        if name not in {*model.spec, *OF_PARTS}:
            raise UserError(f"The model has no entry '{name}' to rename; it has {sorted(model.spec)}.")
    if twice := _twice(model, names):
        raise UserError(f"Two entries of the model would be called '{twice[0]}'; rename the other one, too.")
    return _renamed(model, names)


def _renamed(model: Model, names: Mapping[str, str]) -> Model:
    moved = {*names, *names.values()}
    needed = [other for name, other in names.items() if name in model.spec and name != "x"]

    def some(batch: Mapping[str, Any], n: int = 0) -> dict[str, Any]:
        kept = {name: value for name, value in batch.items() if name not in moved}
        return kept | {name: batch[other] for name, other in names.items() if other in batch}

    def tell(batch: Batch, n: int) -> Batch:
        if missing := [name for name in needed if name not in batch]:
            raise UserError(f"The model needs '{missing[0]}', but it was given {sorted(batch)}.")
        return some(batch)

    def part(inner: Model, own: tuple[str, ...]) -> Model | None:
        theirs = {name: other for name, other in names.items() if name not in own}
        return None if _twice(inner, theirs) else _renamed(inner, theirs)

    of_length = model.of_length
    return dataclasses.replace(
        change_conditions(model, tell, some, part, by="wrap.renamed"),
        spec={names.get(name, name): one for name, one in model.spec.items()},
        of_length=of_length and (lambda length: _renamed(of_length(length), names)),
    )


def _twice(model: Model, names: Mapping[str, str]) -> list[str]:
    """The names that two entries would have."""
    outer = [names.get(name, name) for name in {**model.spec, **names}]
    return [name for name in outer if outer.count(name) > 1]


def change_conditions(
    model: Model, tell: Tell, check: Tell, part: Callable[[Model, tuple[str, ...]], Model | None], by: str
) -> Model:
    """The model all of whose capabilities but `of_length` are told what `tell` makes of a batch or of conditions.

    Args:
        model: the inner one.
        tell: changes what its functions are given.
        check: the same, of part of a batch.
        part: makes the same of a part of its latent space, but for the entries that are the part's own affair: there
            "x" is z, "given" and "z" are the x and z of this model. None leaves the part out.
        by: who is said to have left it out.
    """

    def whole(batch: Batch) -> Batch:
        return tell(batch, len(next(iter(batch.values()))))

    def drawing(draw: Of[Value]) -> Of[Value]:
        def run(variables: Variables, key: Key, n: int, cond: Batch = NO_CONDITION, **how: Any):
            return draw(variables, key, n, tell(cond, n), **how)

        return run

    def beside(score: Of[Value]) -> Of[Value]:
        def run(variables: Variables, x: Array, cond: Batch = NO_CONDITION, *args: Any, **how: Any):
            return score(variables, x, tell(cond, len(x)), *args, **how)

        return run

    def numbered(start: Of[Value]) -> Of[Value]:
        def run(variables: Variables, n: int, cond: Batch = NO_CONDITION, **how: Any):
            return start(variables, n, tell(cond, n), **how)

        return run

    def density(one: Density) -> Density:
        def terms(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
            return one.terms(variables, whole(batch), key, train=train)

        return Density(
            terms=dataclasses.replace(one.terms, terms=terms),
            exact=one.exact,
            weigh=one.weigh and map_argument(one.weigh, whole),
            gaussian=one.gaussian and map_argument(one.gaussian, whole),
        )

    def sampler(one: Sampler) -> Sampler:
        return Sampler(
            draw=drawing(one.draw),
            scored=one.scored and drawing(one.scored),
            mean=one.mean and numbered(one.mean),
            settings=one.settings,
        )

    def latent(one: Latent) -> Latent:
        return Latent(
            prior=one.prior and part(one.prior, ("x",)),
            posterior=one.posterior and part(one.posterior, ("x", "given")),
            observation=one.observation and part(one.observation, ("x", "z")),
            encode=one.encode and map_argument(one.encode, whole),
            decode=one.decode and beside(one.decode),
            means=one.means and map_argument(one.means, whole),
        )

    had, has = model.latent or Latent(), model.latent and latent(model.latent)
    kept = has or Latent()
    lost = {
        "latent.prior": had.prior if kept.prior is None else None,
        "latent.posterior": had.posterior if kept.posterior is None else None,
        "latent.observation": had.observation if kept.observation is None else None,
    }
    critic, views = model.critic, model.conditionals
    return Model(
        spec=model.spec,
        init=lambda key, batch: model.init(key, whole(batch)),
        card=model.card,
        check=lambda batch: model.check(check(batch, 1)),
        density=model.density and density(model.density),
        sampler=model.sampler and sampler(model.sampler),
        latent=has,
        conditionals=views
        and dataclasses.replace(views, logits=map_argument(views.logits, whole), start=numbered(views.start)),
        codes=model.codes and map_argument(model.codes, whole),
        critic=critic and Critic(score=beside(critic.score), features=critic.features and beside(critic.features)),
        judge=model.judge,
        left_out=record_lost(model, by, lost),
    )
