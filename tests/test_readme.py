"""What the README says can be done."""

import inspect
import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES
from PIL import Image

from genjax_zoo import cli, models, restore
from genjax_zoo.cli.entry import COMMANDS
from genjax_zoo.runs import load_experiment

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MODEL, RECIPES = re.findall(r"```python\n(.*?)```", README, re.S)
HEAD, *RECIPE = RECIPES.split("\n\n# ")
RUNS = ("arrays", "photos", "table", "gan", "points")


def test_is_read_in_two_minutes():
    assert len(README.splitlines()) < 150
    assert "not related to GenJAX, the probabilistic programming language" in README
    for picture in re.findall(r"!\[.*\]\((.*)\)", README):
        assert (ROOT / picture).stat().st_size < 200_000


def test_your_own_model(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    cli.main(load_experiment(tmp_path / "mine.py"), ["train", "--steps", "3"])
    assert int(restore("runs/mine")[1].step) == 3
    assert (tmp_path / "runs/mine/samples.png").exists()
    cli.main(load_experiment(tmp_path / "mine.py"), ["eval", "runs/mine"])


@pytest.mark.parametrize("run", RUNS)
def test_recipes(tmp_path, monkeypatch, run, capsys):
    """Each is ten lines that run as they stand, where the photos are, and the GAN's for ten steps.

    The last reads the run before it.
    """
    for index in range(40 if run == "photos" else 0):
        for split, class_ in (("train", "cat"), ("train", "dog"), ("test", "cat")):
            pixels = np.random.default_rng(index).integers(0, 256, (20, 24, 3), np.uint8)
            folder = tmp_path / "photos" / split / class_
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{index}.png")
    codes = [code for code in RECIPE if f'"runs/{run}"' in code]
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec("\n\n# ".join([HEAD, *codes]).replace("steps=100, seed=0", "steps=10, seed=0"), names)
    assert (tmp_path / "runs" / run / "checkpoints").is_dir()
    assert all(len(code.splitlines()) <= 10 for code in codes)
    if run == "arrays":
        assert names["result"].results["test/nelbo"] > 0
    if run == "photos":
        assert "80" in capsys.readouterr().err and (tmp_path / "runs/photos/samples.png").exists()
    if run == "table":
        assert 2.5 < names["result"].results["test/nll"] < 6  # 3.7 is the entropy
    if run == "points":
        assert names["x"].shape == (1_000, 2) and len(names["loss"]) == 2
        assert names["run"].state.step == 200


def test_all_recipes_are_run():
    assert re.findall(r'workdir="runs/(\w+)"', RECIPES) == list(RUNS)


def test_the_models_table_is_what_the_models_say():
    rows = [line.strip("|").split("|") for line in README.splitlines() if line.startswith("| `")]
    told = {name: row for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert set(told) == set(models.MODELS)
    for name, (_, likelihood, *marks, trained) in told.items():
        model = CASES[name]().model
        known = inspect.signature(models.MODELS[name]).parameters
        exact = "none" if model.density is None else "exact" if model.density.exact else "bound"
        has = (
            model.latent is not None and model.latent.encode is not None,
            bool({"classes", "conditions"} & set(known)),
            model.conditionals is not None,
        )
        assert (likelihood.strip(), *(mark.strip() == "yes" for mark in marks)) == (exact, *has), name
        assert trained.strip()


def test_commands_are_what_ci_runs():
    script = (ROOT / ".ci/run").read_text()
    assert "README.md" in script
    assert re.findall(r"^    pip install \. && genjax-zoo train vae_digits$", README, re.M)
    assert re.findall(r"^    pip install .* && pytest$", README, re.M)
    assert all(f"`{command}`" in README for command in COMMANDS if command != "train")


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
