"""What a model is given and what it draws, against its spec: checks in a sentence, at trace time where they can be."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genjax_zoo.core import (
    NO_CONDITION,
    Array,
    Batch,
    Conditionals,
    Critic,
    Density,
    Key,
    Latent,
    Model,
    Of,
    Sampler,
    Spec,
    Terms,
    Variables,
    conditions,
    if_there,
)
from genjax_zoo.errors import UserError


def with_checks(model: Model) -> Model:
    """The model, whose functions check what they are given and what they draw by its `spec` and its `check`.

    Raises:
        UserError: from any of its functions, for an array that is missing or of another shape, and for a condition
            that `check` refuses; from `init`, for an x that it refuses.
    """
    spec = model.spec

    def given(cond: Batch) -> Batch:
        check_conditions(spec, cond)
        model.check({name: cond[name] for name in conditions(spec)})
        return cond

    def init(key: Key, batch: Batch) -> Variables:
        check_batch(spec, batch)
        model.check(batch)
        return model.init(key, batch)

    def of_batch(run: Of[Any]) -> Of[Any]:
        def call(variables: Variables, batch: Batch, *more: Any, train: bool = False, **how: Any):
            check_batch(spec, batch)
            return run(variables, batch, *more, train=train, **how)

        return call

    def drawing(run: Of[Any], shape: tuple[int, ...] | None, given: Callable[[Batch], Batch]) -> Of[Any]:
        def draw(v: Variables, key: Key, n: int, cond: Batch = NO_CONDITION, *, train: bool = False, **how: Any):
            out, v = run(v, key, n, given(cond), train=train, **how)
            if shape is not None:
                check_drawn(shape, out[0] if isinstance(out, tuple) else out)
            return out, v

        return draw

    def sampler(of: Sampler, shape: tuple[int, ...] | None, given: Callable[[Batch], Batch] = given) -> Sampler:
        scored = if_there(of.scored, lambda run: drawing(run, shape, given))
        return dataclasses.replace(of, draw=drawing(of.draw, shape, given), scored=scored)

    def density(of: Density) -> Density:
        def terms(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
            check_batch(spec, batch)
            named, variables = of.terms(variables, batch, key, train=train)
            for name, value in named.items():
                each = f"term '{name}' must be one number per example"
                chex.assert_shape(value, (len(batch["x"]),), custom_message=each)
            return named, variables

        return dataclasses.replace(
            of, terms=dataclasses.replace(of.terms, terms=terms), weigh=if_there(of.weigh, of_batch)
        )

    def decoding(run: Of[Array]) -> Of[Array]:
        def decode(v: Variables, z: Array, cond: Batch = NO_CONDITION, key: Key | None = None, *, train: bool = False):
            x, v = run(v, z, given(cond), key, train=train)
            check_drawn(spec["x"].shape, x)
            return x, v

        return decode

    def prior(of: Model) -> Model:
        def own(cond: Batch) -> Batch:
            check_conditions(of.spec, cond)
            of.check({name: cond[name] for name in conditions(of.spec)})
            return cond

        return dataclasses.replace(of, sampler=if_there(of.sampler, lambda one: sampler(one, None, own)))

    def latent(of: Latent) -> Latent:
        return dataclasses.replace(
            of,
            prior=if_there(of.prior, prior),
            encode=if_there(of.encode, of_batch),
            means=if_there(of.means, of_batch),
            decode=if_there(of.decode, decoding),
        )

    def views(of: Conditionals) -> Conditionals:
        def logits(variables: Variables, batch: Batch, *, train: bool = False):
            if jnp.shape(batch["x"])[1:] == tuple(of.grid):  # samplers see x as this
                batch = {**batch, "x": batch["x"].reshape(-1, *spec["x"].shape)}
            check_batch(spec, batch)
            return of.logits(variables, batch, train=train)

        def start(variables: Variables, n: int, cond: Batch = NO_CONDITION, *, train: bool = False):
            return of.start(variables, n, given(cond), train=train)

        return dataclasses.replace(of, logits=logits, start=start)

    def scoring(run: Of[Any]) -> Of[Any]:
        def score(v: Variables, x: Array, cond: Batch = NO_CONDITION, key: Key | None = None, *, train: bool = False):
            return run(v, x, given(cond), key, train=train)

        return score

    def critic(of: Critic) -> Critic:
        return dataclasses.replace(of, score=scoring(of.score), features=if_there(of.features, scoring))

    return dataclasses.replace(
        model,
        init=init,
        density=if_there(model.density, density),
        sampler=if_there(model.sampler, lambda one: sampler(one, spec["x"].shape)),
        latent=if_there(model.latent, latent),
        conditionals=if_there(model.conditionals, views),
        codes=if_there(model.codes, of_batch),
        critic=if_there(model.critic, critic),
    )


def checker(
    classes: Mapping[str, int], *, bounded: bool = False, of_x: Callable[[np.ndarray], None] | None = None
) -> Callable[[Mapping[str, Any]], None]:
    """A `check` of the values that are known.

    Args:
        classes: name -> how many classes a condition has.
        bounded: whether x is in [0, 1].
        of_x: a likelihood's own.
    """

    def check(batch: Mapping[str, Any]) -> None:
        known = {name: np.asarray(value) for name, value in batch.items() if not isinstance(value, Tracer)}
        for name, count in classes.items():
            if name in known:
                check_classes(name, count, known[name])
        if bounded and "x" in known:
            check_range(known["x"])
        if of_x is not None and "x" in known:
            of_x(known["x"])

    return check


def image_spec(shape: tuple[int, ...], *, labelled: bool = False) -> Spec:
    """The spec of a float32 x of this shape, with an int32 label where it is a condition."""
    label = {"label": jax.ShapeDtypeStruct((), jnp.int32)} if labelled else {}
    return {"x": jax.ShapeDtypeStruct(shape, jnp.float32), **label}


def check_batch(spec: Spec, batch: Batch) -> None:
    """Checks a batch against a spec, at trace time.

    Raises:
        UserError: an entry is missing or has another shape.
    """
    for name, one in spec.items():
        if name not in batch:
            raise UserError(f"The model needs '{name}', but the batch has {sorted(batch)}.")
        try:
            chex.assert_shape(batch[name], (None, *one.shape))
        except AssertionError:
            got = jnp.shape(batch[name])[1:]
            raise UserError(
                f"The model expects '{name}' of shape {tuple(one.shape)}, but the data has {got}; "
                f"build the model with the data's shape."
            ) from None


def check_measured(variables: Variables, x: Array) -> None:
    """Checks the constants that a first batch x has given, such as the spread that `nn.ActNorm` measures.

    Raises:
        UserError: one is not finite: what is constant has no spread.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables.get("constants", {})):
        wrong = np.argwhere(~np.isfinite(leaf))
        if wrong.size:
            layer = "/".join(str(key.key) for key in path[:-1])
            what = _without_spread(np.asarray(x), f"channel {wrong[0, -1]} of what '{layer}' is given")
            raise UserError(f"'{layer}' begins with the spread of the first batch, but {what}.")


