"""Models in one tree: under a name, a part, as a constant, side by side, with one network more.

A model's variables are changed by one fold over all of its functions, which knows no capability and loses none. What
changes its data is in `wrap`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp

from genjax_zoo.core import FROZEN, MORE, Batch, Explained, Key, Model, Of, Variables, aside, conditions
from genjax_zoo.errors import UserError
from genjax_zoo.linen import network

Init = Callable[[Key, Batch], Variables]
CONSTANT = ("spec", "card", "check", "left_out")  # what a model has that reads no variables


def over_variables(model: Model, lift: Callable[[Of[Any]], Of[Any]], begin: Callable[[Init], Init]) -> Model:
    """A model with every function of variables lifted, whatever capability it is of, and its `init` changed."""
    of_length = model.of_length
    longer = of_length and (lambda length: over_variables(of_length(length), lift, begin))
    names = {field.name for field in dataclasses.fields(model)} - {"init", "of_length", *CONSTANT}
    lifted = {name: _lifted(getattr(model, name), lift, begin) for name in names}
    return dataclasses.replace(model, init=begin(model.init), of_length=longer, **lifted)


def _lifted(value: Any, lift: Callable[[Any], Any], begin: Callable[[Init], Init]) -> Any:
    if isinstance(value, Model):
        return over_variables(value, lift, begin)
    if isinstance(value, Explained):
        return dataclasses.replace(value, terms=lift(value.terms))
    if dataclasses.is_dataclass(value):
        fields = {f.name: _lifted(getattr(value, f.name), lift, begin) for f in dataclasses.fields(value)}
        return dataclasses.replace(value, **fields)  # type: ignore[type-var]
    return lift(value) if callable(value) else value


def scope(model: Model, name: str) -> Model:
    """The model whose networks are called "name/network"; a player owns all of them by owns=("name",)."""
    prefix = f"{name}/"

    def inside(variables: Variables) -> Variables:
        return {
            collection: {net.removeprefix(prefix): tree for net, tree in nets.items() if net.startswith(prefix)}
            for collection, nets in variables.items()
        }

    def outside(inner: Variables, variables: Variables) -> Variables:
        named = {collection: {prefix + net: tree for net, tree in nets.items()} for collection, nets in inner.items()}
        return {c: {**variables.get(c, {}), **named.get(c, {})} for c in {**variables, **named}}

    def lift(run: Of[Any]) -> Of[Any]:
        def call(variables: Variables, *args: Any, **how: Any):
            value, inner = run(inside(variables), *args, **how)
            return value, outside(inner, variables)

        return call

    return over_variables(model, lift, lambda init: lambda key, batch: outside(init(key, batch), {}))


def only(model: Model, *networks: str) -> Model:
    """The model with these of its networks alone: a GAN's critic without the generator.

    Raises:
        UserError: from a function that needs another of its networks; from `init`, for one that it has not.
    """

    def begin(init: Init) -> Init:
        def some(key: Key, batch: Batch) -> Variables:
            variables = init(key, batch)
            known = set().union(*variables.values())
            if unknown := sorted(set(networks) - known):
                raise UserError(f"The model has no network '{unknown[0]}'; it has {sorted(known)}.")
            return {c: {net: tree for net, tree in nets.items() if net in networks} for c, nets in variables.items()}

        return some

    def lift(run: Of[Any]) -> Of[Any]:
        def call(variables: Variables, *args: Any, **how: Any):
            try:
                return run(variables, *args, **how)
            except (KeyError, flax.errors.ScopeCollectionNotFound, flax.errors.ScopeParamNotFoundError) as error:
                raise UserError(f"compose.only kept {list(networks)}, and this needs more: {error}") from error

        return call

    return over_variables(model, lift, begin)


def frozen(model: Model, variables: Variables | None = None, *, origin: str = "") -> Model:
    """The model as a constant, which no player owns or writes, and which is checkpointed with the rest.

    Its functions never train: they take no batch statistics and drop nothing out. Gradients pass through them.

    Args:
        model: of any kind, frozen ones included.
        variables: its own, which are copied; None are those that it begins with.
        origin: where they came from, for the card.
    """

    def begin(init: Init) -> Init:
        def constant(key: Key, batch: Batch) -> Variables:
            if variables is not None and not isinstance(variables, Mapping):
                raise UserError("A model is frozen with variables, such as restore(RUN).variables.")
            if variables is not None:
                _check_networks(variables, jax.eval_shape(init, key, batch))
            own = init(key, batch) if variables is None else jax.tree.map(jnp.copy, variables)
            names = {net: None for nets in own.values() for net in nets}
            return {
                "params": {},
                FROZEN: {net: {c: nets[net] for c, nets in own.items() if net in nets} for net in names},
            }

        return constant

    def lift(run: Of[Any]) -> Of[Any]:
        def call(variables: Variables, *args: Any, train: bool = False, **how: Any):
            if FROZEN not in variables:
                raise UserError(
                    "The variables of a frozen model are those of its init, or of the tree that it is part of; to ask "
                    "it with its own, ask the model that was frozen."
                )
            kept = variables[FROZEN]
            collections = {"params": None, **{c: None for tree in kept.values() for c in tree}}
            own = {c: {net: tree[c] for net, tree in kept.items() if c in tree} for c in collections}
            return run(own, *args, **how)[0], variables

        return call

    one = over_variables(model, lift, begin)
    came = (*one.card.frozen, *([origin] if origin else []))
    return dataclasses.replace(one, card=dataclasses.replace(one.card, frozen=came))


def _check_networks(variables: Variables, wanted: Variables) -> None:
    """Checks that variables are those of a model, by the names of its networks."""
    has, needs = ({net for c in ("params", FROZEN) for net in tree.get(c, {})} for tree in (variables, wanted))
    if has != needs:
        raise UserError(f"The model to freeze has networks {sorted(needs)}, but the variables are of {sorted(has)}.")


def union(*trees: Variables) -> Variables:
    """The variables of several models as one tree.

    Raises:
        UserError: two of them have a network of one name.
    """
    out: dict[str, dict[str, Any]] = {"params": {}}
    for tree in trees:
        for collection, nets in tree.items():
            mine = out.setdefault(collection, {})
            if twice := sorted(set(nets) & set(mine)):
                raise UserError(
                    f"Two models have a network '{twice[0]}'; give each a name, by merge(a=..., b=...) or scope."
                )
            mine |= nets
    return out


class Merged(Mapping[str, Model]):
    """Models in one tree, each as it sees that tree; the networks of a are "a/..."."""

    def __init__(self, parts: Mapping[str, Model]):
        self._parts = parts

    def __getitem__(self, name: str) -> Model:
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)

    def init(self, key: Key, batch: Batch) -> Variables:
        """The variables of all of them, from one batch, of which each takes what its spec names."""
        keys = jax.random.split(key, len(self))
        return union(*(part.init(k, batch) for k, part in zip(keys, self.values())))

    def model(self, like: Model | None = None, **capabilities: Any) -> Model:
        """A Model of the whole tree: what `like`, one of the parts, can do, and the capabilities that are given."""
        origins = tuple(origin for part in self.values() for origin in part.card.frozen)
        one = like or next(iter(self.values()))
        spec = {**{n: s for part in self.values() for n, s in part.spec.items()}, **one.spec}
        base = like or Model(spec=spec, init=self.init)

        def check(batch: Mapping[str, Any]) -> None:
            one.check(batch)
            for part in self.values():
                part.check(conditions(batch))

        card = dataclasses.replace(base.card, frozen=origins)
        return dataclasses.replace(base, spec=spec, init=self.init, card=card, check=check, **capabilities)


def merge(**models: Model) -> Merged:
    """Models in one tree: merged["a"] is a in it; merged.model(merged["a"], critic=merged["b"].critic) is a Model."""
    return Merged({name: scope(model, name) for name, model in models.items()})


def with_network(model: Model, name: str, module: nn.Module, *examples: Any) -> tuple[Model, Of[Any]]:
    """A model with one network more, and that network as a function of variables.

    Args:
        model: any.
        name: of the network.
        module: is called with arrays, and with `train` and `key` where it has these arguments.
        examples: arrays [1, ...], or their shapes by jax.ShapeDtypeStruct, from which it is initialised.

    Raises:
        UserError: when initialised, if the model has a network of this name.
    """
    more = network(name, module)
    first = [jnp.zeros(x.shape, x.dtype) for x in examples]

    def init(key: Key, batch: Batch) -> Variables:
        return union(model.init(key, batch), more.init(aside(key, MORE), *first))

    return dataclasses.replace(model, init=init), more
