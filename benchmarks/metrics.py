"""How long the metrics of samples take on 10,000 x 10,000 examples.

python benchmarks/metrics.py [--n 10000] [--features 64]
"""

import argparse
import platform
import time

import jax
import numpy as np

from genjax_zoo.evals import frechet, kernel_distance, memorisation, prdc


def main():
    """Prints the seconds of each metric, compilation included, and its value."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--n", type=int, default=10_000)
    parser.add_argument("--features", type=int, default=64)
    flags = parser.parse_args()
    random = np.random.default_rng(0)
    real, fake, test = random.normal(size=(3, flags.n, flags.features)).astype(np.float32)
    print(f"{platform.machine()}, jax {jax.__version__}, {jax.devices()[0]}: {flags.n:,} x {flags.features}")
    runs = {
        "prdc": lambda: prdc(real, fake),
        "frechet": lambda: frechet(real, fake),
        "kernel_distance": lambda: kernel_distance(real, fake),
        "memorisation": lambda: memorisation(real, test, fake),
    }
    for name, run in runs.items():
        start = time.perf_counter()
        found = run()
        seconds = time.perf_counter() - start
        values = found if isinstance(found, dict) else {name: found}
        print(f"{name}: {seconds:.1f} s; {', '.join(f'{what} {e.value:.4f}' for what, e in values.items())}")


if __name__ == "__main__":
    main()
