"""A notebook's own arrays are data: of any kind a model takes, and refused in a sentence otherwise."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax_zoo import Experiment, Player, data, evals, fit, models
from genjax_zoo.data.transforms import raw
from genjax_zoo.math import discretized_logistic
from genjax_zoo.train import eval_variables

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (20, 4, 4), dtype=np.uint8)
TABLE = RANDOM.normal(size=(20, 3))
LABEL = np.arange(20) % 4


def in_order(x, **more):
    """All examples as the model sees them, in one batch."""
    return data.from_arrays(x, **{"batch_size": len(x), **more}, train=False).at(0)


@pytest.mark.parametrize(
    "x, expected",
    [
        (GREY, GREY[..., None] / 255),
        (GREY[..., None], GREY[..., None] / 255),
        (np.stack([GREY] * 3, axis=-1), np.stack([GREY] * 3, axis=-1) / 255),
        (GREY.reshape(20, 16, 1), GREY.reshape(20, 16, 1) / 255),
        (GREY.reshape(20, 16), GREY.reshape(20, 16) / 255),
        (GREY[..., None] / 255, GREY[..., None] / 255),
        ((GREY / 255).astype(np.float16), (GREY / 255).astype(np.float16)),
        (jnp.asarray(GREY / 255, jnp.bfloat16), jnp.asarray(GREY / 255, jnp.bfloat16)),
        (TABLE, TABLE),
        (TABLE.tolist(), TABLE),
        (jnp.asarray(TABLE, jnp.float32), TABLE),
        (LABEL[:, None], LABEL[:, None]),
        (LABEL[:, None].astype(np.uint16) * 16_000, LABEL[:, None] * 16_000),
        (GREY > 99, GREY > 99),
    ],
)
def test_x_is_float32_of_the_values_it_has_and_bytes_are_scaled(x, expected):
    got = in_order(x)["x"]
    assert got.dtype == jnp.float32
    np.testing.assert_allclose(got, np.asarray(expected, np.float64), rtol=1e-6)


def test_bytes_are_what_a_file_of_them_is(tmp_path):
    for x in (GREY, GREY[..., None], np.stack([GREY] * 3, axis=-1)):
        np.save(tmp_path / "x.npy", x)
        for resident in (True, False):
            file = data.load(tmp_path / "x.npy", "train", batch_size=8, seed=3, resident=resident)
            own = data.from_arrays(x, batch_size=8, seed=3, resident=resident)
            assert file.spec == own.spec
            np.testing.assert_array_equal(file.at(5)["x"], own.at(5)["x"])


def test_conditions_are_keywords_or_entries_of_a_mapping():
    mel = RANDOM.normal(size=(20, 5))
    for given in (
        data.from_arrays(TABLE, label=LABEL, mel=mel, batch_size=4, speaker=None),
        data.from_arrays({"x": TABLE, "label": LABEL}, mel=mel, batch_size=4),
        data.from_arrays({"x": jnp.asarray(TABLE), "label": jnp.asarray(LABEL), "mel": mel}, batch_size=4),
    ):
        batch = given.at(7)
        assert set(batch) == {"x", "label", "mel"}
        assert (batch["label"].dtype, batch["mel"].dtype) == (jnp.int32, jnp.float32)
        for x, label, one in zip(batch["x"], batch["label"], batch["mel"]):
            (row,) = np.flatnonzero(np.isclose(TABLE, x).all(axis=1))
            assert label == LABEL[row] and np.allclose(one, mel[row])


def test_the_caller_may_change_the_array_afterwards():
    x = TABLE.astype(np.float32)
    given = data.from_arrays(x, batch_size=20, train=False)
    x[:] = 0
    np.testing.assert_allclose(given.at(0)["x"], TABLE, rtol=1e-6)


@pytest.mark.parametrize("batch_size, masks", [(8, (8, 8, 4)), (20, (20,)), (32, (20,))])
def test_evaluation_counts_every_example_once(batch_size, masks):
    given = data.from_arrays(TABLE, batch_size=batch_size, train=False)
    assert given.batches == len(masks)
    assert [int(given.mask(step).sum()) for step in range(given.batches)] == list(masks)
    kept = [np.asarray(given.at(step)["x"])[np.asarray(given.mask(step)) == 1] for step in range(given.batches)]
    np.testing.assert_allclose(np.concatenate(kept), TABLE, rtol=1e-6)


def with_value(value):
    x = TABLE.copy()
    x[7:9, 1] = value
    return x


@pytest.mark.parametrize(
    "x, more, message",
    [
        (TABLE[:, 0], {}, r"x of shape \(20,\) may be 20 examples of one number, x\[:, None\], or one example of 20"),
        (np.float32(3), {}, r"'x' of shape \(\) holds no examples"),
        (TABLE[:0], {}, r"'x' of shape \(0, 3\) holds no examples"),
        (TABLE[:, :0], {}, r"'x' of shape \(20, 0\) holds no examples"),
        (TABLE.astype(object), {}, "'x' holds object, but numbers are needed"),
        (TABLE.astype(complex), {}, "'x' holds complex128, but numbers are needed"),
        ([[1.0], [2.0, 3.0]], {}, "'x' is no array of numbers"),
        (np.ma.masked_greater(TABLE, 1), {}, "'x' has masked values"),
        (TABLE, {"label": np.array(["cat"] * 20)}, "'label' holds <U3, but numbers are needed: .* number its classes"),
        (TABLE, {"label": LABEL + 2**40}, "'label' goes from 1099511627776 to .* become int32"),
        (TABLE, {"label": LABEL[:19]}, "different lengths, {'x': 20, 'label': 19}; each holds one value"),
        (TABLE, {"label": 3}, r"'label' of shape \(\) holds no examples"),
        ({"x": TABLE, "label": LABEL}, {"label": LABEL}, "'label' is given twice"),
        ({"images": TABLE}, {}, r"There is no 'x', but \['images'\]"),
        (with_value(np.nan), {}, "not finite: 'x' of example 7 is nan, the first of 2 such examples; repair"),
        (with_value(1e39), {}, "not finite: 'x' of example 7 is inf"),
        (TABLE, {"mel": with_value(-np.inf)}, "not finite: 'mel' of example 7 is -inf"),
        (TABLE, {"batch_size": 21}, r"A batch of 21 is not in 1 ... 20, the number of examples"),
        (TABLE, {"batch_size": 0}, "A batch of 0 is not in 1 ... 20"),
        (TABLE, {"batch_size": 0, "train": False}, "A batch of 0 is not in 1 ... 20"),
        (TABLE, {"seed": -1}, "A seed is a whole number in 0 ... 4,294,967,295, not -1"),
        (TABLE, {"seed": 2**32, "train": False}, "A seed is a whole number in 0 ... 4,294,967,295"),
        (TABLE, {"flip": True}, r"Only images \[H, W, C\] can be flipped"),
    ],
)
@pytest.mark.parametrize("resident", (True, False))
def test_what_is_no_data_is_refused_in_a_sentence(x, more, message, resident):
    with pytest.raises(ValueError, match=message):
        data.from_arrays(x, **{"batch_size": 4, "resident": resident, **more})


@pytest.mark.parametrize("kind", (data.Resident, data.Streamed))
@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch_size": 21}, "A batch of 21 is not in 1 ... 20"),
        ({"arrays": {"x": TABLE, "label": LABEL[:7]}}, "different lengths, {'x': 20, 'label': 7}"),
        ({"arrays": {"x": TABLE[:0]}}, "have no examples"),
        ({"seed": 2**32}, "A seed is a whole number"),
    ],
)
def test_data_built_by_hand_are_checked_where_they_are_read(kind, change, message):
    def build(**more):
        given = {"arrays": {"x": TABLE}, "transform": raw, "batch_size": 4, "seed": 0, "train": True}
        given |= more
        return kind(**{**given, "arrays": {n: jnp.asarray(a) for n, a in given["arrays"].items()}})

    assert build().at(0)["x"].shape == (4, 3)
    for read in (lambda d: d.at(0), lambda d: d.spec, lambda d: d.batches):
        with pytest.raises(ValueError, match=message):
            read(build(**change))


def images_of(count):
    return (RANDOM.integers(0, 17, (count, 4, 4, 1)) / 16).astype(np.float32)


@pytest.mark.parametrize("resident", (True, False))
def test_fit_and_evaluations_take_it(resident):
    x, label = images_of(24), np.arange(24) % 3
    model = models.cvae(shape=(4, 4, 1), classes=3, latent=2, hidden=(8,), likelihood=discretized_logistic(17))
    weights = {"distortion": 1.0, "rate": 1.0}
    held_out = data.from_arrays(x[:10], label=label[:10], batch_size=8, train=False, resident=resident)
    result = fit(
        Experiment(
            model=model,
            players={"vae": Player(terms=model.nelbo, weights=weights, tx=optax.adam(1e-3))},
            data=data.from_arrays(x, label=label, batch_size=8, resident=resident),
            steps=2,
            evals={"test": evals.likelihood(held_out)},
        )
    )
    key = jax.random.key(0)
    (name, padded), *_ = evals.likelihood(held_out)(model, eval_variables(result.state), key).items()
    assert result.results[f"test/{name}"] == padded and np.isfinite(padded)


@pytest.mark.parametrize("seed", (2**31 - 1, 2**31, 2**32 - 1))
def test_every_seed_of_32_bits_is_an_order_of_its_own(seed):
    """Those above 2^31 were an OverflowError."""
    orders = [data.from_arrays(TABLE, batch_size=20, seed=s).examples(0).tolist() for s in (seed, seed - 1, 0)]
    assert len(set(map(tuple, orders))) == 3 and all(sorted(order) == list(range(20)) for order in orders)
    assert data.load("digits", "train", batch_size=4, seed=seed).at(0)["x"].shape == (4, 8, 8, 1)


@pytest.mark.parametrize("seed", (-1, 2**32, 2**40))
@pytest.mark.parametrize("split", ("train", "test"))
def test_a_seed_of_more_bits_is_refused(seed, split):
    with pytest.raises(ValueError, match="A seed is a whole number in 0 ... 4,294,967,295, not"):
        data.load("digits", split, batch_size=4, seed=seed)
    with pytest.raises(ValueError, match="A seed is a whole number in 0 ... 4,294,967,295, not"):
        Experiment(model=None, players={}, data=None, steps=1, seed=seed)  # type: ignore[arg-type]
