"""A run knows its data: where they are, whether they have changed, and what it needs of them when they are gone."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from genjax_zoo import cli, data, restore
from genjax_zoo.compare import scores, speed
from genjax_zoo.compare.cells import absent_cell
from genjax_zoo.compare.measures import OF_SAMPLES
from genjax_zoo.compare.scores import data_of

MINE = """
import jax, jax.numpy as jnp, optax
from genjax_zoo import Experiment, Model, Player, data
from genjax_zoo.core import Density, Explained, Sampler

def experiment(*, steps: int = 2):
    '''Draws are its label and its one parameter; its evaluation is the mean of the test data.'''
    train = data.load("own", "train", batch_size=8, conditions=("label",))

    def sample(variables, key, n, cond={}, *, train=False):
        x = jnp.zeros((n, 2, 2, 1)) + cond["label"].reshape(-1, 1, 1, 1) + variables["params"]["net"]["w"]
        return x, variables

    def terms(variables, batch, key, train):
        return {"loss": (batch["x"].mean(axis=(1, 2, 3)) - variables["params"]["net"]["w"]) ** 2}, variables

    def mean(model, variables, key):
        return {"mean": data.load("own", "test", batch_size=4).at(0)["x"].mean()}

    init = lambda key, batch: {"params": {"net": {"w": jnp.zeros(())}}}
    density = Density(terms=Explained(terms=terms, rest="nats"), exact=False)
    model = Model(spec=train.spec, init=init, sampler=Sampler(draw=sample), density=density)
    player = Player(terms=terms, weights={"loss": 1.0}, tx=optax.sgd(0.0))
    return Experiment(model=model, players={"p": player}, data=train, steps=steps, evals={"test": mean})
