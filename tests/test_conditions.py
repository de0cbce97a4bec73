"""Conditions of any kind: one vector of them, conditional densities, and `--cond` in each of its spellings."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax_zoo import cli, conformance, models
from genjax_zoo.conformance import conditionals
from genjax_zoo.core import Conditionals, Model, Sampler, require
from genjax_zoo.explore import drawing
from genjax_zoo.math import gaussian_mixture
from genjax_zoo.nn import classes_of, condition_spec, embed_conditions, width, with_classes

KEY = jax.random.key(0)
GIVEN = {"label": 3, "code": (2,), "mask": (2, 3, 1)}
SHAPE = (2, 4, 1)
TINY = {
    "made": functools.partial(models.made, levels=2, hidden=(12,)),
    "nade": functools.partial(models.nade, hidden=5),
    "gated_pixel_cnn": functools.partial(models.gated_pixel_cnn, features=3, layers=2, size=3),
    "pixel_cnn": functools.partial(models.pixel_cnn, features=4, layers=2, size=3, head_features=4),
    "row_lstm": functools.partial(models.row_lstm, features=3, layers=2, size=3, head_features=8),
    "diagonal_bilstm": functools.partial(models.diagonal_bilstm, features=3, layers=2, size=3, head_features=8),
    "image_gpt": functools.partial(models.image_gpt, features=4, layers=2, heads=2),
    "pixel_cnn_pp": functools.partial(
        models.pixel_cnn_pp, levels=2, features=2, blocks=1, scales=2, components=2, dropout=0.0
    ),
    "wavenet": lambda shape, conditions: models.wavenet(
        length=8, levels=2, layers=3, block=3, features=3, gates=4, skip=4, conditions=conditions
    ),
}


OFTEN = ("nade", "gated_pixel_cnn", "image_gpt")  # the others are slow to compile, and one embedding serves all
EACH = [name if name in OFTEN else pytest.param(name, marks=pytest.mark.slow) for name in TINY]


def contexts(conditions, n=2, seed=0):
    """Conditions of n examples, each unlike the others."""
    rng = np.random.default_rng(seed)
    return {
        name: jnp.asarray(np.arange(n) % kind if isinstance(kind, int) else rng.normal(size=(n, *kind)), one.dtype)
        for (name, kind), one in zip(conditions.items(), condition_spec(conditions).values())
    }


@functools.cache
def built(name):
    """A model of eight bits that is given a class, a vector and an image, with random parameters, and six contexts."""
    model, cond = TINY[name](shape=SHAPE, conditions=GIVEN), contexts(GIVEN, 6)
    batch = {"x": jnp.zeros((6, *model.spec["x"].shape)), **cond}
    return model, conformance.randomise(model.init(KEY, batch), scale=0.3 if name == "pixel_cnn" else 0.5), cond


def of_one(cond, index):
    return {name: value[index : index + 1] for name, value in cond.items()}


# ---- one vector ----


def test_conditions_are_one_vector_in_their_order():
    assert width(GIVEN) == 3 + 2 + 6 and classes_of(GIVEN) == {"label": 3}
    spec = condition_spec(GIVEN)
    assert [(one.shape, one.dtype.name) for one in spec.values()] == [
        ((), "int32"),
        ((2,), "float32"),
        ((2, 3, 1), "float32"),
    ]
    batch = {**contexts(GIVEN), "x": jnp.ones((2, 5)), "other": jnp.ones(2)}
    found = np.asarray(embed_conditions(batch, GIVEN))
    wanted = np.concatenate([np.eye(3)[:2], batch["code"], batch["mask"].reshape(2, 6)], axis=1)
    np.testing.assert_array_equal(found, np.asarray(wanted, np.float32))
    assert embed_conditions(batch, {}) is None and width({}) == 0 and condition_spec({}) == {}
    levels = jnp.arange(12, dtype=jnp.uint8).reshape(2, 2, 3, 1)
    np.testing.assert_array_equal(
        embed_conditions({"mask": levels}, {"mask": (2, 3, 1)}), np.arange(12.0).reshape(2, 6)
    )
    np.testing.assert_array_equal(embed_conditions({"size": jnp.ones(2)}, {"size": ()}), np.ones((2, 1)))


def test_classes_are_short_for_a_label():
    assert with_classes({}, 4) == {"label": 4} and with_classes({"code": (2,)}) == {"code": (2,)}
    assert list(with_classes({"code": (2,)}, 4)) == ["label", "code"]
    short = models.nade(shape=SHAPE, hidden=3, classes=3)
    assert short.spec == models.nade(shape=SHAPE, hidden=3, conditions={"label": 3}).spec


@pytest.mark.parametrize(
    "conditions, classes, said",
    [
        ({"label": 3}, 3, "classes=3 is short for conditions={'label': 3}; give one of them"),
        ({"x": (2,)}, 0, "'x' is no condition"),
        ({"length": 3}, 0, "'length' is no condition"),
        ({"speaker": 0}, 0, "'speaker' needs one class or more, not 0"),
        ({"code": (2, 0)}, 0, r"'code' of shape \(2, 0\) has no numbers"),
    ],
)
def test_what_is_no_condition(conditions, classes, said):
    with pytest.raises(ValueError, match=said):
        models.nade(shape=SHAPE, conditions=conditions, classes=classes)


# ---- conditional densities ----


@pytest.mark.parametrize("name", EACH)
def test_a_conditional_density(name):
    """For each context all 256 states sum to 1, samples have their frequencies, and each condition has a say."""
    model, variables, cond = built(name)
    nll = jax.jit(lambda batch: model.nll(variables, batch, KEY)[0]["nll"])
    states = conformance.all_bits(model)

    def p_of(one):
        return np.exp(-np.asarray(nll({"x": states, **{k: jnp.repeat(v, 256, axis=0) for k, v in one.items()}})))

    p = np.stack([p_of(of_one(cond, index)) for index in range(6)])
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-4)
    for key in cond:
        others = [p_of({**of_one(cond, 0), key: value[None]}) for value in cond[key]]
        assert np.max(np.abs(np.stack(others) - p[0])) > 1e-4, f"'{key}' changes nothing"
    conformance.samples_follow_the_likelihood(model, variables, cond=of_one(cond, 0))
    furthest = of_one(cond, int(np.argmax(np.abs(p - p[0]).sum(1))))
    with pytest.raises(AssertionError, match="from the likelihood; chance is"):
        conformance.samples_follow_the_likelihood(told(model, furthest), variables, cond=of_one(cond, 0))


def told(model: Model, cond):
    """The model whose sampler is given other conditions than its likelihood."""
    draw = require(model, Sampler).draw
    other = {name: value[0] for name, value in cond.items()}

    def drawn(variables, key, n, cond, **how):
        return draw(variables, key, n, {name: jnp.broadcast_to(x, (n, *x.shape)) for name, x in other.items()}, **how)

    return dataclasses.replace(model, sampler=Sampler(draw=drawn))


@pytest.mark.parametrize("name", EACH)
def test_the_cached_view_is_the_naive_one_given_a_class_a_vector_and_an_image(name):
    model, variables, cond = built(name)
    x = jax.random.bernoulli(KEY, shape=(6, *model.spec["x"].shape)).astype(jnp.float32)
    batch = {"x": x, **cond}
    conditionals.cached_samples_are_naive(model, variables, batch)
    with jax.enable_x64(True):
        wide = conformance.double_precision(variables), conformance.double_precision(batch)
        conditionals.nll_is_the_sum_of_conditionals(model, *wide)
        conditionals.views_agree(model, *wide)
        forgetful = dataclasses.replace(
            model, conditionals=dataclasses.replace(require(model, Conditionals), start=without(model, "mask"))
        )
        with pytest.raises(AssertionError, match="from the network's"):
            conditionals.views_agree(forgetful, *wide)


def without(model, name):
    """The start of a cache that one of the conditions does not reach."""
    start = require(model, Conditionals).start
    return lambda v, n, cond, **how: start(v, n, {**cond, name: jnp.zeros_like(cond[name])}, **how)


@pytest.mark.parametrize("name", ["code", "mask"])
def test_a_conditional_made_of_continuous_numbers(name):
    model = models.made(shape=(2,), hidden=(8,), likelihood=gaussian_mixture(2), conditions={name: GIVEN[name]})
    cond = contexts({name: GIVEN[name]})
    variables = conformance.randomise(model.init(KEY, {"x": jnp.zeros((2, 2)), **cond}), scale=0.4)
    for index in range(2):
        conformance.density_integrates_to_one(model, variables, bound=12.0, cond=of_one(cond, index))
    conformance.samples_follow_the_density(model, variables, bound=12.0, cond=of_one(cond, 0))


def test_a_context_of_another_shape_is_refused():
    model, variables, cond = built("nade")
    x = jnp.zeros((6, *SHAPE))
    with pytest.raises(ValueError, match=r"expects 'mask' of shape \(2, 3, 1\), but the data has \(2, 3\)"):
        model.nll(variables, {"x": x, **cond, "mask": cond["mask"][..., 0]}, KEY)
    with pytest.raises(ValueError, match=r"'mask' needs the shape \('n', 2, 3, 1\), one entry per example"):
        model.sample(variables, KEY, 6, {**cond, "mask": cond["mask"][:, 0]})
    with pytest.raises(ValueError, match="needs the condition 'label'"):
        model.sample(variables, KEY, 6)
    with pytest.raises(ValueError, match="'label' is one of 0 ... 2 in this model of 3 classes, but here it is 3"):
        model.sample(variables, KEY, 6, {**cond, "label": cond["label"] + 1})


# ---- the command ----

EXPERIMENT = """
import jax.numpy as jnp, numpy as np, optax
from genjax_zoo import Experiment, Player, evals, models
from genjax_zoo.data.resident import Resident

