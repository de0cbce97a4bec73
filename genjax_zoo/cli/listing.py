"""genjax-zoo list: what there is; and an experiment found by its name."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from genjax_zoo.errors import Missing, nearest


def list_(what: Annotated[Literal["all", "models", "data", "experiments"], tyro.conf.Positional] = "all") -> None:
    """List models, data and experiments, a line each; `list data` prints the card of every protocol.

    Args:
        what: which of them.
    """
    from genjax_zoo import data, models

    sections: dict[str, Mapping[str, Any]] = {
        "models": {name: sys.modules[make.__module__].__doc__ for name, make in models.MODELS.items()},
        "data": {name: protocol.about for name, protocol in data.PROTOCOLS.items()},
        "experiments": {str(path): _docstring(path) for path in _experiments()},
    }
    for title, entries in sections.items():
        if what in ("all", title):
            print(title)
            for name, about in entries.items():
                card = data.PROTOCOLS[name].card() if what == "data" else {}
                print(f"  {name}" if card else f"  {name:32} {(about or '').strip().splitlines()[0]}")
                for entry, text in card.items():
                    print(f"      {entry:12} {text}")


def find_experiment(name: str) -> Path:
    """The file that a command names: a path, or the name of one of `experiments/`.

    Raises:
        FileNotFoundError: there is none, with the nearest name.
    """
    path = Path(name)
    if path.is_file() and path.suffix == ".py":
        return path
    candidates = {p.stem: p for p in _experiments()}
    if name in candidates:
        return candidates[name]
    raise Missing(f"There is no experiment {name}; {nearest(path.stem, candidates, str)}")


def _experiments() -> list[Path]:
    return sorted(p for p in Path("experiments").rglob("*.py") if not p.stem.startswith("_"))


def _docstring(path: Path) -> str | None:
    import ast

    return ast.get_docstring(ast.parse(path.read_text()))