"""


def write_data(folder, level, n=30):
    """Images of one grey level; one label in a class that comes last and once."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "test"):
        np.save(folder / f"{split}.npy", np.full((n, 2, 2, 1), level, np.uint8))
        np.save(folder / f"{split}_label.npy", np.r_[np.arange(n - 1) % 3, 9].astype(np.int32))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.delenv("GENJAX_ZOO_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A run whose data folder was named relatively, and one whose folder the environment named."""
    root = tmp_path_factory.mktemp("first")
    (root / "mine.py").write_text(MINE)
    write_data(root / "d51/own", 51)
    write_data(root / "d102/own", 102)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("GENJAX_ZOO_DATA", raising=False)
        cli.console(["train", "mine.py", "--data-dir", "d51", "--workdir", "r51"])
        assert "GENJAX_ZOO_DATA" not in os.environ
        patch.setenv("GENJAX_ZOO_DATA", "d102")
        cli.console(["train", "mine.py", "--workdir", "r102"])
    return root


@pytest.fixture
def root(first, tmp_path):
    """The same, in a place of its own: what was absolute is so again."""
    root = tmp_path / "root"
    shutil.copytree(first, root)
    for config in root.glob("*/config.json"):
        config.write_text(config.read_text().replace(str(first), str(root)))
    return root


def mean_of(run, capsys):
    capsys.readouterr()
    cli.console(["eval", str(run)])
    return float(capsys.readouterr().out.split()[-1])


def refused(capsys, *argv):
    capsys.readouterr()
    with pytest.raises(SystemExit, match="2"):
        cli.console([str(word) for word in argv])
    error = capsys.readouterr().err.strip()
    assert "\n" not in error
    return error


def test_a_run_is_judged_on_its_own_data(root, capsys, monkeypatch):
    """Whatever the environment says, from wherever; two in one process, in any order; and the environment stays."""
    for run, level in (("r51", 0.2), ("r102", 0.4), ("r51", 0.2)):
        for environment in (None, "d51", "d102", "nowhere"):
            if environment:
                monkeypatch.setenv("GENJAX_ZOO_DATA", str(root / environment))
            before = os.environ.get("GENJAX_ZOO_DATA")
            assert mean_of(root / run, capsys) == pytest.approx(level, abs=1e-4)
            assert data_of(root / run) == "own/test"
            experiment, _ = restore(root / run)
            test = data.reload(experiment.data, "test", batch_size=4)
            np.testing.assert_allclose(test.at(0)["x"], level, atol=1e-4)
            assert os.environ.get("GENJAX_ZOO_DATA") == before
            monkeypatch.delenv("GENJAX_ZOO_DATA", raising=False)


def test_the_data_folder_is_kept_absolute(root):
    for run in ("r51", "r102"):
        config = json.loads((root / run / "config.json").read_text())
        assert config["flags"]["data_dir"] == str(root / run.replace("r", "d"))


def test_a_run_goes_on_with_its_own_data(root, capsys, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setenv("GENJAX_ZOO_DATA", "d51")
    cli.console(["train", "mine.py", "--workdir", "r102", "--steps", "3"])
    assert mean_of("r102", capsys) == pytest.approx(0.4, abs=1e-4)
    error = refused(capsys, "train", "mine.py", "--workdir", "r102", "--data-dir", "d51")
    assert "The data have changed since the run r102 began: 'x' of 'own train' has other values" in error
    shutil.move("d102", "moved")
    cli.console(["train", "mine.py", "--workdir", "r102", "--data-dir", "moved", "--steps", "4"])
    assert mean_of("r102", capsys) == pytest.approx(0.4, abs=1e-4)
    cli.console(["train", "mine.py", "--workdir", "r102", "--data-dir", "d51", "--fresh"])
    assert mean_of("r102", capsys) == pytest.approx(0.2, abs=1e-4)


def test_data_that_changed_are_noticed(root, capsys):
    write_data(root / "d51/own", 51, n=60)
    before = (root / "r51/config.json").read_bytes()
    error = refused(capsys, "train", root / "mine.py", "--workdir", root / "r51", "--steps", 3)
    assert "the shape of 'x' of 'own train' was 30x2x2x1 and is 60x2x2x1. Take --accept-changes" in error
    assert (root / "r51/config.json").read_bytes() == before
    cli.console(["eval", str(root / "r51")])
    assert "The data of the run" in capsys.readouterr().err
    with pytest.warns(UserWarning, match="have changed since it was trained: the shape of 'x' of 'own train' was 30x2"):
        restore(root / "r51")
    cli.console(["train", str(root / "mine.py"), "--workdir", str(root / "r51"), "--steps", "3", "--accept-changes"])
    restore(root / "r51")  # no warning


@pytest.mark.parametrize("array", [np.arange(90, dtype=np.uint8), np.random.default_rng(0).normal(size=90)])
@pytest.mark.parametrize("change", ["value", "order", "more"])
def test_a_small_change_is_a_change(array, change):
    array = array.astype(np.float32 if array.dtype == np.float64 else np.uint8).reshape(30, 3)

    def described(x):
        made = data.Resident(arrays={"x": x}, transform=lambda raw, keys: raw, batch_size=2, seed=0, train=True)
        return json.loads(json.dumps(data.describe({"mine": made})))

    other = {"value": np.concatenate([array[:-1], array[-1:] + 1]), "order": array[::-1]}
    assert data.changes(described(array), described(other.get(change, np.tile(array, (2, 1)))))
    near = array * np.float32(1 + 1e-7) if array.dtype == np.float32 else array.copy()
    assert not data.changes(described(array), described(near))  # another machine's rounding


def test_a_run_is_drawn_from_without_its_data(root, capsys, tmp_path):
    """From any folder, and when it was moved; all else says what is missing."""

    def drawn(run, *cond):
        cli.console(["sample", str(run), "-n", "20", "--out", "x.npy", *cond])
        return np.load("x.npy")

    before = drawn(root / "r51")
    rare = drawn(root / "r51", "--cond", "label=9")
    assert len(np.unique(before)) > 1 and np.all(rare == 9)
    shutil.rmtree(root / "d51")
    (root / "r51").rename(root / "moved")
    os.chdir(tmp_path)
    np.testing.assert_array_equal(drawn(os.path.relpath(root / "moved")), before)
    np.testing.assert_array_equal(drawn(root / "moved", "--cond", "label=9"), rare)
    assert "'label' is one of 0 ... 9" in refused(capsys, "sample", root / "moved", "--cond", "label=10")
    gone = f"The data 'own' were read from {root / 'd51/own'}, where nothing is now; put them back."
    for command in ("eval", "compare"):
        assert gone in refused(capsys, command, root / "moved")
    (root / "moved/conditions.npz").write_bytes(b"PK")
    assert "conditions.npz cannot be read" in refused(capsys, "sample", root / "moved")


def test_data_beside_the_experiment_are_found_from_elsewhere(first, tmp_path, capsys, monkeypatch):
    """A name below the folder in which training began."""
    write_data(tmp_path / "there/own", 153)
    monkeypatch.chdir(tmp_path / "there")
    cli.console(["train", str(first / "mine.py"), "--workdir", "run"])
    monkeypatch.chdir(tmp_path)
    assert mean_of("there/run", capsys) == pytest.approx(0.6, abs=1e-4)
    write_data(Path("own"), 51)
    assert mean_of("there/run", capsys) == pytest.approx(0.6, abs=1e-4)


def test_runs_on_data_of_one_name_are_compared_each_on_its_own(root, capsys, monkeypatch):
    nothing = {key: absent_cell("not here") for key in (*OF_SAMPLES, "compile_s", "peak_memory_mb")}
    monkeypatch.setattr(scores, "of_samples", lambda _: nothing)
    monkeypatch.setattr(speed, "train_step", lambda *_: nothing)
    monkeypatch.setattr(speed, "samples_per_s", lambda *_: nothing["compile_s"])
    cli.console(["compare", str(root / "r51"), str(root / "r102"), "-n", "8", "-k", "3"])
    rows = [json.loads((root / run / "scores.json").read_text()) for run in ("r51", "r102")]
    nats = [row["cells"]["nats"]["value"] for row in rows]
    np.testing.assert_allclose(nats, [0.2**2, 0.4**2], rtol=1e-3)
    assert "data of one name, 'own/test', but of different content" in capsys.readouterr().out
