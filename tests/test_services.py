"""TensorBoard and Weights & Biases: what they are given, when, and what is said where they are missing."""

import sys
import time
import types

import numpy as np
import pytest
import test_refusals

from genjax_zoo import cli
from genjax_zoo.train.services import TensorBoard, WeightsAndBiases


class Run:
    def __init__(self):
        self.rows, self.metrics, self.finished = [], [], False

    def log(self, row):
        assert not self.finished
        self.rows.append(row)

    def define_metric(self, *names, **settings):
        self.metrics.append((names, settings))

    def alert(self, *, title, text):
        self.rows.append({"alert": f"{title}: {text}"})

    def finish(self):
        self.finished = True


@pytest.fixture
def fake(monkeypatch):
    """Wandb as it is called, without its server; `begun` are the settings of each run, and the runs."""
    module = types.SimpleNamespace(begun=[], known=True, asked=[], Image=lambda image: ("image", image.shape))

    def init(**settings):
        module.begun.append((settings, Run()))
        return module.begun[-1][1]

    def login(*, prompt=True):
        module.asked.append(prompt)
        if isinstance(module.known, Exception):
            raise module.known
        return module.known

    module.init, module.login = init, login
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return module


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(test_refusals.TINY)
    return lambda *more: cli.console(["train", "mine.py", "--log-every", "2", *more])


def test_a_run_that_goes_on_is_one_run_of_wandb(fake, tiny, tmp_path):
    tiny("--wandb")
    tiny("--wandb", "--steps", "8")
    (first, run), (second, again) = fake.begun
    assert first["id"] == second["id"] and len(first["id"]) >= 8 and second["resume"] == "allow"
    assert first["config"]["steps"] == 4 and first["name"] == "mine" and first["dir"] == "runs/mine"
    assert [row["step"] for row in run.rows if "vae/loss" in row] == [2, 4]
    assert [row["step"] for row in again.rows if "vae/loss" in row] == [6, 8]
    assert run.metrics == [(("*",), {"step_metric": "step"})] and run.finished and again.finished
    tiny("--wandb", "--fresh")
    assert fake.begun[2][0]["id"] != first["id"]


def test_an_evaluation_goes_to_wandb_whole(fake, tmp_path):
    sink = WeightsAndBiases(tmp_path)
    sink.show(3, {"test/w": 1.0}, {"grid": np.zeros((2, 8, 8, 1))})
    sink.warn(4, "a sentence")
    (_, run) = fake.begun[0]
    assert run.rows[0] == {"eval/test/w": 1.0, "grid": [("image", (8, 8, 1))] * 2, "step": 3}
    assert run.rows[1] == {"alert": "step 4: a sentence"}


@pytest.mark.parametrize("known", [False, RuntimeError("API key must be 40 characters\nlong")])
def test_without_a_login_nothing_is_begun_and_nobody_is_asked(known, fake, tiny, tmp_path, capsys, monkeypatch):
    fake.known = known
    with pytest.raises(SystemExit) as ended:
        tiny("--wandb")
    error = capsys.readouterr().err.strip()
    assert ended.value.code == 2 and "\n" not in error and "WANDB_MODE=offline" in error and "login" in error
    assert fake.asked == [False] and not fake.begun and not (tmp_path / "runs").exists()
    monkeypatch.setenv("WANDB_MODE", "offline")
    tiny("--wandb")
    assert len(fake.begun) == 1


def test_a_server_that_is_not_there(fake, tmp_path):
    def init(**settings):
        raise TimeoutError("Run initialization has timed out\nafter 90.0 sec")

    fake.init = init
    with pytest.raises(
        ValueError, match=r"cannot begin a run \(Run initialization has timed out\); WANDB_MODE=offline"
    ):
        WeightsAndBiases(tmp_path)


@pytest.mark.parametrize("flag, module", [("--wandb", "wandb"), ("--tensorboard", "tensorboardX")])
def test_an_extra_that_is_not_installed_is_said_before_anything(flag, module, tiny, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit):
        tiny(flag)
    assert f"{module} is not installed: pip install" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_tensorboard_is_on_disk_soon_after_each_log(tmp_path):
    pytest.importorskip("tensorboardX")
    sink = TensorBoard(tmp_path)

    def size():
        return sum(path.stat().st_size for path in tmp_path.glob("events*"))

    def grows(before):
        end = time.monotonic() + 30
        while size() <= before and time.monotonic() < end:
            time.sleep(0.05)
        return size() > before

    time.sleep(1.5)  # what it writes by itself
    for act in (
        lambda: sink.log(1, {"p/loss": 1.0}),
        lambda: sink.show(1, {"test/w": 1.0}, {"grid": np.zeros((2, 8, 8, 1))}),
        lambda: sink.warn(1, "a sentence"),
    ):
        before = size()
        act()
        assert grows(before)
    sink.close()
