"""Whose code a run folder holds: reading a run runs its experiment's file, so another user's is asked about first.

Consent is kept in the user's configuration folder, and is of the very text that was there.
"""

import hashlib
import os
from pathlib import Path

from genjax_zoo.errors import UserError
from genjax_zoo.files import can_write, home_folder

_given: set[str] = set()  # in this process, for a user without a folder


def trust(folder: Path) -> None:
    """Keeps that the user trusts the code in a run folder, as it is now."""
    _given.add(_name(folder))
    if (kept := _file()) and can_write(kept.parent) and _name(folder) not in _known(kept):
        with kept.open("a") as file:
            file.write(f"{_name(folder)}\n")


def check_trusted(folder: Path) -> None:
    """Checks that this user made the run in a folder, or trusts it.

    Raises:
        UserError: it is of another user, with the file to look at.
    """
    owner = _stranger(folder)
    if owner is None or _name(folder) in _given or (kept := _file()) and _name(folder) in _known(kept):
        return
    raise UserError(
        f"The run {folder} was made by another user ({owner}), and this would run its code: look at "
        f"{folder / 'experiment.py'}, and take --trust, once, if you trust it."
    )


def _stranger(folder: Path) -> str | None:
    if not hasattr(os, "getuid"):  # a system without owners
        return None
    owners = [path.stat().st_uid for path in (folder, *_code(folder)) if path.exists()]
    other = next((owner for owner in owners if owner != os.getuid()), None)
    if other is None:
        return None
    try:
        import pwd

        return pwd.getpwuid(other).pw_name
    except KeyError:
        return f"user {other}"


def _code(folder: Path) -> list[Path]:
    return [folder / "experiment.py", *sorted((folder / "modules").rglob("*.py"))]


def _name(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in _code(folder):
        digest.update(f"{path.relative_to(folder)}\0".encode() + (path.read_bytes() if path.is_file() else b"") + b"\0")
    return f"{digest.hexdigest()} {folder.resolve()}"


def _file() -> Path | None:
    folder = home_folder("XDG_CONFIG_HOME", ".config")
    return folder and folder / "trusted"


def _known(kept: Path) -> list[str]:
    return kept.read_text().splitlines() if kept.is_file() else []
