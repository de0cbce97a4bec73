"""From a Flax Linen module to a Model: a method named like a Model field becomes that field.

    method      signature                        returns
    sample      (key, n, cond, train)            x [n, ...]
    nll, nelbo  (batch, key, train)              terms, each float [B]
    log_weights (batch, k, key, train)           log p(x, z) / q(z | x) of k draws of z, [k, B], nats
    encode      (batch, key, train)              z [B, ...]
    posterior_means (batch, k, key, train)       E_q[z | x] of all layers of latents, by k draws, [B, ...]
    decode      (z, cond, train)                 x [B, ...]
    sample_prior (key, n, cond, train)           z [n, ...]; also temperature=1.0 where the prior has one, see
                                                 wrap.tempered, which `sample` is given and hands on as well
    codes       (batch, train)                   int [B, ...], indices into a code book
    logits, start, begin_row, step, choices      the two views of core.Conditionals, each with train at the end;
                                                 attributes `grid` and `levels` beside them
    __call__    (batch, key, train)              anything; it runs every network once, for init

The attributes set in `setup` are the networks: their names key parameters, state and ownership. An attribute
`likelihood` is asked whether it is one of the first batch, so that grey values are not trained on as bits. An attribute
`formulas` says the terms of nll and nelbo in plain text, by name.
Keys are arguments, and state goes in and comes out. nn.Dropout draws its masks by the key that its method is given.
"""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import chex
import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from genjax_zoo.core import (
    NO_CONDITION,
    Array,
    Batch,
    Conditionals,
    Explained,
    Key,
    Model,
    PyTree,
    Spec,
    TermFn,
    Terms,
    Variables,
    conditions,
)

DROPOUT = 2**31 - 1  # what a key is folded with for the masks of nn.Dropout, apart from what else it draws
NO_CLASSES: Mapping[str, int] = {}


