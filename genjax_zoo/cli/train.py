"""genjax-zoo train: trains an experiment, or goes on with its run."""

from pathlib import Path
from typing import Annotated, Any

import tyro

from genjax_zoo.cli.flags import everything_of, longer_of, parse_experiment
from genjax_zoo.errors import UserError, check_place
from genjax_zoo.files import telling


def train(file: Annotated[str, tyro.conf.Positional]) -> None:
    """Train an experiment, or go on with it: `genjax-zoo train FILE --help` lists its flags.

    Args:
        file: a Python file with a function `experiment`, such as experiments/vae_digits.py.
    """


def run(file: Path, argv: list[str]) -> None:
    """Trains an experiment, or goes on with its run."""
    from genjax_zoo import data, runs
    from genjax_zoo.train import log, services

    make, flags, run = parse_experiment(file, argv)
    folder = run.workdir or Path("runs") / file.stem
    check_place(folder, "--workdir")
    everything = runs.at_home(folder, everything_of(flags, run), fresh=run.fresh)
    for asked, module in ((run.tensorboard, services.tensorboard), (run.wandb, services.wandb)):
        if asked:
            module()
    with data.recorded() as seen, runs.going_on(folder, fresh=run.fresh):
        experiment = runs.build(make, everything)
    read = runs.described(seen, experiment)
    runs.check(experiment)
    beginning = {"init_from": run.init_from, "keep_optimizer": run.keep_optimizer}
    if run.keep_optimizer and not run.init_from:
        raise UserError("--keep-optimizer is of the run that --init-from names; name one.")
    if run.fresh:  # nothing is removed before the new run is known to begin
        if run.checkpoint != "latest":
            raise UserError("--fresh removes the run that --checkpoint would go on with; give one of them.")
        source = runs.run_and_checkpoint(run.init_from)[0].resolve() if run.init_from else None
        if source and folder.resolve() in (source, *source.parents):
            raise UserError(f"--fresh removes {folder}, from which --init-from would begin; name another --workdir.")
        runs.rehearse(experiment, precision=run.precision, **beginning)
    asked = {"untouched": runs.untouched(make, everything), "accept_changes": run.accept_changes}
    runs.check_run(folder, file, everything, data=read, fresh=run.fresh, **asked)

    def sinks(start: int) -> list[log.Sink]:  # called when the run is restored
        known = {"data": read, "conditions": data.examples(seen), "card": experiment.model.card}
        longer = longer_of(folder, flags)
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
