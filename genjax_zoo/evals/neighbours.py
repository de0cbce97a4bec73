"""What neighbours in feature space say: precision, recall, density, coverage, and copies of training examples."""

from typing import NamedTuple

import numpy as np

from genjax_zoo.errors import UserError
from genjax_zoo.evals import distances
from genjax_zoo.evals.distances import AT_ONCE, is_closer, radii, squared_distances
from genjax_zoo.evals.estimate import Estimate, check_features, estimate, mean, resample


class Neighbourhoods(NamedTuple):
    """What `neighbourhoods` counts, before any mean; a ball reaches to the k-th nearest of its own kind."""

    precision: np.ndarray  # bool [n']: the sample is in some real example's ball
    recall: np.ndarray  # bool [n]: the real example is in some sample's ball
    density: np.ndarray  # float [n']: how many real balls the sample is in, over k
    coverage: np.ndarray  # bool [n]: some sample is in the real example's ball


def neighbourhoods(real: np.ndarray, fake: np.ndarray, *, k: int = 5, at_once: int = AT_ONCE) -> Neighbourhoods:
    """Who is in whose ball.

    Precision and recall are of Kynkaanniemi et al. 2019 (arXiv:1904.06991), density and coverage of Naeem et al. 2020
    (arXiv:2002.09797). For equal distributions density is 1 on average and coverage 1 - 2^-k. What is as far as the
    radius is outside, as in the package prdc.

    Args:
        real: features [n, F].
        fake: features [n', F].
        k: neighbours.
        at_once: distances in memory at a time.

    Raises:
        UserError: k below 1; features of another shape, not finite, or fewer than k + 1 of them.
    """
    if k < 1:
        raise UserError(f"Neighbourhoods need k of 1 or more, not {k}.")
    real, fake = check_features(k + 1, real=real, fake=fake)
    ball, fake_ball = (radii(x, k, at_once) for x in (real, fake))
    inside, recall, coverage = np.zeros(len(fake), np.int64), np.empty(len(real), bool), np.empty(len(real), bool)
    for here, squares in squared_distances(real, fake, at_once):
        within = is_closer(squares, ball[here, None], real[here], fake)
        inside += np.count_nonzero(within, axis=0)
        recall[here] = is_closer(squares, fake_ball, real[here], fake).any(axis=1)
        coverage[here] = within.any(axis=1)
    return Neighbourhoods(inside > 0, recall, inside / k, coverage)


def prdc(real: np.ndarray, fake: np.ndarray, *, k: int = 5, resamples: int = 100) -> dict[str, Estimate]:
    """The means of `neighbourhoods` by name; the intervals are of the examples that each mean goes over.

    Raises:
        UserError: as `neighbourhoods` does.
    """
    found = neighbourhoods(real, fake, k=k)
    most = {"density": np.inf}
    return {name: mean(x, resamples, most=most.get(name, 1.0), least=0.0) for name, x in found._asdict().items()}


def nearest(train: np.ndarray, x: np.ndarray, *, at_once: int = AT_ONCE) -> tuple[np.ndarray, np.ndarray]:
    """The nearest training example of each x.

    Args:
        train: features [N, F].
        x: features [n, F].
        at_once: distances in memory at a time.

    Returns:
        Distances [n], so that a copy is at 0; and indices into `train` [n].

    Raises:
        UserError: features of another shape, or not finite.
    """
    train, x = check_features(1, train=train, x=x)
    return distances.nearest(x, train, at_once)


def memorisation(train: np.ndarray, test: np.ndarray, fake: np.ndarray, *, resamples: int = 100) -> Estimate:
    """How far samples are from the nearest training example, over how far test examples are.

    It is 1 for samples as new as test examples, and 0 for copies.

    Args:
        train: features [N, F].
        test: features [n, F].
        fake: features [n', F].
        resamples: of the interval, over test examples and samples.

    Raises:
        UserError: features of another shape, or not finite; test examples that are all training examples.
    """
    near, known = nearest(train, fake)[0], nearest(train, test)[0]
    if not known.any():
        raise UserError("Every test example is a training example; give those that the model was not trained on.")
    ours, theirs = (resample(len(d), resamples, seed) @ d / len(d) for seed, d in enumerate((near, known)))
    return estimate(ours / np.maximum(theirs, np.finfo(np.float32).tiny), len(fake), least=0.0)
