"""Scores of classes, modes, Parzen windows, calibration, and the Eval that holds samples against real examples."""

import importlib
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from capable import density, latent, of, sampler
from scipy.linalg import sqrtm
from scipy.special import logsumexp
from test_metrics import by_hand, normal, prdc_by_hand

from genjax_zoo import data, evals
from genjax_zoo.core import Conditionals, Judge, Model
from genjax_zoo.evals import modes, neighbours
from genjax_zoo.evals.frechet import frechet
from genjax_zoo.evals.walk import some_of

KEY = jax.random.key(0)


# scores of classes


def test_class_score():
    sure = 50 * np.eye(10)[np.arange(1_000) % 10]
    assert evals.class_score(sure).value == pytest.approx(10, rel=1e-5)
    assert evals.class_score(sure[:1].repeat(50, 0)).value == pytest.approx(1, rel=1e-5)
    logits = normal(50, 4)
    p = np.asarray(jax.nn.softmax(logits), np.float64)
    exact = np.exp(np.mean(np.sum(p * np.log(p / p.mean(0)), axis=1)))
    assert evals.class_score(logits).value == pytest.approx(exact, rel=1e-5)
    assert evals.class_score(logits).value != pytest.approx(np.exp(np.mean(np.sum(p * np.log(p * 4), 1))))  # control


# Parzen


def parzen_is_a_density(log_density):
    """Against the mixture by hand, and it integrates to 1."""
    fake, grid = normal(30, 1), np.linspace(-8, 8, 4_001, dtype=np.float32)[:, None]
    values = np.array([log_density(fake, grid[i : i + 1]) for i in range(0, 4_001, 40)])
    mass = np.sum(np.exp(values)) * 0.16
    assert mass == pytest.approx(1, rel=1e-3), f"the density integrates to {mass:.3f}"


def test_parzen():
    def log_density(fake, x):
        return evals.parzen(fake, x, x, sigmas=(0.4,), resamples=0).value

    parzen_is_a_density(log_density)
    with pytest.raises(AssertionError, match="the density integrates to 30"):
        parzen_is_a_density(lambda fake, x: log_density(fake, x) + np.log(len(fake)))  # a sum, not a mean
    fake, x = normal(20, 3), normal(9, 3, seed=1)
    squares = np.sum((x[:, None] - fake) ** 2, axis=-1)
    each = logsumexp(-squares / 2 / 0.5**2, axis=1) - np.log(20) - 3 * np.log(0.5 * np.sqrt(2 * np.pi))
    assert evals.parzen(fake, x, x, sigmas=(0.1, 0.5)).value == pytest.approx(each.mean(), rel=1e-4)


def test_the_width_is_chosen_on_validation():
    """One sample at 0: the best width is the distance, 0.1 of what validates, 2 of what tests."""
    fake, valid, test = (np.full((2, 1), x, np.float32) for x in (0.0, 0.1, 2.0))
    found = evals.parzen(fake, valid, test, sigmas=(2.0, 0.1, 0.5)).value
    assert found == pytest.approx(-0.5 * (2 / 0.1) ** 2 - math.log(0.1 * math.sqrt(2 * math.pi)), rel=1e-5)


def test_parzen_misleads():
    """Pairs of the data's own draws, averaged, are another distribution; in 50 dimensions they score better."""
    fake, valid, test = normal(2_000, 50), normal(200, 50, seed=1), normal(200, 50, seed=2)
    blurred = (fake[::2] + fake[1::2]) / 2
    best, real = (evals.parzen(x, valid, test, sigmas=tuple(np.linspace(0.3, 1.2, 10))) for x in (blurred, fake))
    assert best.low > real.high
    assert frechet(fake, blurred, resamples=0).value > 4 * frechet(fake, normal(1_000, 50, 3), resamples=0).value


# one Eval for all


def gaussian(mean, width=6):
    def sample(variables, key, n, cond):
        return mean + jax.random.normal(key, (n, width))

    spec = {"x": jax.ShapeDtypeStruct((width,), jnp.float32)}
    return Model(spec=spec, init=lambda key, batch: {}, sampler=sampler(sample))


