"""What a run is called, beside others and in a sweep, and by which command it was made; and what others wrote stays."""

import io
import json
import re
import shlex

import pytest
import run_folders
from page_elements import Elements
from rich.console import Console
from test_leaderboard import row

from genjax_zoo import cli
from genjax_zoo.compare import table as compare
from genjax_zoo.compare.measures import Measurement
from genjax_zoo.runs import sweep as sweeps

EXPERIMENT = """
import jax.numpy as jnp, numpy as np, optax
from genjax_zoo import Experiment, Model, Player, data

def experiment(*, rate: float = 0.1, name: str = "one", seed: int = 0):
    source = data.Resident(
        arrays={"x": jnp.ones((8, 2))}, transform=lambda raw, keys: raw, batch_size=8, seed=0, train=True
    )
    far = lambda variables, batch: {"far": (batch["x"] - variables["params"]["w"]["w"])[:, 0]}
    terms = lambda variables, batch, key, train: (far(variables, batch), variables)
    init = lambda key, batch: {"params": {"w": {"w": jnp.zeros(2)}}}
    player = Player(terms=terms, weights={"far": 1.0}, tx=optax.sgd(rate))
    model = Model(spec=source.spec, init=init)
    return Experiment(model=model, players={"w": player}, data=source, steps=1, seed=seed)
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "it's mine.py"
    path.write_text(EXPERIMENT)
    return path


@pytest.fixture
def folders(tmp_path):
    """Three runs of one name, and a member of a sweep of each of two of them."""
    names = ("a/runs/x", "b/runs/x", "c/x", "a/runs/s/seed=0", "b/runs/s/seed=0")
    return [run_folders.trained(tmp_path / name) for name in names]


@pytest.fixture
def swept(tmp_path):
    """A sweep's folder."""
    for seed in (10, 2, 0, 1):
        run_folders.trained(tmp_path / f"sweep/rate=0.1,seed={seed}")
    (tmp_path / "sweep/sweep.json").write_text("[]")
    return tmp_path / "sweep"


def refused(capsys, *words):
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.console([str(word) for word in words])
    error = capsys.readouterr().err.strip()
    assert ended.value.code == 2 and "\n" not in error
    return error


def text_of(page):
    return Elements(page.read_text()).text


NAMES = {"a/runs/x", "b/runs/x", "c/x", "a/runs/s/seed=0", "b/runs/s/seed=0"}


def test_runs_of_one_name_are_told_apart_on_a_page(folders, tmp_path):
    page = tmp_path / "page.html"
    cli.console(["report", *map(str, folders), str(folders[0]), "--no-compute", "--out", str(page)])
    text = text_of(page)
    assert all(name in text for name in NAMES) and "5 runs side by side" in text  # one that is named twice is one


def measured(monkeypatch, **cells):
    monkeypatch.setattr(compare, "data_of", lambda folder: "digits/test")
    monkeypatch.setattr(compare, "score", lambda folder, *a, **k: row(folder.name, **cells))


def test_runs_of_one_name_are_told_apart_in_a_leaderboard(folders, tmp_path, monkeypatch):
    measured(monkeypatch)
    out = tmp_path / "board.json"
    cli.console(["compare", *map(str, folders), "--out", str(out)])
    assert {found["run"] for found in json.loads(out.read_text())["rows"]} == NAMES


@pytest.mark.parametrize("command", ["sample", "eval", "latent", "watch"])
def test_of_a_sweep_one_member_is_to_be_named(command, swept, capsys):
    names = ", ".join(f"rate=0.1,seed={seed}" for seed in (0, 1, 2, 10))
    assert f"{swept} is a sweep of 4 runs: name one of {names} in it." in refused(capsys, command, swept)
    assert sorted(path.name for path in swept.iterdir() if path.suffix == ".png") == []


def test_a_sweeps_page_and_leaderboard_are_of_all_members(swept, tmp_path, monkeypatch, capsys):
    cli.console(["report", str(swept), "--no-compute"])
    found = re.findall(r"sweep/rate=0.1,seed=\d+", text_of(swept / "report.html"))
    assert list(dict.fromkeys(found)) == [f"sweep/rate=0.1,seed={seed}" for seed in (0, 1, 2, 10)]
    measured(monkeypatch)
    cli.console(["compare", str(swept)])
    assert len(json.loads((swept / "leaderboard.json").read_text())["rows"]) == 4
    run_folders.start(tmp_path / "alone")
    (tmp_path / "alone/checkpoints/1").mkdir(parents=True)
    capsys.readouterr()
    cli.console(["compare", "--all", str(tmp_path)])
    assert f"Left out: {swept} is a sweep of 4 runs" in capsys.readouterr().out


