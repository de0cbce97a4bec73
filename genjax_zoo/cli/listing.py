"""genjax-zoo list: what there is; and an experiment found by its name, or copied to be changed.

Experiments are shipped as genjax_zoo/experiments. In the repository they lie beside the package, in experiments/; those
of a folder experiments/ in the current one come first.
"""

import ast
import contextlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

import genjax_zoo
from genjax_zoo.errors import PROG, Missing, UserError, nearest


def list_(what: Annotated[Literal["all", "models", "data", "experiments"], tyro.conf.Positional] = "all") -> None:
    """List models, data and experiments, a line each; `list data` prints the card of every protocol.

    Args:
        what: which of them.
    """
    from genjax_zoo import data, models

    sections: dict[str, Mapping[str, Any]] = {
        "models": {name: sys.modules[make.__module__].__doc__ for name, make in models.MODELS.items()},
        "data": {name: protocol.about for name, protocol in data.PROTOCOLS.items()},
        "experiments": {name: _docstring(path) for name, path in experiments().items()},
    }
    for title, entries in sections.items():
        if what in ("all", title):
            print(title)
            for name, about in entries.items():
                card = data.PROTOCOLS[name].card() if what == "data" else {}
                line = (about or "").strip().partition("\n")[0]
                print(f"  {name}" if card else f"  {name:32} {line}")
                for entry, text in card.items():
                    print(f"      {entry:12} {text}")


def find_experiment(name: str) -> Path:
    """The file that a command names: a path, or the name of an experiment.

    Raises:
        Missing: there is none, with the nearest name.
    """
    path = Path(name)
    if path.is_file() and path.suffix == ".py":
        return path
    known = experiments()
    if name in known:
        return known[name]
    if path.suffix == ".py":
        raise Missing(f"There is no file {name}; '{PROG} list' shows the experiments that there are.")
    longer = ", ".join(one for one in known if one.startswith(f"{name}_"))
    raise Missing(f"There is no experiment {name}; {f'there are {longer}.' if longer else nearest(name, known)}")


def experiments() -> dict[str, Path]:
    """Name -> file of every experiment, in alphabetical order: those that are shipped, and those of experiments/."""
    package = Path(genjax_zoo.__file__).parent
    shipped = [home for home in (package / "experiments", package.parent / "experiments") if home.is_dir()]
    files = [file for home in (*shipped[:1], Path("experiments")) for file in home.rglob("*.py")]
    return dict(sorted((file.stem, file) for file in files if not file.stem.startswith("_")))


def copy_experiment(file: Path, to: Path) -> None:
    """Copies an experiment's file, to be changed, and beside it the modules beside the file that it imports.

    Args:
        file: the experiment's.
        to: the new file, whose name ends in .py.

    Raises:
        UserError: another ending, or a file that is there already.
    """
    from genjax_zoo.runs.source import modules_beside

    if to.suffix != ".py":
        raise UserError(f"An experiment's file ends in .py, and {to} does not; name another.")
    beside = {to.parent / name: one for name, one in modules_beside(file).items()}
    copies = {to: file, **{new: one for new, one in beside.items() if new.resolve() != one.resolve()}}
    if there := [str(one) for one in copies if one.exists()]:
        raise UserError(f"{there[0]} is there already; name another file to copy {file.stem} to.")
    for target, source in copies.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())


def _docstring(path: Path) -> str | None:
    with contextlib.suppress(SyntaxError):
        return ast.get_docstring(ast.parse(path.read_bytes()))
    return "is no Python"