def points(x, batch_size=64):
    return data.Resident(arrays={"x": x}, transform=lambda raw, keys: raw, batch_size=batch_size, seed=0, train=False)


def test_fidelity():
    judge = evals.fidelity(
        points(normal(1_010)),
        lambda x: 2 * x,
        name="double",
        n=500,
        classify=lambda x: 5 * x,
        train=points(normal(600, seed=9)),
    )
    good, bad = (judge(gaussian(mean), {}, KEY) for mean in (0.0, 0.8))
    metrics = ("frechet", "kernel_distance", *neighbours.Neighbourhoods._fields, "class_score", "memorisation")
    wanted = {f"{metric}[double]{part}" for metric in metrics for part in ("", "/low", "/high", "/floor")}
    assert set(good) == {*wanted, "n[double]"} and good["n[double]"] == 500
    for metric in metrics:
        name = f"{metric}[double]"
        margin = 1.5 * (good[f"{name}/high"] - good[f"{name}/low"])
        assert good[f"{name}/low"] < good[name] < good[f"{name}/high"]
        assert good[name] == pytest.approx(good[f"{name}/floor"], abs=margin)
    assert bad["frechet[double]/low"] > 5 * bad["frechet[double]/floor"] > 0
    assert bad["kernel_distance[double]/low"] > bad["kernel_distance[double]/floor"]
    assert bad["coverage[double]/high"] < bad["coverage[double]/floor"]
    assert bad["memorisation[double]/low"] > good["memorisation[double]/high"]


def test_fidelity_compares_by_its_own_k_and_n():
    """Every number by hand, from the features that it asked for; neither k nor n are those by default."""
    seen = []

    def features(x):
        seen.append(np.asarray(x))
        return x

    split = points(normal(150, 3), batch_size=20)
    found = evals.fidelity(split, features, name="x", n=60, k=2, resamples=0)(gaussian(0.5, 3), {}, KEY)
    fake = np.concatenate(seen[split.batches :])[:60]
    order = np.random.Generator(np.random.PCG64(0)).permutation(150)
    real, other = (np.asarray(split.arrays["x"])[order[part]] for part in (slice(60), slice(60, 120)))
    for one, end in ((fake, ""), (other, "/floor")):
        for name, value in zip(neighbours.Neighbourhoods._fields, prdc_by_hand(real, one, 2)):
            assert found[f"{name}[x]{end}"] == pytest.approx(value, rel=1e-5)
        moved = np.sum((real.mean(0) - one.mean(0, np.float64)) ** 2)
        a, b = np.cov(real.T), np.cov(one.T)
        exact = moved + np.trace(a + b - 2 * np.real(sqrtm(a @ b)))
        assert found[f"frechet[x]{end}"] == pytest.approx(exact, rel=1e-4)
        assert found[f"kernel_distance[x]{end}"] == pytest.approx(by_hand(real, one), rel=1e-3, abs=1e-5)


def test_floors_of_classes_and_of_copies_are_those_of_the_real_examples():
    """What the n others get in place of samples, whose conditions samples are given."""
    split, train = points(normal(150, 3), batch_size=20), points(normal(80, 3, seed=9))
    judge = evals.fidelity(split, lambda x: x, name="x", n=60, classify=lambda x: 5 * x, train=train, resamples=0)
    found = judge(gaussian(0.5, 3), {}, KEY)
    order = np.random.Generator(np.random.PCG64(0)).permutation(150)
    real, other = (np.asarray(split.arrays["x"])[order[part]] for part in (slice(60), slice(60, 120)))
    near, known = (
        np.linalg.norm(one[:, None] - train.arrays["x"], axis=-1).min(axis=1).mean() for one in (other, real)
    )
    assert found["memorisation[x]/floor"] == pytest.approx(near / known, rel=1e-4) and abs(near / known - 1) > 1e-2
    assert found["class_score[x]/floor"] == pytest.approx(evals.class_score(5 * other, resamples=0).value, rel=1e-4)