def test_a_sweep_is_no_run_and_a_run_no_sweep(file, swept, tmp_path, capsys):
    run = run_folders.start(tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert "is a sweep of 4 runs" in refused(capsys, "train", file, "--workdir", swept)
    assert "is a sweep of 4 runs" in refused(capsys, "train", file, "--workdir", swept, "--fresh")
    assert "holds a single run, not a sweep" in refused(capsys, "sweep", file, "--workdir", run)
    assert "holds a single run, not a sweep" in refused(capsys, "sweep", file, "--workdir", run, "--fresh")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if "__pycache__" not in path.parts} == before


def test_the_command_on_a_page_is_the_one_that_made_the_run(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train = ["train", file.name, "--workdir", "one run", "--name", "a b", "--rate", "0.2"]
    sweep = ["sweep", str(file), "--rate", "0.1,0.2", "--seeds", "2", "--workdir", "many"]
    for words, folder in ((train, "one run"), (sweep, "many/rate=0.2,seed=1")):
        for more in ([], ["--fresh"]):
            cli.console([*words, *more])
        cli.console(["report", folder, "--no-compute"])
        assert shlex.join(["genjax-zoo", *words]) in text_of(tmp_path / folder / "report.html")


def rows_of(count, metrics):
    results = {
        f"test/a_long_name_of_a_metric_{i}": {"mean": 1.2345 * 10**i, "standard_error": 0.0123, "values": [0.0]}
        for i in range(metrics)
    }
    numbers = [{"learning_rate": 0.0012345678 + i * 1e-10, "beta": 0.5} for i in range(count)]
    return [{"numbers": one, "seeds": 3, "failed": {}, "results": results} for one in numbers]


@pytest.mark.parametrize("width", [20, 50, 80, 200])
def test_no_cell_of_a_sweeps_table_loses_a_digit(width):
    console = Console(width=width, file=io.StringIO(), record=True)
    rows = rows_of(4, 5)
    sweeps.print_table(console, rows)
    text = console.export_text()
    joined = text.replace("\n", "").replace(" ", "")
    for one in rows:
        assert str(one["numbers"]["learning_rate"]) in joined
        for name, found in one["results"].items():
            assert f"{found['mean']:.4g}+-0.012" in joined and name in joined
    assert "\u2026" not in text
    assert all(len(line) <= width for line in text.splitlines())


def compared(out, *names, **protocol):
    console = Console(width=200, file=io.StringIO(), record=True)
    compare.compare_runs([run for run in names], Measurement(**protocol), out=out, console=console)
    return console.export_text()


def test_a_leaderboard_of_other_runs_is_kept(tmp_path, monkeypatch):
    measured(monkeypatch)
    out, (a, b, c) = tmp_path / "leaderboard.json", (tmp_path / name for name in "abc")
    assert "is kept" not in compared(out, a, b) and "is kept" not in compared(out, a, b, c)  # all that it held is in it
    of_three = out.read_text()
    assert f"{out} was of other runs or another protocol: it is kept as {tmp_path}/leaderboard.1.json." in compared(
        out, a
    )
    assert (tmp_path / "leaderboard.1.json").read_text() == of_three
    out.write_text("my own notes")
    compared(out, a)
    assert (tmp_path / "leaderboard.2.json").read_text() == "my own notes"


def unwritable(path):
    """As of a disk that is only read, whoever asks: what `whole` writes first cannot be."""
    path.with_name(f"{path.stem}.tmp{path.suffix}").mkdir(parents=True)
    return path


def test_a_leaderboard_that_cannot_be_written_is_still_printed(tmp_path, monkeypatch):
    measured(monkeypatch)
    text = compared(unwritable(tmp_path / "board.json"), tmp_path / "a", tmp_path / "b")
    assert "board.json cannot be written (" in text and "No number for bits/dim" in text


def test_a_page_that_cannot_be_written_beside_its_run_is_written_here(folders, tmp_path, monkeypatch, capsys):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    path = unwritable(folders[0] / "report.html")
    cli.console(["report", str(folders[0]), "--no-compute"])
    assert f"{path} cannot be written (" in capsys.readouterr().out
    assert "A model on digits" in text_of(tmp_path / "here/x.html")
    asked = unwritable(tmp_path / "asked.html")
    assert "asked.tmp.html" in refused(capsys, "report", folders[1], "--no-compute", "--out", asked)
