"""What fails in Orbax is said in one sentence: not by its log, nor by reads and writes that end later than it."""

import functools
import logging
import sys
from typing import Any


@functools.cache
def quiet() -> None:
    """Keeps Orbax's log, and what its threads raise into a loop that is closed, off standard error from now on."""
    logging.getLogger("absl").addFilter(lambda record: "orbax" not in record.pathname)
    hook = sys.unraisablehook

    def unless_late(found: Any) -> None:
        code = getattr(found.object, "cr_code", None)  # of a coroutine
        late = str(found.exc_value) == "Event loop is closed" or code and "orbax" in code.co_filename
        if not late:
            hook(found)

    sys.unraisablehook = unless_late