def test_fidelity_gives_samples_the_conditions_of_the_floor():
    """A model that repeats its condition is at the floor, to the last digit."""
    x = normal(257, 3)
    split = data.Resident(
        arrays={"x": x, "label": x}, transform=lambda raw, keys: raw, batch_size=50, seed=0, train=False
    )
    one = jax.ShapeDtypeStruct((3,), jnp.float32)
    echo = Model(
        spec={"x": one, "label": one},
        init=lambda key, batch: {},
        sampler=sampler(lambda variables, key, n, cond: cond["label"]),
    )
    found = evals.fidelity(split, lambda x: x, name="x", n=128, resamples=0, train=points(normal(70, 3, 5)))(
        echo, {}, KEY
    )
    for what in ("frechet", "kernel_distance", "precision", "recall", "density", "coverage", "memorisation"):
        assert found[f"{what}[x]"] == pytest.approx(found[f"{what}[x]/floor"], rel=1e-9)
    assert found["frechet[x]/floor"] > 0.01


JUDGED = ("frechet", "kernel_distance", *neighbours.Neighbourhoods._fields, "class_score", "memorisation")


def of_labels(n, seed):
    """Points round the mean of their label, most of them round one."""
    random = np.random.default_rng(seed)
    label = random.choice(4, size=n, p=(0.7, 0.1, 0.1, 0.1)).astype(np.int32)
    x = 4 * np.eye(4)[label] + random.normal(size=(n, 4))
    return data.Resident(
        arrays={"x": x.astype(np.float32), "label": label},
        transform=lambda raw, keys: raw,
        batch_size=50,
        seed=0,
        train=False,
    )


def perfect_samples_are_at_the_floor(n, floor_of=lambda found: found):
    """The mean of value less floor over draws of everything is 0, for every metric."""
    spec = {"x": jax.ShapeDtypeStruct((4,), jnp.float32), "label": jax.ShapeDtypeStruct((), jnp.int32)}
    perfect = Model(
        spec=spec,
        init=lambda key, batch: {},
        sampler=sampler(lambda v, key, n, cond: 4 * jnp.eye(4)[cond["label"]] + jax.random.normal(key, (n, 4))),
    )
    gaps = []
    for seed in range(24):
        train = of_labels(60, 1_000 + seed)
        judge = evals.fidelity(
            of_labels(2 * n + 7, seed), lambda x: x, name="x", n=n, classify=lambda x: x, train=train, resamples=0
        )
        found = floor_of(judge(perfect, {}, jax.random.key(seed)))
        gaps.append([found[f"{what}[x]"] - found[f"{what}[x]/floor"] for what in JUDGED])
    error = np.std(gaps, axis=0) / math.sqrt(len(gaps))
    off = [what for what, gap, e in zip(JUDGED, np.mean(gaps, axis=0), error) if abs(gap) > 4.5 * e]
    assert not off, f"real against real is not at the floor of {off}"


@pytest.mark.parametrize("n", [40, 160])
def test_perfect_samples_are_at_the_floor(n):
    perfect_samples_are_at_the_floor(n)


def test_the_floor_control():
    """A floor of more examples than the number is of."""

    def of_more(found):
        return {**found, "frechet[x]/floor": found["frechet[x]/floor"] / 2}

    with pytest.raises(AssertionError, match="not at the floor of .'frechet'"):
        perfect_samples_are_at_the_floor(40, of_more)


def test_copies_of_any_training_example_are_found():
    """A split that training reshuffles, flips, and leaves the last 37 examples of."""
    x = np.random.default_rng(0).uniform(size=(101, 4, 4, 1)).astype(np.float32)
    train = data.from_arrays(x, batch_size=64, flip=True)
    test = data.from_arrays(np.random.default_rng(1).uniform(size=(202, 4, 4, 1)), batch_size=64, train=False)
    copies = Model(
        spec=test.spec,
        init=lambda key, batch: {},
        sampler=sampler(lambda v, key, n, cond: jnp.asarray(x)[jax.random.permutation(key, 101)[:n]]),
    )
    judge = evals.fidelity(test, lambda x: x.reshape(len(x), -1), name="x", n=101, train=train, resamples=0)
    assert judge(copies, {}, KEY)["memorisation[x]"] == 0
    assert evals.fidelity(train, lambda x: x.reshape(len(x), -1), name="x", n=50, resamples=0)(copies, {}, KEY)