GIVEN = {"label": 3, "code": (2,), "mask": (2, 3, 1), "size": ()}

def experiment():
    random = np.random.default_rng(0)
    arrays = {"x": random.integers(0, 2, (16, 2, 4, 1)).astype(np.float32), "label": np.arange(16, dtype=np.int32) % 3}
    arrays |= {name: random.normal(size=(16, *GIVEN[name])).astype(np.float32) for name in ("code", "mask", "size")}
    data = Resident(arrays=arrays, transform=lambda raw, keys: raw, batch_size=16, seed=0, train=True)
    model = models.nade(shape=(2, 4, 1), hidden=5, conditions=GIVEN)
    own = {name: arrays[name][:4] for name in GIVEN}
    player = Player(terms=model.nll, tx=optax.adam(1e-2))
    grid = evals.sample_grid(n=4, cond=own)
    return Experiment(model=model, players={"model": player}, data=data, steps=2, evals={"samples": grid})
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of a model that is given a class, a vector, an image and a number."""
    folder = tmp_path_factory.mktemp("given")
    (folder / "mine.py").write_text(EXPERIMENT)
    cli.console(["train", str(folder / "mine.py"), "--workdir", str(folder / "run")])
    assert (folder / "run/samples.png").exists()  # of sample_grid with conditions of every kind
    return folder / "run"


@pytest.fixture
def told_conditions(run, tmp_path, monkeypatch):
    """Runs `sample` and gives the conditions that the sampler was told, and x."""
    monkeypatch.chdir(tmp_path)

    def draw(*cond, n=4):
        given = {}
        whole = drawing.conditions_of
        monkeypatch.setattr(drawing, "conditions_of", lambda *args: given.update(whole(*args)) or given)
        cli.console(["sample", str(run), "-n", str(n), "--out", "x.npy", *(["--cond", *cond] if cond else [])])
        monkeypatch.setattr(drawing, "conditions_of", whole)
        return given, np.load("x.npy")

    return draw


def test_each_spelling_of_a_condition(told_conditions, tmp_path):
    """A class or some that take turns, a vector, a number, a file for all and one for each; else the run's own."""
    own, plain = told_conditions()
    assert [value.shape for value in own.values()] == [(4,), (4, 2), (4, 2, 3, 1), (4,)]
    mask, code = np.arange(6.0).reshape(2, 3, 1), np.arange(8.0).reshape(4, 2)
    np.save(tmp_path / "mask.npy", mask)
    np.save(tmp_path / "each.npy", np.stack([mask, -mask, 0 * mask, mask + 1]))
    np.save(tmp_path / "code.npy", code.astype(np.float64))
    np.save(tmp_path / "label.npy", np.array([2, 0, 1, 2]))
    for words, name, wanted in [
        (["label=2"], "label", np.full(4, 2)),
        (["label=0,2"], "label", [0, 2, 0, 2]),
        (["label=label.npy"], "label", [2, 0, 1, 2]),
        (["code=0.5,-1e1"], "code", np.tile([0.5, -10], (4, 1))),
        (["code=code.npy"], "code", code),
        (["size=1.5"], "size", np.full(4, 1.5)),
        (["size=1,2,3,4"], "size", [1, 2, 3, 4]),
        (["mask=mask.npy"], "mask", np.tile(mask, (4, 1, 1, 1))),
        (["mask=each.npy"], "mask", np.load(tmp_path / "each.npy")),
        (["mask=each.npy", "code=3,4", "label=1"], "code", np.tile([3, 4], (4, 1))),
    ]:
        given, x = told_conditions(*words)
        np.testing.assert_array_equal(given[name], np.asarray(wanted, given[name].dtype))
        for other in own.keys() - {word.partition("=")[0] for word in words}:
            np.testing.assert_array_equal(given[other], own[other])
        assert x.shape == (4, 2, 4, 1) and set(np.unique(x)) <= {0, 1}
    far = [told_conditions(f"code={value},{value}", n=50)[1] for value in (-40, 40)]
    assert np.any(far[0] != far[1]) and plain.shape == (4, 2, 4, 1)


