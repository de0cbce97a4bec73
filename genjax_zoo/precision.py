"""In which precision the parts of a model compute: networks may be rough, what is exact is not."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import Array, Batch, Explained, Key, TermFn, Terms, Variables, formulas


def half_precision(terms: TermFn) -> TermFn:
    """Runs a TermFn's Linen networks in bfloat16, with float32 parameters, noise, densities and terms.

    Parameters and the inputs of every network (a direct child of the root module, or of bijections, which are exact)
    are cast to bfloat16, and what a network returns is cast back, so that only the inside of a network is computed in
    half precision. Gradients arrive in the parameters' own type.
    """

    def lowered(module: nn.Module, method: str, args: Any, kwargs: Any) -> Any:
        def network(module: nn.Module, args: Any, kwargs: Any) -> Any:
            return getattr(module, method)(*args, **kwargs)

        half = nn.map_variables(network, "params", lambda params: _cast(params, jnp.bfloat16))
        return _cast(half(module, *_cast((args, kwargs), jnp.bfloat16)), jnp.float32)

    def run(variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
        with each_network(lowered):
            named, changed = terms(variables, batch, key, train)
        state = {name: jax.tree.map(_like, changed[name], variables[name]) for name in variables if name != "params"}
        return _cast(named, jnp.float32), {**state, "params": variables["params"]}

    return Explained(terms=run, formulas=formulas(terms))


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
