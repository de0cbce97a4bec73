"""What papers report of a model on a protocol: one file, which the documentation's tables read, too."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Published(NamedTuple):
    """A paper's number, and what it is of: seldom exactly what is measured here."""

    value: float
    of: str  # the quantity, with its unit
    source: str


def _read() -> Mapping[tuple[str, str], Published]:
    """Entries are named MODEL/PROTOCOL; a third part marks a variant, which the documentation alone shows."""
    entries = json.loads(Path(__file__).with_suffix(".json").read_text())
    named = ((name.split("/"), Published(**entry)) for name, entry in entries.items())
    return {(parts[0], parts[1]): entry for parts, entry in named if len(parts) == 2}


PUBLISHED: Mapping[tuple[str, str], Published] = _read()
