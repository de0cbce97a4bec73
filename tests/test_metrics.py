"""Metrics of samples: closed forms, invariances, floors; each law is seen to fail with a mutant."""

import functools
import math
import tracemalloc

import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import ortho_group

from genjax_zoo import evals
from genjax_zoo.evals import distances, estimate, neighbours
from genjax_zoo.evals.frechet import frechet, kernel_distance

METRICS = {
    "frechet": frechet,
    "kernel_distance": functools.partial(kernel_distance, resamples=2),
    **{
        name: lambda real, fake, name=name: evals.prdc(real, fake, resamples=2)[name]
        for name in neighbours.Neighbourhoods._fields
    },
    "memorisation": lambda real, fake: evals.memorisation(real, real[:50] + 1, fake, resamples=2),
}


def normal(n, width=6, seed=0, mean=0.0, std=1.0):
    return (mean + std * np.random.default_rng(seed).normal(size=(n, width))).astype(np.float32)


def with_moments(mean, covariance, seed):
    """Examples with exactly these moments."""
    x = np.random.default_rng(seed).normal(size=(50, len(mean)))
    x -= x.mean(0)
    white = x @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return mean + white @ np.linalg.cholesky(covariance).T


# Fréchet


def frechet_is_closed_form(distance):
    rng = np.random.default_rng(0)
    mean, other = rng.normal(size=(2, 4))
    a, b = rng.normal(size=(2, 4, 4))
    a, b = a @ a.T + np.eye(4), b @ b.T
    exact = np.sum((mean - other) ** 2) + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
    value = distance(with_moments(mean, a, 1), with_moments(other, b, 2))
    assert value == pytest.approx(exact, rel=1e-4), "the distance is not the closed form"


def test_frechet_of_gaussians():
    frechet_is_closed_form(lambda real, fake: frechet(real, fake, resamples=0).value)
    far = normal(500, mean=1e3)
    assert frechet(far, far).value == pytest.approx(0, abs=1e-6)
    assert frechet(far, far + np.float32(2)).value == pytest.approx(4 * 6, rel=1e-5)
    narrow, other = normal(50), normal(40, seed=1, std=2.0)
    wide = [np.pad(x, ((0, 0), (0, 60))) @ ortho_group.rvs(66, random_state=2) for x in (narrow, other)]
    for one, two in zip(frechet(narrow, other), frechet(*wide)):  # fewer examples than features
        assert one == pytest.approx(two, rel=1e-4)


def test_frechet_control():
    def of_commuting(real, fake):
        """Tr of the product of the roots: right only for covariances that commute."""
        a, b = np.cov(real.T), np.cov(fake.T)
        cross = np.trace(np.real(sqrtm(a)) @ np.real(sqrtm(b)))
        return np.sum((real.mean(0) - fake.mean(0)) ** 2) + np.trace(a) + np.trace(b) - 2 * cross

    with pytest.raises(AssertionError, match="not the closed form"):
        frechet_is_closed_form(of_commuting)


# kernel distance


def exact_kernel(x, y):
    return (x.astype(np.float64) @ y.T / x.shape[1] + 1) ** 3


def by_hand(real, fake, diagonal=False):
    n, m = len(real), len(fake)
    a, b = exact_kernel(real, real), exact_kernel(fake, fake)
    own = (0, 0) if diagonal else (np.trace(a), np.trace(b))
    pairs = (n * n, m * m) if diagonal else (n * (n - 1), m * (m - 1))
    return (a.sum() - own[0]) / pairs[0] + (b.sum() - own[1]) / pairs[1] - 2 * exact_kernel(real, fake).mean()


def kernel_distance_is_unbiased(distance):
    """Its mean over many small draws from one distribution is 0."""
    values = [distance(normal(12, seed=2 * seed), normal(9, seed=2 * seed + 1)) for seed in range(300)]
    assert abs(np.mean(values)) < 4 * np.std(values) / math.sqrt(len(values)), "the distance is biased"


def test_kernel_distance():
    real, fake = normal(60), normal(47, seed=1, mean=0.5)
    assert kernel_distance(real, fake).value == pytest.approx(by_hand(real, fake), rel=1e-5)
    kernel_distance_is_unbiased(lambda real, fake: kernel_distance(real, fake, resamples=0).value)


def test_kernel_distance_control():
    with pytest.raises(AssertionError, match="the distance is biased"):
        kernel_distance_is_unbiased(functools.partial(by_hand, diagonal=True))


