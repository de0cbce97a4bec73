"""What is wrong with the data is said of the data, before the first step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax_zoo import Experiment, Player, data, fit, judges, models, wrap
from genjax_zoo.data.transforms import raw
from genjax_zoo.evals.samples import draw
from genjax_zoo.math import discretized_logistic
from genjax_zoo.runs import check
from genjax_zoo.train.border import check_data, not_finite_at

RANDOM = np.random.default_rng(0)
X = (RANDOM.integers(0, 17, (40, 8, 8, 1)) / 16).astype(np.float32)
BITS = np.round(X)
SMALL = (8, 8, 1)


def own(x, resident=True, **more):
    """Data that nobody has looked at."""
    stored = {name: np.asarray(array) for name, array in {"x": x, **more}.items()}
    kind = data.Resident if resident else data.Streamed
    arrays = {name: jnp.asarray(a) for name, a in stored.items()} if resident else stored
    return kind(arrays=arrays, transform=raw, batch_size=8, seed=0, train=True)


LABELLED = {
    "cvae": lambda: models.cvae(shape=SMALL, classes=10, latent=2, hidden=(4,)),
    "gated_pixel_cnn": lambda: models.gated_pixel_cnn(shape=SMALL, levels=2, features=4, layers=1, size=3, classes=10),
    "projection_gan": lambda: models.projection_gan(shape=SMALL, classes=10, latent=2, features=4),
    "real_nvp": lambda: models.real_nvp(shape=SMALL, layers=2, hidden=(4,), classes=10),
    "made": lambda: models.made(shape=SMALL, hidden=(4,), classes=10),
    "nade": lambda: models.nade(shape=SMALL, hidden=4, classes=10),
    "classifier": lambda: judges.image_classifier(shape=SMALL, widths=(4,), strides=(2,), features=4),
    "dequantized": lambda: wrap.dequantized(models.real_nvp(shape=SMALL, layers=2, hidden=(4,), classes=10), 2),
    "scaled": lambda: wrap.scaled(models.real_nvp(shape=SMALL, layers=2, hidden=(4,), classes=10), shift=1, scale=2),
}


@pytest.mark.parametrize("name", LABELLED)
@pytest.mark.parametrize("resident", (True, False))
def test_a_label_that_the_model_does_not_have_is_refused_however_rare(name, resident):
    model, label = LABELLED[name](), np.arange(40) % 10
    check_data(model, own(BITS, resident, label=label.astype(np.int32)))
    for wrong in (10, -1):
        rare = np.where(np.arange(40) == 37, wrong, label).astype(np.int32)
        with pytest.raises(
            ValueError, match=f"'label' is one of 0 ... 9 in this model of 10 .*, but here it is {wrong}"
        ):
            check_data(model, own(BITS, resident, label=rare))


def test_every_condition_of_a_wavenet_has_its_classes():
    model = models.wavenet(length=16, levels=4, layers=1, features=2, gates=2, skip=2)
    speaker = np.arange(8, dtype=np.int32)
    with pytest.raises(ValueError, match="'speaker' is one of 0 ... 5"):
        check_data(model, own(np.zeros((8, 16, 1), np.float32), label=0 * speaker, speaker=speaker))


BOUNDED = {
    "gan": lambda: models.gan(shape=SMALL, latent=2, hidden=(4,), critic_hidden=(4,)),
    "dcgan": lambda: models.dcgan(shape=SMALL, latent=2, widths=(4,)),
    "sngan": lambda: models.sngan(shape=SMALL, latent=2, features=4),
    "r3gan": lambda: models.r3gan(shape=SMALL, latent=2, widths=(4, 4), blocks=1, groups=1),
    "vae_gan": lambda: models.vae_gan(shape=SMALL, latent=2, widths=(4,)),
    "vae of levels": lambda: models.vae(shape=SMALL, latent=2, hidden=(4,), likelihood=discretized_logistic(17)),
    "dequantized": lambda: wrap.dequantized(models.real_nvp(shape=SMALL, layers=2, hidden=(4,)), 17),
    "logit": lambda: wrap.logit_space(models.real_nvp(shape=SMALL, layers=2, hidden=(4,))),
}


@pytest.mark.parametrize("name", BOUNDED)
@pytest.mark.parametrize("change", (lambda x: 255 * x, lambda x: 2 * x - 1), ids=("bytes", "signed"))
def test_images_outside_of_the_models_range_are_refused(name, change):
    model = BOUNDED[name]()
    check_data(model, own(X))
    rare = np.where(np.arange(40)[:, None, None, None] == 37, change(X), X)
    with pytest.raises(ValueError, match=r"x goes from|x has values like"):
        check_data(model, own(rare))
    with pytest.raises(ValueError, match=r"x goes from|x has values like"):
        check_data(model, own(change(X), resident=False))


def test_points_have_no_range():
    check_data(models.gan(shape=(2,), latent=2, hidden=(4,), critic_hidden=(4,)), own(100 * X.reshape(40, -1)[:, :2]))


def experiment(given, model=None):
    model = model or models.real_nvp(shape=SMALL, layers=2, hidden=(4,))
    players = {"flow": Player(terms=model.nll, weights={"prior": 1.0, "log_det": 1.0}, tx=optax.adam(1e-3))}
    return Experiment(model=model, players=players, data=given, steps=1)


@pytest.mark.parametrize("value", (np.nan, np.inf))
def test_numbers_that_are_not_finite_are_said_to_be_in_the_data(value):
    bad = X.copy()
    bad[[31, 33], 2, 2] = value
    with pytest.raises(
        ValueError, match=f"The data are not finite: 'x' of example 31 is {value}, the first of 2 such examples; repair"
    ):
        fit(experiment(own(bad)))
    mel = np.zeros((40, 3), np.float32)
    mel[7, 1] = value
    for resident in (True, False):
        with pytest.raises(ValueError, match=f"The data are not finite: 'mel' of example 7 is {value}"):
            fit(experiment(own(X, resident, mel=mel)))
    with pytest.raises(ValueError, match=f"The data are not finite: 'x' of example 3 is {value}"):
        fit(
            experiment(
                data.Streamed(**{**vars(own(bad, False)), "arrays": {"x": np.roll(bad, 12, axis=0)}, "batch_size": 40})
            )
        )


def test_a_transform_that_gives_them_is_found_too():
    broken = data.Resident(**{**vars(own(X)), "transform": lambda batch, keys: {"x": batch["x"] / 0.0}})
    with pytest.raises(ValueError, match="The data are not finite: 'x' of example"):
        check(experiment(broken))


def test_the_batch_of_a_step_says_which_example_is_not_finite():
    bad = X.copy()
    bad[31] = np.nan
    for resident in (True, False):
        given = own(bad, resident)
        said = [not_finite_at(given, step) for step in range(5)]
        assert [s for s in said if s] == ["'x' of example 31 is nan"]
        assert all((said[step] is None) == (31 not in given.examples(step)) for step in range(5))


def test_a_condition_of_floats_where_classes_are_needed_is_refused():
    model = LABELLED["cvae"]()
    players = {"vae": Player(terms=model.nelbo, weights={"distortion": 1.0, "rate": 1.0}, tx=optax.adam(1e-3))}
    given = data.from_arrays(BITS, label=np.arange(40) % 10 / 1.0, batch_size=8)
    with pytest.raises(ValueError, match="expects 'label' as integers, but the data has float32; give it as int32"):
        fit(Experiment(model=model, players=players, data=given, steps=1))
    with pytest.raises(
        ValueError, match=r"data has \(8, 8\); build .* or give the data a last axis of 1, x\[..., None\]"
    ):
        fit(experiment(data.from_arrays(X[..., 0], batch_size=8)))


def test_a_sample_of_a_label_that_the_model_does_not_have_is_refused():
    model = LABELLED["cvae"]()
    variables = model.init(jax.random.key(0), own(BITS, label=np.zeros(40, np.int32)).at(0))
    for sample in (draw(model, 2), lambda v, k, c: model.sample(v, k, 2, c)):
        assert sample(variables, jax.random.key(0), {"label": jnp.array([9, 0])}).shape == (2, *SMALL)
        with pytest.raises(ValueError, match="'label' is one of 0 ... 9"):
            sample(variables, jax.random.key(0), {"label": jnp.array([9, 10])})
    with pytest.raises(ValueError, match="'label' is one of 0 ... 9"):
        wrap.conditioned(model, label=10)
