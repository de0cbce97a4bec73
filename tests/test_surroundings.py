"""What a command does without a home, a cache or a device, where few letters can be shown, with a stranger's run."""

import contextlib
import io
import os
import pwd
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
import test_readers

from genjax_zoo import cli, files, restore
from genjax_zoo.cli.entry import use_compilation_cache
from genjax_zoo.data import store
from genjax_zoo.runs import build
from genjax_zoo.runs import trust as trusted


@pytest.fixture(autouse=True)
def own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr(trusted, "_given", set())
    files._temporary.cache_clear()


@pytest.fixture
def homeless(monkeypatch):
    """No HOME, and a user without an entry."""

    def nobody(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "JAX_COMPILATION_CACHE_DIR", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)


def no_cache(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nope")
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)


@contextlib.contextmanager
def without_jax_cache():
    """As in a new process, in which no variable names a folder."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


@pytest.mark.parametrize("surroundings", ["homeless", "no cache"])
def test_what_cannot_be_cached_is_made_in_a_temporary_folder(surroundings, monkeypatch, request, capsys, tmp_path):
    """Said in one line, once."""
    request.getfixturevalue("homeless") if surroundings == "homeless" else no_cache(monkeypatch)
    with without_jax_cache():
        use_compilation_cache()
        compiled = Path(jax.config.jax_compilation_cache_dir)  # type: ignore[attr-defined]
    arrays = store.store_arrays("numbers", 1, lambda folder: {"x": np.arange(3)})
    assert np.asarray(arrays["x"]).tolist() == [0, 1, 2]
    assert compiled.is_dir() and files.can_write(compiled)
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "nothing is cached for the next start" in said


def test_a_cache_that_can_only_be_read_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    store.store_arrays("numbers", 1, lambda folder: {"x": np.arange(3)})
    monkeypatch.setattr(files, "can_write", lambda folder: False)

    def never(folder):
        raise AssertionError("made again")

    assert np.asarray(store.store_arrays("numbers", 1, never)["x"]).tolist() == [0, 1, 2]
    others = store.store_arrays("numbers", 2, lambda folder: {"x": np.arange(4)})
    assert len(others["x"]) == 4 and not Path(others["x"].path).is_relative_to(tmp_path)


def test_sets_are_looked_for_without_a_home(homeless, monkeypatch):
    from genjax_zoo.data import places

    monkeypatch.setenv("GENJAX_ZOO_DATA", "")
    assert places.roots() == []


@pytest.mark.parametrize("error", [RuntimeError("Unable to initialize backend 'tpu'\nmore"), AssertionError()])
def test_a_device_that_is_not_there(error, monkeypatch):
    def devices():
        raise error

    monkeypatch.setattr(jax, "devices", devices)
    with pytest.raises(ValueError, match="JAX has no device of JAX_PLATFORMS=.*; unset it, or install JAX") as said:
        build(lambda: None, {})  # type: ignore[arg-type, return-value]
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_of_few_letters_gets_what_it_can_show(encoding, monkeypatch):
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)
    cli.console(["list"])
    print("Fréchet 0.486 ± 0.1 ━━ Δ 語")
    stream.flush()
    last = written.getvalue().decode(encoding).splitlines()[-1]
    assert last == {"ascii": "Frechet 0.486 +- 0.1 ?? ? ?"}.get(encoding, "Fréchet 0.486 ± 0.1 ?? ? ?")


@pytest.fixture
def foreign(monkeypatch, tmp_path):
    """A run of another user."""
    test_readers.made(tmp_path / "theirs", (0.5, 0.8, {"test/w": 0.1}))
    monkeypatch.setattr(os, "getuid", lambda: 12_345)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(trusted, "_given", set())
    return tmp_path / "theirs"


COMMANDS = [["eval"], ["sample", "-n", "1"], ["latent", "-n", "1"], ["compare", "-n", "20", "-k", "3"], ["report"]]


def page(folder):
    return (folder / "report.html").read_text() if (folder / "report.html").exists() else ""


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_the_code_of_a_stranger_is_asked_about(command, foreign, capsys):
    foreign.joinpath("experiment.py").write_text("raise SystemExit('their code has run')")
    argv = [command[0], "theirs", *command[1:]]
    with pytest.raises(SystemExit) as ended:
        cli.console(argv)
    error = capsys.readouterr().err.strip()
    assert ended.value.code == 2 and "made by another user (root)" in error or "another user (user" in error
    assert "theirs/experiment.py" in error and "--trust" in error
    with contextlib.suppress(SystemExit):  # a report is made all the same
        cli.console([*argv, "--trust"])
    assert "their code has run" in "".join(capsys.readouterr()) + page(foreign)


def test_trust_is_asked_once_and_for_the_text_that_was_there(foreign, monkeypatch):
    for _ in range(2):
        with pytest.raises(ValueError, match="take --trust, once"):
            restore("theirs")
    restore("theirs", trust=True)
    monkeypatch.setattr(trusted, "_given", set())  # another process
    restore("theirs")
    foreign.joinpath("experiment.py").write_text(test_readers.MINE + "\n")
    with pytest.raises(ValueError, match="take --trust, once"):
        restore("theirs")


def test_a_user_without_a_home_trusts_for_a_while(foreign, homeless):
    restore("theirs", trust=True)
    restore("theirs")


def test_ones_own_runs_are_not_asked_about(foreign, monkeypatch):
    monkeypatch.undo()
    restore(foreign)
