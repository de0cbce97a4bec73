"""Records per second of each path that data takes, and how much of a step is spent on data.

    python benchmarks/data.py [--experiments]

Records are 28x28 bytes, as many as MNIST has. With --experiments, every experiment's steps run on its own data. For
data on the device, the fraction is the time of drawing (and summing) batches alone by that of a step; for data that
stays with the host, it is the part of the time in which the loop waits for Grain and puts batches on the device.
(Subtracting the time of steps on a fixed batch says less: two equal programs differ by up to 3 %.)
"""

import argparse
import dataclasses
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from genjax_zoo import Experiment, data
from genjax_zoo.data.files import Listing, decode
from genjax_zoo.runs import create_state_of, load_experiment
from genjax_zoo.train import make_steps

N = 60_000
BYTES = np.random.default_rng(0).integers(0, 256, (N, 28, 28, 1)).astype(np.uint8)


def records_per_second(batch_size: int) -> Iterator[tuple[str, float]]:
    """Every path: its name, and its rate."""
    shared: Any = dict(transform=data.scale(256), batch_size=batch_size, seed=0, train=True)
    resident = data.Resident(arrays={"x": jnp.asarray(BYTES)}, **shared)
    calls, per_call = 20, 50

    @jax.jit
    def gather(resident, start):
        def one(total, step):
            return total + resident.at(step)["x"].sum(), None

        return jax.lax.scan(one, 0.0, start + jnp.arange(per_call))[0]

    yield (
        "resident, gathered in the step",
        calls * per_call * batch_size / timed(lambda: [gather(resident, i * per_call) for i in range(calls)]),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.npy"
        np.save(path, BYTES)
        sources = {"memory": BYTES, "a mapped file": data.Mapped(str(path))}
        for where, array in sources.items():
            streamed = data.Streamed(arrays={"x": array}, **shared)
            steps = 2_000
            yield (
                f"Grain over index batches, from {where}",
                steps
                * batch_size
                / timed(lambda streamed=streamed, steps=steps: sum(1 for _ in streamed.stream(0, steps))),
            )
        images = Path(folder) / "images"
        images.mkdir()
        for i in range(1_000):
            Image.fromarray(BYTES[i, ..., 0]).save(images / f"{i:05d}.png")
        listing = Listing(images)
        names = listing.of_kind({".png"})
        yield (
            "decoding PNG files, done once",
            len(names) / timed(lambda: [decode(listing.read(name), name, colour=False) for name in names]),
        )


def timed(run: Callable[[], Any], repeats: int = 5) -> float:
    """The least seconds of a run."""
    jax.block_until_ready(run())
    least = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(run())
        least = min(least, time.perf_counter() - start)
    return least


def waiting(experiment: Experiment, *, streamed: bool, seconds: float) -> tuple[float, float]:
    """Milliseconds of a step, and the fraction of it that goes to data."""
    source, k = experiment.data, experiment.steps_per_call
    steps = jax.jit(make_steps(experiment.players, steps=k, finish=source.finish), donate_argnums=0)
    stream = source.stream(0, 10**9) if streamed else iter(())
    state, waited = create_state_of(experiment), 0.0

    def call():
        nonlocal state, waited
        start = time.perf_counter()
        raw = [next(stream) for _ in range(k)] if streamed else []
        given = jax.tree.map(lambda *parts: jnp.asarray(np.stack(parts)), *raw) if streamed else source
        waited += time.perf_counter() - start
        state, metrics = steps(state, given)
        return metrics

    @jax.jit
    def draw(source, start):
        def one(total, step):
            return total + sum(jnp.sum(x) for x in source.at(step).values()), None

        return jax.lax.scan(one, 0.0, start + jnp.arange(200))[0]

    jax.block_until_ready(call())
    calls, waited, start = 0, 0.0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        jax.block_until_ready([call() for _ in range(10)])
        calls += 10
    spent = (time.perf_counter() - start) / calls / k
    on_data = waited / calls / k if streamed else timed(lambda: draw(source, 0)) / 200
    return 1e3 * spent, on_data / spent


def main():
    """Prints a row per path, and per experiment."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--experiments", action="store_true", help="measure the waiting of every experiment, too")
    parser.add_argument("--seconds", type=float, default=30, help="for each experiment")
    parser.add_argument("--batch-size", type=int, default=512)
    flags = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, jax {jax.__version__}, {jax.devices()[0]}")
    for name, rate in records_per_second(flags.batch_size):
        print(f"{name:45} {rate:12,.0f} records/s")
    if not flags.experiments:
        return
    for path in sorted(Path("experiments").glob("*.py")):
        try:
            experiment = load_experiment(path)()
        except FileNotFoundError as error:
            print(f"{path.stem:20} not measured: {error}")
            continue
        resident = experiment.data
        host = {name: np.asarray(array) for name, array in resident.arrays.items()}  # type: ignore[attr-defined]
        settings: Any = {f.name: getattr(resident, f.name) for f in dataclasses.fields(resident)}  # type: ignore[arg-type]
        streamed = dataclasses.replace(experiment, data=data.Streamed(**{**settings, "arrays": host}))
        for kind, one in (("resident", experiment), ("streamed", streamed)):
            ms, fraction = waiting(one, streamed=kind == "streamed", seconds=flags.seconds)
            print(f"{path.stem:20} {kind}  {ms:8.2f} ms a step, {fraction:6.2%} on data")


if __name__ == "__main__":
    main()
