"""Points in the plane, of known density: 100,000 to train on, 10,000 to validate, 10,000 to test.

    name          density                                                              entropy, nats
    grid25        25 Gaussians at {-4, -2, 0, 2, 4}^2, sigma 0.05 (Lin et al. 2018)      0.0653
    ring8         8 Gaussians on the unit circle, sigma 0.01 (Lin et al. 2018)          -4.2930
    checkerboard  uniform on 8 squares of 2 x 2 in [-4, 4]^2 (Grathwohl et al. 2019)     log 32 = 3.4657
    two-moons     half circles of radius 2, noise 0.2 (Grathwohl et al. 2019)            2.3939, by quadrature

"label" is the component: the Gaussian, the column of the board, the moon.
"""

import functools
import math
import zlib
from collections.abc import Callable, Mapping

import numpy as np

from genjax_zoo.errors import UserError

SIZES = {"train": 100_000, "valid": 10_000, "test": 10_000}
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]  # -> points [n, 2], labels [n]

GRID25 = np.stack(np.meshgrid(np.arange(-4, 5, 2), np.arange(-4, 5, 2), indexing="ij"), -1).reshape(25, 2)
RING8 = np.stack([np.cos(np.arange(8) * np.pi / 4), np.sin(np.arange(8) * np.pi / 4)], -1)


def log_density(name: str, x: np.ndarray) -> np.ndarray:
    """The log of a set's own density at points [N, 2], nats [N]; minus infinity where there is none.

    Raises:
        UserError: a set without a density here.
    """
    if name not in DRAWS:
        raise UserError(f"The density of '{name}' is not known; those of {', '.join(DRAWS)} are.")
    x = np.asarray(x, np.float64)
    if name == "checkerboard":
        inside = (np.abs(x).max(axis=1) < 4) & (np.floor(x / 2).sum(axis=1) % 2 == 0)
        return np.where(inside, -math.log(32), -np.inf)
    means, sigma = MIXTURES[name]
    return np.concatenate([_mixture(part, means, sigma) for part in np.array_split(x, 1 + len(x) // 1_000)])


def mixture(name: str) -> tuple[np.ndarray, float]:
    """The means [K, 2] and the standard deviation of a set that is an even mixture of round Gaussians.

    Raises:
        UserError: the set is none.
    """
    if name not in MIXTURES:
        raise UserError(f"'{name}' is no mixture of Gaussians; {', '.join(MIXTURES)} are.")
    return MIXTURES[name]


def _mixture(x: np.ndarray, means: np.ndarray, sigma: float) -> np.ndarray:
    """The log-density of an even mixture of round Gaussians."""
    squares = ((x[:, None] - means) ** 2).sum(axis=-1) / sigma**2
    least = squares.min(axis=1, keepdims=True)
    sums = np.exp(-0.5 * (squares - least)).sum(axis=1)
    return np.log(sums) - 0.5 * least[:, 0] - math.log(2 * math.pi * sigma**2 * len(means))


def _gaussians(means: np.ndarray, sigma: float) -> Draw:
    def draw(random, n):
        label = random.integers(len(means), size=n)
        return means[label] + sigma * random.standard_normal((n, 2)), label

    return draw


def _checkerboard(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    x = random.uniform(-2, 2, n)
    column = np.floor(x).astype(int)
    y = random.uniform(0, 1, n) - 2 * random.integers(2, size=n) + column % 2
    return 2 * np.stack([x, y], -1), column + 2


def _two_moons(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    label = random.integers(2, size=n)
    angle = random.uniform(0, np.pi, n)
    return _moons(angle, label) + 0.2 * random.standard_normal((n, 2)), label


def _moons(angle: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Points of the half circles themselves."""
    sign = 1 - 2 * label
    return 2 * np.stack([sign * np.cos(angle) + label, sign * np.sin(angle) + 0.5 * label], -1) + [-1, -0.2]


DRAWS: Mapping[str, Draw] = {
    "grid25": _gaussians(GRID25, 0.05),
    "ring8": _gaussians(RING8, 0.01),
    "checkerboard": _checkerboard,
    "two-moons": _two_moons,
}
_ANGLES = np.pi * (np.arange(500) + 0.5) / 500  # finer than the noise by far
MIXTURES: Mapping[str, tuple[np.ndarray, float]] = {  # means [K, 2] and sigma of sets that are even mixtures
    "grid25": (GRID25, 0.05),
    "ring8": (RING8, 0.01),
    "two-moons": (_moons(np.tile(_ANGLES, 2), np.repeat([0, 1], 500)), 0.2),
}


@functools.cache
def read_points(name: str) -> Mapping[str, Mapping[str, np.ndarray]]:
    """All splits of a set, drawn with fixed seeds: x float32 [N, 2], label int32 [N]."""
    splits = {}
    for index, (split, n) in enumerate(SIZES.items()):
        random = np.random.Generator(np.random.PCG64([zlib.crc32(name.encode()), index]))
        x, label = DRAWS[name](random, n)
        splits[split] = {"x": x.astype(np.float32), "label": label.astype(np.int32)}
    return splits
