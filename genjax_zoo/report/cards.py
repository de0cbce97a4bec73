"""What made a run, as text: its experiment's title, the command that makes it again, versions, machine, flags."""

import ast
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genjax_zoo.errors import PROG

OF_RUN = {"backend": "shard_map", "precision": "float32", "keep_optimizer": False}  # the defaults of how a run is run
OF_A_START = ("--fresh", "--accept-changes", "--debug")  # flags that do not make the run what it is


def title_of(folder: Path) -> str:
    """The first line of the experiment's docstring."""
    try:
        docstring = ast.get_docstring(ast.parse((folder / "experiment.py").read_text()))
    except (OSError, ValueError, SyntaxError):
        return ""
    return (docstring or "").partition("\n")[0].rstrip(".")


def card_of(config: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """The experiment card: each entry's title and text."""
    starts = config["history"]
    last = starts[-1] if starts else {}
    versions = ", ".join(f"{name} {version}" for name, version in last.get("versions", {}).items())
    commits = list(dict.fromkeys(start.get("commit") or "no repository" for start in starts))
    card = {
        "command": command_of(config, folder),
        "experiment": config["experiment"] or "none: made by fit",
        "commit": ", ".join(commits),
    }
    card |= {"machine": last.get("devices", ""), "python": last.get("python", ""), "versions": versions}
    return card | ({"started": f"{len(starts)} times"} if len(starts) > 1 else {})


def flags_of(config: Mapping[str, Any]) -> dict[str, str]:
    """All flags that were given or have a default, as text."""
    return {_dashed(name): _text(value) for name, value in config["flags"].items() if value is not None}


def command_of(config: Mapping[str, Any], folder: Path) -> str:
    """The command that made the run; of one that kept none, the flags that differ from what the experiment sets."""
    if config["experiment"] is None:
        return "fit(..., workdir=...), from Python"
    if given := (config["history"] or [{}])[-1].get("command"):
        return shlex.join([PROG, *(word for word in given if word.partition("=")[0] not in OF_A_START)])
    defaults = OF_RUN | _defaults(folder / "experiment.py")
    words = [PROG, "train", f"experiments/{config['experiment']}"]
    for name, value in config["flags"].items():
        same = name in defaults and _plain(defaults[name]) == _plain(value)
        if value is None or same:
            continue
        if isinstance(value, bool):
            words.append(f"--{'' if value else 'no-'}{_dashed(name)}")
        else:
            many = value if isinstance(value, list) else [value]
            words += [f"--{_dashed(name)}", *(shlex.quote(_text(one)) for one in many)]
    return " ".join(words)


def _defaults(file: Path) -> dict[str, Any]:
    """The defaults of `experiment`'s arguments, where they are written as plain values; the file is not run."""
    try:
        body = ast.parse(file.read_text()).body
    except (OSError, ValueError, SyntaxError):
        return {}
    found = {}
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == "experiment":
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults):
                try:
                    found[argument.arg] = ast.literal_eval(default) if default is not None else None
                except ValueError:
                    continue
    return found


def _plain(value: Any) -> Any:
    """As config.json keeps it."""
    return list(value) if isinstance(value, tuple) else value


def _dashed(name: str) -> str:
    return name.replace("_", "-")


def _text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
