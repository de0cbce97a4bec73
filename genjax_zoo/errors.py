"""Errors as sentences: what this package says is one already, and what an experiment's file raises becomes one."""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

PACKAGE = str(Path(__file__).parent)


def is_sentence(error: BaseException) -> bool:
    """Whether this package or the user's function `experiment` says it, and not a library below them."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = bool(frames) and (frames[-1].filename.startswith(PACKAGE) or "experiment" in frames[-1].name)
    return isinstance(error, OSError) or ours and isinstance(error, ValueError | ImportError)


def in_words(error: BaseException) -> str:
    """What an error says, without a number of the operating system."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"Cannot use '{error.filename}': {error.strerror.lower()}."
    return str(error)


@contextlib.contextmanager
def told(what: str, file: Path | None = None) -> Iterator[None]:
    """Whatever goes wrong in a `with` becomes a ValueError of one sentence: what this is, the file's line, the error.

    Args:
        what: begins the sentence, such as "mine.py cannot be run".
        file: whose innermost line is named.
    """
    try:
        yield
    except (Exception, SystemExit) as error:
        if is_sentence(error):
            raise
        frames = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
        if isinstance(error, SyntaxError):
            frames.append((str(error.filename), error.lineno))
        lines = [line for name, line in frames if file is not None and Path(name) == file.absolute()]
        where = f" (line {lines[-1]} of {file.name})" if file and lines else ""
        text = (str(error).strip().splitlines() or ["without a word"])[0]
        raise ValueError(f"{what}: {type(error).__name__}: {text[:300]}{where}; --debug shows more.") from error
