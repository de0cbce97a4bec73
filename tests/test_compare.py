"""Comparing: what a run's scores are, when they are measured again, and what cannot be measured."""

import dataclasses
import io
import json
import os
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from capable import density, sampler
from rich.console import Console
from test_leaderboard import row as leaderboard_row

from genjax_zoo import data, evals, runs
from genjax_zoo.compare import judges as judges_
from genjax_zoo.compare import measures, scores, speed
from genjax_zoo.compare import table as compare
from genjax_zoo.compare.cells import absent_cell, number_cell
from genjax_zoo.compare.leaderboard import COLUMNS
from genjax_zoo.compare.measures import Measurement, subject_of
from genjax_zoo.core import Model
from genjax_zoo.train.checkpoint import Checkpoints

EXPERIMENTS = Path(__file__).parent.parent / "experiments"
FOUR = {
    "vae_digits": {"hidden": 8, "latent": 2},
    "glow": {"scales": 1, "depth": 1, "width": 4},
    "gated_pixel_cnn_digits": {"features": 2, "layers": 1},
    "dcgan_digits": {"latent": 2},
}
FEW = Measurement(n=20, k=3)


@pytest.fixture(autouse=True)
def data_folder(monkeypatch):
    monkeypatch.setenv("GENJAX_ZOO_DATA", os.environ.get("GENJAX_ZOO_DATA", ""))


@pytest.fixture
def committed(monkeypatch):
    monkeypatch.setattr(scores, "code_commit", lambda: "1234567")


@pytest.fixture
def no_compilation(monkeypatch):
    """The train step's compilation takes longest, and one test has it."""
    cells = {"compile_s": number_cell(1.0), "peak_memory_mb": number_cell(2.0)}
    monkeypatch.setattr(speed, "train_step", lambda experiment, state: cells)


def made(folder, source, step=2, **flags):
    """A run folder with one checkpoint, of untrained weights."""
    runs.open_run(folder, Path(source), flags)
    save(folder, step)
    return folder


def save(folder, step, checkpoint=lambda x: x):
    experiment = runs.build(runs.load_experiment(folder / "experiment.py"), runs.read_config(folder)["flags"])
    state = runs.create_state_of(experiment)
    with Checkpoints(folder / "checkpoints", best=experiment.best) as checkpoints:
        checkpoints.save(step, state._replace(step=jnp.asarray(step)), {})
        checkpoints.wait()


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    return made(tmp_path_factory.mktemp("runs") / "vae_digits", EXPERIMENTS / "vae_digits.py", **FOUR["vae_digits"])


def copied(folder, to):
    return Path(shutil.copytree(folder, to))


MINE = """
import jax, jax.numpy as jnp, numpy as np, optax
from genjax_zoo import Experiment, Model, Player, data
from genjax_zoo.core import Density, Explained, Sampler

def experiment(*, noise: float = 0.0, name: str = "digits"):
    train, test = data.load("digits", "train", batch_size=16), data.load("digits", "test", batch_size=250)
    real = np.random.Generator(np.random.PCG64(0)).permutation(250)[125:]

    def sample(variables, key, n, cond={}, *, train=False):
        x = jnp.resize(test.at(0)["x"][real], (n, 8, 8, 1))
        return x + noise * jax.random.normal(key, x.shape), variables

    def nll(variables, batch, key, train):
        return {"nll": jnp.sum(batch["x"] ** 2, axis=(1, 2, 3)) + variables["params"]["net"]["w"]}, variables

    init = lambda key, batch: {"params": {"net": {"w": jnp.zeros(())}}}
    density = Density(terms=Explained(terms=nll, rest="nats"), exact=True)
    model = Model(spec=train.spec, init=init, sampler=Sampler(draw=sample), density=density)
    player = Player(terms=nll, weights={"nll": 1.0}, tx=optax.sgd(0.1))
    return Experiment(model=model, players={"one": player}, data=train, steps=2)
"""


def mine(tmp_path, **flags):
    (tmp_path / "mine.py").write_text(MINE)
    return made(tmp_path / "run", tmp_path / "mine.py", **flags)


