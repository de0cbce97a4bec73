"""The commands that show runs: compare, report and watch. Like `cli`, this imports no jax before a command runs."""

from pathlib import Path
from typing import Annotated

import tyro

from genjax_zoo.checks import check_number, check_place
from genjax_zoo.files import whole
from genjax_zoo.flags import use_compilation_cache

LARGEST = 3_000_000  # bytes of a page


def compare(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = (),
    all: Path | None = None,
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 5_000,
    k: Annotated[int, tyro.conf.arg(aliases=["-k"])] = 5,
    mode_samples: int | None = None,
    checkpoint: str = "latest",
    seed: int = 0,
    features: Path | None = None,
    inception_weights: Path | None = None,
    out: Path | None = None,
    fresh: bool = False,
    trust: bool = False,
    debug: bool = False,
) -> None:
    """Put runs of one data set side by side: likelihoods, distances of samples, modes, speeds, each beside its floor.

    What is measured of a run is kept in RUN/scores.json, and used again while its step, the code's commit and these
    flags stay the same.

    Args:
        runs: run folders; a sweep's is all of its members.
        all: a folder, all of whose runs are compared; those of each data set with each other.
        n: samples, at most half as many as the test split has.
        k: neighbours, of precision, recall, density and coverage.
        mode_samples: in which modes are counted; 26,000 of Stacked MNIST and 2,500 of points where it is not given.
        checkpoint: latest, best, or a step.
        seed: of what is drawn.
        features: a Python file with a function features(x) -> [B, F], in place of the judge that knows the data.
        inception_weights: a file of Inception's weights, for FID: see genjax_zoo/classifiers/inception.py.
        out: a .json file; leaderboard.json beside the runs by default.
        fresh: measure again.
        trust: run the code in the folders although another user made them; asked once.
        debug: show the traceback of an error.
    """
    if out is not None and out.suffix != ".json":
        raise ValueError(f"Cannot write '{out}': --out must end in .json.")
    if mode_samples is not None and mode_samples < 1:
        raise ValueError(f"--mode-samples must be at least 1, not {mode_samples}.")
    check_number("seed", seed)
    use_compilation_cache()
    from genjax_zoo.compare.measures import Protocol
    from genjax_zoo.compare.table import compare_runs
    from genjax_zoo.trust import trust as trust_run

    for folder in [*runs, *(all.iterdir() if all and all.is_dir() else ())] if trust else ():
        trust_run(folder)
    asked = Protocol(n, k, seed, mode_samples, features, inception_weights)
    compare_runs(runs, asked, all=all, checkpoint=checkpoint, out=out, fresh=fresh)


def report(
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    out: Path | None = None,
    compute: bool = True,
    trust: bool = False,
    debug: bool = False,
) -> None:
    """Write one HTML file about runs, with everything in it: pictures over training, curves, sounds, scores.

    Args:
        runs: the run folders; a sweep's is all of its members.
        out: the .html file; RUN/report.html by default, or ./report.html of several runs. Of a run that cannot be
            written to it is ./RUN.html.
        compute: draw what is not in a run folder from its newest checkpoint, too: latent space, likelihood map, sounds.
        trust: run the code in the folders although another user made them; asked once, and not with --no-compute.
        debug: show the traceback of an error.
    """
    if not runs:
        raise ValueError("Name one run folder or more: genjax-zoo report RUN [RUN ...].")
    folder = runs[0]
    path = out or (folder / "report.html" if len(runs) == 1 else Path("report.html"))
    if path.suffix != ".html":
        raise ValueError(f"Cannot write '{path}': --out must end in .html.")
    check_place(path.parent, "--out")
    use_compilation_cache()
    from genjax_zoo.naming import expanded
    from genjax_zoo.pages import gather as pages
    from genjax_zoo.report.page import render
    from genjax_zoo.run import check_trusted, read_config
    from genjax_zoo.trust import trust as trust_run

    own, runs = out is None and len(runs) == 1, tuple(expanded(runs))
    for run in runs:
        read_config(run)
        if compute:
            if trust:
                trust_run(run)
            check_trusted(run)
        if pages.is_empty(run):
            raise ValueError(f"The run {run} has no numbers and no pictures yet; let 'genjax-zoo train' go on.")
    notes = {}
    if compute:
        from genjax_zoo.pages.computed import complete

        for run in runs:
            print(f"Drawing from {run} (not with --no-compute) ...", flush=True)
            notes[run] = complete(run)
    html = render(pages.gather(runs, notes=notes)).encode()
    if len(html) > LARGEST:
        raise ValueError(f"The page of {len(runs)} runs would have {len(html):,} bytes; name fewer runs.")
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


def watch(run: Annotated[Path, tyro.conf.Positional], port: int = 0, debug: bool = False) -> None:
    """Serve a run's page on this machine while it trains; the page renews itself. Ctrl-C ends it.

    Args:
        run: the run folder.
        port: to listen on; 0 takes one that is free.
        debug: show the traceback of an error.
    """
    from genjax_zoo.pages.watch import port_of, server_of
    from genjax_zoo.run import read_config

    read_config(run)
    with server_of(run, port) as server:
        print(f"Watching {run} at http://127.0.0.1:{port_of(server)}/ (Ctrl-C ends it)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
