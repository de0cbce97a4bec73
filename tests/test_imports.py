"""Who may import whom: the code against the design's table."""

import ast
import sys
from pathlib import Path

import pytest

import genjax_zoo

ROOT = Path(genjax_zoo.__file__).parent
ALLOWED = {
    "core": set(),
    "caches": set(),
    "checks": set(),
    "errors": set(),
    "files": set(),
    "math": set(),
    "data": {"caches", "files", "math"},
    "border": {"core", "data"},
    "specs": {"core"},
    "capabilities": {"core", "specs"},
    "linen": {"capabilities", "core", "specs"},
    "nnx": {"capabilities", "core", "linen", "math"},
    "nn": {"core", "math"},
    "compose": {"core", "linen", "math", "nn", "specs"},
    "precision": {"compose", "core"},
    "wrap": {"compose", "core", "math"},
    "latent": {"core", "math"},
    "sampling": {"core", "math"},
    "codec": {"core", "math", "sampling"},
    "models": {"compose", "core", "linen", "losses", "math", "nn", "sampling", "specs", "wrap"},
    "classifiers": {"files", "core", "linen", "nn", "math"},
    "losses": {"core", "math"},
    "train": {"border", "core", "data", "files", "math"},
    "evals": {"classifiers", "core", "data", "files", "math", "sampling"},
    "report": {"files", "core", "math"},
    "conformance": {"core", "math", "precision", "train", "sampling"},
    "naming": set(),
    "source": set(),
    "folder": {"core", "data", "files", "naming", "source"},
    "made": {"core", "data", "files", "folder", "train"},
    "trust": {"caches"},
    "build": {"border", "checks", "core", "data", "errors", "made", "precision", "source", "train"},
    "run": {
        *(
            "build",
            "core",
            "data",
            "errors",
            "files",
            "folder",
            "made",
            "naming",
            "report",
            "restored",
            "train",
            "trust",
        ),
    },
    "restored": {"build", "core", "data", "errors", "files", "folder", "made", "train", "trust"},
    "explore": {"core", "latent", "report"},
    "given": {"core", "evals", "explore"},
    "drawing": {"core", "evals", "files", "given", "math", "report", "run", "sampling", "train"},
    "members": {"files", "core", "data", "run", "train"},
    "sweep": {"files", "core", "members", "report", "run", "train"},
    "compare": {
        *("errors", "files", "source", "classifiers", "core", "data", "evals"),
        *("models", "naming", "run", "train"),
    },
    "explain": {"core", "train"},
    "flags": {"caches", "run"},
    "pages": {
        *("compare", "core", "drawing", "evals", "explore", "flags", "given"),
        *("naming", "report", "run", "train"),
    },
    "showing": {"checks", "files", "compare", "flags", "naming", "pages", "report", "run", "trust"},
    "commands": {"checks", "data", "evals", "explain", "files", "flags", "run", "sweep", "train"},
    "cli": {
        *("checks", "commands", "core", "data", "drawing", "errors", "evals", "explore", "files", "flags"),
        *("latent", "models", "report", "run", "showing", "train"),
    },
}
HEAVY = {"tensorflow_datasets", "grain", "sklearn", "matplotlib", "tensorboardX", "wandb", "tyro", "constriction"}


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def unit(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def foreign(path, source):
    """The parts of this package that a file imports against the table."""
    own = {name.split(".")[1] for name in imports(ast.parse(source)) if name.startswith("genjax_zoo.")}
    return own - ALLOWED[unit(path)] - {unit(path)}


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
        assert heavy <= ({"tyro"} if path.name in ("cli.py", "flags.py", "showing.py") else set()), path


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
    assert {unit(path) for path in FILES} == set(ALLOWED)