def test_evaluations_look_at_every_example_of_a_training_split():
    """What they give of a split that training leaves a part of is what they give of the same split, walked once."""
    x = np.random.default_rng(0).normal(size=(101, 2)).astype(np.float32)
    splits = [data.from_arrays(x, label=np.arange(101) % 2, batch_size=64, train=train) for train in (True, False)]
    model = Model(
        spec={name: one for name, one in splits[0].spec.items() if name == "x"},
        init=lambda key, batch: {},
        judge=Judge(classify=of(lambda v, x: x)),
        density=density(
            lambda v, batch, key, train: ({"nll": jnp.sum(batch["x"], axis=1)}, v),
            weigh=lambda v, batch, key, k: jnp.tile(jnp.sum(batch["x"], axis=1), (k, 1)),
        ),
        latent=latent(encode=lambda v, batch, key: batch["x"] / 8, decode=lambda v, z, cond: 7 * z),
        codes=of(lambda v, batch: (batch["x"] > 1).astype(int)),
    )
    makers = {
        "likelihood": evals.likelihood,
        "iw_bound": lambda split: evals.iw_bound(split, k=1),
        "nats": lambda split: lambda m, v, k: {"nats": np.sort(evals.nats_per_example(m, v, k, split))},
        "kl": lambda split: evals.divergence(split, lambda x: np.zeros(len(x))),
        "error": evals.reconstruction_error,
        "codes": evals.code_book,
        "units": lambda split: evals.active_units(split, threshold=float(np.var(x[:, 0] / 8)) - 1e-6),
        "accuracy": evals.accuracy,
    }
    for name, make in makers.items():
        one, two = (make(split)(model, {}, KEY) for split in splits)
        for number in one:
            np.testing.assert_allclose(one[number], two[number], rtol=1e-5, err_msg=name)


def test_conditions_are_drawn_as_the_data_have_them():
    """A split in the order of its labels, of which the first batch has one."""
    label = np.repeat([0, 1, 2], [60, 30, 10])
    split = data.from_arrays(np.arange(100)[:, None], label=label, batch_size=16, train=False)
    some = some_of(split, 200, ["x", "label"], seed=3)
    np.testing.assert_array_equal(np.bincount(some["label"]), [120, 60, 20])
    np.testing.assert_array_equal(label[some["x"][:, 0].astype(int)], some["label"])  # of one example
    assert sorted(some["x"][:100, 0]) == list(range(100))
    assert not np.array_equal(some_of(split, 20, ["x"], seed=4)["x"], some["x"][:20])
    assert some_of(split, 20, []) == {}


# modes


def kl_is_known(kl):
    for labels, exact in (
        (np.arange(1_000).repeat(3), 0),
        (np.full(50, 7), math.log(1_000)),
        (np.arange(0, 1_000, 4), math.log(4)),
        (np.repeat([1, 2], [30, 10]), 0.75 * math.log(750) + 0.25 * math.log(250)),
    ):
        assert kl(labels) == pytest.approx(exact, abs=1e-9), f"the divergence is {kl(labels):.3f}, not {exact:.3f}"


def test_modes_of_made_labels():
    kl_is_known(lambda labels: evals.mode_kl(labels, resamples=0).value)
    assert [evals.mode_count(labels).value for labels in (np.arange(1_000), np.full(9, 3))] == [1_000, 1]


def test_modes_control():
    def reversed_kl(labels):
        """KL(uniform || shares) over the modes that are there."""
        share = np.bincount(labels, minlength=1_000) / len(labels)
        return -math.log(1_000) - np.mean(np.log(share[share > 0]))

    with pytest.raises(AssertionError, match="the divergence is -6.908, not 6.908"):
        kl_is_known(reversed_kl)


def test_the_floor_of_stacked_mnist():
    values = [evals.mode_kl(modes._real_labels(26_000, seed), resamples=0).value for seed in range(10)]
    assert np.mean(values) == pytest.approx(0.0237, abs=0.0005) and np.std(values) < 0.0015
    even = np.random.default_rng(0).integers(1_000, size=26_000)
    assert evals.mode_kl(even).value == pytest.approx(0.0196, abs=0.002)  # control: without MNIST's frequencies


