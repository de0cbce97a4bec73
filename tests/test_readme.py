"""What the README says can be done."""

import itertools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from genjax_zoo import cli, restore
from genjax_zoo.runs import load_experiment

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


CODE = re.compile(r"```python\n(.*?)```", re.S)


def test_your_own_model(tmp_path, monkeypatch):
    (code,) = CODE.findall(README.partition("## Your own data")[0])
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    cli.main(load_experiment(tmp_path / "mine.py"), ["train", "--steps", "3"])
    assert int(restore("runs/mine")[1].step) == 3
    assert (tmp_path / "runs/mine/samples.png").exists()
    cli.main(load_experiment(tmp_path / "mine.py"), ["eval", "runs/mine"])


@pytest.mark.parametrize("recipe", ("arrays", "photos", "table", "moons", "composed"))
def test_your_own_data(tmp_path, monkeypatch, recipe, capsys):
    """Each is a dozen lines that run as they stand, where the photos are."""
    for index in range(40):
        for split, class_ in (("train", "cat"), ("train", "dog"), ("test", "cat")):
            pixels = np.random.default_rng(index).integers(0, 256, (20, 24, 3), np.uint8)
            folder = tmp_path / "photos" / split / class_
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    (code,) = (code for code in CODE.findall(README.partition("## Your own data")[2]) if f'"runs/{recipe}"' in code)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code, names)
    assert (tmp_path / "runs" / recipe / "checkpoints").is_dir() and len(code.splitlines()) <= 16
    if recipe == "arrays":
        assert names["result"].results["test/nelbo"] > 0
    if recipe == "photos":
        assert "80" in capsys.readouterr().err and (tmp_path / "runs/photos/samples.png").exists()
    if recipe == "table":
        assert 2.5 < names["result"].results["test/nll"] < 6  # 3.7 is the entropy
    if recipe == "moons":
        assert names["x"].shape == (1_000, 2) and len(names["loss"]) == 2
        assert names["state"].step == names["result"].state.step


def test_experiments_named_exist():
    named = re.findall(r"`(\w+_(?:digits?|mnist|points))`", README)
    assert named and all((ROOT / f"experiments/{name}.py").exists() for name in named)
    assert {p.stem for p in (ROOT / "experiments").glob("*.py")} <= set(named)


@pytest.mark.processes
def test_commands_are_what_ci_runs():
    script = (ROOT / ".ci/run").read_text()
    assert "README.md" in script
    done = subprocess.run([sys.executable, "-m", "genjax_zoo", "--help"], capture_output=True, text=True, check=True)
    for command in re.findall(r"^    genjax-zoo (\w+)", README, re.M):
        assert command in done.stdout


def test_every_test_is_run_whatever_its_marks():
    """Once by .ci/run, or in the night; the expressions are Python's, too."""
    script, night = ((ROOT / path).read_text() for path in (".ci/run", ".github/workflows/nightly.yml"))
    steps = re.findall(r'tests "(.*)"', script)
    nightly = re.findall(r"pytest -m (\w+)", night)
    marks = ("slow", "mutants", "processes", "browser")
    assert len(steps) == len(nightly) == 2
    for has in itertools.product((False, True), repeat=len(marks)):
        names: dict[str, object] = dict(zip(marks, has))
        by_day, by_night = ([step for step in found if eval(step, {}, names)] for found in (steps, nightly))
        assert by_day or by_night, f"nothing runs a test of {names}"
        assert len(by_day) < 2, f"a test of {names} runs twice"