def test_every_cell_of_four_families_has_a_number_or_a_reason(tmp_path, no_compilation, committed, vae):
    folders = [vae] + [made(tmp_path / name, EXPERIMENTS / f"{name}.py", **FOUR[name]) for name in list(FOUR)[1:]]
    out = tmp_path / "board.json"
    console = Console(width=100, record=True, file=io.StringIO())
    compare.compare_runs(folders, FEW, out=out, console=console)
    board = json.loads(out.read_text())
    rows = {r["run"]: r for r in board["rows"]}
    assert {r["family"] for r in rows.values()} == {"VAE", "flow", "autoregressive", "GAN"}
    for one in rows.values():
        assert set(one["cells"]) == set(COLUMNS)
        for key, cell in one["cells"].items():
            assert (cell["value"] is None) == bool(cell["reason"]), (one["run"], key)
    kinds = {name: r["cells"]["nats"]["kind"] for name, r in rows.items()}
    assert kinds == {
        "vae_digits": "bound",
        "glow": "bound",
        "gated_pixel_cnn_digits": "exact given the label",
        "dcgan_digits": None,
    }
    assert rows["dcgan_digits"]["cells"]["nats"]["reason"] == "no likelihood"
    assert not any(r["notes"] for r in rows.values())  # of each it is known that the likelihood is of the 17 levels
    assert len({tuple(r["cells"][key]["floor"] for key in ("frechet", "coverage")) for r in rows.values()}) == 1
    assert json.loads((vae / "scores.json").read_text()) == rows["vae_digits"]


def test_scores_are_reused_until_something_changes(tmp_path, no_compilation, committed, vae, monkeypatch):
    folder = copied(vae, tmp_path / "again")
    (folder / "scores.json").unlink(missing_ok=True)
    measured = []
    monkeypatch.setattr(
        scores, "likelihood", lambda s: ({key: absent_cell("x") for key in ("nats", "bits_per_dim")}, [])
    )
    monkeypatch.setattr(scores, "of_samples", lambda s: {key: absent_cell("x") for key in measures.OF_SAMPLES})
    monkeypatch.setattr(scores, "modes", lambda s: (measured.append(s.n), measures.modes(s))[1])
    monkeypatch.setattr(speed, "samples_per_s", lambda *a: number_cell(1.0))
    first = scores.score(folder, FEW)
    assert scores.score(folder, FEW) == first and measured == [20]
    scores.score(folder, FEW, fresh=True)
    assert scores.score(folder, FEW._replace(n=21))["protocol"]["n"] == 21
    assert measured == [20, 20, 21]
    save(folder, 4)
    assert scores.score(folder, FEW._replace(n=21))["step"] == 4 and len(measured) == 4
    monkeypatch.setattr(scores, "code_commit", lambda: "other")
    scores.score(folder, FEW._replace(n=21))
    (folder / "scores.json").write_text("{")  # of another version, or by hand
    scores.score(folder, FEW._replace(n=21))
    assert len(measured) == 6
    monkeypatch.setattr(scores, "code_commit", lambda: "other-dirty")
    for _ in range(2):
        scores.score(folder, FEW._replace(n=21))
    assert len(measured) == 8 and not list(folder.glob("*.tmp"))


def test_real_examples_get_the_floors_and_noisy_ones_do_not(tmp_path, no_compilation):
    everything = Measurement(n=125, k=5)
    subject = restored(mine(tmp_path), everything)
    for key, cell in measures.of_samples(subject).items():
        if key not in ("class_score", "memorisation"):
            assert cell["value"] == cell["floor"], key
    noisy = dataclasses.replace(
        subject, experiment=runs.build(runs.load_experiment(tmp_path / "mine.py"), {"noise": 0.5})
    )
    cells = measures.of_samples(noisy)
    assert (
        cells["frechet"]["low"] > cells["frechet"]["floor"] and cells["coverage"]["high"] < cells["coverage"]["floor"]
    )


