"""genjax-zoo report: writes one HTML file about runs."""

from pathlib import Path
from typing import Annotated

import tyro

from genjax_zoo.cli.parsing import stands_for
from genjax_zoo.errors import UserError, check_place
from genjax_zoo.files import whole

LARGEST = 3_000_000  # bytes of a page


def report(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(help_behavior_hint="(required)")],
    out: Annotated[Path | None, stands_for("RUN/report.html, or ./report.html of several runs")] = None,
    compute: bool = True,
    trust: bool = False,
    debug: bool = False,
) -> None:
    """Write one HTML file about runs, with everything in it: pictures over training, curves, sounds, scores.

    Args:
        runs: the run folders; a sweep's is all of its members.
        out: the .html file. Of a run that cannot be written to it is ./RUN.html.
        compute: draw what is not in a run folder from its newest checkpoint, too: latent space, likelihood map, sounds.
        trust: run the code in the folders although another user made them; asked once, and not with --no-compute.
        debug: show the traceback of an error.
    """
    if not runs:
        raise UserError("Name one run folder or more: genjax-zoo report RUN [RUN ...].")
    folder = runs[0]
    path = out or (folder / "report.html" if len(runs) == 1 else Path("report.html"))
    if path.suffix != ".html":
        raise UserError(f"Cannot write '{path}': --out must end in .html.")
    check_place(path.parent, "--out")
    from genjax_zoo.report import gather as pages
    from genjax_zoo.report.page import render
    from genjax_zoo.runs import check_trusted, read_config
    from genjax_zoo.runs.naming import expand_sweeps
    from genjax_zoo.runs.trust import trust as trust_run

    own, runs = out is None and len(runs) == 1, tuple(expand_sweeps(runs))
    for run in runs:
        read_config(run)
        if compute:
            if trust:
                trust_run(run)
            check_trusted(run)
        if pages.is_empty(run):
            raise UserError(f"The run {run} has no numbers and no pictures yet; let 'genjax-zoo train' go on.")
    notes = {}
    if compute:
        from genjax_zoo.report.computed import complete

        for run in runs:
            print(f"Drawing from {run} (not with --no-compute) ...", flush=True)
            notes[run] = complete(run)
    html = render(pages.gather(runs, notes=notes)).encode()
    if len(html) > LARGEST:
        raise UserError(f"The page of {len(runs)} runs would have {len(html):,} bytes; name fewer runs.")
    try:
        _write(path, html)
    except OSError as error:
        if not own:
            raise
        print(f"{path} cannot be written ({error.strerror}), so the page is here:")
        path = Path(f"{folder.resolve().name}.html")
        _write(path, html)
    print(f"{path}  {len(html) / 1e3:,.0f} kB")


def _write(path: Path, html: bytes) -> None:
    with whole(path) as unfinished:
        unfinished.write_bytes(html)
