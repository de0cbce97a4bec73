"""Who may import whom: the code against the design's table."""

import ast
import sys
from pathlib import Path

import pytest

import genjax_zoo

ROOT = Path(genjax_zoo.__file__).parent
ROWS = (  # of the design: each imports those above it, and what OWN_ROW names of its own
    {"core", "math", "files", "errors"},
    {"linen", "nnx", "compose", "wrap", "nn", "data"},
    {"models", "losses", "inference", "train"},
    {"judges", "draw", "conformance"},
    {"evals"},
    {"runs"},
    {"explore", "compare"},
    {"report"},
    {"cli"},
    {"__main__"},
)
OWN_ROW = {
    "core": {"errors"},
    "math": {"errors"},
    "files": {"errors"},
    "nnx": {"linen"},
    "compose": {"linen", "nn"},
    "wrap": {"compose"},
    "models": {"losses", "inference"},
    "data": {"files", "math", "errors"},
}
ALONE = {"core", "math", "files", "errors", "data"}  # what these import is no more than OWN_ROW has
HEAVY = {"tensorflow_datasets", "grain", "sklearn", "matplotlib", "tensorboardX", "wandb", "tyro", "constriction"}


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def unit(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def allowed(name):
    row = next(number for number, row in enumerate(ROWS) if name in row)
    return OWN_ROW.get(name, set()) | (set() if name in ALONE else set().union(*ROWS[:row]))


def foreign(path, source):
    """The parts of this package that a file imports against the table."""
    own = {name.split(".")[1] for name in imports(ast.parse(source)) if name.startswith("genjax_zoo.")}
    return own - allowed(unit(path)) - {unit(path)}


FILES = [path for path in sorted(ROOT.rglob("*.py")) if path != ROOT / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_follows_the_table(path):
    assert foreign(path, path.read_text()) == set()


def test_control():
    assert foreign(ROOT / "losses/terms.py", "from genjax_zoo.models import MODELS") == {"models"}
    assert foreign(ROOT / "data/named.py", "import genjax_zoo.core") == {"core"}


def test_heavy_libraries_are_imported_lazily():
    for path in FILES:
        top = ast.Module(
            [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.Import | ast.ImportFrom)], []
        )
        heavy = {name.split(".")[0] for name in imports(top)} & HEAVY
        assert heavy <= ({"tyro"} if path.parent.name == "cli" else set()), path


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_can_be_imported_by_its_name(path):
    """Also those of a family that a factory is named like, and with "as"."""
    name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    found = {}
    exec(f"import {name}\nimport {name} as it\nsame = {name}", found)
    assert found["it"] is found["same"]
    if name.startswith("genjax_zoo.models.") and name.count(".") == 3:
        assert found["it"] is sys.modules[name]


def test_units_are_the_table():
    assert {unit(path) for path in FILES} == set().union(*ROWS)
