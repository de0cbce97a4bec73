"""No module of the package hides what Linen's modules have."""

import importlib
import pkgutil

import flax.linen as nn

import genjax_zoo

OWN = {"setup", "parent", "name"}  # what every module has of its own
LINEN = {name for name in dir(nn.Module) if not name.startswith("_")} - OWN


def hidden(module):
    """What of Linen a class hides, by itself or by what it inherits of ours."""
    ours = [kind for kind in module.__mro__ if not kind.__module__.startswith(("flax.", "builtins"))]
    return {name for kind in ours for name in {*vars(kind), *vars(kind).get("__annotations__", {})}} & LINEN


def modules():
    for found in pkgutil.walk_packages(genjax_zoo.__path__, "genjax_zoo."):
        for value in vars(importlib.import_module(found.name)).values():
            if isinstance(value, type) and issubclass(value, nn.Module) and value.__module__.startswith("genjax_zoo"):
                yield value


def test_no_field_hides_a_method():
    assert {kind.__qualname__: hidden(kind) for kind in modules() if hidden(kind)} == {}


def test_control():
    class Hiding:
        init: int

        def apply(self): ...

    assert hidden(Hiding) == {"init", "apply"} and len(set(modules())) > 80
