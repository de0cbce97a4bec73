"""From Flax NNX classes to pure functions and Models: `from_nnx` reads the table of `capabilities`.

    class Mine(nnx.Module):
        def __init__(self, rngs): ...                    all parameters begin here; the attributes are the networks
        def nelbo(self, batch, key, train=False): ...    a density, as the table says

A module is taken apart once: its graph stays, and its arrays are variables as Linen's are, by collection, network and
layer. nnx.Param is in "params", nnx.BatchStat in "batch_stats", any other kind of Variable in a collection of its
class's name; an array that is no Variable is a constant. A layer of two networks is of that whose name comes first.

Nothing is hidden state. `train` sets `deterministic` and `use_running_average` of all layers, as model.train() and
model.eval() do. Every stream of an nnx.Rngs begins anew in each call, by the key that the method is given: the masks of
nnx.Dropout do, and whatever else draws by one. nnx.BatchNorm takes the statistics of the whole batch, over all devices.
What a method writes into a parameter is dropped: players write these.
"""

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx

from genjax_zoo.core import Card, Key, Model, Of, Spec, Variables, behaviour
from genjax_zoo.core.capabilities import NO_CLASSES, model_of_methods
from genjax_zoo.errors import UserError
from genjax_zoo.linen import Method, accepted_arguments, dropout_key, keyless_error, name_of, network, run_once
from genjax_zoo.math.devices import mapped_axis

MakeModule = Callable[..., nnx.Module]  # (rngs=) -> module
LeafPath = tuple[Any, ...]  # network, layer, ..., name


def pure(make: MakeModule, method: Method) -> Of[Any]:
    """A method of a module, `pure(Module, Module.method)`, as a function of variables, with the state it changes.

    Its argument `key`, where it has one, is given by name, and so is `train`.

    Raises:
        UserError: if `make` takes no rngs; when called, if the method draws without a key.
    """
    module = _made(make)
    return _pure(_apart(module), type(module), name_of(method))


def from_nnx(
    make: MakeModule,
    spec: Spec,
    *,
    classes: Mapping[str, int] = NO_CLASSES,
    bounded: bool = False,
    card: Card | None = None,
) -> Model:
    """Wraps a class of modules as a Model.

    What begins with the first batch, such as a scale that is measured, is not for it: `init` never calls the module.

    Args:
        make: a class, or a function that makes the module, called as make(rngs=nnx.Rngs(key)).
        spec: name -> shape and dtype of one example, without the batch axis.
        classes: name -> how many classes a condition has, 0 ... classes - 1.
        bounded: whether x is in [0, 1].
        card: the model's facts; what its likelihood is of is added, where the module has a `likelihood` or `levels`.

    Raises:
        UserError: if `make` takes no rngs; from any of the model's functions, for a batch that does not fit `spec`, or
            the likelihood.
    """
    module = _made(make)
    of_method = functools.partial(_pure, _apart(module), type(module))
    init = run_once(lambda key, batch: _variables(_leaves(make(rngs=nnx.Rngs(key)))))
    return model_of_methods(module, of_method, init, spec, classes=classes, bounded=bounded, card=card)


def _made(make: MakeModule) -> nnx.Module:
    """One module, for its structure."""
    begin = make.__init__ if isinstance(make, type) else make
    takes = inspect.signature(begin).parameters if callable(begin) else {}
    module = None
    if "rngs" in takes or any(one.kind is one.VAR_KEYWORD for one in takes.values()):
        module = make(rngs=nnx.Rngs(0))
    if not isinstance(module, nnx.Module):
        name = make.__name__ if inspect.isclass(make) or inspect.isroutine(make) else f"a {type(make).__name__}"
        raise UserError(
            f"{name} is no class of nnx.Module, nor a function that makes one, with an argument `rngs`: parameters "
            f"begin from a key."
        )
    return module


@behaviour
class _Apart:
    """A module without its arrays."""

    graph: nnx.GraphDef
    leaves: Mapping[LeafPath, Any]  # Variables of shapes, and constants

    def whole(self, variables: Variables, key: Key | None, refused: Callable[..., Any]) -> tuple[nnx.Module, set[str]]:
        """The module with these variables, less the networks that they lack; without a key, its streams refuse."""
        begin, streams = (jax.random.key(0) if key is None else key), 0
        arrays, lacking = dict(self.leaves), set()
        for path, leaf in self.leaves.items():
            collection, name = _collection(leaf), str(path[0])
            if isinstance(leaf, nnx.RngKey):
                arrays[path] = jax.random.split(jax.random.fold_in(begin, streams), leaf.shape)
                streams += 1
            elif isinstance(leaf, nnx.RngCount):
                arrays[path] = jnp.zeros(leaf.shape, leaf.dtype)
            elif collection and name in variables.get(collection, {}):
                arrays[path] = functools.reduce(lambda tree, name: tree[str(name)], path, variables[collection])
            elif collection:
                lacking.add(name)
        module = nnx.merge(self.graph, nnx.from_flat_state(list(arrays.items())))
        for name in lacking:
            delattr(module, name)
        for _, leaf in nnx.iter_graph(module) if key is None else ():
            if isinstance(leaf, nnx.RngKey):
                leaf.set_metadata(on_get_value=refused)
        return module, lacking


