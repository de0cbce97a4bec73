"""An experiment's file and the modules beside it: how they are loaded, copied and compared."""

import shutil
import sys
from pathlib import Path

import pytest
from test_readers import MINE as ON_DIGITS

from genjax_zoo import cli
from genjax_zoo.compare.scores import data_of
from genjax_zoo.runs import load_experiment
from genjax_zoo.runs.folder import check_run, clear_run, open_run, write_run

HELPER = "from package import part\n\nNUMBER = part.number()\n"
MINE = """from helper import NUMBER

def experiment():
    import late  # beside the file, and imported when it is called
    return NUMBER + late.MORE
"""


def write(folder, **files):
    """Files by their names, "/" written as "__in__"."""
    for name, text in files.items():
        path = folder / f"{name.replace('__in__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def beside(folder, number=3, more=100):
    write(folder, mine=MINE, helper=HELPER, late=f"import deeper.still.module as m\nMORE = m.MORE + {more}\n")
    write(folder, deeper__in__still__in__module="MORE = 1_000\n", unused="raise SystemExit\n")
    write(folder, package__in____init__="", package__in__part="from . import other\n\nnumber = other.number\n")
    write(folder, package__in__other=f"def number():\n    return {number}\n")
    return folder / "mine.py"


def test_modules_beside_the_file_are_its_own(tmp_path):
    """Of every kind: packages, folders without __init__.py, relative imports, imports in a function."""
    first, second = (load_experiment(beside(tmp_path / name, n, n)) for name, n in (("one", 1), ("two", 2)))
    assert [first(), second(), first()] == [1_002, 1_004, 1_002]
    assert not {"helper", "late", "package", "deeper"} & sys.modules.keys()
    assert str(tmp_path) not in " ".join(sys.path)


def test_a_run_has_copies_of_the_modules(tmp_path):
    """It does not need the folder that it came from; and a run that was moved is as good."""
    file = beside(tmp_path / "mine")
    open_run(tmp_path / "run", file, {})
    kept = {path.relative_to(tmp_path / "run").as_posix() for path in (tmp_path / "run").rglob("*.py")}
    modules = ("helper", "late", "package/__init__", "package/part", "package/other", "deeper/still/module")
    assert kept == {"experiment.py", *(f"modules/{name}.py" for name in modules)}
    beside(tmp_path / "mine", 4)
    assert load_experiment(tmp_path / "run/experiment.py")() == 1_103
    shutil.rmtree(tmp_path / "mine")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert load_experiment(tmp_path / "moved/experiment.py")() == 1_103
    open_run(tmp_path / "moved", tmp_path / "moved/experiment.py", {})  # going on with its own copy
    open_run(tmp_path / "other", tmp_path / "moved/experiment.py", {})
    clear_run(tmp_path / "moved", tmp_path / "moved/experiment.py")
    assert load_experiment(tmp_path / "moved/experiment.py")() == 1_103
    assert load_experiment(tmp_path / "other/experiment.py")() == 1_103
    assert not [*tmp_path.rglob("__pycache__")]


def test_a_changed_module_is_shown_as_a_changed_file_is(tmp_path):
    file, run = beside(tmp_path / "mine"), tmp_path / "run"
    open_run(run, file, {})
    write(file.parent, helper=HELPER.replace("part.number()", "part.number()  # three") + "\n", unused="1\n")
    check_run(run, file, {})
    beside(file.parent, 4)
    with pytest.raises(ValueError, match=r"package/other.py has changed since .* it had `return 3` and it has `return"):
        check_run(run, file, {})
    assert load_experiment(run / "experiment.py")() == 1_103
    check_run(run, file, {}, accept_changes=True)
    open_run(tmp_path / "another", file, {})
    write(file.parent, helper="NUMBER = 7\n")
    check_run(tmp_path / "another", file, {}, accept_changes=True)


def test_what_is_no_more_imported_is_no_more_kept(tmp_path):
    file = write(tmp_path, mine="import helper, late\nexperiment = dict\n", helper="", late="") / "mine.py"
    write_run(tmp_path / "run", file, {})
    write(tmp_path, mine="import helper\nexperiment = dict\n")
    write_run(tmp_path / "run", file, {})
    assert [path.name for path in (tmp_path / "run/modules").iterdir()] == ["helper.py"]


def test_commands_read_a_run_of_an_experiment_with_a_module_beside_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mine", random=ON_DIGITS.replace("import jax,", "from helper import STEPS\nimport jax,", 1))
    write(tmp_path / "mine", helper="STEPS = 2\n")
    cli.console(["train", "mine/random.py", "--workdir", "run"])
    shutil.rmtree("mine")
    cli.console(["sample", "run", "-n", "2"])
    cli.console(["eval", "run"])
    assert data_of(Path("run")) == "digits/test"
    assert "test/w" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["json", "random", "types", "numpy", "jax", "experiment", "my-vae.v2", "class"])
def test_an_experiment_of_any_name_shadows_nothing(tmp_path, name):
    """Neither itself nor what lies beside it hides the standard library or what is installed."""
    write(tmp_path, json="1 / 0", numpy="1 / 0", jax="1 / 0")
    (tmp_path / f"{name}.py").write_text("import json, random, numpy\ndef experiment():\n    return numpy.array(3)\n")
    before = sys.modules.get(name)
    assert load_experiment(tmp_path / f"{name}.py")() == 3
    assert sys.modules.get(name) is before


@pytest.mark.parametrize(
    "files, sentence",
    [
        ({"mine": "x = 1\ndef experiment(:\n"}, r"mine\.py, line 2, is no Python: invalid syntax"),
        ({"mine": "\nimport helper", "helper": "\n\nx = ="}, r"helper\.py, line 3, is no Python: invalid syntax"),
        ({"mine": "\nimport torch_of_no_kind.nn"}, r"mine\.py, line 2, imports 'torch_of_no_kind', which is neither"),
        ({"mine": "import helper", "helper": "\nimport nosuch"}, r"helper\.py, line 2, imports 'nosuch', which is nei"),
        ({"mine": "import package.sub", "package__in__a": ""}, r"mine\.py, line 1, imports 'package\.sub', which"),
        ({"mine": "from helper import y", "helper": ""}, r"mine\.py, line 1, raised ImportError: .* 'y' from 'helper'"),
        ({"mine": "\nx = 1\ny = 1 / 0"}, r"mine\.py, line 3, raised ZeroDivisionError: division by zero"),
        (
            {"mine": "import helper\nhelper.f()", "helper": "def f():\n    {}[2]"},
            r"helper\.py, line 2, raised KeyError: 2",
        ),
        (
            {"mine": "from genjax_zoo import data\ndata.load('digit', 'train', batch_size=2)"},
            r"mine\.py, line 2, .*mean 'digits'",
        ),
        ({"mine": "x = '\0'\n"}, r"mine\.py, line \d, is no Python"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_named_with_the_line(tmp_path, monkeypatch, files, sentence):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"^{sentence}"):
        load_experiment(write(tmp_path, **files).relative_to(tmp_path) / "mine.py")
