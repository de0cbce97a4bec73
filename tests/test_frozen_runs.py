"""A student beside the frozen model of another run: trained, resumed, read and drawn from, from any folder."""

import json
import shutil

import jax
import numpy as np
import pytest

from genjax_zoo import cli, restore
from genjax_zoo.core import FROZEN

TEACHER = """
import optax
from genjax_zoo import Experiment, Player, data, models

def experiment(*, steps: int = 2):
    model = models.real_nvp(shape=(2,), layers=1, hidden=(4,))
    player = Player(terms=model.nll, tx=optax.adam(1e-2), ema=0.9)
    return Experiment(model=model, players={"p": player}, data=data.load("grid25", "train", batch_size=8), steps=steps)
"""
STUDENT = """
import dataclasses, optax
from genjax_zoo import Experiment, Player, compose, data, models, restore
from genjax_zoo.core import Explained

def experiment(*, steps: int = 2, teacher: str = "runs/teacher"):
    '''Learns from what its teacher draws, whose networks are called as its own.'''
    old = restore(teacher)
    taught = compose.frozen(old.experiment.model, old.variables, origin=old.origin)
    own = models.real_nvp(shape=(2,), layers=1, hidden=(4,))

    def init(key, batch):
        return compose.union(own.init(key, batch), taught.init(key, batch))

    def distilled(variables, batch, key, *, train=False):
        x, _ = taught.sampler.draw(variables, key, len(batch["x"]))
        return own.nll(variables, {"x": x}, key, train=train)

    model = dataclasses.replace(own, init=init, card=dataclasses.replace(own.card, frozen=taught.card.frozen))
    player = Player(terms=dataclasses.replace(own.nll, terms=distilled), tx=optax.adam(1e-2))
    return Experiment(model=model, players={"p": player}, data=data.load("grid25", "train", batch_size=8), steps=steps)
"""


def train(file, run, *flags):
    cli.console(["train", str(file), "--workdir", str(run), *flags])


def bits(tree):
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree)]


def frozen_in(state):
    """What a state has frozen, as variables."""
    kept = state.variables[FROZEN]
    return {collection: {net: kept[net][collection] for net in kept} for collection in next(iter(kept.values()))}


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where a teacher and a student were trained, by a relative path; the test goes on elsewhere."""
    (tmp_path / "home").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    (tmp_path / "home/teacher.py").write_text(TEACHER)
    (tmp_path / "home/student.py").write_text(STUDENT)
    train("teacher.py", "runs/teacher")
    train("student.py", "runs/student")
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path / "home"


def test_a_distilled_student_goes_on_from_any_folder(home):
    """And its teacher is what it was when the student began, whatever becomes of the run that it is from."""
    teacher, (_, first) = restore(home / "runs/teacher"), restore(home / "runs/student")
    assert teacher.origin == f"{home}/runs/teacher, step 2"
    assert first.variables["params"].keys() == teacher.variables["params"].keys()  # one name, two networks
    config = json.loads((home / "runs/student/config.json").read_text())
    assert config["card"] == {
        "name": "real_nvp",
        "family": "flow",
        "paper": teacher.experiment.model.card.paper,
        "frozen": ["runs/teacher, step 2"],
    }
    assert bits(frozen_in(first)) == bits(teacher.variables)
    assert bits(first.variables["params"]) != bits(teacher.variables["params"])
    train(home / "teacher.py", home / "runs/teacher", "--steps", "3")
    train(home / "student.py", home / "runs/student", "--steps", "4")
    experiment, state = restore(home / "runs/student")
    assert int(state.step) == 4 and bits(frozen_in(state)) == bits(teacher.variables)
    assert bits(state.variables["params"]) != bits(first.variables["params"])  # control: the student moved,
    assert bits(restore(home / "runs/teacher").variables) != bits(teacher.variables)  # and the run that it is from
    assert json.loads((home / "runs/student/config.json").read_text())["card"] == config["card"]
    cli.console(["sample", str(home / "runs/student"), "-n", "3", "--out", "x.npy"])
    assert np.isfinite(np.load("x.npy")).all()
    assert experiment.model.card.frozen == ("runs/teacher, step 2",)  # as it began, whatever the teacher is by now


def test_what_is_frozen_outlives_the_checkpoints_that_it_is_from(home, capsys):
    """The student's own have it; without its folder, there is no code to build the teacher of."""
    student, _ = home / "runs/student", restore(home / "runs/student")
    before = bits(restore(student).state.variables)
    shutil.rmtree(home / "runs/teacher/checkpoints")
    with pytest.warns(
        UserWarning, match="has no checkpoint yet.* What .*student has frozen of it is read from its own"
    ):
        experiment, state = restore(student)
    assert bits(state.variables) == before and experiment.model.card.frozen == ("runs/teacher, step 2",)
    train(home / "student.py", student, "--steps", "4")
    with pytest.warns(UserWarning):
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(restore(student).state.variables))
    with pytest.raises(SystemExit):  # a student that begins has none
        train(home / "student.py", home / "runs/another", "--teacher", str(home / "runs/teacher"))
    assert "runs/teacher has no checkpoint yet" in capsys.readouterr().err
    shutil.rmtree(home / "runs/teacher")
    with pytest.raises(
        FileNotFoundError, match="student is made of runs/teacher, which is neither here nor in .*home, w"
    ):
        restore(student)
