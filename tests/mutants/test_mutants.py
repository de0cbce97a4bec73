"""Every mistake of the table is seen by the tests that it names: `pytest -m mutants`."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from table import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]


def name_of(mutant):
    return f"{mutant.file}: {mutant.new.strip()[:60]}"


def changed(source, mutant):
    """The source with the mistake in it."""
    found = source.count(mutant.old)
    assert found == 1, f"{mutant.file} has {mutant.old!r} {found} times; name a line that it has once"
    return source.replace(mutant.old, mutant.new)


def failing(mutant, folder):
    """Runs the mutant's tests on a copy of the package with the mistake in it.

    Returns:
        Those that failed, of those named.

    Raises:
        AssertionError: a test was not found, or ended in an error outside of any test.
    """
    names = ("genjax_zoo", "tests", "experiments", "pyproject.toml", "README.md")
    for name in names:
        source, target = ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    path = folder / "genjax_zoo" / mutant.file
    path.write_text(changed(path.read_text(), mutant))
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-rfE", "-m", ""]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    ran = subprocess.run(
        [*command, *(f"tests/{test}" for test in mutant.tests)],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode in (0, 1), f"the tests did not run:\n{ran.stdout[-3000:]}{ran.stderr[-1000:]}"
    outcomes = Counter(re.findall(r"^(FAILED|ERROR) ", ran.stdout, re.M))
    assert not outcomes["ERROR"], f"an error outside of the tests:\n{ran.stdout[-3000:]}"
    failed = re.findall(r"^FAILED tests/(.*)$", ran.stdout, re.M)
    return [test for test in mutant.tests if any(re.match(re.escape(test) + r"(\[| |$)", line) for line in failed)]


@pytest.mark.mutants
@pytest.mark.parametrize("mutant", MUTANTS, ids=name_of)
def test_mutant(mutant, tmp_path):
    survived = sorted(set(mutant.tests) - set(failing(mutant, tmp_path)))
    assert not survived, f"{survived[0]} does not see that {mutant.old!r} became {mutant.new!r}"


@pytest.mark.mutants
def test_control_a_harmless_change_survives(tmp_path):
    tests = ("test_step.py::test_one_turn_by_hand",)
    assert failing(Mutant("train/step.py", "step=state.step + 1", "step=1 + state.step", tests), tmp_path) == []


def test_every_line_is_there():
    """A row whose line was changed says so at once, not in the night."""
    for mutant in MUTANTS:
        source = (ROOT / "genjax_zoo" / mutant.file).read_text()
        assert changed(source, mutant) != source
        compile(changed(source, mutant), mutant.file, "exec")
    assert len({(m.file, m.old, m.new) for m in MUTANTS}) == len(MUTANTS)


def test_control_a_line_that_is_not_there():
    with pytest.raises(AssertionError, match="has 'no such line' 0 times"):
        changed("source", Mutant("train/step.py", "no such line", "", ()))
