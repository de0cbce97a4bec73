"""genjax-zoo sweep: trains an experiment many times as one program."""

import dataclasses
import functools
import os
from pathlib import Path
from typing import Annotated, Any

import tyro

from genjax_zoo.cli.flags import RunFlags, everything_of, longer_of, parse_experiment, parse_sweep
from genjax_zoo.errors import UserError, check_place
from genjax_zoo.files import telling


def sweep(file: Annotated[str, tyro.conf.Positional], seeds: str = "1") -> None:
    """Train an experiment many times as one program: seeds, and flags whose numbers are listed with commas.

    `genjax-zoo sweep FILE --seeds 10 --learning-rate 1e-4,2e-4` makes a run folder each, and a table of means and
    standard errors; all other flags are those of `train`.

    Args:
        file: a Python file with a function `experiment`, such as experiments/gan_points.py.
        seeds: a count, for 0, 1, ...; or seeds with commas.
    """


def run(file: Path, argv: list[str]) -> None:
    """Trains many as one program, and prints and writes the table."""
    single, seeds, listed = parse_sweep(argv)
    import jax

    if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]  # before anything asks for devices: members take the cores, one each
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    from rich.console import Console

    from genjax_zoo import data, runs
    from genjax_zoo.runs import sweep as sweeps

    make, flags, run = parse_experiment(file, single)
    for name, asked in (
        ("backend", run.backend != "shard_map"),
        ("tensorboard", run.tensorboard),
        ("wandb", run.wandb),
        ("init-from", run.init_from),
        ("checkpoint", run.checkpoint != "latest"),
    ):
        if asked:
            raise UserError(
                f"A sweep has no --{name}: its members share the devices, begin anew, and log to their own folders."
            )
    grid = {name: _numbers(name, texts, flags.get(name)) for name, texts in listed.items()}
    folder = run.workdir or Path("runs") / f"{file.stem}_sweep"
    check_place(folder, "--workdir")
    everything = runs.at_home(folder, everything_of(flags, run), fresh=run.fresh)
    own = runs.untouched(make, everything)
    with data.recorded() as seen, runs.going_on(folder, fresh=run.fresh):
        members = sweeps.plan(make, everything, grid, seeds, folder)
    loaded, kept = data.described(seen), data.examples(seen)
    read = {one.folder: {**loaded, **runs.described({}, one.experiment)} for one in members}
    runs.check(members[0].experiment)

    def check(one: sweeps.Member) -> None:
        known = {"data": read[one.folder], "fresh": run.fresh, "accept_changes": run.accept_changes, "untouched": own}
        runs.check_run(one.folder, file, one.flags, **known)

    def begin(one: sweeps.Member) -> None:
        known = {"data": read[one.folder], "conditions": kept, "card": one.experiment.model.card}
        runs.write_run(one.folder, file, one.flags, command=["sweep", str(file), *argv], **known)

    if not run.fresh:
        sweeps.check_folders(members, check)
    prepared = sweeps.prepare(members)
    if run.fresh:  # nothing is deleted before the sweep is known to begin
        sweeps.check_folders(members, check, fresh=True)
    console = Console()
    console = console if console.is_terminal else Console(width=200)  # a file has room for the table
    show = functools.partial(console.print, highlight=False, soft_wrap=True)
    last = members[-1]
    for sentence in runs.unheard(make, last.flags if seeds != [0] else everything, last.experiment):
        telling.get()(sentence)
    if longer := longer_of(members[0].folder, flags):
        show(longer.strip())
    rows = sweeps.sweep(members, prepared, begin=begin, show=show)
    sweeps.print_table(console, rows)
    print(sweeps.save_table(folder, rows))


def _numbers(name: str, texts: list[str], first: Any) -> list[float]:
    """The values of a swept flag, of the first one's type."""
    flag, values = f"--{name.replace('_', '-')}", ",".join(texts)
    of_run = name in {f.name for f in dataclasses.fields(RunFlags)}
    if of_run or isinstance(first, bool) or not isinstance(first, float | int):
        raise UserError(
            f"{flag} {values}: only seeds and an experiment's own numbers can be swept; run 'sweep' once per value."
        )
    try:
        return [type(first)(text) for text in texts]
    except ValueError:
        raise UserError(f"{flag} takes numbers with commas, not '{values}'.") from None
