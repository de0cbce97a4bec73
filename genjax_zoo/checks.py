"""Checks of numbers and places, before anything is computed or written."""

import contextlib
import math
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

OF_LOOP = ("steps", "steps_per_call", "log_every", "save_every", "eval_every")
RANGES: tuple[tuple[tuple[str, ...], Callable[[float], bool], str], ...] = (  # of flags of these names
    ((*OF_LOOP, "batch_size"), lambda x: x >= 1, "at least 1"),
    (("learning_rate",), lambda x: x > 0, "above 0"),
    (("layers", "warm_up", "warmup", "decay", "shift"), lambda x: x >= 0, "at least 0"),
    (("ema", "dropout"), lambda x: 0 <= x < 1, "in [0, 1)"),
    (("seed",), lambda x: 0 <= x < 2**32, f"in 0 ... {2**32 - 1}"),
)


def check_number(name: str, number: Any, default: Any = None) -> None:
    """Checks one number of a flag, or of what the flag stands for; anything else passes.

    Raises:
        ValueError: it is not finite and not the default, or not in the range of all flags of this name.
    """
    flag = f"--{name.replace('_', '-')}"
    if isinstance(number, float) and not math.isfinite(number) and number != default:
        raise ValueError(f"{flag} takes a finite number, not {number}.")
    for names, fits, words in RANGES:
        if name in names and isinstance(number, int | float) and not fits(number):
            raise ValueError(f"{flag} must be {words}, not {number}.")


def check_place(folder: Path, flag: str) -> None:
    """Checks that files can be written to a folder, or to one that is made there, and leaves nothing behind.

    Raises:
        ValueError: they cannot, with the flag that names another place.
    """
    missing = [one for one in (folder, *folder.parents) if not os.path.lexists(one)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        dangling = os.path.islink(folder) and not os.path.exists(folder)
        why = "a link to nothing" if dangling else (error.strerror or "").lower()
        raise ValueError(f"Cannot write to the folder '{folder}' ({why}); name another by {flag}.") from None
    finally:
        for one in missing:
            with contextlib.suppress(OSError):
                one.rmdir()