def _apart(module: nnx.Module) -> _Apart:
    def shaped(leaf: Any) -> Any:
        return jax.eval_shape(lambda x: x, leaf) if isinstance(leaf, nnx.Variable) else leaf

    return _Apart(graph=nnx.graphdef(module), leaves={p: shaped(leaf) for p, leaf in _leaves(module).items()})


def _pure(apart: _Apart, kind: type, name: str) -> Of[Any]:
    takes = inspect.signature(getattr(kind, name)).parameters

    def refused(variable: Any, value: Any) -> Any:
        raise keyless_error(name, f"from the stream '{variable.tag}'", "nnx.Dropout")

    def call(variables: Variables, *args: Any, key: Key | None = None, train: bool = False, **settings: Any):
        module, lacking = apart.whole(variables, dropout_key(key, *args), refused)
        module.set_attributes(deterministic=not train, use_running_average=not train, raise_if_not_found=False)
        module.set_attributes(nnx.BatchNorm, axis_name=mapped_axis(), raise_if_not_found=False)
        for one in _networks(module):
            object.__setattr__(one, "__class__", _carried(type(one)))
        try:
            out = getattr(module, name)(*args, **settings, **accepted_arguments(takes, key, train))
        except AttributeError as error:
            if error.obj is module and error.name in lacking:
                raise KeyError(error.name) from error
            raise
        now = _variables({path: leaf for path, leaf in _leaves(module).items() if path in apart.leaves})
        state = {c: {**variables.get(c, {}), **nets} for c, nets in now.items() if c != "params"}
        return out, {**variables, **state}

    return call


class _Carrier(nn.Module):
    """A network as Linen sees it, so that what goes by Linen's networks goes by those of NNX, such as a precision."""

    def __call__(self, run: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        return run(self.get_variable("params", "all"), *args, **kwargs)


_CARRIER = network("network", _Carrier())


def _networks(module: nnx.Module) -> list[nnx.Module]:
    """The outermost modules below the root that are not marked `exact`."""
    below = {path: one for path, one in nnx.iter_modules(module) if path and not getattr(one, "exact", False)}
    return [one for path, one in below.items() if not any(path[:i] in below for i in range(1, len(path)))]


@functools.cache
def _carried(kind: type) -> type:
    """A class of modules whose methods are called through `_Carrier`."""

    def through(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(self: nnx.Module, *args: Any, **kwargs: Any) -> Any:
            params = [leaf for _, leaf in nnx.iter_graph(self) if isinstance(leaf, nnx.Param)]
            before = [leaf.get_raw_value() for leaf in params]

            def become(kind: type, arrays: Any) -> None:
                object.__setattr__(self, "__class__", kind)
                for leaf, array in zip(params, arrays):
                    leaf.set_raw_value(array)

            def run(arrays: Any, *args: Any, **kwargs: Any) -> Any:
                become(kind, arrays)
                return method(self, *args, **kwargs)

            try:
                return _CARRIER({"params": {"network": {"all": before}}}, run, args, kwargs)[0]
            finally:
                become(carried, before)

        return functools.wraps(method)(call)

    names = {"__call__", *dir(kind)} - {name for name in dir(nnx.Module) if name != "__call__"}
    found = {name: inspect.getattr_static(kind, name, None) for name in names}
    methods = {name: through(value) for name, value in found.items() if isinstance(value, types.FunctionType)}
    carried = type(kind)(kind.__name__, (kind,), methods)
    return carried


def _leaves(module: nnx.Module) -> dict[LeafPath, Any]:
    return dict(nnx.to_flat_state(nnx.state(module)))


def _collection(leaf: Any) -> str | None:
    """The collection of a Variable; keys and constants have none."""
    if not isinstance(leaf, nnx.Variable) or isinstance(leaf, nnx.RngState):
        return None
    known = {nnx.Param: "params", nnx.BatchStat: "batch_stats"}
    return next((name for kind, name in known.items() if isinstance(leaf, kind)), type(leaf).__name__)


def _variables(leaves: Mapping[LeafPath, Any]) -> Variables:
    """{collection: {network: {layer: array}}}."""
    out: dict[str, Any] = {"params": {}}
    for path, leaf in leaves.items():
        if collection := _collection(leaf):
            *above, last = map(str, path)
            tree = functools.reduce(lambda tree, name: tree.setdefault(name, {}), above, out.setdefault(collection, {}))
            tree[last] = leaf.get_raw_value()
    return out
