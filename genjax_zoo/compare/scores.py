"""What `genjax-zoo compare` measures of one run, and keeps as RUN/scores.json: every column of the leaderboard."""

import importlib.metadata
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from genjax_zoo import data, runs
from genjax_zoo.compare import speed
from genjax_zoo.compare.cells import Cell, absent_cell, number_cell
from genjax_zoo.compare.leaderboard import COLUMNS, SCORES, leaderboard
from genjax_zoo.compare.measures import PAPERS_MODES, Measurement, likelihood, modes, of_samples, subject_of
from genjax_zoo.compare.published import PUBLISHED
from genjax_zoo.core import Card
from genjax_zoo.errors import Missing, UserError
from genjax_zoo.files import whole
from genjax_zoo.train import eval_variables
from genjax_zoo.train.digest import fingerprint

FAMILIES = {"vae": "VAE", "flow": "flow", "autoregressive": "autoregressive", "gan": "GAN"}  # by the folder of a model


def data_of(folder: Path) -> str:
    """What a run is compared on, without measuring it, such as "digits/test".

    Raises:
        FileNotFoundError: no run.
        UserError: its data are of no protocol, or have no test split.
    """
    experiment = runs.experiment_of(folder)
    try:
        return f"{data.reload(experiment.data, 'test', batch_size=1).origin.title}/test"  # type: ignore[union-attr]
    except Missing:
        raise
    except UserError as error:
        raise UserError(f"{folder} cannot be compared. {error}") from None


def score(
    folder: Path,
    asked: Measurement,
    *,
    checkpoint: str = "latest",
    fresh: bool = False,
    warn: Callable[[str], None] = lambda sentence: None,
) -> Mapping[str, Any]:
    """A run's scores: those that it keeps of these weights, commit and protocol, else measured and kept.

    Args:
        folder: of the run.
        asked: how to measure.
        checkpoint: "latest", "best", or a step.
        fresh: measures again.
        warn: told why scores cannot be kept, of a run that cannot be written to.

    Raises:
        FileNotFoundError: no run, or no checkpoint.
        UserError: no such checkpoint, data of no protocol, or fewer samples than neighbours.
    """
    config = runs.read_config(folder)
    experiment, state = runs.restore(folder, checkpoint=checkpoint)
    subject = subject_of(experiment, eval_variables(state), asked)
    name, family = model_of(experiment.model.card)
    about: dict[str, Any] = {
        "run": runs.name_of(folder),
        "model": name or Path(config["experiment"]).stem,
        "family": family,
        "step": int(state.step),
        "weights": fingerprint(eval_variables(state)),
        "data": f"{subject.origin.title}/test",
        "content": data.describe({"test": subject.test})["test"]["arrays"]["x"],
        "commit": code_commit(),
        "machine": f"{jax.device_count()} x {jax.devices()[0].device_kind}",
        "protocol": {"n": subject.n, "k": asked.k, "features": subject.judge.name, "seed": asked.seed},
    }
    if subject.origin.name in PAPERS_MODES:
        about["protocol"]["mode_samples"] = asked.mode_samples or PAPERS_MODES[subject.origin.name]
    if not fresh and (kept := _kept(folder / SCORES, about)):
        return kept
    nats, notes = likelihood(subject)
    batch = subject.test.batch_size  # as many as were drawn at a time before: its program is compiled
    cells = {
        **nats,
        **of_samples(subject),
        **modes(subject),
        "samples_per_s": speed.samples_per_s(
            subject.model, subject.variables, subject.key, subject.given(batch), batch
        ),
        "examples_per_s": speed.examples_per_s(folder / "metrics.jsonl"),
        "parameters": number_cell(sum(x.size for x in jax.tree.leaves(state.variables["params"]))),
        **speed.train_step(runs.in_precision(experiment, config["flags"].get("precision", "float32")), state),
        "reported": _reported(name, subject.origin.name),
    }
    row = {**about, "cells": {key: cells[key] for key in COLUMNS}, "notes": notes}
    try:
        with whole(folder / SCORES) as unfinished:
            unfinished.write_text(json.dumps(row, indent=2, allow_nan=False) + "\n")
    except OSError as error:
        warn(f"{folder / SCORES} cannot be written ({error.strerror}): the next 'compare' measures this run again.")
    return row


def code_commit() -> str:
    """The commit of this package's code, which ends in "-dirty" where files differ from it; else its version."""
    return runs.provenance(Path(__file__))["commit"] or importlib.metadata.version("genjax-zoo")


def model_of(card: Card) -> tuple[str | None, str]:
    """The name of a model, or None where it is one's own; and its family."""
    return None if card.name == "own" else card.name, FAMILIES.get(card.family, "own")


def _kept(path: Path, about: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """A file's scores where they are of the same weights, commit and protocol; code that is not committed has none."""
    if not path.exists() or about["commit"].endswith("-dirty"):
        return None
    try:
        row = json.loads(path.read_text())
        same = all(row[name] == value for name, value in about.items())
        leaderboard([row])  # it has all that is shown
    except (ValueError, KeyError, TypeError, AttributeError):  # a file that is damaged
        return None
    return row if same and set(row["cells"]) == set(COLUMNS) else None


def _reported(model: str | None, name: str) -> Cell:
    known = PUBLISHED.get((model or "", name))
    if known is None:
        return absent_cell("none known here for this model and these data")
    return number_cell(known.value, kind="reported", source=f"{known.of}; {known.source}")
