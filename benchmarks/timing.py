"""What the benchmarks share: the least time of functions that take turns, and the machine's matrix products."""

import time
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp


def best(runs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """The least seconds of each run, taking turns."""
    for run in runs.values():
        run()
        run()
    least = dict.fromkeys(runs, float("inf"))
    for _ in range(repeats):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            least[name] = min(least[name], time.perf_counter() - start)
    return least


def matmul_seconds(size: int = 2048, repeats: int = 20) -> float:
    """Seconds per floating-point operation of a large float32 matrix product, at its best."""
    a = jax.random.normal(jax.random.key(0), (size, size))
    product = jax.jit(jnp.matmul)
    return best({"matmul": lambda: jax.block_until_ready(product(a, a))}, repeats)["matmul"] / (2 * size**3)
