"""Leaderboards: ties and winners, what scores are of, which runs are not ranked, and the table of them."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from capable import density, sampler
from rich.console import Console

from genjax_zoo import data, evals, runs
from genjax_zoo.compare import judges, measures, scores, speed
from genjax_zoo.compare import table as compare
from genjax_zoo.compare.cells import absent_cell, number_cell
from genjax_zoo.compare.leaderboard import COLUMNS, INCEPTION, leaderboard
from genjax_zoo.compare.measures import Measurement
from genjax_zoo.core import Card, Experiment, Levels, Model
from genjax_zoo.train.checkpoint import Checkpoints


def row(name="a", data="digits/test", features="pixels", protocol=None, **cells):
    kept = {key: absent_cell("not here") for key in COLUMNS} | cells
    return {
        "run": name,
        "family": "VAE",
        "step": 1,
        "data": data,
        "protocol": protocol or {"n": 4, "k": 1, "features": features},
        "cells": kept,
    }


def test_a_run_ties_with_itself_and_a_clear_winner_does_not():
    one = row(frechet=number_cell(1.0, low=0.9, high=1.1), precision=number_cell(0.5))
    board = leaderboard([one, one])
    assert board["columns"]["frechet"]["best"] == board["columns"]["precision"]["best"] == [0, 1]
    better = row("b", frechet=number_cell(0.5, low=0.4, high=0.6), precision=number_cell(0.4))
    board = leaderboard([one, better])
    assert [r["run"] for r in board["rows"]] == ["b", "a"]
    assert board["columns"]["frechet"]["best"] == [0]  # lower is better
    assert board["columns"]["precision"]["best"] == [1]  # higher is
    near = row("b", frechet=number_cell(0.95, low=0.85, high=1.05))
    assert leaderboard([one, near])["columns"]["frechet"]["best"] == [0, 1]  # the intervals overlap


def test_runs_of_different_data_are_refused_with_the_reason():
    with pytest.raises(ValueError, match="a of digits/test; b of mnist-deq/test. A likelihood is of one space"):
        leaderboard([row(), row("b", data="mnist-deq/test")])
    with pytest.raises(ValueError, match="different protocols: n 4 and 5"):
        leaderboard([row(), row("b", protocol={"n": 5, "k": 1, "features": "pixels"})])
    assert leaderboard([row(), row("b")])["data"] == "digits/test"


POINTS = """
import jax.numpy as jnp, optax
from genjax_zoo import Experiment, Model, Player, data
from genjax_zoo.core import Density, Explained

def experiment():
    train = data.load("ring8", "train", batch_size=16)
    nll = lambda variables, batch, key, train: ({"nll": jnp.zeros(len(batch["x"]))}, variables)
    init = lambda key, batch: {"params": {"net": {"w": jnp.zeros(())}}}
    model = Model(spec=train.spec, init=init, density=Density(terms=Explained(terms=nll, rest="nats"), exact=True))
    player = Player(terms=nll, weights={"nll": 1.0}, tx=optax.sgd(0.1))
    return Experiment(model=model, players={"one": player}, data=train, steps=2)
