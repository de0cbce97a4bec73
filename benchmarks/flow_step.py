"""A flow's train step and its sampler against peers, on one architecture, in one alternating run.

    python benchmarks/flow_step.py [--peers torch,compile,nflows,normflows,zuko,flowjax,distrax]

Eight affine couplings whose networks are MLPs of 256-256, x of 2 and of 64 numbers; a step is Adam on 512 examples, a
sample is 10,000 draws. Minimum of many repeats. The floor is the time of the matrix products alone, at the rate
measured here; `--compile-time` prints how long a spline flow's train step takes to compile, scanned and unrolled.
"""

import argparse
import platform
import time

import jax
import numpy as np
import optax
from peers import PEERS
from timing import best, matmul_seconds

from genjax_zoo import Player, models
from genjax_zoo.train import create_state, make_step

LAYERS, WIDTH, BATCH, DRAWS = 8, 256, 512, 10_000


def compiled_step(model, x):
    """(compile seconds, a step without arguments, its state in a list)."""
    players = {"flow": Player(terms=model.nll, tx=optax.adam(1e-3))}
    batch = {"x": jax.numpy.asarray(x)}
    state = [create_state(model, players, jax.random.key(0), batch)]
    start = time.perf_counter()
    step = jax.jit(make_step(players), donate_argnums=0).lower(state[0], batch).compile()
    seconds = time.perf_counter() - start

    def run():
        state[0], metrics = step(state[0], batch)
        jax.block_until_ready((state[0], metrics))

    return seconds, run, state


def ours(x, unroll):
    """One step of ours, and 10,000 draws."""
    model = models.real_nvp(shape=x.shape[1:], layers=LAYERS, hidden=(WIDTH, WIDTH), norm=None, unroll=unroll)
    _, step, state = compiled_step(model, x)
    draw = jax.jit(lambda variables, key: model.sample(variables, key, DRAWS))

    def sample():
        jax.block_until_ready(draw(state[0].variables, state[0].key))

    return step, sample


def operations(dimensions):
    """Floating-point operations of the matrix products of one example, one way."""
    kept = dimensions // 2
    return LAYERS * 2 * (kept * WIDTH + WIDTH * WIDTH + WIDTH * 2 * (dimensions - kept))


def compile_times():
    """Prints how long the train step of a spline flow takes to compile."""
    x = np.random.default_rng(0).normal(size=(BATCH, 64)).astype(np.float32)
    for count in (16, 64):
        for unroll in (1, count):
            if count == 64 and unroll > 1:
                continue  # minutes
            model = models.spline_coupling(shape=(64,), layers=count, hidden=(128, 128), unroll=unroll)
            seconds, run, _ = compiled_step(model, x)
            least = best({"step": run}, 10)["step"]
            print(
                f"spline flow of {count}, {unroll} unrolled: compiles in {seconds:.1f} s, {least * 1e3:.1f} ms a step"
            )


def main():
    """Prints one row per number of dimensions."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--peers", default="", help=f"of {', '.join(PEERS)}, with commas between")
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--compile-time", action="store_true")
    flags = parser.parse_args()
    if flags.compile_time:
        compile_times()
        return
    rate = 1 / matmul_seconds()
    print(f"{platform.machine()}, jax {jax.__version__}, {jax.devices()[0]}: matmul {rate / 1e9:.0f} GFLOP/s")
    for dimensions in (2, 64):
        x = np.random.default_rng(0).normal(size=(BATCH, dimensions)).astype(np.float32)
        built = {"scanned": ours(x, 1), "unrolled": ours(x, LAYERS)}
        built |= {name: PEERS[name](x, LAYERS, WIDTH, DRAWS) for name in filter(None, flags.peers.split(","))}
        for index, what, factor in ((0, "train step", 3 * BATCH), (1, "sample", DRAWS)):
            least = best({name: pair[index] for name, pair in built.items()}, flags.repeats)
            mine = min(least["scanned"], least["unrolled"])
            floor = factor * operations(dimensions) / rate
            row = "  ".join(f"{name} {s * 1e3:.2f} ({s / mine:.2f}x)" for name, s in least.items())
            print(f"d = {dimensions}, {what}, ms: {row}  floor {floor * 1e3:.2f} = {floor / mine:.0%}")


if __name__ == "__main__":
    main()
