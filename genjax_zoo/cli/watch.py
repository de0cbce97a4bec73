"""genjax-zoo watch: serves a run's page while it trains."""

from pathlib import Path
from typing import Annotated

import tyro


def watch(run: Annotated[Path, tyro.conf.Positional], port: int = 0, debug: bool = False) -> None:
    """Serve a run's page on this machine while it trains; the page renews itself. Ctrl-C ends it.

    Args:
        run: the run folder.
        port: to listen on; 0 takes one that is free.
        debug: show the traceback of an error.
    """
    from genjax_zoo.report.watch import port_of, server_of
    from genjax_zoo.runs import read_config

    read_config(run)
    with server_of(run, port) as server:
        print(f"Watching {run} at http://127.0.0.1:{port_of(server)}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