def test_kernel_distance_of_gaussians():
    """E (x y + 1)^3 of independent numbers, from their first three moments."""

    def moments(mean, std):
        return np.array([1, mean, mean**2 + std**2, mean**3 + 3 * mean * std**2])

    a, b = moments(0.0, 1.0), moments(0.7, 1.3)
    exact = np.sum([1, 3, 3, 1] * (a * a + b * b - 2 * a * b))
    found = kernel_distance(normal(4_000, 1), normal(4_000, 1, seed=1, mean=0.7, std=1.3))
    assert found.low < exact < found.high
    assert found.low < found.value < found.high and found.high - found.low < exact


# neighbourhoods


def prdc_by_hand(real, fake, k):
    def distances(x, y):
        return np.linalg.norm(x[:, None].astype(np.float64) - y, axis=-1)

    radii, fake_radii = (np.sort(distances(x, x), axis=1)[:, k] for x in (real, fake))  # the nearest is itself
    across = distances(real, fake)
    within = across < radii[:, None]
    means = within.any(0), (across < fake_radii).any(1), within.sum(0) / k, within.any(1)
    return [float(np.mean(value)) for value in means]


def test_prdc():
    real, fake = normal(203, 3), normal(151, 3, seed=1, mean=0.5, std=0.8)
    found = evals.prdc(real, fake, k=3)
    np.testing.assert_allclose([e.value for e in found.values()], prdc_by_hand(real, fake, 3), rtol=1e-5)
    assert [found[name].n for name in ("precision", "recall")] == [151, 203]


def coverage_of_equals(k=5, n=4_000):
    exact = 1 - np.prod([(n - 1 - i) / (2 * n - 1 - i) for i in range(k)])
    found = evals.prdc(normal(n), normal(n, seed=1), k=k)
    assert found["coverage"].value == pytest.approx(exact, abs=0.008), "equal distributions have another coverage"
    assert found["density"].value == pytest.approx(1, abs=0.04)
    return exact


def test_coverage_of_equals_is_known():
    assert coverage_of_equals() == pytest.approx(0.969, abs=1e-3)


def test_coverage_control(monkeypatch):
    """Radii that count an example as its own neighbour."""
    radii = distances.radii
    monkeypatch.setattr(neighbours, "radii", lambda x, k, at_once: radii(x, k - 1, at_once))
    with pytest.raises(AssertionError, match="have another coverage"):
        coverage_of_equals()


def test_memory_is_constant_in_n():
    def temporary(n, at_once):
        x, most = normal(n, 8), []
        for metric in (neighbours.neighbourhoods, evals.nearest):
            tracemalloc.start()
            metric(x, x, at_once=at_once)
            most.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        return most

    few, many = temporary(500, 2**16), temporary(2_000, 2**16)
    assert all(b < 1.5 * a for a, b in zip(few, many))
    assert all(b > 2.5 * a for a, b in zip(few, temporary(2_000, 2**18)))  # control


def test_ties_are_neighbours():
    """Four copies of each point: the third nearest other is at 0, the fourth is not."""
    x = np.repeat(normal(20), 4, axis=0)
    third, fourth = (distances.radii(x, k, 7 * len(x)) for k in (3, 4))
    assert np.all(third == 0) and np.all(fourth > 0.01)


# far from zero


def clusters(n, seed, far, std):
    sides = np.sign(np.random.default_rng(seed + 100).normal(size=(n, 1)))
    return (sides * far + normal(n, 4, seed, std=std)).astype(np.float32)


def with_an_outlier(n, seed):
    x = normal(n, seed=seed)
    x[0] = 1e8
    return x


FEATURES = {
    "round zero": lambda n, seed: normal(n, seed=seed),
    "clusters far apart": lambda n, seed: clusters(n, seed, 100, 0.1),
    "clusters further apart": lambda n, seed: clusters(n, seed, 1_000, 0.01),
    "far from zero": lambda n, seed: normal(n, seed=seed, mean=1e4),
    "in float64, further": lambda n, seed: 1e7 + normal(n, seed=seed).astype(np.float64),
    "bits": lambda n, seed: (normal(n, 12, seed) > 0.3).astype(np.float32),
    "few levels": lambda n, seed: np.round(4 * normal(n, 5, seed)).clip(0, 16).astype(np.float32) / 16,
    "integers": lambda n, seed: np.round(3 * normal(n, 3, seed)).astype(np.int64),
    "an outlier": with_an_outlier,
}


