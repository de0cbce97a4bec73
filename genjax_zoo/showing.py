"""The commands that show runs: report and watch. Like `cli`, this imports no jax before a command runs."""

import os
from pathlib import Path
from typing import Annotated

import tyro

from genjax_zoo.flags import use_compilation_cache

LARGEST = 3_000_000  # bytes of a page


def report(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    out: Path | None = None,
    compute: bool = True,
    debug: bool = False,
) -> None:
    """Write one HTML file about runs, with everything in it: pictures over training, curves, sounds, scores.

    Args:
        runs: the run folders.
        out: the .html file; RUN/report.html by default, or ./report.html of several runs.
        compute: draw what is not in a run folder from its newest checkpoint, too: latent space, likelihood map, sounds.
        debug: show the traceback of an error.
    """
    if not runs:
        raise ValueError("Name one run folder or more: genjax-zoo report RUN [RUN ...].")
    path = out or (runs[0] / "report.html" if len(runs) == 1 else Path("report.html"))
    if path.suffix != ".html":
        raise ValueError(f"Cannot write '{path}': --out must end in .html.")
    use_compilation_cache()
    from genjax_zoo import pages
    from genjax_zoo.report.page import render
    from genjax_zoo.run import read_config

    for run in runs:
        read_config(run)
        if pages.is_empty(run):
            raise ValueError(f"The run {run} has no numbers and no pictures yet; let 'genjax-zoo train' go on.")
    notes = {}
    if compute:
        from genjax_zoo.computed import complete

        for run in runs:
            print(f"Drawing from {run} (not with --no-compute) ...", flush=True)
            notes[run] = complete(run)
    html = render(pages.gather(runs, notes=notes)).encode()
    if len(html) > LARGEST:
        raise ValueError(f"The page of {len(runs)} runs would have {len(html):,} bytes; name fewer runs.")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.tmp")
    unfinished.write_bytes(html)
    os.replace(unfinished, path)
    print(f"{path}  {len(html) / 1e3:,.0f} kB")


def watch(run: Annotated[Path, tyro.conf.Positional], port: int = 0, debug: bool = False) -> None:
    """Serve a run's page on this machine while it trains; the page renews itself. Ctrl-C ends it.

    Args:
        run: the run folder.
        port: to listen on; 0 takes one that is free.
        debug: show the traceback of an error.
    """
    from genjax_zoo.watch import port_of, server_of

    with server_of(run, port) as server:
        print(f"Watching {run} at http://127.0.0.1:{port_of(server)}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
