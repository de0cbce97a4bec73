"""Experiments are shipped: found and listed from any folder, copied to be changed, and each says what it is."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

import genjax_zoo
from genjax_zoo import UserError, cli
from genjax_zoo.cli.listing import copy_experiment, experiments, find_experiment

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "experiments").rglob("*.py"))


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ("vae_digits", "aae_digits"))
def test_an_experiment_is_found_from_an_empty_folder(name):
    assert find_experiment(name) in FILES


def test_an_experiment_of_ones_own_comes_first(empty):
    own = Path("experiments/vae_digits.py")
    own.parent.mkdir()
    own.write_text("raise ValueError")
    assert find_experiment("vae_digits") == find_experiment("experiments/vae_digits.py") == own
    assert find_experiment("cvae_digits") in FILES
    with pytest.raises(UserError, match="There is no experiment vae_digit; did you mean 'vae_digits'"):
        find_experiment("vae_digit")


def test_an_installed_package_has_its_own(empty, monkeypatch):
    """And a stranger's folder of that name, beside it, is not looked at."""
    for file in ("genjax_zoo/experiments/composed/shipped.py", "experiments/foreign.py"):
        (empty / "site" / file).parent.mkdir(parents=True)
        (empty / "site" / file).write_text("")
    monkeypatch.setattr(genjax_zoo, "__file__", str(empty / "site/genjax_zoo/__init__.py"))
    assert list(experiments()) == ["shipped"]


def test_list_names_every_experiment_in_a_line_and_runs_none(empty, capsys):
    (empty / "experiments").mkdir()
    for name, text in {"raises": '"""It raises."""\n1 / 0', "silent": "", "prose": "no Python at all"}.items():
        (empty / f"experiments/{name}.py").write_text(text)
    cli.console(["list", "experiments"])
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "experiments" and len(lines) == len(FILES) + 3
    assert [line.split()[0] for line in lines] == sorted([*(file.stem for file in FILES), "raises", "silent", "prose"])
    assert "  raises                           It raises." in lines
    assert all(line.split(maxsplit=1)[1:] for line in lines if line.split()[0] != "silent")


def test_a_copy_brings_its_neighbours(empty):
    (empty / "there").mkdir()
    (empty / "there/mine.py").write_text("import helper")
    (empty / "there/helper.py").write_text("import optax")
    copy_experiment(empty / "there/mine.py", empty / "new/own.py")
    assert {file.name: file.read_text() for file in (empty / "new").iterdir()} == {
        "own.py": "import helper",
        "helper.py": "import optax",
    }
    copy_experiment(empty / "there/mine.py", empty / "there/own.py")  # beside the same helper
    with pytest.raises(UserError, match="own.py is there already; name another file to copy mine to"):
        copy_experiment(empty / "there/mine.py", empty / "there/own.py")
    with pytest.raises(UserError, match="helper.py is there already"):
        copy_experiment(empty / "there/mine.py", empty / "new/other.py")
    with pytest.raises(UserError, match=r"ends in \.py, and .*own does not"):
        copy_experiment(empty / "there/mine.py", empty / "own")
    assert not (empty / "new/other.py").exists() and not (empty / "own").exists()


def test_the_wheel_has_every_folder_of_python():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {
        file.parent.relative_to(ROOT) for home in ("genjax_zoo", "experiments") for file in (ROOT / home).rglob("*.py")
    }
    names = {".".join(folder.parts) for folder in folders}
    mapping = {name: folder for name, folder in settings["package-dir"].items()}
    assert mapping == {"genjax_zoo.experiments": "experiments"}
    assert set(settings["packages"]) == {re.sub("^experiments", "genjax_zoo.experiments", name) for name in names}


def unsaid(source, name):
    """What an experiment's file leaves out."""
    tree = ast.parse(source)
    about = ast.get_docstring(tree) or ""
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "experiment")
    called = {n.func.id for n in ast.walk(function) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    words, args = " ".join(about.split()), (ast.get_docstring(function) or "").partition("Args:")[2]
    said = {
        "command": re.search(rf"^    (GENJAX_ZOO_DATA=FOLDER )?genjax-zoo (train|sweep) {name}\b", about, re.M),
        "cost": re.search(r"^Cost: \w", about, re.M),
        "number": re.search(r"Expected\b.*\d|[Uu]nfinished", words),
        "helper": called & {"likelihood_experiment", "gan_experiment"} or "Experiment of its own" in words,
        **{one.arg: re.search(rf"^ *{one.arg}: \w", args, re.M) for one in function.args.kwonlyargs},
    }
    return {what for what, found in said.items() if not found}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_experiment_says_what_is_its_own(file):
    assert unsaid(file.read_text(), file.stem) == set()


def test_control_of_what_is_unsaid():
    source = '''"""A model.

    genjax-zoo train other
"""

def experiment(*, steps: int = 1):
    """Its paper."""
    return Experiment(steps=steps)
'''
    assert unsaid(source, "mine") == {"command", "cost", "number", "helper", "steps"}