def distances_do_not_cancel(name):
    """Counts are those of float64, ties as well; copies are copies."""
    real, fake = FEATURES[name](203, 0), FEATURES[name](151, 1)
    found = [e.value for e in evals.prdc(real, fake, k=3, resamples=0).values()]
    np.testing.assert_allclose(found, prdc_by_hand(real, fake, 3), rtol=1e-12, err_msg="other neighbours")
    exact = np.linalg.norm(fake[:, None].astype(np.float64) - real, axis=-1)
    near, index = evals.nearest(real, fake)
    np.testing.assert_allclose(near, exact.min(axis=1), rtol=1e-9, err_msg="other distances")
    np.testing.assert_array_equal(index, exact.argmin(axis=1))
    np.testing.assert_array_equal(evals.nearest(real, real[:50])[0], 0)


@pytest.mark.parametrize("name", FEATURES)
def test_distances_do_not_cancel(name):
    distances_do_not_cancel(name)


@pytest.mark.parametrize("name", ["clusters far apart", "bits", "an outlier"])
def test_cancelling_control(monkeypatch, name):
    """Expanded squares of float32, of which the common mean was taken."""

    def expanded(x, y, at_once):
        x, y = ((a - y.mean(axis=0)).astype(np.float32) for a in (x, y))
        squares = np.sum(x**2, axis=1)[:, None] + np.sum(y**2, axis=1) - 2 * x @ y.T
        yield slice(0, len(x)), np.maximum(squares, 0)

    for module in (distances, neighbours):
        monkeypatch.setattr(module, "squared_distances", expanded)
    with pytest.raises(AssertionError, match="other (neighbours|distances)"):
        distances_do_not_cancel(name)


def test_one_outlier_moves_nothing_but_its_own_share():
    real, fake = normal(200), normal(100, seed=1)
    before = neighbours.neighbourhoods(real, fake)
    one = neighbours.neighbourhoods(real, np.append(fake, np.full((1, 6), 1e8), axis=0))
    np.testing.assert_array_equal(one.density[:-1], before.density)
    np.testing.assert_array_equal(one.coverage, before.coverage)
    assert one.density[-1] == 0


def test_the_kernel_distance_far_from_zero_is_that_of_more_digits():
    real, fake = (normal(60, seed=seed, mean=1e4, std=0.1).astype(np.longdouble) for seed in (0, 1))
    kernels = [(x @ y.T / 6 + 1) ** 3 for x, y in ((real, real), (fake, fake), (real, fake))]
    a, b = ((k.sum() - np.trace(k)) / (60 * 59) for k in kernels[:2])
    found = kernel_distance(real.astype(np.float32), fake.astype(np.float32), resamples=3)
    assert found.value == pytest.approx(float(a + b - 2 * kernels[2].mean()), rel=1e-6)


def test_parzen_of_samples_far_from_each_other():
    fake, x = clusters(80, 0, 1_000, 0.1), clusters(40, 1, 1_000, 0.1)
    squares = np.sum((x[:, None].astype(np.float64) - fake) ** 2, axis=-1)
    log_sum = np.logaddexp.reduce(-0.5 * squares / 0.1**2, axis=1)
    exact = log_sum - math.log(80) - 4 * math.log(0.1 * math.sqrt(2 * math.pi))
    assert evals.parzen(fake, x, x, sigmas=(0.1, 3.0)).value == pytest.approx(exact.mean(), rel=1e-9)


# invariances


@pytest.mark.parametrize("name", METRICS)
def test_order_does_not_matter(name):
    real, fake = normal(120), normal(90, seed=1, std=0.9)
    mixed = METRICS[name](real, np.random.default_rng(3).permutation(fake)).value
    assert mixed == pytest.approx(METRICS[name](real, fake).value, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "kernel_distance"])
def test_rotation_and_shift_do_not_matter(name):
    real, fake = normal(120), normal(90, seed=1, std=0.9)
    turn = ortho_group.rvs(6, random_state=0)
    again, test = (x.astype(np.float64) @ turn + 3 for x in (real, fake))
    value = METRICS[name](again, test).value
    if name == "memorisation":
        value = evals.memorisation(again, (real[:50] + 1) @ turn + 3, test).value
    assert value == pytest.approx(METRICS[name](real, fake).value, rel=1e-3, abs=1e-5)


def test_the_kernel_distance_sees_a_shift():
    """The control of the above: its kernel has an origin."""
    real, fake = normal(120), normal(90, seed=1, std=0.9)
    assert kernel_distance(real + 3, fake + 3).value != pytest.approx(kernel_distance(real, fake).value, rel=0.1)