def coloured(digits):
    """Images [n, 28, 28, 3] whose channels have the values digit / 10."""
    return jnp.broadcast_to(jnp.asarray(digits)[:, None, None, :] / 10, (len(digits), 28, 28, 3))


def by_brightness(x):
    return jax.nn.one_hot(jnp.round(10 * x[:, 3, 4, 0]).astype(int), 10)


def test_stacked_modes():
    digits = np.random.default_rng(0).integers(10, size=(50, 3))
    labels = digits @ [100, 10, 1]
    np.testing.assert_array_equal(evals.stacked_labels(by_brightness, coloured(digits)), labels)

    def sample(variables, key, n, cond):
        return coloured(jax.random.randint(key, (n, 3), 0, 2))  # 8 modes

    model = Model(spec={}, init=lambda key, batch: {}, sampler=sampler(sample))
    found = evals.stacked_modes(1_010, classify=by_brightness, chunk=100)(model, {}, KEY)
    assert found["modes"] == 8 and found["modes/n"] == 1_010 and found["modes/floor"] > 500
    assert found["mode_kl"] == pytest.approx(math.log(125), abs=0.02)
    assert found["mode_kl/low"] < found["mode_kl"] < found["mode_kl/high"]
    assert 0.3 < found["mode_kl/floor"] < 0.9
    with pytest.raises(ValueError, match="1010 samples need a condition each, but there are {'label': 100}"):
        evals.stacked_modes(1_010, chunk=100, cond={"label": jnp.zeros(100, int)})


def test_every_chunk_of_stacked_modes_has_its_own_conditions():
    """A model that draws the digits it is told."""
    digits = np.random.default_rng(0).integers(10, size=(230, 3))
    spec = {"x": jax.ShapeDtypeStruct((28, 28, 3), jnp.float32), "label": jax.ShapeDtypeStruct((3,), jnp.int32)}
    model = Model(
        spec=spec,
        init=lambda key, batch: {},
        sampler=sampler(lambda v, key, n, cond: jnp.broadcast_to(cond["label"][:, None, None] / 10, (n, 28, 28, 3))),
    )
    found = evals.stacked_modes(230, classify=by_brightness, chunk=100, cond={"label": jnp.asarray(digits)})(
        model, {}, KEY
    )
    assert found["modes"] == len(np.unique(digits @ [100, 10, 1]))


def test_every_chunk_of_stacked_modes_is_drawn_anew():
    def sample(variables, key, n, cond):
        return coloured(jax.random.randint(key, (n, 3), 0, 10))

    model = Model(spec={}, init=lambda key, batch: {}, sampler=sampler(sample))
    found = evals.stacked_modes(200, classify=by_brightness, chunk=50)(model, {}, KEY)
    assert found["modes"] > 150  # 181 in the mean; of one chunk alone, at most 50


def test_modes_of_points_are_counted_within_three_sigma():
    """At 2.9 and 3.1 sigma, straight and aslant; the divergence is of the shares from the uniform, not back."""
    means = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    aslant = np.array([3.0, 4.0]) / 5
    near = [means[0] + 2.9 * aslant, means[0] - [0, 2.9], means[0], means[1] + [2.9, 0]]
    far = [means[1] + 3.1 * aslant, means[2] + [0, 3.1]]
    found = evals.count_modes(np.array(near + far), means, 1.0)
    kl = 0.75 * math.log(0.75 * 3) + 0.25 * math.log(0.25 * 3)
    assert found == {"modes": 2, "high_quality": pytest.approx(4 / 6), "reverse_kl": pytest.approx(kl)}


# calibration

LEVELS, TABLE = 3, jnp.array([[1.5, 0.0, -1.0], [-1.0, 0.5, 1.0], [0.3, 0.0, 0.0]])


