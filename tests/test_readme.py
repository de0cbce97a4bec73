"""What the README says can be done."""

import re
import subprocess
import sys
from pathlib import Path

from genjax_zoo import cli, restore
from genjax_zoo.run import load_experiment

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def test_your_own_model(tmp_path, monkeypatch):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    (tmp_path / "mine.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    cli.main(load_experiment(tmp_path / "mine.py"), ["train", "--steps", "3"])
    assert int(restore("runs/mine")[1].step) == 3
    assert (tmp_path / "runs/mine/samples.png").exists()
    cli.main(load_experiment(tmp_path / "mine.py"), ["eval", "runs/mine"])


def test_experiments_named_exist():
    named = re.findall(r"`(\w+_(?:digits?|mnist|points))`", README)
    assert named and all((ROOT / f"experiments/{name}.py").exists() for name in named)
    assert {p.stem for p in (ROOT / "experiments").glob("*.py")} <= set(named)


def test_commands_are_what_ci_runs():
    script = (ROOT / ".ci/run").read_text()
    assert "README.md" in script
    done = subprocess.run(
        [sys.executable, "-m", "genjax_zoo.cli", "--help"], capture_output=True, text=True, check=True
    )
    for command in re.findall(r"^    genjax-zoo (\w+)", README, re.M):
        assert command in done.stdout
