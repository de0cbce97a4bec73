"""What is compiled for a model: once, and gone when the model is; and the one walk over a split."""

import ast
import functools
import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from capable import density, latent, of, sampler

import genjax_zoo
from genjax_zoo import data, evals
from genjax_zoo.core import Card, Conditionals, Experiment, Judge, Levels, Model, TrainState, compiled
from genjax_zoo.evals.walk import add_up, collect
from genjax_zoo.inference.codec import compress
from genjax_zoo.inference.latent import invert
from genjax_zoo.train.alike import alike
from genjax_zoo.train.health import better_by_batch

KEY = jax.random.key(0)
X = np.random.default_rng(0).integers(0, 2, (10, 2, 2, 1)).astype(np.float32)
SPLIT = data.from_arrays(X, train=False, batch_size=4, label=(np.arange(10) % 2).astype(np.int32))
BATCH = {name: jnp.asarray(value) for name, value in SPLIT.at(0).items()}
V = {"params": {"net": jnp.ones(())}, "batch_stats": {"net": jnp.zeros(())}}


def everything() -> Model:
    """A model that can do all that something is compiled for; all of it is closed over an array of its own."""
    w = jnp.linspace(0.1, 0.4, 4)

    def terms(variables, batch, key, *, train=False):
        return {"log_det": jnp.sum(batch["x"].reshape(-1, 4) * w, axis=1)}, variables

    def draw(v, key, n, cond, temperature=1.0):
        return jax.random.uniform(key, (n, 4)).reshape(n, 2, 2, 1) * w[0]

    views = Conditionals(
        grid=(2, 2, 1),
        levels=2,
        logits=of(lambda v, batch: jnp.zeros((len(batch["x"]), 2, 2, 1, 2)) * w[0]),
        start=of(lambda v, n, cond={}: jnp.zeros(n)),
        begin_row=of(lambda v, cache, above, row: cache * w[0]),
        step=lambda v, cache, before, row, column, *, train=False: ((cache * w[0], cache), v),
        choices=of(lambda v, h, levels, channel: jnp.zeros((len(h), 2)) * w[0]),
    )
    between = latent(
        prior=draw,
        encode=lambda v, batch, key: batch["x"] * w[0],
        decode=lambda v, z, cond={}, key=None: z * w[0],
    )
    assert between.prior is not None and between.prior.sampler is not None
    vars(between.prior.sampler)["settings"] = {"temperature": 1.0}
    return Model(
        spec={"x": jax.ShapeDtypeStruct((2, 2, 1), jnp.float32)},
        init=lambda key, batch: V,
        card=Card(support=Levels(2)),
        density=density(terms, weigh=lambda v, batch, key, k: jnp.zeros((k, len(batch["x"]))) * w[0]),
        sampler=sampler(draw),
        latent=between,
        conditionals=views,
        codes=of(lambda v, batch: (batch["x"] * w[0]).astype(jnp.int32)),
        judge=Judge(classify=of(lambda v, x: x.reshape(-1, 4)[:, :2] * w[:2])),
    )


def steps(model: Model) -> None:
    experiment = Experiment(model=model, players={}, data=SPLIT, steps=1)
    better_by_batch(experiment, TrainState(jnp.zeros((), int), KEY, V, {}, {}, {}))


def inverted(model: Model) -> None:
    invert(model, V, BATCH["x"], jnp.zeros((1, 4, 2, 2, 1)), steps=2)


def compressed(model: Model) -> None:
    compress(model, V, {"x": BATCH["x"]}, size=2)