@pytest.mark.parametrize("at_once", [1, 777, 10**6])
def test_chunks_do_not_matter(at_once):
    real, fake = normal(103), normal(71, seed=1)
    whole, parts = neighbours.neighbourhoods(real, fake), neighbours.neighbourhoods(real, fake, at_once=at_once)
    assert all(np.array_equal(a, b) for a, b in zip(whole, parts))
    assert np.array_equal(evals.nearest(real, fake)[1], evals.nearest(real, fake, at_once=at_once)[1])
    few = kernel_distance(real, fake, at_once=at_once).value
    assert few == pytest.approx(kernel_distance(real, fake).value, rel=1e-4, abs=1e-6)
    spread = {"sigmas": (0.5, 1.0), "at_once": at_once}
    assert evals.parzen(real, fake, fake, **spread).value == pytest.approx(
        evals.parzen(real, fake, fake, sigmas=(0.5, 1.0)).value, rel=1e-5
    )


# copies


def test_copies_are_found():
    train, test = normal(2_000, mean=100), normal(500, seed=1, mean=100)
    distance, index = evals.nearest(train, train[:300] + np.float32(0))
    assert np.all(distance == 0) and np.array_equal(index, np.arange(300))
    assert evals.memorisation(train, test, train[:300]).value == 0
    fresh = evals.memorisation(train, test, normal(500, seed=2, mean=100))
    assert fresh.low < 1 < fresh.high and fresh.value == pytest.approx(1, abs=0.05)
    half = np.concatenate([train[:250], normal(250, seed=3, mean=100)])
    assert evals.memorisation(train, test, half).high < 0.6
    with pytest.raises(ValueError, match="Every test example is a training example"):
        evals.memorisation(train, train[:50], test)


# intervals


def test_the_interval_of_a_mean():
    found = estimate.mean(normal(2_000, 1)[:, 0], resamples=2_000)
    assert found.high - found.low == pytest.approx(2 * 1.96 / math.sqrt(2_000), rel=0.1)
    assert found.n == 2_000


@pytest.mark.parametrize("metric", [frechet, kernel_distance])
def test_intervals_are_as_wide_as_draws_differ(metric):
    draws = [metric(normal(200, seed=2 * s), normal(200, seed=2 * s + 1, mean=0.3), resamples=50) for s in range(60)]
    values, width = [d.value for d in draws], np.mean([d.high - d.low for d in draws])
    assert width == pytest.approx(2 * 1.96 * np.std(values), rel=0.3)


def test_intervals_end_where_the_metric_does():
    """99 of 100 examples in: the interval's upper end would be above 1."""
    real = normal(100)
    fake = np.append(real[:99] + np.float32(1e-3), np.full((1, 6), 50, np.float32), axis=0)
    found = evals.prdc(real, fake)
    ends = [(one.low, one.high) for one in (*found.values(), frechet(real, real), evals.memorisation(real, fake, real))]
    assert all(low >= 0 for low, _ in ends)
    assert all(found[name].high <= 1 for name in ("precision", "recall", "coverage"))
    assert evals.class_score(50 * np.eye(4)[[0, 1, 2, 3, 3]]).high <= 4
    assert evals.class_score(np.zeros((5, 4))).low >= 1


# bad input


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: evals.prdc(normal(5), normal(9), k=5), "'real' have 5 examples; this metric needs 6 or more"),
        (lambda: evals.prdc(normal(9), normal(3), k=5), "'fake' have 3 examples; this metric needs 6"),
        (lambda: evals.prdc(normal(9), normal(9), k=0), "k of 1 or more, not 0"),
        (lambda: frechet(normal(9), normal(9)[:, 0]), r"'fake' need the shape \[n, F\].*not \(9,\)"),
        (lambda: frechet(normal(9).reshape(9, 3, 2), normal(9)), r"not \(9, 3, 2\)"),
        (lambda: kernel_distance(normal(9, 5), normal(9, 4)), "one extractor, but there are {'real': 5, 'fake': 4}"),
        (lambda: frechet(normal(9), np.full((9, 6), np.nan)), "'fake' are not all finite"),
        (lambda: evals.parzen(normal(9), normal(9), normal(9), sigmas=(0.0,)), "widths above 0"),
        (lambda: evals.class_score(normal(9)[0]), r"the shape \[n, F\]"),
    ],
)
def test_bad_input_is_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
