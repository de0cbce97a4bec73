"""What is compiled for a model is kept with it: a second call compiles nothing, and it goes when the model goes."""

import functools
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

_Owner = TypeVar("_Owner")
_More = TypeVarTuple("_More")
_Made = TypeVar("_Made")
KEPT = "_compiled"  # the attribute of a model, or of a capability, that holds what was compiled for it


def compiled(make: Callable[[_Owner, *_More], _Made]) -> Callable[[_Owner, *_More], _Made]:
    """Makes a function give what it gave before of the same arguments, for as long as the first of them lives.

    A table would hold the model for ever: what is compiled is closed over it. Here the model holds what is compiled,
    so that both go together. `dataclasses.replace` hands none of it on.

    Args:
        make: a function of a model, or of another frozen dataclass with attributes; its other arguments are hashable,
            and given by place.
    """

    @functools.wraps(make)
    def kept(owner: _Owner, /, *args: *_More) -> _Made:
        found = vars(owner).setdefault(KEPT, {})
        if (make, args) not in found:
            found[make, args] = make(owner, *args)
        return found[make, args]

    return kept