def from_linen(
    module: nn.Module,
    spec: Spec,
    *,
    classes: Mapping[str, int] = NO_CLASSES,
    bounded: bool = False,
    temperature: float = 1.0,
) -> Model:
    """Wraps a module as a Model.

    Args:
        module: the root module; see the table above.
        spec: name -> shape and dtype of one example, without the batch axis.
        classes: name -> how many classes a condition has, 0 ... classes - 1.
        bounded: whether x is in [0, 1].
        temperature: of all draws from the prior; see wrap.tempered.

    Raises:
        ValueError: from any of the model's functions, for a batch that does not fit `spec`, or the likelihood.
    """

    def initialise(key: Key, batch: Batch) -> Variables:
        k_params, k_call = jax.random.split(key)
        return module.init({"params": k_params, "dropout": jax.random.fold_in(k_call, DROPOUT)}, batch, k_call, True)

    traced = jax.jit(initialise)

    @functools.cache
    def run_once():
        """On CPU, a program that runs once is compiled without the passes that take most of the time."""
        hasty = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
        return jax.jit(initialise, compiler_options=hasty if jax.default_backend() == "cpu" else None)

    def check(batch: Mapping[str, Any]) -> None:
        known = {name: np.asarray(value) for name, value in batch.items() if not isinstance(value, Tracer)}
        for name, count in classes.items():
            if name in known:
                check_classes(name, count, known[name])
        if bounded and "x" in known:
            check_range(known["x"])
        if hasattr(module, "likelihood") and "x" in known:
            module.likelihood.check(known["x"])  # type: ignore[union-attr]

    check.likelihood = getattr(module, "likelihood", None)  # type: ignore[attr-defined]  # evals ask for it

    def given(cond: Batch) -> Batch:
        check_conditions(spec, cond)
        check({name: value for name, value in cond.items() if name in classes})
        return cond

    def init(key: Key, batch: Batch) -> Variables:
        check_batch(spec, batch)
        check(batch)
        if any(isinstance(x, Tracer) for x in jax.tree.leaves((key, batch))):
            return traced(key, batch)
        variables = run_once()(key, batch)
        check_measured(variables, batch)
        return variables

    @functools.cache
    def takes_key(method: str) -> bool:
        return "key" in inspect.signature(getattr(type(module), method)).parameters

    def apply(variables: Variables, method: str, *args: Any, key: Key | None = None, train: bool = False, **more: Any):
        if not hasattr(module, method):
            raise ValueError(f"This model has no method '{method}'; its module is {type(module).__name__}.")
        if temperature != 1 and method in ("sample", "sample_prior"):
            more = {"temperature": temperature, **more}
        keyed: dict[str, Any] = {**more, "key": key} if key is not None and takes_key(method) else more
        drawn = next((x for x in (key, *args) if _is_key(x)), None)
        rngs = None if drawn is None else {"dropout": jax.random.fold_in(drawn, DROPOUT)}
        state = [name for name in variables if name != "params"]
        try:
            out, changed = module.apply(variables, *args, **keyed, train=train, method=method, mutable=state, rngs=rngs)
        except flax.errors.InvalidRngError as error:
            raise ValueError(
                f"The method '{method}' draws without a key ({str(error).splitlines()[0]}); call it with key=, "
                f"by which nn.Dropout draws, and take other noise from an argument `key` of the method."
            ) from error
        if method in ("sample", "decode"):
            check_drawn(spec, out)
        return out, {**variables, **changed}

    def terms(method: str) -> TermFn:
        def run(variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
            check_batch(spec, batch)
            named, variables = apply(variables, method, batch, key=key, train=train)
            size = len(batch["x"])
            for name, value in named.items():
                chex.assert_shape(value, (size,), custom_message=f"term '{name}' must be one number per example")
            return named, variables

        return Explained(terms=run, formulas=getattr(module, "formulas", {}))

    def sample(variables: Variables, key: Key, n: int, cond: Batch = NO_CONDITION) -> Array:
        return apply(variables, "sample", key, n, given(cond))[0]

    def log_weights(variables: Variables, batch: Batch, key: Key, k: int) -> Array:
        check_batch(spec, batch)
        return apply(variables, "log_weights", batch, k, key=key)[0]

    def posterior_means(variables: Variables, batch: Batch, key: Key, k: int) -> Array:
        check_batch(spec, batch)
        return apply(variables, "posterior_means", batch, k, key=key)[0]

    def encode(variables: Variables, batch: Batch, key: Key) -> Array:
        check_batch(spec, batch)
        return apply(variables, "encode", batch, key=key)[0]

    def decode(variables: Variables, z: Array, cond: Batch = NO_CONDITION) -> Array:
        return apply(variables, "decode", z, given(cond))[0]

    def sample_prior(variables: Variables, key: Key, n: int, cond: Batch = NO_CONDITION) -> Array:
        return apply(variables, "sample_prior", key, n, given(cond))[0]

    def codes(variables: Variables, batch: Batch) -> Array:
        check_batch(spec, batch)
        return apply(variables, "codes", batch)[0]

    def logits(variables: Variables, batch: Batch) -> Array:
        if jnp.shape(batch["x"])[1:] == tuple(module.grid):  # type: ignore[attr-defined]  # samplers see x as this
            batch = {**batch, "x": batch["x"].reshape(-1, *spec["x"].shape)}
        check_batch(spec, batch)
        return apply(variables, "logits", batch)[0]

    def start(variables: Variables, n: int, cond: Batch = NO_CONDITION) -> PyTree:
        return apply(variables, "start", n, given(cond))[0]

    def view(method: str):
        return lambda variables, *args: apply(variables, method, *args)[0]

    offered = {
        "sample": sample,
        "nll": terms("nll"),
        "nelbo": terms("nelbo"),
        "log_weights": log_weights,
        "encode": encode,
        "posterior_means": posterior_means,
        "decode": decode,
        "sample_prior": sample_prior,
        "codes": codes,
    }
    fields: dict[str, Any] = {name: function for name, function in offered.items() if hasattr(type(module), name)}
    if hasattr(type(module), "step"):
        steps = {name: view(name) for name in ("begin_row", "step", "choices")}
        grid, levels = (getattr(module, name) for name in ("grid", "levels"))
        fields["conditionals"] = Conditionals(grid=grid, levels=levels, logits=logits, start=start, **steps)
    if all(_takes_temperature(module, name) for name in ("sample_prior", "sample")):
        fields["at_temperature"] = lambda value: from_linen(
            module, spec, classes=classes, bounded=bounded, temperature=temperature * value
        )
    return Model(spec=spec, init=init, apply=apply, check=check, **fields)


def _is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _takes_temperature(module: nn.Module, method: str) -> bool:
    """Whether a method has the argument, or hands on all that it is given by name."""
    if not hasattr(type(module), method):
        return False
    given = inspect.signature(getattr(type(module), method)).parameters
    return "temperature" in given or any(one.kind is one.VAR_KEYWORD for one in given.values())


def image_spec(shape: tuple[int, ...], *, labelled: bool = False) -> Spec:
    """The spec of a float32 x of this shape, with an int32 label where it is a condition."""
    label = {"label": jax.ShapeDtypeStruct((), jnp.int32)} if labelled else {}
    return {"x": jax.ShapeDtypeStruct(shape, jnp.float32), **label}


def check_batch(spec: Spec, batch: Batch) -> None:
    """Checks a batch against a spec, at trace time.

    Raises:
        ValueError: an entry is missing or has another shape.
    """
    for name, one in spec.items():
        if name not in batch:
            raise ValueError(f"The model needs '{name}', but the batch has {sorted(batch)}.")
        try:
            chex.assert_shape(batch[name], (None, *one.shape))
        except AssertionError:
            got = jnp.shape(batch[name])[1:]
            raise ValueError(
                f"The model expects '{name}' of shape {tuple(one.shape)}, but the data has {got}; "
                f"build the model with the data's shape."
            ) from None


def check_measured(variables: Variables, batch: Batch) -> None:
    """Checks the constants that a first batch has given, such as the spread that `nn.ActNorm` measures.

    Raises:
        ValueError: one is not finite: what is constant has no spread.
    """
    for path, leaf in jax.tree_util.tree_leaves_with_path(variables.get("constants", {})):
        wrong = np.argwhere(~np.isfinite(leaf))
        if wrong.size:
            layer = "/".join(str(key.key) for key in path[:-1])
            what = _without_spread(np.asarray(batch["x"]), f"channel {wrong[0, -1]} of what '{layer}' is given")
            raise ValueError(f"'{layer}' begins with the spread of the first batch, but {what}.")


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


def check_drawn(spec: Spec, x: Array) -> None:
    """Checks that what a model draws is of the shape that it was built for, at trace time.

    Raises:
        ValueError: it is not.
    """
    if jnp.shape(x)[1:] != tuple(spec["x"].shape):
        raise ValueError(
            f"The model was built for x of shape {tuple(spec['x'].shape)}, but what it draws has {jnp.shape(x)[1:]}; "
            f"build it with a shape that its layers can make."
        )


def check_classes(name: str, count: int, values: np.ndarray) -> None:
    """Checks the classes of a condition.

    Raises:
        ValueError: one of them is outside 0 ... count - 1.
    """
    wrong = values[(values < 0) | (values >= count)]
    if wrong.size:
        raise ValueError(
            f"'{name}' is one of 0 ... {count - 1} in this model of {count} classes, but here it is {wrong.flat[0]}; "
            f"number the classes from 0, or build the model with more."
        )


def check_range(x: np.ndarray) -> None:
    """Checks what a model of x in [0, 1] is given.

    Raises:
        ValueError: it goes further, by more than rounding.
    """
    low, high = float(np.min(x)), float(np.max(x))
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(
            f"This model is of x in [0, 1], but x goes from {low:.4g} to {high:.4g}; rescale it, as 0 ... 255 by "
            f"x / 255 and -1 ... 1 by (x + 1) / 2."
        )


def check_conditions(spec: Spec, cond: Batch) -> None:
    """Checks that a conditional model is given its conditions.

    Raises:
        ValueError: one is missing, or has another shape.
    """
    for name, one in conditions(spec).items():
        if name not in cond:
            raise ValueError(f"The model needs the condition '{name}'; give it, or fix it with wrap.conditioned.")
        if jnp.ndim(cond[name]) == 0 or jnp.shape(cond[name])[1:] != tuple(one.shape):
            raise ValueError(
                f"The condition '{name}' needs the shape {('n', *one.shape)}, one entry per example, "
                f"not {jnp.shape(cond[name])}."
            )
