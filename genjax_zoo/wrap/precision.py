"""In which precision the parts of a model compute: networks may be rough, what is exact is not."""

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.compose import over_variables
from genjax_zoo.core import Array, Explained, Model, Of, TermFn, Variables


def half_precision(terms: TermFn) -> Explained:
    """Runs a TermFn's Linen networks in bfloat16, with float32 parameters, noise, densities and terms.

    Parameters and the inputs of every network (a direct child of the root module, or of bijections, which are exact)
    are cast to bfloat16, and what a network returns is cast back, so that only the inside of a network is computed in
    half precision. Gradients arrive in the parameters' own type.
    """
    run = _lowered(terms, jnp.bfloat16)
    return dataclasses.replace(terms, terms=run) if isinstance(terms, Explained) else Explained(terms=run)


def in_precision(model: Model, dtype: Any = jnp.bfloat16) -> Model:
    """The model whose networks compute in `dtype`, whatever is asked of it, and whoever added them.

    Parameters stay what they are, and so does what is no network: noise, densities, bijections; see `half_precision`.
    """
    return over_variables(model, lambda run: _lowered(run, dtype), lambda init: init)


def _lowered(run: Callable[..., tuple[Any, Variables]], dtype: Any) -> Of[Any]:
    """A function of variables with its networks in `dtype`."""

    def lowered(module: nn.Module, method: str, args: Any, kwargs: Any) -> Any:
        def network(module: nn.Module, args: Any, kwargs: Any) -> Any:
            return getattr(module, method)(*args, **kwargs)

        rough = nn.map_variables(network, "params", lambda params: _cast(params, dtype))
        return _cast(rough(module, *_cast((args, kwargs), dtype)), jnp.float32)

    def call(variables: Variables, *args: Any, **how: Any) -> tuple[Any, Variables]:
        with each_network(lowered):
            value, changed = run(variables, *args, **how)
        state = {name: jax.tree.map(_like, changed[name], variables[name]) for name in variables if name != "params"}
        return _cast(value, jnp.float32), {**state, "params": variables["params"]}

    return call


def each_network(run: Callable[[nn.Module, str, Any, Any], Any]) -> AbstractContextManager[None]:
    """Where this is entered, a network's methods go through `run`, (module, method's name, args, kwargs) -> result.

    A network is the outermost module below the root that is not marked `exact`.
    """
    inside = []

    def interceptor(next_function, args, kwargs, context):
        module = context.module
        if inside or context.method_name == "setup" or not module.path or getattr(module, "exact", False):
            return next_function(*args, **kwargs)
        inside.append(module)
        try:
            return run(module, context.method_name, args, kwargs)
        finally:
            inside.pop()

    return nn.intercept_methods(interceptor)


def _like(new: Array, old: Array) -> Array:
    return new.astype(old.dtype)


def _cast(tree: Any, dtype: Any) -> Any:
    def cast(leaf):
        floating = isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(dtype) if floating else leaf

    return jax.tree.map(cast, tree)
