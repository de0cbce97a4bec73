"""From Flax Linen modules to pure functions and Models: `from_linen` reads the table of `capabilities`.

    class Mine(nn.Module):
        def setup(self): ...                             the attributes set here are the networks
        def __call__(self, batch, key, train=False): ... runs every network once, for init
        def nelbo(self, batch, key, train=False): ...    a density, as the table says

The names of the networks key parameters, state and ownership. Keys are arguments, and state goes in and comes out.
nn.Dropout draws its masks by the key that its method is given. Any other method is a function by
`pure(module, Module.method)`.
"""

import functools
import inspect
from collections.abc import Callable, Container, Mapping
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.core import Tracer

from genjax_zoo.core import DROPOUT, Array, Batch, Card, Key, Model, Of, Spec, Variables, aside, behaviour
from genjax_zoo.core.capabilities import NO_CLASSES, model_of_methods
from genjax_zoo.core.specs import check_measured
from genjax_zoo.core.specs import image_spec as image_spec
from genjax_zoo.errors import UserError

Method = str | Callable[..., Any]


def pure(module: nn.Module, method: Method) -> Of[Any]:
    """A method of a module, `pure(module, Module.method)`, as a function of variables, with the state it changes.

    Its argument `key`, where it has one, is given by name, and so is `train`.

    Raises:
        UserError: when called, if the method draws without a key.
    """
    name = name_of(method)
    takes = tuple(inspect.signature(getattr(type(module), name)).parameters)

    def call(variables: Variables, *args: Any, key: Key | None = None, train: bool = False, **settings: Any):
        drops = dropout_key(key, *args)
        rngs = None if drops is None else {"dropout": drops}
        state = [collection for collection in variables if collection != "params"]
        given = {**settings, **accepted_arguments(takes, key, train)}
        try:
            out, changed = module.apply(variables, *args, **given, method=name, mutable=state, rngs=rngs)
        except flax.errors.InvalidRngError as error:
            raise keyless_error(name, str(error).splitlines()[0]) from error
        return out, {**variables, **changed}

    return call


def accepted_arguments(takes: Container[str], key: Key | None, train: bool) -> dict[str, Any]:
    """Of `key` and `train`, what a method takes by name."""
    given = {"train": train} if key is None else {"key": key, "train": train}
    return {name: value for name, value in given.items() if name in takes}


def dropout_key(*args: Any) -> Key | None:
    """The key of dropout's masks: of the first key that a method is given, apart from what else it draws."""
    given = next((x for x in args if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)), None)
    return None if given is None else aside(given, DROPOUT)


def keyless_error(name: str, what: str, dropout: str = "nn.Dropout") -> UserError:
    """The error of a method that draws, but was called without a key."""
    return UserError(
        f"The method '{name}' draws without a key ({what}); call it with key=, by which {dropout} draws, and take "
        f"other noise from an argument `key` of the method."
    )


class _Root(nn.Module):
    """A root with one network, under a name of its own."""

    called: str
    make: Callable[[], nn.Module]

    def setup(self):
        setattr(self, self.called, self.make())

    def __call__(self, method: str, args: Any, key: Key | None = None, train: bool = False) -> Any:
        child = getattr(self, self.called)
        takes = inspect.signature(getattr(type(child), method)).parameters
        return getattr(child, method)(*args, **accepted_arguments(takes, key, train))


@behaviour
class Network:
    """A module as a function of variables: an Of, and what initialises it, (key, *its arrays) -> variables."""

    init: Callable[..., Variables]
    run: Of[Any]

    def __call__(self, variables: Variables, *args: Any, train: bool = False, **settings: Any) -> tuple[Any, Variables]:
        return self.run(variables, *args, train=train, **settings)


def network(name: str, module: nn.Module, method: Method = "__call__") -> Network:
    """A module as one network of a tree, by one of its methods.

    Args:
        name: of the network, which keys its parameters.
        module: its method takes arrays, and, given by name where it has them, `key` and `train`.
        method: `Module.method`; several networks of one name are one, by several methods.
    """
    root = _Root(name, lambda: module)
    inner = pure(root, _Root.__call__)

    def run(variables: Variables, *args: Any, key: Key | None = None, train: bool = False):
        return inner(variables, name_of(method), args, key=key, train=train)

    def begin(rngs: dict[str, Key], key: Key, *args: Any) -> Variables:
        return root.init(rngs, name_of(method), args, key, True)

    return Network(init=initialiser(begin), run=run)


def reader(name: str, module: nn.Module, given: str | Callable[[Batch], Array]) -> Network:
    """A network that reads one entry of a batch, or what a function makes of it: init (key, batch), run (v, batch)."""
    of = network(name, module)

    def seen(batch: Batch) -> Array:
        if not isinstance(given, str):
            return given(batch)
        if given not in batch:
            raise UserError(
                f"The network '{name}' reads '{given}', but it is given {sorted(batch)}; a posterior is given x as "
                f"'given', an observation z as 'z'."
            )
        return batch[given]

    return Network(
        init=lambda key, batch: of.init(key, seen(batch)),
        run=lambda variables, batch, *, train=False, key=None: of(variables, seen(batch), train=train, key=key),
    )


def initialiser(begin: Callable[..., Variables]) -> Callable[..., Variables]:
    """The init (key, *args) -> variables of a function (rngs, key, *args) that initialises a module."""

    def initialise(key: Key, *args: Any) -> Variables:
        k_params, k_call = jax.random.split(key)
        return begin({"params": k_params, "dropout": aside(k_call, DROPOUT)}, k_call, *args)

    return run_once(initialise)


def run_once(initialise: Callable[..., Variables]) -> Callable[..., Variables]:
    """An init as one program that runs once.

    On CPU it is compiled without the passes that take most of the time. Within another program it is part of that.

    Raises:
        UserError: from the init, for a constant that a first batch has given, but that is not finite.
    """

    @functools.cache
    def program():
        hasty = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
        return jax.jit(initialise, compiler_options=hasty if jax.default_backend() == "cpu" else None)

    def init(key: Key, *args: Any) -> Variables:
        if any(isinstance(x, Tracer) for x in jax.tree.leaves((key, args))):
            return initialise(key, *args)
        variables = program()(key, *args)
        check_measured(variables, args[0]["x"] if isinstance(args[0], Mapping) else args[0])
        return variables

    return init


def from_linen(
    module: nn.Module,
    spec: Spec,
    *,
    classes: Mapping[str, int] = NO_CLASSES,
    bounded: bool = False,
    card: Card | None = None,
) -> Model:
    """Wraps a module as a Model.

    Args:
        module: the root module; see the table of `capabilities`.
        spec: name -> shape and dtype of one example, without the batch axis.
        classes: name -> how many classes a condition has, 0 ... classes - 1.
        bounded: whether x is in [0, 1].
        card: the model's facts; what its likelihood is of is added, where the module has a `likelihood` or `levels`.

    Raises:
        UserError: from any of the model's functions, for a batch that does not fit `spec`, or the likelihood.
    """
    if not isinstance(module, nn.Module):
        raise UserError(f"from_linen takes a Linen module, not {type(module).__name__}; from_nnx takes others.")
    init = initialiser(lambda rngs, key, batch: module.init(rngs, batch, key, True))
    of_method = functools.partial(pure, module)
    return model_of_methods(module, of_method, init, spec, classes=classes, bounded=bounded, card=card)


def name_of(method: Method) -> str:
    """The name of a module's method."""
    return method if isinstance(method, str) else method.__name__