WAYS: dict[str, Callable[[Model], object]] = {  # every function of the package that is @compiled, by a way to it
    "accuracy._classify": lambda m: evals.accuracy(SPLIT)(m, V, KEY),
    "calibration._count": lambda m: evals.calibration(SPLIT, resamples=2)(m, V, KEY),
    "codebook._codes": lambda m: evals.code_book(SPLIT)(m, V, KEY),
    "codec._programs": compressed,
    "conditionals._bits": lambda m: evals.bits_map(SPLIT, 2)(m, V, KEY),
    "conditionals._go_on": lambda m: evals.completions(SPLIT, 2, draws=1)(m, V, KEY),
    "density._nll": lambda m: evals.divergence(SPLIT, lambda x: np.zeros(len(x)))(m, V, KEY),
    "health._better_by_batch": steps,
    "latent._inversion": inverted,
    "likelihood._importance_weighted": lambda m: evals.iw_bound(SPLIT, k=3, chunk=2)(m, V, KEY),
    "likelihood._masked_sums": lambda m: evals.likelihood(SPLIT)(m, V, KEY),
    "likelihood._totals": lambda m: evals.nats_per_example(m, V, KEY, SPLIT),
    "likelihood.own_terms": lambda m: evals.likelihood(SPLIT)(m, V, KEY),
    "samples._colder": lambda m: evals.temperatures((0.5,), 2)(m, V, KEY),
    "samples._decode": lambda m: evals.temperatures((0.5,), 2)(m, V, KEY),
    "samples._draw": lambda m: evals.sample_grid(2)(m, V, KEY),
    "samples._rebuild": lambda m: evals.reconstruction_error(SPLIT)(m, V, KEY),
    "units._means": lambda m: evals.active_units(SPLIT)(m, V, KEY),
}


@functools.cache
def kept_for_ever(model: Model):
    return jax.jit(lambda: model.sample(V, KEY, 2))


def dies(way: Callable[[Model], object]) -> bool:
    model = everything()
    watched = weakref.ref(model)
    way(model)
    del model
    gc.collect()
    return watched() is None


def decorated(by: str) -> dict[str, ast.FunctionDef]:
    """The package's functions under a decorator, by module and name."""
    found = {}
    for path in Path(genjax_zoo.__file__).parent.rglob("*.py"):
        for one in ast.parse(path.read_text()).body:
            if isinstance(one, ast.FunctionDef) and any(by in ast.unparse(d) for d in one.decorator_list):
                found[f"{path.stem}.{one.name}"] = one
    return found


@pytest.mark.parametrize("name", WAYS)
def test_what_is_compiled_for_a_model_goes_with_it(name):
    assert dies(WAYS[name])


def test_a_table_would_keep_the_model():
    assert not dies(lambda model: kept_for_ever(model)())
    kept_for_ever.cache_clear()


def test_all_that_is_compiled_for_a_model_is_known_here_and_kept_by_one_mechanism():
    assert WAYS.keys() == decorated("compiled").keys()
    of_models = {"Model", "Density", "Sampler", "Latent", "Conditionals", "Judge", "Explained", "Of", "TermFn"}
    for name, one in decorated("cache").items():
        told = {word.id for arg in one.args.args for word in ast.walk(arg) if isinstance(word, ast.Name)}
        assert not told & of_models, f"'{name}' keeps its model for ever; make it @compiled"


def programs(way: Callable[[Model], object], model: Model) -> int:
    """How many programs are compiled on a way."""
    events = []
    jax.monitoring.register_event_duration_secs_listener(hear := lambda event, *_, **__: events.append(event))
    try:
        way(model)
    finally:
        jax.monitoring.unregister_event_duration_listener(hear)
    return sum("backend_compile" in event for event in events)


@pytest.mark.parametrize("name", WAYS)
def test_a_second_call_compiles_nothing(name):
    model = everything()
    first = programs(WAYS[name], model)
    assert first > 0 or name.endswith("own_terms")  # which is only kept
    assert programs(WAYS[name], model) == 0


def test_what_was_compiled_is_of_the_arguments_and_of_one_model():
    made = []

    @compiled
    def program(model: Model, n: int) -> int:
        made.append(n)
        return len(made)

    one, other = everything(), everything()
    assert [program(one, 2), program(one, 2), program(one, 3), program(other, 2)] == [1, 1, 2, 3]


def test_a_model_that_was_used_is_like_one_that_was_not():
    used = everything()
    unused = Model(**{name: value for name, value in vars(used).items()})
    evals.likelihood(SPLIT)(used, V, KEY)
    assert alike(used, unused)


def test_one_walk_sums_and_collects_every_example_once():
    sums = add_up(SPLIT, KEY, lambda batch, mask, key: {"n": mask.sum(), "x": (mask * batch["x"].sum((1, 2, 3))).sum()})
    assert sums["n"] == 10 and sums["x"] == X.sum()
    seen, keys = collect(SPLIT, KEY, lambda batch, key: (batch["x"], jax.random.uniform(key, (4,))))
    np.testing.assert_array_equal(seen, X)
    assert len(np.unique(keys)) == 10
