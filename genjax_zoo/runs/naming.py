"""What runs are called: by their folders, and as many above as tell them apart; a sweep by its members."""

import re
from collections.abc import Sequence
from pathlib import Path

MEMBER = r"\w+=[^/]*"  # of a sweep: the numbers in its name, as in learning_rate=0.1,seed=0
SHOWN = 6  # members in a sentence


def name_of(folder: Path) -> str:
    """A run's name: its folder's, behind the sweep's where it is a member of one (seed=0, say)."""
    return _name(folder, 1)


def names_of(folders: Sequence[Path]) -> list[str]:
    """The names of different folders, no two alike: with as many folders above them as that takes."""
    depths = [1] * len(folders)
    while True:
        names = [_name(folder, depth) for folder, depth in zip(folders, depths)]
        deeper = [
            depth + (names.count(name) > 1 and depth < len(folder.resolve().parts))
            for name, folder, depth in zip(names, folders, depths)
        ]
        if deeper == depths:
            return names
        depths = deeper


def members_of(folder: Path) -> list[Path]:
    """The run folders of a sweep's members, in the order of their numbers; none where the folder is no sweep's."""
    found = [path.parent for path in folder.glob("*=*/config.json") if re.fullmatch(MEMBER, path.parent.name)]
    return [] if (folder / "config.json").exists() else sorted(found, key=_numbers)


def expand_sweeps(folders: Sequence[Path]) -> list[Path]:
    """Runs, each once, with a sweep's members in its place."""
    every = [one for folder in folders for one in members_of(folder) or [folder]]
    return list({folder.resolve(): folder for folder in reversed(every)}.values())[::-1]


def sentence_about(folder: Path, members: Sequence[Path]) -> str:
    """A sentence's beginning that says what a sweep's folder is, and whom to name instead."""
    names = [path.name for path in members]
    names = [*names[: SHOWN - 1], "...", names[-1]] if len(names) > SHOWN else names
    runs = "run" if len(members) == 1 else "runs"
    return f"{folder} is a sweep of {len(members)} {runs}: name one of {', '.join(names)} in it"


def _name(folder: Path, depth: int) -> str:
    parts = folder.resolve().parts
    return "/".join(parts[-(depth + bool(re.fullmatch(MEMBER, parts[-1]))) :]).replace("//", "/")


def _numbers(folder: Path) -> tuple[list[float], str]:
    found = [part.partition("=")[2] for part in folder.name.split(",")]
    try:
        return [float(number) for number in found], folder.name
    except ValueError:
        return [], folder.name
