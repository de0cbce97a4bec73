"""The laws of pure functions: the same of the same arguments, no key used twice, nothing changed by looking."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from genjax_zoo.conformance.case import Case
from genjax_zoo.core import Batch, Key, Latent, Variables, conditions

Keyed = Callable[[Variables, Batch, Key], Any]


def same_key_same_terms(case: Case) -> None:
    """Terms and draws are a function of their arguments: when asked twice, and whether these are known or traced."""
    variables, key = case.state.variables, jax.random.key(1)
    batch = dict(sorted(case.batch.items()))  # in the order that tracing gives it
    for name, probe in case.probes.items():
        first, second = (probe(variables, batch, key) for _ in range(2))
        for train, (terms, _) in first.items():
            for term, value in terms.items():
                assert np.array_equal(value, second[train][0][term], equal_nan=True), (
                    f"two calls of '{term}' of '{name}' differ"
                )
    for name, function in _keyed(case):
        traced = jax.make_jaxpr(lambda v, b, k, of=function: of(v, b, k))(variables, batch, key)
        known = jax.make_jaxpr(lambda v, of=function: of(v, batch, key))(variables)
        _assert_same_program(traced, known, f"{name} changes under jit, or when traced again")


def no_key_is_used_twice(case: Case) -> None:
    """Whatever draws does so with a key of its own, in every term and method; `jax.random.clone` marks an intention.

    By JAX's own check, which knows typed keys only.
    """
    variables = case.state.variables
    with jax.debug_key_reuse(True):
        for name, function in _keyed(case):
            try:
                jax.jit(function).trace(variables, case.batch, jax.random.key(0))
            except jax.errors.KeyReuseError as error:
                raise AssertionError(f"{name} draws twice with one key") from error


def evaluation_leaves_state_alone(case: Case) -> None:
    """Terms with train=False give the variables back bit for bit, whatever statistics and memories are in them."""
    variables = dict(case.state.variables)
    for name, probe in case.probes.items():
        after = dict(probe(case.state.variables, case.batch, jax.random.key(1))[False][1])
        same = jax.tree.structure(after) == jax.tree.structure(variables)
        assert same, f"evaluating '{name}' changes what variables there are"
        for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(variables), jax.tree.leaves(after)):
            assert _bits(old) == _bits(new), f"evaluating '{name}' changes {jax.tree_util.keystr(path)}"


def _bits(leaf: Any) -> tuple[Any, bytes]:
    if jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key):
        leaf = jax.random.key_data(leaf)
    return np.asarray(leaf).dtype, np.asarray(leaf).tobytes()


def _keyed(case: Case) -> Iterator[tuple[str, Keyed]]:
    """Everything of a case that takes a key."""
    for player, of in case.players.items():
        for train in (True, False):
            mode = "training" if train else "evaluation"
            yield (
                f"the terms of '{player}' in {mode}",
                lambda v, b, k, of=of, train=train: of.terms(v, b, k, train=train),
            )
    model, n, latent = case.model, len(case.batch["x"]), case.model.latent or Latent()
    if model.sampler is not None:
        yield "sample", lambda v, b, k: model.sample(v, k, n, conditions(b))
    if latent.prior is not None and latent.prior.sampler is not None:
        yield "sample_prior", lambda v, b, k: model.sample_prior(v, k, n, conditions(b))
    if latent.encode is not None:
        yield "encode", lambda v, b, k: model.encode(v, b, k)
    if model.density is not None and model.density.weigh is not None:
        yield "log_weights", lambda v, b, k: model.log_weights(v, b, k, 3)


def _assert_same_program(first: ClosedJaxpr, second: ClosedJaxpr, message: str) -> None:
    """Two traces have the same operations on the same types, in order, and the same constants where both have one."""
    one, other = list(_operations(first)), list(_operations(second))
    assert len(one) == len(other), f"{message}: {len(one)} operations became {len(other)}"
    for (a, constants), (b, others) in zip(one, other):
        assert a == b, f"{message}: {a} became {b}"
        for x, y in zip(constants, others):
            same = x is None or y is None or np.array_equal(x, y, equal_nan=np.asarray(x).dtype.kind == "f")
            assert same, f"{message}: in {a}, {_shown(x)} became {_shown(y)}"


def _shown(constant: Any) -> str:
    return str(constant) if np.ndim(constant) == 0 else f"an array of shape {np.shape(constant)}"


def _operations(program: ClosedJaxpr | Jaxpr) -> Iterator[tuple[str, list[Any]]]:
    """Each operation's name and results, and its operands where they are constants of the program, else None."""
    if isinstance(program, ClosedJaxpr):
        known, program = dict(zip(program.jaxpr.constvars, program.consts)), program.jaxpr
    else:
        known = {}
    for equation in program.eqns:
        operands = [v.val if isinstance(v, Literal) else known.get(v) for v in equation.invars]
        numbers = [
            None if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x for x in operands
        ]
        yield f"{equation.primitive} -> {[str(v.aval) for v in equation.outvars]}", numbers
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(inner):
                yield from _operations(inner)


def _is_program(value: Any) -> bool:
    return isinstance(value, ClosedJaxpr | Jaxpr)