def _without_spread(x: np.ndarray, otherwise: str) -> str:
    """What has none in the first batch, and what to do: a number of x by its place, where one is constant."""
    if not np.isfinite(x).all():
        return "that has values that are not finite; mend the data"
    if len(x) == 1:
        return "one example has none; begin with a larger batch"
    constant = np.argwhere(np.ptp(x, axis=0) <= 2 * np.finfo(np.float32).eps * np.abs(x).max(axis=0))
    place = constant[0] if constant.size else None
    what = otherwise if place is None else f"x[{', '.join(map(str, place))}] = {x[0, *place]:.4g}"
    return (
        f"{what} is the same in all {len(x)} examples, in float32; leave it out, shuffle the data, or begin with more"
    )


def check_drawn(shape: tuple[int, ...], x: Array) -> None:
    """Checks that what a model draws is of the shape that it was built for, at trace time.

    Raises:
        UserError: it is not.
    """
    if jnp.shape(x)[1:] != tuple(shape):
        raise UserError(
            f"The model was built for x of shape {tuple(shape)}, but what it draws has {jnp.shape(x)[1:]}; "
            f"build it with a shape that its layers can make."
        )


def check_classes(name: str, count: int, values: np.ndarray) -> None:
    """Checks the classes of a condition.

    Raises:
        UserError: one of them is outside 0 ... count - 1.
    """
    wrong = values[(values < 0) | (values >= count)]
    if wrong.size:
        raise UserError(
            f"'{name}' is one of 0 ... {count - 1} in this model of {count} classes, but here it is {wrong.flat[0]}; "
            f"number the classes from 0, or build the model with more."
        )


def check_range(x: np.ndarray) -> None:
    """Checks what a model of x in [0, 1] is given.

    Raises:
        UserError: it goes further, by more than rounding.
    """
    low, high = float(np.min(x)), float(np.max(x))
    if low < -1e-3 or high > 1 + 1e-3:
        raise UserError(
            f"This model is of x in [0, 1], but x goes from {low:.4g} to {high:.4g}; rescale it, as 0 ... 255 by "
            f"x / 255 and -1 ... 1 by (x + 1) / 2."
        )


def check_conditions(spec: Spec, cond: Batch) -> None:
    """Checks that a conditional model is given its conditions.

    Raises:
        UserError: one is missing, or has another shape.
    """
    for name, one in conditions(spec).items():
        if name not in cond:
            raise UserError(f"The model needs the condition '{name}'; give it, or fix it with wrap.conditioned.")
        if jnp.ndim(cond[name]) == 0 or jnp.shape(cond[name])[1:] != tuple(one.shape):
            raise UserError(
                f"The condition '{name}' needs the shape {('n', *one.shape)}, one entry per example, "
                f"not {jnp.shape(cond[name])}."
            )
