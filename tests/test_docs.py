"""The pages of docs/: those written from results are what the results say, and all of them name what there is."""

import ast
import dataclasses
import importlib
import importlib.util
import json
import re
from pathlib import Path

import pytest
from test_imports import ROWS

from genjax_zoo.cli.entry import COMMANDS
from genjax_zoo.cli.flags import RunFlags
from genjax_zoo.cli.listing import experiments
from genjax_zoo.compare.published import PUBLISHED
from genjax_zoo.data import PROTOCOLS
from genjax_zoo.models import MODELS

ROOT = Path(__file__).parent.parent
DOCS = {path.name: path.read_text() for path in sorted((ROOT / "docs").glob("*.md"))}
PAGES = {**DOCS, "README.md": (ROOT / "README.md").read_text()}
PROSE = {name: text for name, text in PAGES.items() if name not in ("results.md", "speed.md")}
UNITS = ("compose", "conformance", "core", "data", "evals", "inference", "judges", "losses", "math", "models", "nn")
UNITS = (*UNITS, "train", "wrap")
SHIPPED = {name: path for name, path in experiments().items() if ROOT in path.resolve().parents}


def _build():
    spec = importlib.util.spec_from_file_location("build", ROOT / "docs/build.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = _build()
TABLES = [build.read(name) for _, names in build.PAGES.values() for name in names]


@pytest.mark.parametrize("page", build.PAGES)
def test_a_page_is_what_the_results_say(page):
    assert build.pages()[page] == DOCS[page], "run python docs/build.py"


def test_every_file_of_results_is_on_a_page():
    named = [name for _, names in build.PAGES.values() for name in names]
    assert sorted(named) == sorted(path.stem for path in (ROOT / "benchmarks/results").glob("*.json"))


def test_a_number_has_its_command_commit_and_machine():
    for table in TABLES:
        for record in table.records:
            assert record.command and record.machine and record.protocol
            of = record.commit or "reported at" in record.note + table.about
            assert of or record.status == "not trained", record.name
            assert record.numbers or record.pictures or record.status == "not trained", record.name
            assert not (record.numbers and record.status == "not trained"), record.name


def test_a_wrong_record_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "RESULTS", tmp_path)
    record = {"name": "a", "command": "c", "protocol": "p", "numbers": [], "status": "trained", "commit": []}
    for change, error in (
        ({}, None),
        ({"status": "done"}, ValueError),
        ({"commits": []}, TypeError),
        ({"numbers": [{"value": 1}]}, TypeError),
        ({"pictures": [{"file": "a.png", "of": "samples"}]}, ValueError),
    ):
        (tmp_path / "some.json").write_text(
            json.dumps({"title": "t", "machine": "m", "records": [{**record, **change}]})
        )
        if error:
            with pytest.raises(error):
                build.read("some")
        else:
            assert build.read("some").records[0].name == "a"


def test_the_models_table_has_numbers_of_the_results():
    values = {str(number.value) for table in TABLES for record in table.records for number in record.numbers}
    papers = json.loads(build.PUBLISHED.read_text(), parse_float=str).values()
    rows = re.findall(r"^\| `.*\| (.*?) \|$", PAGES["README.md"], re.M)
    told = {number for row in rows for number in re.findall(r"(?<![\w-])\d+\.\d+", row)}
    assert len(told) > 30 and told <= values | {entry["value"] for entry in papers}


def test_digits_are_kept_as_they_were_noted():
    assert "90.80 nats" in DOCS["results.md"] and "1.290 nats" in DOCS["results.md"]


def test_the_leaderboard_and_the_pages_read_the_same():
    entries = json.loads(build.PUBLISHED.read_text())
    assert {"/".join(name): entry.value for name, entry in PUBLISHED.items()} == {
        name: entry["value"] for name, entry in entries.items() if name.count("/") == 1
    }
    assert {name for table in TABLES for record in table.records for name in record.reported} == set(entries)


@pytest.mark.parametrize("page", PROSE)
def test_code_compiles_and_names_what_there_is(page):
    for code in re.findall(r"```python\n(.*?)```", PROSE[page], re.S):
        compile(code, page, "exec")
    prose = re.sub(r"```.*?```", "", PROSE[page], flags=re.S)
    for unit, name in re.findall(rf"\b({'|'.join(UNITS)})\.(\w+)", " ".join(re.findall(r"`([^`]+)`", prose))):
        if name not in ("py", "md", "json", "zip"):
            module = importlib.import_module(f"genjax_zoo.{unit}")
            assert hasattr(module, name) or importlib.util.find_spec(f"genjax_zoo.{unit}.{name}"), f"{unit}.{name}"


