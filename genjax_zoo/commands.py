"""The commands that take an experiment's file and its flags: train, sweep and explain.

Like `cli`, this imports neither jax nor numpy before a command runs.
"""

import dataclasses
import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genjax_zoo.checks import check_place
from genjax_zoo.files import telling
from genjax_zoo.flags import RunFlags, parse_experiment, parse_sweep


def train(file: Path, argv: list[str]) -> None:
    """Trains an experiment, or goes on with its run."""
    from genjax_zoo import data
    from genjax_zoo import run as runs
    from genjax_zoo.train import log, services

    make, flags, run = parse_experiment(file, argv)
    folder = run.workdir or Path("runs") / file.stem
    check_place(folder, "--workdir")
    everything = runs.at_home(folder, _everything(flags, run), fresh=run.fresh)
    for asked, module in ((run.tensorboard, services.tensorboard), (run.wandb, services.wandb)):
        if asked:
            module()
    with data.recorded() as seen, runs.going_on(folder, fresh=run.fresh):
        experiment = runs.build(make, everything)
    read = runs.described(seen, experiment)
    runs.check(experiment)
    beginning = {"init_from": run.init_from, "keep_optimizer": run.keep_optimizer}
    if run.keep_optimizer and not run.init_from:
        raise ValueError("--keep-optimizer is of the run that --init-from names; name one.")
    if run.fresh:  # nothing is removed before the new run is known to begin
        if run.checkpoint != "latest":
            raise ValueError("--fresh removes the run that --checkpoint would go on with; give one of them.")
        source = runs.run_and_checkpoint(run.init_from)[0].resolve() if run.init_from else None
        if source and folder.resolve() in (source, *source.parents):
            raise ValueError(f"--fresh removes {folder}, from which --init-from would begin; name another --workdir.")
        runs.rehearse(experiment, precision=run.precision, **beginning)
    asked = {"untouched": runs.untouched(make, everything), "accept_changes": run.accept_changes}
    runs.check_run(folder, file, everything, data=read, fresh=run.fresh, **asked)

    def sinks(start: int) -> list[log.Sink]:  # called when the run is restored
        known = {"data": read, "conditions": data.examples(seen), "card": experiment.model.card}
        longer = _longer(folder, flags)
        runs.write_run(folder, file, everything, command=["train", str(file), *argv], **known)
        for sentence in runs.unheard(make, everything, experiment):
            telling.get()(sentence)
        if start:
            print(f"Going on with {folder} at step {start:,}.{longer}", flush=True)
        if run.init_from:
            print(
                f"--init-from {run.init_from} {'is of the first start alone' if start else 'gives the networks'}.",
                flush=True,
            )
        extra: list[log.Sink] = []
        if run.tensorboard:
            extra.append(services.TensorBoard(folder / "tensorboard", start=start))
        if run.wandb:
            extra.append(services.WeightsAndBiases(folder, config=everything))
        return extra

    settings: dict[str, Any] = {"workdir": folder, "backend": run.backend, "precision": run.precision}
    settings |= {"checkpoint": run.checkpoint, **beginning}
    result = runs.fit(experiment, **settings, sinks=sinks, progress=True)
    _print_summary(folder, experiment, result)


def sweep(file: Path, argv: list[str]) -> None:
    """Trains many as one program, and prints and writes the table."""
    single, seeds, listed = parse_sweep(argv)
    import jax

    if jax.config.jax_num_cpu_devices < 0:  # type: ignore[attr-defined]  # before anything asks for devices: members take the cores, one each
        jax.config.update("jax_num_cpu_devices", os.cpu_count() or 1)
    from rich.console import Console

    from genjax_zoo import data
    from genjax_zoo import run as runs
    from genjax_zoo import sweep as sweeps

    make, flags, run = parse_experiment(file, single)
    for name, asked in (
        ("backend", run.backend != "shard_map"),
        ("tensorboard", run.tensorboard),
        ("wandb", run.wandb),
        ("init-from", run.init_from),
        ("checkpoint", run.checkpoint != "latest"),
    ):
        if asked:
            raise ValueError(
                f"A sweep has no --{name}: its members share the devices, begin anew, and log to their own folders."
            )
    grid = {name: _numbers(name, texts, flags.get(name)) for name, texts in listed.items()}
    folder = run.workdir or Path("runs") / f"{file.stem}_sweep"
    check_place(folder, "--workdir")
    everything = runs.at_home(folder, _everything(flags, run), fresh=run.fresh)
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
    if longer := _longer(members[0].folder, flags):
        show(longer.strip())
    rows = sweeps.sweep(members, prepared, begin=begin, show=show)
    sweeps.print_table(console, rows)
    print(sweeps.save_table(folder, rows))


def _longer(folder: Path, flags: Mapping[str, Any]) -> str:
    """What becomes of schedules where a run goes on to another last step, of which they are built; or nothing."""
    from genjax_zoo.run import CONFIG, read_config

    before = read_config(folder)["flags"].get("steps") if (folder / CONFIG).exists() else None
    if before is None or before == flags.get("steps", before):
        return ""
    return f" Schedules are those of {flags['steps']:,} steps from here on; until here they were of {before:,}."


def _numbers(name: str, texts: list[str], first: Any) -> list[float]:
    """The values of a swept flag, of the first one's type."""
    flag, values = f"--{name.replace('_', '-')}", ",".join(texts)
    of_run = name in {f.name for f in dataclasses.fields(RunFlags)}
    if of_run or isinstance(first, bool) or not isinstance(first, float | int):
        raise ValueError(
            f"{flag} {values}: only seeds and an experiment's own numbers can be swept; run 'sweep' once per value."
        )
    try:
        return [type(first)(text) for text in texts]
    except ValueError:
        raise ValueError(f"{flag} takes numbers with commas, not '{values}'.") from None


def explain(file: Path, argv: list[str]) -> None:
    """Prints each player's objective."""
    from genjax_zoo import run as runs
    from genjax_zoo.explain import explain as explained

    make, flags, run = parse_experiment(file, argv)
    print(explained(runs.build(make, _everything(flags, run))))


def _everything(flags: Mapping[str, Any], run: RunFlags) -> dict[str, Any]:
    """All flags that make a run what it is."""
    logging = {"workdir", "checkpoint", "fresh", "accept_changes", "debug", "tensorboard", "wandb"}
    common = {f.name: getattr(run, f.name) for f in dataclasses.fields(run) if f.name not in logging}
    return {name: str(v) if isinstance(v, Path) else v for name, v in {**common, **flags}.items()}


def _print_summary(folder: Path, experiment: Any, result: Any) -> None:
    from genjax_zoo.evals.support import unit

    print(f"\nTrained {folder.name} to step {int(result.state.step):,}.")
    if result.speed.steps:
        rate = result.speed.rate
        print(f"  {rate:,.1f} steps/s, {rate * experiment.data.batch_size:,.0f} examples/s")
    for name, value in result.results.items():
        print(f"  {name:28} {value:.4f}{unit(experiment.model, name)}")
    if result.best_step is not None:
        print(f"  smallest {experiment.best} at step {result.best_step:,}: eval {folder} --checkpoint best")
    for path in sorted(folder.iterdir()):
        if path.suffix in (".png", ".jsonl", ".json") or path.name in ("checkpoints", "pictures"):
            print(f"  {path}")


OF_EXPERIMENTS = {"train": train, "sweep": sweep, "explain": explain}