def restored(folder, asked):
    experiment, state = runs.restore(folder)
    return subject_of(experiment, state.variables, asked)


def test_the_likelihood_is_that_of_evals_with_an_interval(vae):
    subject = restored(vae, FEW)
    cells, _ = measures.likelihood(subject)
    numbers = evals.likelihood(subject.test)(subject.model, subject.variables, subject.key)
    np.testing.assert_allclose(cells["nats"]["value"], numbers["nelbo"], rtol=1e-5)
    np.testing.assert_allclose(cells["bits_per_dim"]["value"], numbers["bits/dim"], rtol=1e-5)
    assert cells["nats"]["low"] < cells["nats"]["value"] < cells["nats"]["high"] and cells["nats"]["n"] == 250


def test_a_density_is_no_probability_of_levels(tmp_path):
    subject = restored(mine(tmp_path), FEW)
    cells, notes = measures.likelihood(subject)
    assert cells["nats"]["kind"] == "exact" and "17 levels or a density" in notes[0]  # it cannot be known
    nll = subject.model.nll

    def below_zero(variables, batch, key, train):
        return {"nll": nll(variables, batch, key, train=train)[0]["nll"] - 1_000}, variables

    model = dataclasses.replace(subject.model, density=density(below_zero))
    lower = dataclasses.replace(subject, experiment=dataclasses.replace(subject.experiment, model=model))
    assert "below 0 nats" in measures.likelihood(lower)[0]["nats"]["reason"]


@pytest.mark.parametrize("n", [500, 30_000])
def test_modes_of_points_have_the_floor_of_as_many_real_ones(n):
    """The split has 10,000; (K - 1) / 2 n is what theory says."""
    real = data.load("ring8", "test", batch_size=250)
    means, sigma = data.mixture("ring8")
    random = np.random.default_rng(0)
    x = means[random.integers(8, size=n)] + sigma * random.normal(size=(n, 2))
    x = jnp.asarray(x, jnp.float32)
    model = Model(spec=real.spec, init=lambda *a: {}, sampler=sampler(lambda v, key, n, cond: x[:n]))
    judge = judges_.judge_of("ring8", (2,))
    asked = Measurement(mode_samples=n)
    experiment = runs.build(runs.load_experiment(EXPERIMENTS / "gan_points.py"), {"points": "ring8"})
    subject = measures.Subject(dataclasses.replace(experiment, model=model), {}, real, judge, 20, asked)
    cells = measures.modes(subject)
    assert cells["modes"]["value"] == cells["modes"]["floor"] == 8 and cells["modes"]["n"] == n
    assert cells["mode_kl"]["floor"] == pytest.approx(7 / 2 / n, rel=0.6)  # the mean of 10 draws: its error is 17 %
    assert cells["mode_kl"]["value"] == pytest.approx(7 / 2 / n, rel=2.5)
    one = dataclasses.replace(model, sampler=sampler(lambda v, key, n, cond: jnp.tile(x[:1], (n, 1))))
    lost = dataclasses.replace(subject, experiment=dataclasses.replace(experiment, model=one))
    np.testing.assert_allclose(measures.modes(lost)["mode_kl"]["value"], np.log(8))


def test_the_train_step_is_compiled_and_its_memory_known(vae):
    experiment, state = runs.restore(vae)
    cells = speed.train_step(experiment, state)
    held = sum(x.nbytes for x in jax.tree.leaves(experiment.data)) / 1e6
    assert cells["compile_s"]["value"] > 0.05 and held < cells["peak_memory_mb"]["value"] < 100 * held


