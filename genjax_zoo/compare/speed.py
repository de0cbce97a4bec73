"""How fast a run trains and draws, and what its train step takes: compilation and memory."""

import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo.compare.cells import Cell, Cells, absent_cell, number_cell
from genjax_zoo.core import Batch, Experiment, Key, Model, TrainState, Variables
from genjax_zoo.evals.samples import draw
from genjax_zoo.files import read_log
from genjax_zoo.train.step import make_steps


def samples_per_s(model: Model, variables: Variables, key: Key, given: Batch, n: int) -> Cell:
    """Draws n samples at a time, compiled before: the median of up to five draws, in a second or one draw."""
    if model.sampler is None:
        return absent_cell("no sampler")
    sample, seconds = draw(model, n), []
    jax.block_until_ready(sample(variables, key, given))
    while len(seconds) < 5 and sum(seconds) < 1:
        start = time.perf_counter()
        jax.block_until_ready(sample(variables, jax.random.fold_in(key, len(seconds)), given))
        seconds.append(time.perf_counter() - start)
    return number_cell(n / statistics.median(seconds), n=n)


def examples_per_s(metrics: Path) -> Cell:
    """The median of what training logged, on the machine that it ran on."""
    logged, _ = read_log(metrics)
    rates = [row["examples/s"] for row in logged if type(row.get("examples/s")) in (int, float)]
    if not rates:
        return absent_cell("not logged: training was too short, or ended while it compiled")
    return number_cell(statistics.median(rates))


def train_step(experiment: Experiment, state: TrainState) -> Cells:
    """Seconds to compile a call of the train step on one device, and the MB that XLA says it holds at most.

    That is the state, the data where they are resident, and what is computed in between. No cache answers for the
    compiler, as the program holds the time of day.
    """
    data = experiment.data
    source = (
        data
        if data.resident
        else jax.tree.map(lambda x: np.stack([x] * experiment.steps_per_call), next(data.stream(0, 1)))
    )
    run = make_steps(experiment.players, steps=experiment.steps_per_call, finish=data.finish)
    now = np.int32(time.time_ns() % 2**31)

    def stamped(state: TrainState, source: Any) -> Any:
        return run(state, source), jnp.asarray(now)

    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), (state, source))
    least = jax.config.jax_persistent_cache_min_compile_time_secs  # type: ignore[attr-defined]
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1e9)  # nobody will ask for this program again
    try:
        start = time.perf_counter()
        compiled = jax.jit(stamped, donate_argnums=0).lower(*shapes).compile()
        seconds = time.perf_counter() - start
    finally:
        jax.config.update("jax_persistent_cache_min_compile_time_secs", least)
    memory = compiled.memory_analysis()
    if memory is None:
        return {
            "compile_s": number_cell(seconds),
            "peak_memory_mb": absent_cell("this platform's compiler does not say"),
        }
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return {"compile_s": number_cell(seconds), "peak_memory_mb": number_cell((held + memory.temp_size_in_bytes) / 1e6)}