def views(temperature=1.0):
    """A Markov chain of four numbers."""

    def logits(variables, batch):
        level = jnp.round(batch["x"] * (LEVELS - 1)).astype(int)[..., 0]
        before = jnp.pad(level, ((0, 0), (0, 0), (1, 0)))[:, :, :-1]
        return TABLE[before][..., None, :] / temperature

    def nothing(*args, train=False):
        raise NotImplementedError

    rest = dict.fromkeys(("start", "begin_row", "step", "choices"), nothing)
    return Conditionals(grid=(1, 4, 1), levels=LEVELS, logits=of(logits), **rest)


def chain(temperature=1.0):
    spec = {"x": jax.ShapeDtypeStruct((1, 4, 1), jnp.float32)}
    return Model(spec=spec, init=lambda key, batch: {}, conditionals=views(temperature))


def drawn_chains(n):
    level, x = np.zeros(n, int), []
    random, p = np.random.default_rng(0), np.asarray(jax.nn.softmax(TABLE))
    for _ in range(4):
        level = (random.uniform(size=(n, 1)) > np.cumsum(p[level], axis=1)).sum(1).clip(max=LEVELS - 1)
        x.append(level / (LEVELS - 1))
    return points(np.stack(x, axis=1)[:, None, :, None].astype(np.float32), batch_size=300)


def right_model_is_calibrated():
    found = evals.calibration(drawn_chains(4_000))(chain(), {}, KEY)
    assert found["pit_ks/n"] == 16_000
    assert found["pit_ks"] < 0.015 and found["pit_ks/floor"] < 0.015, "the right model is not calibrated"
    return found


def test_calibration():
    right, cold = right_model_is_calibrated(), evals.calibration(drawn_chains(4_000))(chain(0.5), {}, KEY)
    assert cold["pit_ks/low"] > right["pit_ks/high"] and cold["pit_ks/low"] > cold["pit_ks/floor"]
    assert cold["pit_ks/low"] < cold["pit_ks"] < cold["pit_ks/high"]


@pytest.mark.parametrize("mutant", [lambda u, level, p: jnp.ones_like(u), lambda u, level, p: u * (1 - p) / p])
def test_calibration_control(monkeypatch, mutant):
    """A transform that is not randomised, or by the wrong share."""

    def broken(views, variables, batch, key):
        p = jax.nn.softmax(views.logits(variables, batch)[0])
        level = jnp.round(batch["x"] * (LEVELS - 1)).astype(int)[..., None]
        own = jnp.take_along_axis(p, level, axis=-1)[..., 0]
        below = jnp.sum(jnp.where(jnp.arange(LEVELS) < level, p, 0), axis=-1)
        return jnp.clip(below + mutant(jax.random.uniform(key, own.shape), level, own) * own, 0, 1 - 1e-6)

    monkeypatch.setattr(importlib.import_module("genjax_zoo.evals.calibration"), "pit", broken)
    with pytest.raises(AssertionError, match="the right model is not calibrated"):
        right_model_is_calibrated()


def test_ks_distance():
    assert evals.ks_distance(np.ones(8)) == 0
    assert evals.ks_distance(np.eye(8)[0]) == pytest.approx(7 / 8)
    assert evals.ks_distance(np.array([[2.0, 2, 0, 0], [1, 1, 1, 1]])).tolist() == [0.5, 0]


@pytest.mark.parametrize(
    "call, sentence",
    [
        (lambda: evals.fidelity(points(normal(99)), lambda x: x, name="x", n=50), "need 100 real examples, not 99"),
        (lambda: evals.mode_kl(np.array([1_000])), r"0 \.\.\. 999"),
        (lambda: evals.mode_kl(np.zeros((3, 2), int)), r"shape \[n\].*got \(3, 2\)"),
        (lambda: evals.mode_count(np.zeros(0, int)), "one or more"),
        (lambda: evals.stacked_modes(0), "1 or more samples"),
        (lambda: evals.stacked_labels(by_brightness, jnp.zeros((2, 28, 28, 1))), r"\(28, 28, 3\), not \(28, 28, 1\)"),
        (lambda: evals.calibration(drawn_chains(5))(gaussian(0.0), {}, KEY), "has no 'conditionals'"),
    ],
)
def test_bad_input_is_a_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()