def test_speed_of_training_is_what_was_logged(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert "not logged" in speed.examples_per_s(path)["reason"]
    path.write_text(
        "".join(json.dumps({"step": i, "examples/s": r}) + "\n" for i, r in enumerate((1.0, 50.0, 7.0))) + '{"'
    )
    assert speed.examples_per_s(path)["value"] == 7.0


# bad input


def test_bad_input_is_a_sentence(tmp_path, vae):
    with pytest.raises(ValueError, match="3 samples are too few for 3 neighbours, which need 4"):
        scores.score(vae, FEW._replace(n=3))
    empty = copied(vae, tmp_path / "empty")
    for step in (empty / "checkpoints").iterdir():
        step.rename(tmp_path / step.name)
    with pytest.raises(FileNotFoundError, match="has no checkpoint yet"):
        scores.score(empty, FEW)
    with pytest.raises(ValueError, match="Name the runs"):
        compare.compare_runs([], FEW)
    with pytest.raises(ValueError, match="no run folders"):
        compare.compare_runs([], FEW, all=vae)


def test_different_data_are_refused_before_anything_is_measured(tmp_path, vae, monkeypatch):
    monkeypatch.setattr(compare, "score", lambda *a, **k: pytest.fail("measured"))
    points = made(tmp_path / "points", EXPERIMENTS / "gan_points.py", points="ring8")
    with pytest.raises(ValueError, match="vae_digits of digits/test; points of ring8/test"):
        compare.compare_runs([vae, points], FEW)


def test_a_folder_gives_a_leaderboard_per_data_set(tmp_path, vae, monkeypatch):
    for name in ("one", "two"):
        copied(vae, tmp_path / name)
    made(tmp_path / "points", EXPERIMENTS / "gan_points.py", points="ring8")
    runs.open_run(tmp_path / "young", EXPERIMENTS / "vae_digits.py", {})
    kept = {"one": "digits", "two": "digits", "points": "ring8"}
    monkeypatch.setattr(
        compare, "score", lambda folder, *a, **k: leaderboard_row(folder.name, data=f"{kept[folder.name]}/test")
    )
    console = Console(width=100, record=True, file=io.StringIO())
    files = compare.compare_runs([], FEW, all=tmp_path, console=console)
    assert [f.name for f in files] == ["leaderboard-digits.json", "leaderboard-ring8.json"]
    assert [len(json.loads(f.read_text())["rows"]) for f in files] == [2, 1]
    assert "young has no checkpoint yet" in console.export_text()


def test_data_of_no_protocol_cannot_be_compared():
    by_hand = dataclasses.replace(data.load("digits", "train", batch_size=16), origin=None)
    with pytest.raises(ValueError, match="built by hand"):
        data.reload(by_hand, "test", batch_size=16)
    moved = data.load("digits", "train", batch_size=16, transform=data.shifted(data.scale(17), (1, 1)))
    with pytest.raises(ValueError, match="their own transform"):
        data.reload(moved, "test", batch_size=16)
    test = data.reload(data.load("digits", "train", batch_size=16), "test", batch_size=10, conditions=("label",))
    again = data.load("digits", "test", batch_size=10, conditions=("label",))
    assert jax.tree.structure(test) == jax.tree.structure(again)
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(test), jax.tree.leaves(again)))


def test_a_users_features_are_checked(tmp_path):
    path = tmp_path / "mine.py"
    with pytest.raises(FileNotFoundError, match="no features file"):
        judges_.judge_of_file(path, (8, 8, 1))
    path.write_text("x = 1")
    with pytest.raises(ValueError, match="no function 'features'"):
        judges_.judge_of_file(path, (8, 8, 1))
    path.write_text("def features(x): return x")
    with pytest.raises(ValueError, match=r"gives the shape \(3, 8, 8, 1\) for 3 examples"):
        judges_.judge_of_file(path, (8, 8, 1))
    path.write_text("def features(x): return x.reshape(len(x), -1)")
    first = judges_.judge_of_file(path, (8, 8, 1)).name
    path.write_text("def features(x): return 2 * x.reshape(len(x), -1)")
    assert first != judges_.judge_of_file(path, (8, 8, 1)).name
    path.write_text("from weighing import by\ndef features(x): return by * x.reshape(len(x), -1)")
    (tmp_path / "weighing.py").write_text("by = 2")
    second = judges_.judge_of_file(path, (8, 8, 1)).name
    (tmp_path / "weighing.py").write_text("by = 3")
    assert second != judges_.judge_of_file(path, (8, 8, 1)).name
