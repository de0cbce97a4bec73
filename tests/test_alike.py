"""What is alike may stand for each other; what may differ does not."""

import dataclasses
import functools
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax_zoo import runs
from genjax_zoo.runs import sweep as sweeps
from genjax_zoo.train.alike import alike


@dataclasses.dataclass(frozen=True, eq=False)
class Holder:
    held: object

    def get(self):
        return self.held


class Net(nn.Module):
    width: int
    act: object = None


def closed(value):
    return lambda x: x * value


def jitted(n, value=1.0):
    return jax.jit(lambda x, y, z: x * value, static_argnums=n)


def with_default(value):
    def f(x=value):
        return x

    return f


def differentiated(value):
    f = jax.custom_vjp(lambda x: x * value)
    f.defvjp(lambda x: (x, None), lambda _, g: (value * g,))
    return f


def cached(value):
    return functools.cache(lambda: value)


def recursive(value):
    def f(n):
        return f(n - 1) * value

    return f


@pytest.mark.parametrize(
    "make, one, other",
    [
        (closed, 1.0, 2.0),
        (closed, 0.0, -0.0),
        (closed, 1, True),
        (closed, np.array([1, 2]), np.array([1, 3])),
        (closed, jnp.ones(2), jnp.ones(2, jnp.int32)),
        (closed, [1, 2], (1, 2)),
        (closed, {"a": 1}, {"b": 1}),
        (with_default, 1, 2),
        (recursive, 1, 2),
        (cached, 1, 2),
        (differentiated, 1.0, 2.0),
        (jitted, 1, 2),
        (lambda value: jitted(1, value), 1.0, 2.0),
        (lambda value: functools.partial(closed, value=value), 1, 2),
        (lambda value: Holder(closed(value)), 1, 2),
        (lambda value: Net(4, closed(value)), 1, 2),
        (lambda value: Net(value), 4, 5),
        (lambda value: optax.adam(optax.cosine_decay_schedule(1e-3, value)), 10, 20),
        (lambda value: Holder([closed(value)]).get, 1, 2),
    ],
)
def test_alike_in_everything_but_that_number(make, one, other):
    assert alike(make(one), make(one))
    assert not alike(make(one), make(other))


@pytest.mark.parametrize(
    "make", [lambda: np.random.default_rng(0), lambda: iter([1]), object, lambda: closed(object())]
)
def test_what_has_a_state_of_its_own_is_not_shown_to_be_alike(make):
    assert not alike(make(), make())
    same = make()
    assert alike(same, same)  # control


FILE = """
import jax, optax
from genjax_zoo import Experiment, Player, data, evals, models

def experiment(*, seed: int = 0, rate: float = 1e-3, drawn: bool = False):
    model = models.vae(shape=(8, 8, 1), latent=2, hidden=(4,))
    given = {"batch_size": 16, "transform": data.binarize, "seed": seed}
    digits = [data.load("digits", split, **given) for split in ("train", "test")]
    weights = {"distortion": 1.0, "rate": jax.random.uniform(jax.random.key(seed)).item() if drawn else 1.0}
    players = {"vae": Player(terms=model.nelbo, weights=weights, tx=optax.adam(rate))}
    judged = {"test": evals.likelihood(digits[1])}
    return Experiment(model=model, players=players, data=digits[0], evals=judged, steps=2, seed=seed)
"""


def test_members_that_differ_in_their_seed_share_what_is_compiled(tmp_path):
    """And the arrays of their data, of which there is one copy; but not their order."""
    file = tmp_path / "mine.py"
    file.write_text(FILE)
    make = runs.load_experiment(file)
    members = sweeps.plan(make, {}, {"rate": [1e-3, 2e-3]}, [0, 5], tmp_path)
    parts = [m.experiment for m in members]
    first = parts[0]
    sources: list[Any] = [e.data for e in parts]
    assert [e.seed for e in parts] == [data.seed for data in sources] == [0, 5, 0, 5]
    assert all(e.model is first.model and e.evals["test"] is first.evals["test"] for e in parts)
    assert all(data.arrays["x"] is sources[0].arrays["x"] for data in sources)
    assert parts[1].players is first.players and parts[3].players is parts[2].players is not first.players
    assert not np.array_equal(first.data.at(0)["x"], parts[1].data.at(0)["x"])
    one, other = (m.experiment for m in sweeps.plan(make, {"drawn": True}, {}, [0, 5], tmp_path))
    assert one.model is other.model and one.players is not other.players  # control: a seed that acts otherwise, too