@pytest.mark.parametrize(
    "words, said",
    [
        ("colour=3", "The model has no condition 'colour'; it has ['code', 'label', 'mask', 'size']."),
        ("label=three", "--cond label=three has no numbers; write label=3 or label=0,1,2."),
        ("label", "--cond label= has no numbers"),
        ("label=3", "--cond label=3: 'label' is one of 0 ... 2, as in the run's data."),
        ("label=-1", "'label' is one of 0 ... 2"),
        ("label=1.5", "'label' is one of 0 ... 2"),
        ("label=nan", "--cond label=nan: 'label' takes finite numbers."),
        ("label=five.npy", "five.npy holds numbers of shape (5,), but 'label' is one number for all samples, or (4,)"),
        ("label=four.npy", "--cond label=four.npy: 'label' is one of 0 ... 2"),
        ("code=1,two", "--cond code=1,two has no numbers; write 2 with commas, or code=FILE.npy."),
        ("code=1,2,3", "--cond code=1,2,3 has 3 numbers, but 'code' has 2."),
        ("code=1", "--cond code=1 has 1 numbers, but 'code' has 2."),
        ("code=inf,0", "'code' takes finite numbers."),
        ("code=five.npy", "five.npy holds numbers of shape (5,), but 'code' is (2,) for all samples, or (4, 2)"),
        ("code=none.npy", "There is no none.npy; 'code' is (2,), for all samples or for each."),
        ("code=text.npy", "text.npy is no whole .npy file of numbers"),
        ("code=words.npy", "words.npy holds <U1 (2,), and no numbers."),
        ("code=objects.npy", "objects.npy is no whole .npy file of numbers (Object arrays cannot be loaded"),
        ("mask=1,2,3,4,5,6", "'mask' is an array of shape (2, 3, 1); give a file of it, mask=FILE.npy."),
        ("mask=one", "'mask' is an array of shape (2, 3, 1); give a file of it, mask=FILE.npy."),
    ],
)
def test_what_cond_refuses(run, tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    np.save("five.npy", np.zeros(5))
    np.save("four.npy", np.arange(4))
    np.save("words.npy", np.array(["a", "b"]))
    np.save("objects.npy", np.array([None, {}]), allow_pickle=True)
    (tmp_path / "text.npy").write_text("1 2")
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        cli.console(["sample", str(run), "-n", "4", "--out", "x.npy", "--cond", words])
    error = capsys.readouterr().err.strip()
    assert stopped.value.code == 2 and said in error and "\n" not in error
    assert not (tmp_path / "x.npy").exists()
