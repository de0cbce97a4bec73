"""genjax-zoo sample: draws samples from a run."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from genjax_zoo.cli.parsing import stands_for
from genjax_zoo.errors import UserError, check_number, check_place


def sample(
    run: Annotated[Path, tyro.conf.Positional],
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 64,
    seed: int = 0,
    cond: Annotated[tuple[str, ...], stands_for("those of the run's own data")] = (),
    seconds: Annotated[float | None, stands_for("as in training")] = None,
    temperature: float = 1.0,
    mean: bool = False,
    top_k: Annotated[int | None, stands_for("all")] = None,
    top_p: Annotated[float | None, stands_for("all")] = None,
    prefix: Annotated[Path | None, stands_for("none")] = None,
    keep: Annotated[float | None, stands_for("nothing")] = None,
    checkpoint: str = "latest",
    out: Annotated[Path | None, stands_for("RUN/samples-SEED.png")] = None,
    trust: bool = False,
    debug: bool = False,
) -> None:
    """Draw samples from a run, as a PNG or as an array; sounds as WAV files and a PNG of their spectrograms.

    Args:
        run: the run folder.
        n: how many samples.
        seed: of the draw.
        cond: conditions: label=3, or label=0,1,2 to take turns; code=0.5,-1 for a vector; mask=FILE.npy for any array,
            for all samples or with one for each.
        seconds: how long sounds last.
        temperature: of a Gaussian prior, or one over codes, or of an autoregressive model; below 1 the likely becomes
            likelier.
        mean: without the noise that a decoder adds: the mean of p(x | z).
        top_k: draw from the k likeliest levels only; of autoregressive models, as are the next three.
        top_p: draw from the likeliest levels that hold this much of the probability.
        prefix: a .npy or .wav file that samples begin with, in raster order.
        keep: complete the run's own data, of which this share is given.
        checkpoint: latest, best, or a step.
        out: a .png or .npy file; WAV files are beside it.
        trust: run the code in the folder although another user made it; asked once.
        debug: show the traceback of an error.
    """
    if n < 1:
        raise UserError(f"Cannot draw {n} samples; use -n 1 or more.")
    path = out or run / f"samples-{seed}.png"
    if path.suffix not in (".png", ".npy"):
        raise UserError(f"Cannot write '{path}': --out must end in .png or .npy.")
    check_number("seed", seed)
    from genjax_zoo.explore import drawing
    from genjax_zoo.runs import read_config

    read_config(run)
    check_place(path.parent, "--out")
    settings: dict[str, Any] = {"seconds": seconds, "temperature": temperature, "top_k": top_k, "top_p": top_p}
    settings |= {"mean": mean, "prefix": prefix, "keep": keep, "checkpoint": checkpoint, "trust": trust}
    step, files = drawing.draw_run(run, path, n, seed=seed, cond=cond, **settings)
    print(f"{n} samples of step {step:,}: {', '.join(map(str, files[:2]))}{' ...' if len(files) > 2 else ''}")
