"""A number with the interval that another draw of as many examples would move it in."""

from typing import NamedTuple

import numpy as np

from genjax_zoo.errors import UserError


class Estimate(NamedTuple):
    """A metric of n examples, and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    n: int


def resample(n: int, resamples: int, seed: int = 0) -> np.ndarray:
    """How often each of n examples is drawn: float32 [1 + resamples, n]; each once in the first row.

    A row sums to n; the others are draws with replacement (Efron 1979).
    """
    random = np.random.Generator(np.random.PCG64([seed, n]))
    drawn = random.multinomial(n, np.full(n, 1 / n), size=resamples)
    return np.concatenate([np.ones((1, n)), drawn]).astype(np.float32)


def estimate(values: np.ndarray, n: int, *, least: float = -np.inf, most: float = np.inf) -> Estimate:
    """An estimate from a metric's value and its values on resamples, float [1 + resamples].

    The interval is the spread of the resamples about their own mean, moved to the value: distances between samples grow
    when examples are drawn twice, and that growth is no uncertainty. It ends where the metric does: at `least`, `most`.
    """
    value, again = float(values[0]), np.asarray(values[1:], np.float64)
    if len(again) == 0:
        return Estimate(value, value, value, n)
    low, high = np.quantile(again - again.mean(), (0.025, 0.975))
    return Estimate(value, max(float(value + low), least), min(float(value + high), most), n)


def mean(values: np.ndarray, resamples: int = 100, seed: int = 0, **ends: float) -> Estimate:
    """The mean of one number per example, [n]; `ends` as in `estimate`."""
    weights = resample(len(values), resamples, seed)
    return estimate(weights @ np.asarray(values, np.float64) / len(values), len(values), **ends)


def report(name: str, found: Estimate, floor: float) -> dict[str, float]:
    """What an Eval gives of a metric: its value, the interval, and the same metric of real examples against real."""
    return {name: found.value, f"{name}/low": found.low, f"{name}/high": found.high, f"{name}/floor": floor}


def check_features(least: int = 2, **features: np.ndarray) -> tuple[np.ndarray, ...]:
    """Feature arrays [n, F], of one F: float32, or float64 of numbers that have more digits.

    Raises:
        UserError: one of another shape, of fewer than `least` examples, or not finite.
    """
    arrays = {name: np.asarray(value) for name, value in features.items()}
    for name, array in arrays.items():
        if array.ndim != 2:
            raise UserError(f"The features '{name}' need the shape [n, F], one row per example, not {array.shape}.")
        if len(array) < least:
            raise UserError(f"The features '{name}' have {len(array)} examples; this metric needs {least} or more.")
        if not np.all(np.isfinite(array)):
            raise UserError(f"The features '{name}' are not all finite; look at what made them.")
    widths = {name: array.shape[1] for name, array in arrays.items()}
    if len(set(widths.values())) > 1:
        raise UserError(f"All features must be of one extractor, but there are {widths} numbers per example.")
    return tuple(np.asarray(array, np.promote_types(array.dtype, np.float32)) for array in arrays.values())
