"""genjax-zoo sweep: trains an experiment many times as one program."""

import contextlib
import functools
import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genjax_zoo.cli.flags import File, Words, load, parameters_of
from genjax_zoo.cli.parsing import by_flag, number_type
from genjax_zoo.cli.start import Start
from genjax_zoo.errors import UserError


def sweep(file: File, flags: Words = ()) -> None:
    """Train an experiment many times as one program: once for each of the numbers that are listed with commas.

    `genjax-zoo sweep FILE --learning-rate 1e-4,2e-4 --seed 0,3,7` makes six run folders, and a table of means and
    standard errors over the seeds. Any of the experiment's numbers can be listed; `--seeds N` is short for
    `--seed 0,1,...,N-1`. All other flags are those of `train`.

    Args:
        file: a Python file with a function `experiment`, or the name of one that `genjax-zoo list` shows.
        flags: its function's arguments, and those of every run.
    """
    import jax

    if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]  # members take the cores, one each,
        with contextlib.suppress(RuntimeError):  # where nothing has asked for devices yet
            jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    from rich.console import Console

    from genjax_zoo import runs
    from genjax_zoo.runs import sweep as sweeps

    make = load(file, flags)
    single, grid = read_lists(flags, parameters_of(make))
    start = Start("sweep", file, flags, Path("runs") / f"{file.stem}_sweep", make, single)
    run = start.run
    for name, asked in (
        ("backend", run.backend != "shard_map"),
        ("tensorboard", run.tensorboard),
        ("wandb", run.wandb),
        ("init-from", run.init_from),
        ("checkpoint", run.checkpoint != "latest"),
        ("copy", run.copy),
    ):
        if asked:
            raise UserError(
                f"A sweep has no --{name}: its members share the devices, begin anew, and log to their own folders."
            )
    seeds = grid.pop("seed", [])
    with start.building():
        members = sweeps.plan(make, start.flags, grid, seeds, start.folder)
    runs.check(members[0].experiment)

    def check(one: sweeps.Member) -> None:
        start.check(one.folder, one.flags, one.experiment)

    def begin(one: sweeps.Member) -> None:
        start.write(one.folder, one.flags, one.experiment)

    sweeps.check_folders(members, check)
    prepared = sweeps.prepare(members)
    for one in members if run.fresh else ():  # nothing is removed before the sweep is known to begin
        runs.clear_run(one.folder, start.file)
    console = Console()
    console = console if console.is_terminal else Console(width=200)  # a file has room for the table
    show = functools.partial(console.print, highlight=False, soft_wrap=True)
    if longer := start.longer(members[0].folder):
        show(longer.strip())
    rows = sweeps.sweep(members, prepared, begin=begin, show=show)
    sweeps.print_table(console, rows)
    print(sweeps.save_table(start.folder, rows))


def read_lists(
    words: Sequence[str], parameters: Mapping[str, inspect.Parameter]
) -> tuple[list[str], dict[str, list[Any]]]:
    """Splits the words of a sweep: those of a single run, with the first of each list, and the lists, by argument.

    Raises:
        UserError: a list of what is no number of the experiment's, or --seeds that are no count.
    """
    single: list[str] = []
    grid: dict[str, list[Any]] = {}
    for flag, given in by_flag(words):
        if flag == "--seeds":
            flag, given = "--seed", [",".join(map(str, range(_count(given))))]
        name = flag.removeprefix("--").replace("-", "_")
        grid.pop(name, None)
        if name in parameters and len(given) == 1 and "," in given[0]:
            grid[name] = _numbers(flag, given[0], parameters[name].annotation)
            given = given[0].split(",")[:1]
        single += [f"{flag}={given[0]}", *given[1:]] if flag and given else [*filter(None, [flag]), *given]
    return single, grid


def _count(given: Sequence[str]) -> int:
    text = " ".join(given)
    if "," in text:
        raise UserError(f"--seeds takes a count; list seeds by --seed {text}.")
    if not text.isdecimal():
        raise UserError(f"--seeds takes a count, not '{text}'.")
    if int(text) < 1:
        raise UserError(f"--seeds must be at least 1, not {text}.")
    return int(text)


def _numbers(flag: str, text: str, annotation: Any) -> list[float]:
    kind, _ = number_type(annotation)
    if kind is None:
        raise UserError(f"{flag} {text}: only an experiment's own numbers can be swept; run 'sweep' once per value.")
    try:
        return [kind(one) for one in text.split(",")]
    except ValueError:
        raise UserError(f"{flag} takes {kind.__name__.upper()}s with commas, not '{text}'.") from None
