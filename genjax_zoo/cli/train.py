"""genjax-zoo train: trains an experiment, or goes on with its run."""

from pathlib import Path
from typing import Any

from genjax_zoo.cli.flags import File, Words
from genjax_zoo.cli.start import Start
from genjax_zoo.errors import CADENCE, PROG, UserError


def train(file: File, flags: Words = ()) -> None:
    """Train an experiment, or go on with it: `genjax-zoo train FILE --help` lists its flags.

    Args:
        file: a Python file with a function `experiment`, or the name of one that `genjax-zoo list` shows.
        flags: its function's arguments, and those of every run.
    """
    start = Start("train", file, flags, Path("runs") / file.stem)
    if start.run.copy:
        return _copy(file, start.run.copy)
    from genjax_zoo import runs
    from genjax_zoo.train import log, services

    run, folder = start.run, start.folder
    for asked, module in ((run.tensorboard, services.tensorboard), (run.wandb, services.wandb)):
        if asked:
            module()
    with start.building():
        experiment = runs.build(start.make, start.flags)
    runs.check(experiment)
    beginning: dict[str, Any] = {"init_from": run.init_from, "keep_optimizer": run.keep_optimizer}
    if run.keep_optimizer and not run.init_from:
        raise UserError("--keep-optimizer is of the run that --init-from names; name one.")
    if run.fresh:  # nothing is removed before the new run is known to begin
        if run.checkpoint != "latest":
            raise UserError("--fresh removes the run that --checkpoint would go on with; give one of them.")
        source = runs.run_and_checkpoint(run.init_from)[0].resolve() if run.init_from else None
        if source and folder.resolve() in (source, *source.parents):
            raise UserError(f"--fresh removes {folder}, from which --init-from would begin; name another --workdir.")
        runs.rehearse(experiment, precision=run.precision, **beginning)
    start.check(folder, start.flags, experiment)
    if run.fresh:
        runs.clear_run(folder, file)

    def sinks(step: int) -> list[log.Sink]:  # called when the run is restored
        longer = start.longer(folder) if step < experiment.steps else ""
        if step <= experiment.steps:  # else nothing is trained by these flags
            start.write(folder, start.flags, experiment)
        if step:
            print(f"Going on with {folder} at step {step:,}.{longer}", flush=True)
        if run.init_from:
            print(
                f"--init-from {run.init_from} {'is of the first start alone' if step else 'gives the networks'}.",
                flush=True,
            )
        extra: list[log.Sink] = []
        if run.tensorboard:
            extra.append(services.TensorBoard(folder / "tensorboard", start=step))
        if run.wandb:
            extra.append(services.WeightsAndBiases(folder, config=start.flags))
        return extra

    settings: dict[str, Any] = {"workdir": folder, "backend": run.backend, "precision": run.precision}
    settings |= {"checkpoint": run.checkpoint, **beginning, **{name: getattr(run, name) for name in CADENCE}}
    result = runs.fit(experiment, **settings, sinks=sinks, progress=True)
    _print_summary(folder, experiment, result)


def _copy(file: Path, to: Path) -> None:
    from genjax_zoo.cli.listing import copy_experiment

    copy_experiment(file, to)
    print(f"{to} is a copy of {file.stem} to change: {PROG} train {to}")


def _print_summary(folder: Path, experiment: Any, result: Any) -> None:
    from genjax_zoo.evals.support import unit

    print(f"\nTrained {folder.name} to step {int(result.state.step):,}.")
    if result.speed.steps:
        rate = result.speed.rate
        print(f"  {rate:,.1f} steps/s, {rate * experiment.data.batch_size:,.0f} examples/s")
    for name, value in result.results.items():
        print(f"  {name:28} {value:.4f}{unit(experiment.model, name)}")
    if result.best_step is not None:
        print(f"  smallest {experiment.best} at step {result.best_step:,}: {PROG} eval {folder} --checkpoint best")
    for path in sorted(folder.iterdir()):
        if path.suffix in (".png", ".jsonl", ".json") or path.name in ("checkpoints", "pictures"):
            print(f"  {path}")
