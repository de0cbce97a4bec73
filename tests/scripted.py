"""Runs whose every number is known before: one parameter that goes a given way."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax_zoo import data, fit
from genjax_zoo.core import Experiment, Model, Player
from genjax_zoo.train.parallel import data_mesh


def bits(tree):
    def of(x):
        return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x).tobytes()

    return [of(x) for x in jax.tree.leaves(tree)]


def target(tree, devices):
    sharding = jax.sharding.NamedSharding(data_mesh(jax.devices()[:devices]), jax.sharding.PartitionSpec())
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), tree)


def logged(folder):
    """The lines of a log that hold numbers, without rates."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    rates = ("steps/s", "examples/s", "waiting")
    rows = [{name: value for name, value in row.items() if name not in rates} for row in rows]
    return [row for row in rows if len(row) > 1]


def scripted(way, *, ema: Any = 0.75, **changes):
    """An experiment whose one parameter goes the given way, whatever the data: a weight is the step to the next."""

    def terms(variables, batch, key, train):
        return {"away": -variables["params"]["net"]["w"] * jnp.ones(len(batch["x"]))}, variables

    moves = jnp.diff(jnp.array([0.0, *way]))
    source = data.Resident(
        arrays={"x": jnp.ones((8, 1))}, transform=lambda raw, keys: raw, batch_size=8, seed=0, train=True
    )
    init = lambda key, batch: {"params": {"net": {"w": jnp.zeros(())}}}  # noqa: E731
    player = Player(terms=terms, weights={"away": lambda step: moves[step]}, tx=optax.sgd(1.0), ema=ema)
    return Experiment(
        model=Model(spec=source.spec, init=init),
        players={"p": player},
        data=source,
        evals={"test": lambda model, variables, key: {"w": variables["params"]["net"]["w"]}},
        **{"steps": len(way), "best": "test/w", "log_every": 1, "save_every": 1, "eval_every": 1, **changes},
    )


def alone(experiment, folder, **more):
    return fit(experiment, workdir=folder, devices=jax.devices()[:1], **more)