"""


def test_a_run_measured_another_way_is_measured_again_and_not_ranked_with_the_first(tmp_path, monkeypatch):
    (tmp_path / "points.py").write_text(POINTS)
    (tmp_path / "mine.py").write_text("def features(x): return x")
    folder, measured = tmp_path / "run", []
    runs.open_run(folder, tmp_path / "points.py", {})
    experiment = runs.build(runs.load_experiment(folder / "experiment.py"), {})
    with Checkpoints(folder / "checkpoints") as checkpoints:
        checkpoints.save(1, runs.create_state_of(experiment), {})
    nothing = {key: absent_cell("not here") for key in ("nats", "bits_per_dim")}
    monkeypatch.setattr(scores, "likelihood", lambda subject: (measured.append(subject.key), (nothing, []))[1])
    monkeypatch.setattr(
        speed, "train_step", lambda *args: {k: number_cell(1.0) for k in ("compile_s", "peak_memory_mb")}
    )
    monkeypatch.setattr(scores, "code_commit", lambda: "1234567")
    asked = Measurement(n=20, k=3)
    first = scores.score(folder, asked)
    assert scores.score(folder, asked) == first and len(measured) == 1
    for name, value in (("n", 21), ("k", 4), ("seed", 1), ("mode_samples", 30), ("features", tmp_path / "mine.py")):
        other = scores.score(folder, asked._replace(**{name: value}))
        assert len(measured) == 2, f"scores of another {name} were kept"
        told = value if name != "features" else other["protocol"]["features"]
        with pytest.raises(ValueError, match=f"different protocols: {name} {first['protocol'][name]} and {told}. Dist"):
            leaderboard([first, first, other])
        assert scores.score(folder, asked) == first
        assert jax.random.key_data(measured[1])[1] == (1 if name == "seed" else 0)
        del measured[1:]
    said = []
    (folder / "scores.tmp.json").mkdir()  # as of a run that is only read
    again = scores.score(folder, asked, fresh=True, warn=said.append)
    assert again.keys() == first.keys() and f"{folder}/scores.json cannot be written (" in said[0]


@pytest.mark.parametrize(
    "name, nats, bits, kind",
    [
        ("mnist-deq", -1_980.50, 4.36, "bound"),  # NICE's own pair of numbers: 8 - 1980.50 / (784 log 2)
        ("mnist-deq", 0.0, 8.0, "bound"),  # the uniform density of [0, 1), as its 256 levels
        ("mnist", 784 * 8 * np.log(2), 8.0, "exact"),
        ("mnist-static", 784 * np.log(2), 1.0, "exact"),
    ],
)
def test_bits_are_of_the_levels(name, nats, bits, kind):
    levels = data.PROTOCOLS[name].levels
    spread = np.array([-54.3, 54.3, 10.0, -10.0])  # 0 on average; 54.3 nats are 0.1 bits of 784 numbers
    split = data.Resident(
        arrays={"x": jnp.zeros((4, 28, 28, 1)), "nats": jnp.asarray(nats + spread, jnp.float32)},
        transform=data.PROTOCOLS[name].transform,
        batch_size=3,
        seed=0,
        train=False,
        origin=data.Origin(name),
    )
    model = Model(
        spec={"x": split.spec["x"]},
        init=lambda key, batch: {},
        density=density(lambda variables, batch, key, train: ({"nll": batch["nats"]}, variables)),
        card=Card(support=Levels(levels)),
    )
    experiment = Experiment(model=model, players={}, data=split, steps=1)
    judge = judges.judge_of("", (28, 28, 1))
    cells, _ = measures.likelihood(measures.Subject(experiment, {}, split, judge, 4, Measurement()))
    cell = cells["bits_per_dim"]
    assert cell["value"] == pytest.approx(bits, abs=0.005) and cell["kind"] == kind
    ends = [(cells["nats"][end] - cells["nats"]["value"]) / (784 * np.log(2)) for end in ("low", "high")]
    assert [cell[end] - cell["value"] for end in ("low", "high")] == pytest.approx(ends, abs=1e-6)
    assert -0.1 < ends[0] < -0.01 < 0.01 < ends[1] < 0.1


def test_samples_are_measured_by_the_protocol():
    """By the k, the n and the seed that are asked for."""
    train, test = (data.load("digits", split, batch_size=30) for split in ("train", "test"))

    def sample(variables, key, n, cond):
        return jax.random.uniform(key, (n, 8, 8, 1)) * train.at(0)["x"][0]

    model = Model(spec=train.spec, init=lambda key, batch: {}, sampler=sampler(sample))
    experiment = Experiment(model=model, players={}, data=train, steps=1)
    cells = measures.of_samples(measures.subject_of(experiment, {}, Measurement(n=30, k=2, seed=7)))
    compare = evals.fidelity(test, lambda x: x.reshape(len(x), -1), name="x", n=30, k=2, resamples=0)
    wanted = compare(model, {}, jax.random.key(7))
    for key in ("frechet", "precision", "recall", "density", "coverage"):
        assert cells[key]["n"] == 30
        assert cells[key]["value"] == pytest.approx(wanted[f"{key}[x]"], rel=1e-5)
        assert cells[key]["floor"] == pytest.approx(wanted[f"{key}[x]/floor"], rel=1e-5)


def test_likelihoods_given_the_label_are_ranked_apart():
    exact, given = (
        row(nats=number_cell(90.0, kind="exact")),
        row("b", nats=number_cell(80.0, kind="exact given the label")),
    )
    board = leaderboard([exact, given])
    assert board["columns"]["nats"]["best"] == [0, 1]
    assert any("given the label are not ranked" in note for note in board["notes"])
    bound = row("b", nats=number_cell(80.0, kind="bound"))
    board = leaderboard([exact, bound])
    assert board["columns"]["nats"]["best"] == [1]
    assert any("bounds stand in one column" in note for note in board["notes"])
    board = leaderboard([exact, exact])
    assert not any("not ranked" in note or "bounds" in note for note in board["notes"])


def test_only_inception_makes_it_fid():
    assert leaderboard([row()])["columns"]["frechet"]["title"] == "Fréchet"
    titles = [leaderboard([row(features=of)])["columns"] for of in (INCEPTION, "mnist-cnn")]
    assert [one["frechet"]["title"] for one in titles] == ["FID", "Fréchet"]
    assert [one["kernel_distance"]["title"] for one in titles] == ["KID", "kernel distance"]


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_table_fits_and_holds_every_number(width, tmp_path):
    rows = [
        row(f"run{i}", parameters=number_cell(1_000 + 100 * i), frechet=absent_cell("no sampler")) for i in range(5)
    ]
    rows[0]["cells"]["nats"] = number_cell(12.345, low=12.1, high=12.6, floor=3.25, kind="bound", n=7)
    console = Console(width=width, record=True, file=io.StringIO())
    compare.show(console, leaderboard(rows))
    text = console.export_text()
    assert all(f"{1_000 + 100 * i:,}" in text for i in range(5))
    assert all(part in text for part in ("12.345", "bound", "n = 7", "3.2500", "Fréchet: no sampler"))
    assert all(len(line) <= width for line in text.splitlines() if "─" in line or "likelihood," in line)
