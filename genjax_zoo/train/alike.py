"""Whether two things that one function made twice do the same, as far as can be shown from what they are made of."""

import dataclasses
import functools
import types
from collections.abc import Hashable
from pathlib import PurePath
from typing import Any

import flax.core
import flax.linen as nn
import jax
import numpy as np

from genjax_zoo.core.compiled import KEPT
from genjax_zoo.data.store import Mapped
from genjax_zoo.train.merged import same

PLAIN = {bool, int, float, complex, str, bytes, range, slice, jax.ShapeDtypeStruct}
JITTED = type(jax.jit(lambda x: x))
DERIVED = (jax.custom_vjp, jax.custom_jvp)
Parts = tuple[Hashable, list[Any]]  # what has to be equal, and what has to be alike


def alike(one: Any, other: Any) -> bool:
    """Whether two things have the same code, the same numbers in every bit, and are closed over what is alike.

    It is False of things of which this cannot be shown: generators of random numbers, objects of classes with a state
    of their own. Two that are alike may stand for each other wherever nothing changes them.
    """
    met: dict[tuple[int, int], Any] = {}  # pairs, held, so that no other thing gets their places in memory
    waiting = [(one, other)]
    while waiting:
        one, other = pair = waiting.pop()
        if one is other or (id(one), id(other)) in met:
            continue
        met[id(one), id(other)] = pair
        if type(one) is not type(other):
            return False
        if isinstance(one, np.ndarray | np.generic | jax.Array):
            if not same(one, other):
                return False
            continue
        found, parts = _parts(one), _parts(other)
        if found is None or parts is None or found[0] != parts[0] or len(found[1]) != len(parts[1]):
            return False
        waiting += zip(found[1], parts[1])
    return True


def _parts(x: Any) -> Parts | None:
    """What x is made of; None of what is not known here."""
    if type(x) in PLAIN or isinstance(x, PurePath | np.dtype):
        return repr(x), []  # 0.0 is not -0.0
    if type(x) in (dict, types.MappingProxyType, flax.core.FrozenDict):
        return tuple(x), list(x.values())
    if isinstance(x, tuple) or type(x) is list:
        return len(x), [*x, getattr(x, "__dict__", None)]
    if isinstance(x, types.FunctionType):
        inside = [_content(cell) for cell in x.__closure__ or ()]
        return (x.__code__, id(x.__globals__)), [*inside, x.__defaults__, x.__kwdefaults__, x.__dict__]
    if isinstance(x, types.MethodType):
        return "method", [x.__func__, x.__self__]
    if type(x) is functools.partial:
        return "partial", [x.func, x.args, x.keywords, x.__dict__]
    if type(x) is functools._lru_cache_wrapper:
        return tuple(x.cache_parameters().items()), [x.__wrapped__]
    if type(x) is JITTED:
        about = getattr(x, "_jit_info", None)
        return about and (tuple(about._replace(fun_sourceinfo=None, fun_signature=None)), [vars(x)["__wrapped__"]])
    if type(x) is Mapped:
        return (x.path, x.channel), []
    if isinstance(x, nn.Module):
        fields = {one.name: getattr(x, one.name) for one in dataclasses.fields(x) if one.name != "parent"}
        return None if x.scope is not None else _parts(fields)
    if type(x) in DERIVED:
        return _parts(vars(x))
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        own = {name: value for name, value in getattr(x, "__dict__", {}).items() if name != KEPT}
        return _parts({one.name: getattr(x, one.name) for one in dataclasses.fields(x)} | own)
    return None


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not set
        return None
