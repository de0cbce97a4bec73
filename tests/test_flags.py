"""Flags of every command: both ways to write them, what --help says of them, and that nothing else is configured."""

import ast
import functools
import importlib
import inspect
import os
import re
import subprocess
import sys
import types
import typing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import test_refusals

import genjax_zoo
from genjax_zoo import cli, data
from genjax_zoo.cli.entry import COMMANDS, OF_EXPERIMENTS
from genjax_zoo.cli.flags import RunFlags, parameters_of, parse_experiment
from genjax_zoo.cli.parsing import by_flag, flag_of, number_type, parse
from genjax_zoo.cli.sweep import read_lists

ROOT = Path(__file__).parent.parent
PACKAGE = Path(genjax_zoo.__file__).parent
OF_RUN = parameters_of(RunFlags)
FLAGS = [
    (command, name)
    for command, run in {**COMMANDS, "train FILE": RunFlags}.items()
    for name, one in parameters_of(run).items()
    if one.default is not one.empty and "Positional" not in repr(one.annotation) and command not in OF_EXPERIMENTS
]


def words_of(annotation):
    """A value of a type, as one writes it: two where there may be several."""
    bare = typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation
    if typing.get_origin(bare) in (typing.Union, types.UnionType):
        bare = next(kind for kind in typing.get_args(bare) if kind is not types.NoneType)
    if typing.get_origin(bare) is typing.Literal:
        return [str(typing.get_args(bare)[-1])]
    several = 2 if typing.get_origin(bare) is tuple else 1
    kind = typing.get_args(bare)[0] if several == 2 else bare
    return [{int: "3", float: "0.5", bool: "True", Path: "a/b", str: "x"}[kind]] * several


@pytest.mark.parametrize("command, name", FLAGS)
def test_a_value_is_bound_by_a_space_or_by_an_equals_sign(command, name):
    known = OF_RUN if command == "train FILE" else parameters_of(COMMANDS[command])
    first, *more = words = words_of(known[name].annotation)
    given = [] if command == "train FILE" else ["run"]
    if known[name].default is True:
        assert parse(known, [*given, f"{flag_of(name)}=False"], prog="it")[name] is False
        return
    on = [flag_of(name)] if words == ["True"] else [flag_of(name), *words]
    apart = parse(known, [*given, *on], prog="it")
    bound = parse(known, [*given, f"{flag_of(name)}={first}", *more], prog="it")
    assert apart == bound and apart[name] != known[name].default
    if words == ["True"]:
        assert parse(known, [*given, f"{flag_of(name)}=false"], prog="it")[name] is False
    assert parse(known, [*given, f"--{name}={first}", *more], prog="it") == bound  # with _ for -


