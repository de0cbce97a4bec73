"""Where the files of data sets are: --data-dir, TFDS_DATA_DIR, or TFDS's default folder, in this order."""

import os
import socket
import threading
import urllib.parse
from pathlib import Path

from genjax_zoo.errors import Missing

FOLDER = "GENJAX_ZOO_DATA"  # the environment variable that names the data folder, where no --data-dir does
SECONDS = 4.0  # for a server to answer
looked_in: str | None = None  # by `look_in`; of the whole process, so that threads that load data see it, too


def _named() -> tuple[str | None, str | None]:
    """The folders of --data-dir or GENJAX_ZOO_DATA, and of TFDS_DATA_DIR; the environment is read here alone."""
    return looked_in or os.environ.get(FOLDER), os.environ.get("TFDS_DATA_DIR")


def folder() -> str | None:
    """The folder that --data-dir or GENJAX_ZOO_DATA names, absolute."""
    named, _ = _named()
    return str(Path(named).expanduser().absolute()) if named else None


def roots() -> list[Path]:
    """The folders that hold one sub-folder per data set.

    Raises:
        FileNotFoundError: the folder named by --data-dir or GENJAX_ZOO_DATA does not exist.
    """
    named = _named()
    if named[0] and not Path(named[0]).expanduser().is_dir():
        raise Missing(f"There is no folder {named[0]}; --data-dir and {FOLDER} name the folder of all sets.")
    of_home = [] if os.path.expanduser("~") == "~" else ["~/tensorflow_datasets"]  # a user may have none
    return [Path(root).expanduser().absolute() for root in [*named, *of_home] if root]


def places(*names: str) -> list[Path]:
    """The existing folders of a set that goes by these names."""
    found = [root / name for root in roots() for name in names]
    return [folder for folder in found if folder.is_dir()]


def missing(name: str, folder: str, files: str, why: str) -> Missing:
    """What to say where a set is neither here nor to be had."""
    where = " or ".join(str(root / folder) for root in roots())
    return Missing(
        f"'{name}' was looked for in {where}, and {why}. Put {files} into {where} (--data-dir or {FOLDER} names the "
        f"folder above it), or use 'digits', 'grid25', 'ring8', 'checkerboard' or 'two-moons', which need no files."
    )


def unreachable(url: str) -> str | None:
    """Why the server of a URL, or the proxy before it, cannot be reached; None if it can."""
    parsed = urllib.parse.urlsplit(url)
    proxy = None if _bypassed(parsed.hostname or "") else _proxy(parsed.scheme)
    target = urllib.parse.urlsplit(proxy) if proxy else parsed
    port = target.port or {"https": 443, "ftp": 21}.get(target.scheme, 80)
    failure: list[str] = [f"{target.hostname} did not answer within {SECONDS:.0f} s"]

    def connect() -> None:
        try:
            socket.create_connection((target.hostname or "", port), SECONDS).close()
            failure.clear()
        except OSError as error:
            failure[0] = f"{target.hostname} could not be reached ({error.strerror or error})"

    thread = threading.Thread(target=connect, daemon=True)  # looking up a name has no time limit of its own
    thread.start()
    thread.join(SECONDS)
    return failure[0] if failure else None


def _proxy(scheme: str) -> str | None:
    import urllib.request

    return urllib.request.getproxies().get(scheme)


def _bypassed(host: str) -> bool:
    import urllib.request

    return bool(urllib.request.proxy_bypass(host))
