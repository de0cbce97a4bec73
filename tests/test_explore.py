"""What `genjax-zoo latent` draws, and what bad input gets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES, images
from PIL import Image

from genjax_zoo import cli, data, explore, math, models
from genjax_zoo.conformance import randomise

KEY = jax.random.key(0)


@pytest.mark.parametrize("name, labelled, drawn", [
    ("vae", True, {"traversal", "interpolation", "map", "labels"}),
    ("vae", False, {"traversal", "interpolation", "map"}),
    ("cvae", True, {"traversal", "interpolation", "map", "labels", "classes"}),
    ("dcgan", True, {"traversal", "interpolation", "inversion"}),
])  # fmt: skip
def test_pictures(name, labelled, drawn):
    """As many as the model allows, each of whole rows, all finite; and a sentence about what is missing."""
    case = CASES[name]()
    label = {"label": jnp.arange(16) % 3} if labelled else {}
    examples = {**case.batch, **label}
    pictures, notes = explore.explore(case.model, case.state.variables, examples, KEY, n=4, steps=3)
    assert pictures.keys() == drawn
    columns = {"traversal": 3, "interpolation": 3, "classes": 3, "labels": 4, "inversion": 2}
    rows = {"traversal": 3}
    for picture, wide in columns.items():
        if picture in pictures:
            images, found = pictures[picture]
            assert (found, len(images)) == (wide, rows.get(picture, 4) * wide)
            assert jnp.isfinite(images).all()
    assert bool(notes) == (not labelled or name == "dcgan")


@pytest.mark.parametrize("given, drawn", [
    ({"label": 3, "code": (2,), "mask": (2, 3, 1)}, {"traversal", "interpolation", "map", "labels", "classes"}),
    ({"code": (2,)}, {"traversal", "interpolation", "map", "labels"}),
    ({"label": (3,)}, {"traversal", "interpolation", "map"}),
])  # fmt: skip
def test_pictures_of_a_model_that_is_given_vectors_and_images(given, drawn):
    """Every picture is under the examples' own conditions but for the label that it changes."""
    model, x = models.cvae(shape=(8, 8, 1), latent=3, hidden=(16,), conditions=given), images(levels=2)["x"]
    random, shapes = np.random.default_rng(0), {name: () if kind == 3 else kind for name, kind in given.items()}
    cond = {name: jnp.asarray(random.normal(size=(16, *s)), jnp.float32) for name, s in shapes.items()}
    if given.get("label", 3) == 3:
        cond["label"] = jnp.arange(16) % 3
    variables = randomise(model.init(KEY, {"x": x, **cond}), scale=0.5)
    pictures, _ = explore.explore(model, variables, {"x": x, **cond}, KEY, n=4, steps=3)
    assert pictures.keys() == drawn
    if "classes" in pictures:
        found = pictures["labels"][0].reshape(4, 4, 8, 8, 1)
        z, own = model.encode(variables, {"x": x, **cond}, KEY)[:4], {name: value[:4] for name, value in cond.items()}
        for label in range(3):
            wanted = model.decode(variables, z, {**own, "label": jnp.full(4, label)})
            np.testing.assert_allclose(found[:, 1 + label], wanted, rtol=1e-5)
        assert np.any(found[:, 1] != found[:, 2])


def test_labels_move_latents_by_the_difference_of_their_means():
    """On a linear decoder: the picture of example i under label c is decode(z_i + mean_c - mean_own)."""
    model = models.vae(shape=(2, 3, 1), latent=4, hidden=(), likelihood=math.gaussian(1.0))
    x = jax.random.normal(KEY, (30, 2, 3, 1))
    variables = randomise(model.init(KEY, {"x": x}), scale=1.0)
    label = jnp.arange(30) ** 2 % 3
    pictures, _ = explore.explore(model, variables, {"x": x, "label": label}, KEY, n=5, steps=2)
    images, columns = pictures["labels"]
    z = np.asarray(model.encode(variables, {"x": x}, KEY))
    classes = np.unique(label)
    means = {int(c): z[np.asarray(label) == c].mean(0) for c in classes}
    images = np.asarray(images).reshape(5, columns, 2, 3, 1)
    np.testing.assert_array_equal(images[:, 0], x[:5])
    for row in range(5):
        for column, c in enumerate(classes):
            moved = z[row] + means[int(c)] - means[int(label[row])]
            expected = model.decode(variables, jnp.asarray(moved[None]))[0]
            np.testing.assert_allclose(images[row, 1 + column], expected, rtol=1e-3, atol=1e-3)


def test_the_plane_of_most_variance():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(200, 2)) * [5.0, 3.0]
    turned = flat @ np.linalg.qr(rng.normal(size=(6, 2)))[0].T + 0.01 * rng.normal(size=(200, 6))
    found = explore.plane(turned)
    pairs = np.linalg.norm(found[:, None] - found, axis=-1)
    np.testing.assert_allclose(pairs, np.linalg.norm(flat[:, None] - flat, axis=-1), atol=0.2)
    np.testing.assert_array_equal(explore.plane(flat), flat)


def test_a_latent_plane_is_drawn_whole():
    model = models.vae(shape=(8, 8, 1), latent=2, hidden=(4,))
    batch = images(levels=2)
    pictures, _ = explore.explore(model, model.init(KEY, batch), batch, KEY, n=2, steps=2)
    assert pictures["manifold"][0].shape == (400, 8, 8, 1)


def test_examples_of_an_epoch():
    digits = data.load("digits", "train", batch_size=16, conditions=("label",))
    some = explore.examples_of(digits, 40)
    assert some["x"].shape == (40, 8, 8, 1) and some["label"].shape == (40,)
    np.testing.assert_array_equal(some["x"][16:32], digits.at(1)["x"])


def test_command(tmp_path, capsys):
    """A trained run: pictures with --out, conditions of samples, and a sentence with status 2 for what is wrong."""
    run, out = tmp_path / "run", tmp_path / "pictures"
    tiny = ["--steps", "2", "--batch-size", "16", "--latent", "3", "--hidden", "8"]
    cli.console(["train", "experiments/cvae_digits.py", "--workdir", str(run), *tiny])
    cli.console(["latent", str(run), "-n", "2", "--steps", "3", "--dimensions", "2", "0", "--out", str(out)])
    assert {file.stem for file in out.iterdir()} == {"traversal", "interpolation", "map", "labels", "classes"}
    with Image.open(out / "traversal.png") as picture:
        assert picture.size == (3 * 34, 2 * 34)
    cli.console(["sample", str(run), "-n", "4", "--cond", "label=3,4", "--out", str(tmp_path / "x.png")])
    capsys.readouterr()
    for arguments, sentence in [
        (["latent", str(run), "--dimensions", "3"], "no latent dimension 3; use 0 ... 2"),
        (["latent", str(run), "--steps", "1"], "--steps must be at least 2, not 1"),
        (["latent", str(run), "-n", "0"], "--n must be at least 1, not 0"),
        (["latent", str(run), "-n", "900"], "900 rows need 1800 examples"),
        (["sample", str(run), "--cond", "colour=3"], "no condition 'colour'; it has ['label']"),
        (["sample", str(run), "--cond", "label=three"], "has no numbers; write label=3"),
        (["sample", str(run), "--cond", "label=12"], "'label' is one of 0 ... 9, as in the run's data"),
        (["sample", str(run), "--cond", "label=1.5"], "'label' is one of 0 ... 9"),
    ]:
        with pytest.raises(SystemExit) as ended:
            cli.console(arguments)
        assert ended.value.code == 2
        assert sentence in capsys.readouterr().err
    assert not (run / "latent").exists()