def help_of(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        cli.console([*words, "--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0
    return " ".join(re.sub(r"[│╭╮╰╯─•]", " ", out).split())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_what_stands_where_nothing_is_given(command, capsys):
    """Of an experiment's commands, with its file and without."""
    of_file = [[str(ROOT / "experiments/vae_digits.py")]] if command in OF_EXPERIMENTS else []
    for words in [[], *of_file]:
        said = help_of(capsys, command, *words)
        assert f"usage: genjax-zoo {command}" in said
        assert "(default: None)" not in said and "(default: )" not in said


def test_help_names_the_folder_of_the_run(capsys):
    file = str(ROOT / "experiments/vae_digits.py")
    assert "(default: runs/vae_digits)" in help_of(capsys, "train", file)
    assert "(default: runs/vae_digits_sweep)" in help_of(capsys, "sweep", file)
    assert "(default: the experiment's own)" in help_of(capsys, "train", file)


def test_help_of_a_sweep_says_how_numbers_are_listed(capsys):
    said = help_of(capsys, "sweep")
    assert "--seed 0,3,7" in said and "--seeds N` is short for `--seed 0,1,...,N-1`" in said


def test_an_experiments_own_argument_takes_the_place_of_a_runs(tmp_path):
    def experiment(*, precision: float = 0.5, width: int | None = None, log_every: int = 3):
        """With arguments of two names that every run has."""

    values, run = parse_experiment(experiment, tmp_path / "mine.py", ["--precision=0.25", "--width", "None"])
    assert values == {"precision": 0.25, "width": None, "log_every": 3}
    assert (run.log_every, run.precision) == (3, "float32")


def test_arguments_that_say_no_type_and_those_that_take_any(tmp_path):
    def experiment(shift, *rest, width=4, copy: int = 3, **more):
        """A function as users write them."""

    bound = functools.partial(experiment, 1)
    values, run = parse_experiment(bound, tmp_path / "mine.py", ["--width=5", "--copy", "2"])
    assert values == {"width": 5, "copy": 2} and run.copy is None
    assert read_lists(["--width", "4,5"], parameters_of(bound))[1] == {"width": [4, 5]}


@pytest.mark.parametrize(
    "annotation, kind",
    [(int, int), (float | None, float), (typing.Annotated[int, "x"], int), (bool, None), (tuple[int], None)],
)
def test_the_type_of_a_number(annotation, kind):
    assert number_type(annotation)[0] is kind


def test_words_are_of_the_flag_before_them():
    words = ["a", "--x_y", "1", "-2", "--z=3,4", "5", "-n", "6", "--learning-rate", "-inf"]
    found = [("", ["a"]), ("--x-y", ["1", "-2"]), ("--z", ["3,4", "5"]), ("-n", ["6"]), ("--learning-rate", ["-inf"])]
    assert by_flag(words) == found


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["sample"], "Missing from genjax-zoo sample"),
        (["train", str(ROOT / "experiments/vae_digits.py"), "--data-dir"], "Missing value for argument '--data-dir'"),
    ],
)
def test_what_the_parser_alone_knows_stands_in_its_box(words, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.console(words)
    said = capsys.readouterr()
    assert ended.value.code == 2 and sentence in said.err and "--help" in said.err and not said.out


@pytest.mark.processes
@pytest.mark.parametrize("words", [["--version"], ["--help"], []])
def test_the_package_is_a_command_and_answers_without_jax(words):
    code = f"import sys, genjax_zoo.cli as c\ntry: c.console({words})\nfinally: print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    called = subprocess.run([sys.executable, "-m", "genjax_zoo", *words], capture_output=True, text=True, check=True)
    expected = "usage: genjax-zoo" if words != ["--version"] else "genjax-zoo "
    assert called.stdout.startswith(expected) and (words != ["--version"] or ", jax 0." in called.stdout)


def test_every_file_of_a_command_is_one_line_of_the_table():
    """A new command touches its file and the table alone."""
    of_all = {"__init__", "entry", "flags", "parsing", "start"}
    files = {path.stem for path in (PACKAGE / "cli").glob("*.py")} - of_all
    assert {run.__module__.rpartition(".")[2] for run in COMMANDS.values()} == files
    for name in files:
        module = importlib.import_module(f"genjax_zoo.cli.{name}")
        assert (module.__doc__ or "").startswith("genjax-zoo ")
        assert all(inspect.getdoc(run) for run in COMMANDS.values())


CHANGING = ("setdefault", "update", "pop", "popitem", "clear", "__setitem__", "putenv", "unsetenv")


def writes_to_the_environment(source):
    """The lines of Python code that change os.environ, or may."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Subscript(value=target, ctx=ast.Store() | ast.Del()) | ast.AugAssign(target=target):
                text = ast.unparse(target)
            case ast.Call(func=ast.Attribute(value=target, attr=attr)) if attr in CHANGING:
                text = f"{ast.unparse(target)} {attr}"
            case _:
                continue
        if re.search(r"\b(environ|putenv|unsetenv)\b", text):
            found.add(node.lineno)
    return sorted(found)


def test_no_code_of_ours_writes_the_environment():
    for path in PACKAGE.rglob("*.py"):
        assert not writes_to_the_environment(path.read_text()), path
    for control in (  # each would be seen
        "import os\nos.environ['A'] = '1'",
        "from os import environ\nenviron['A'] = '1'",
        "import os\ndel os.environ['A']",
        "import os\nos.environ.setdefault('A', '1')",
        "import os\nos.environ.update(A='1')",
        "import os\nos.environ |= {'A': '1'}",
        "import os\nos.putenv('A', '1')",
    ):
        assert writes_to_the_environment(control) == [2], control
    assert not writes_to_the_environment("import os\nx = os.environ.get('A'), os.environ['A']")


def test_the_environment_is_read_for_data_in_one_place():
    for name in ("GENJAX_ZOO_DATA", "TFDS_DATA_DIR"):
        readers = [
            path.relative_to(PACKAGE).as_posix()
            for path in PACKAGE.rglob("*.py")
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Constant) and node.value == name
        ]
        assert readers == ["data/places.py"]


def test_a_command_leaves_the_environment_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sets").mkdir()
    (tmp_path / "mine.py").write_text(test_refusals.TINY)
    importlib.import_module("sklearn.datasets")  # sets variables of its own
    before = dict(os.environ)
    cli.console(["train", "mine.py", "--data-dir", "sets"])
    assert dict(os.environ) == before and data.folder() != str(tmp_path / "sets")
    cli.console(["sweep", "mine.py", "--data-dir=sets", "--workdir", "swept"])
    assert dict(os.environ) == before and data.folder() != str(tmp_path / "sets")


def test_looking_is_of_its_time(tmp_path, monkeypatch):
    monkeypatch.setenv("GENJAX_ZOO_DATA", str(tmp_path / "named"))
    (tmp_path / "looked").mkdir()
    with data.look_in(str(tmp_path / "looked")):
        assert data.folder() == str(tmp_path / "looked")
        with ThreadPoolExecutor() as threads:  # which load splits side by side
            assert threads.submit(data.folder).result() == str(tmp_path / "looked")
        with data.look_in(None):
            assert data.folder() == str(tmp_path / "looked")
        assert data.folder() == str(tmp_path / "looked")
    assert data.folder() == str(tmp_path / "named")
    with data.look_in(str(tmp_path / "nowhere")):
        assert data.folder() == str(tmp_path / "named")


def test_an_experiment_is_copied_to_be_changed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    file = ROOT / "experiments/vae_digits.py"
    cli.console(["train", str(file), "--copy", "mine.py"])
    out = capsys.readouterr().out
    assert "genjax-zoo train mine.py" in out and out.count("\n") == 1
    assert (tmp_path / "mine.py").read_text() == file.read_text() and not (tmp_path / "runs").exists()
    for words in (["--copy=mine.py"], ["--copy", "mine.txt"]):
        with pytest.raises(SystemExit) as ended:
            cli.console(["train", str(file), *words])
        assert ended.value.code == 2 and "name another" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.py"]


@pytest.mark.processes
@pytest.mark.parametrize("given", [False, True])
def test_compiled_programs_are_kept(given, tmp_path):
    """In the user's cache folder, or where JAX's own variable says, with the first program that is compiled."""
    code = (
        "from genjax_zoo.cli.entry import use_compilation_cache\nuse_compilation_cache()\nimport jax\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.0)\n"
        "jax.config.update('jax_persistent_cache_min_entry_size_bytes', -1)\njax.jit(lambda x: x + 1)(1.0)\n"
    )
    kept = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path / "named")} if given else {}
    clean = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION")}
    environment = {**clean, "XDG_CACHE_HOME": str(tmp_path / "cache"), "JAX_PLATFORMS": "cpu", **kept}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    here, elsewhere = tmp_path / "cache/genjax_zoo/jax", tmp_path / "named"
    here, elsewhere = (elsewhere, here) if given else (here, elsewhere)
    assert list(here.iterdir()) and not elsewhere.exists()