def test_code_runs():
    names = {}
    (game,) = re.findall(r"```python\n(.*?)```", DOCS["gan.md"], re.S)
    exec(game, names)
    assert callable(names["critic"]) and callable(names["generator"])
    exec(re.findall(r"```python\n(.*?)```", DOCS["composing.md"], re.S)[1], names)
    assert callable(names["terms"])


@pytest.mark.slow
def test_a_model_made_of_models_is_trained(tmp_path, monkeypatch):
    code = re.findall(r"```python\n(.*?)```", DOCS["composing.md"], re.S)[0]
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert (tmp_path / "runs/composed/checkpoints").is_dir() and len(code.splitlines()) <= 16


def flags_of(name):
    """The flags that an experiment, and every run, has."""
    (function,) = (
        node
        for node in ast.parse(SHIPPED[name].read_text()).body
        if isinstance(node, ast.FunctionDef) and node.name == "experiment"
    )
    own = {argument.arg for argument in [*function.args.args, *function.args.kwonlyargs]}
    return {flag.replace("_", "-") for flag in own | {field.name for field in dataclasses.fields(RunFlags)}}


def wrong(command):
    """What a command line names that there is not, or None."""
    program, *words = command.split()
    assert program == "genjax-zoo"
    if words[0] not in COMMANDS:
        return words[0]
    if words[0] not in ("train", "sweep", "explain") or words[1] in ("NAME", "FILE", "mine.py"):
        return None
    if words[1] not in SHIPPED:
        return words[1]
    asked = {word[2:] for word in words if word.startswith("--")} - {"help"}
    return next(iter(asked - flags_of(words[1]) - ({"seeds"} if words[0] == "sweep" else set())), None)


@pytest.mark.parametrize("page", PROSE)
def test_commands_are_there(page):
    lines = re.findall(r"^    (genjax-zoo \w.*?)(?:  +.*)?$", PROSE[page], re.M)
    lines += [line for line in re.findall(r"`(genjax-zoo \w[^`]*)`", PROSE[page]) if "FLAGS" not in line]
    for line in lines:
        assert wrong(line) is None, line


def test_control_of_commands():
    assert wrong("genjax-zoo tran vae_digits") == "tran"
    assert wrong("genjax-zoo train vae_digit") == "vae_digit"
    assert wrong("genjax-zoo train vae_digits --btea 4") == "btea"


def test_what_was_trained_can_be_trained_today():
    """By the command as it was run, with the experiment's name for its file; or by the one beside it."""
    for record in (record for table in TABLES for record in table.records):
        if record.command.startswith(("genjax-zoo train", "genjax-zoo sweep")):
            today = record.now or re.sub(r"experiments/(\w+)\.py", r"\1", record.command)
            assert wrong(today) is None, today


def test_links_lead_somewhere():
    for page, text in PAGES.items():
        folder = ROOT if page == "README.md" else ROOT / "docs"
        for link in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (folder / link).exists(), f"{page}: {link}"


def test_architecture_has_the_rows_of_imports():
    rows = re.findall(r"^\| (\d+) \| (.*?) \|", DOCS["architecture.md"], re.M)
    assert [set(re.findall(r"`(\w+)`", units)) for _, units in rows] == list(ROWS)
    assert [int(number) for number, _ in rows] == list(range(len(ROWS)))


def test_architecture_names_files_that_are_there():
    for path in re.findall(r"`((?:\w+/)+\w+\.(?:py|md))`", DOCS["architecture.md"]):
        if not re.search("NAME|FAMILY", path):
            assert (ROOT / path).exists() or (ROOT / "genjax_zoo" / path).exists(), path


def test_everything_is_named_where_one_looks_for_it():
    families = "".join(DOCS[f"{family}.md"] for family in ("vae", "gan", "autoregressive", "flow", "composing"))
    named = set(re.findall(r"\w+", families + DOCS["measuring.md"]))
    assert set(SHIPPED) <= named and set(MODELS) <= named
    assert set(PROTOCOLS) <= set(re.findall(r"`([\w-]+)`", DOCS["data.md"]))
    assert set(COMMANDS) <= set(re.findall(r"^    genjax-zoo (\w+)", DOCS["runs.md"], re.M))
