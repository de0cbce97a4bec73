"""Leaderboards: ties and winners, which runs are not ranked, and the table of them."""

import io

import pytest
from rich.console import Console

from genjax_zoo.compare import table as compare
from genjax_zoo.compare.cells import absent, found
from genjax_zoo.compare.leaderboard import COLUMNS, INCEPTION, leaderboard


def row(name="a", data="digits/test", features="pixels", protocol=None, **cells):
    kept = {key: absent("not here") for key in COLUMNS} | cells
    return {
        "run": name,
        "family": "VAE",
        "step": 1,
        "data": data,
        "protocol": protocol or {"n": 4, "k": 1, "features": features},
        "cells": kept,
    }


def test_a_run_ties_with_itself_and_a_clear_winner_does_not():
    one = row(frechet=found(1.0, low=0.9, high=1.1), precision=found(0.5))
    board = leaderboard([one, one])
    assert board["columns"]["frechet"]["best"] == board["columns"]["precision"]["best"] == [0, 1]
    better = row("b", frechet=found(0.5, low=0.4, high=0.6), precision=found(0.4))
    board = leaderboard([one, better])
    assert [r["run"] for r in board["rows"]] == ["b", "a"]
    assert board["columns"]["frechet"]["best"] == [0]  # lower is better
    assert board["columns"]["precision"]["best"] == [1]  # higher is
    near = row("b", frechet=found(0.95, low=0.85, high=1.05))
    assert leaderboard([one, near])["columns"]["frechet"]["best"] == [0, 1]  # the intervals overlap


def test_runs_of_different_data_are_refused_with_the_reason():
    with pytest.raises(ValueError, match="a of digits/test; b of mnist-deq/test. A likelihood is of one space"):
        leaderboard([row(), row("b", data="mnist-deq/test")])
    with pytest.raises(ValueError, match="different protocols: n 4 and 5"):
        leaderboard([row(), row("b", protocol={"n": 5, "k": 1, "features": "pixels"})])
    assert leaderboard([row(), row("b")])["data"] == "digits/test"


def test_likelihoods_given_the_label_are_ranked_apart():
    exact, given = row(nats=found(90.0, kind="exact")), row("b", nats=found(80.0, kind="exact given the label"))
    board = leaderboard([exact, given])
    assert board["columns"]["nats"]["best"] == [0, 1]
    assert any("given the label are not ranked" in note for note in board["notes"])
    bound = row("b", nats=found(80.0, kind="bound"))
    board = leaderboard([exact, bound])
    assert board["columns"]["nats"]["best"] == [1]
    assert any("bounds stand in one column" in note for note in board["notes"])
    board = leaderboard([exact, exact])
    assert not any("not ranked" in note or "bounds" in note for note in board["notes"])


def test_only_inception_makes_it_fid():
    assert leaderboard([row()])["columns"]["frechet"]["title"] == "Fréchet"
    assert leaderboard([row(features=INCEPTION)])["columns"]["frechet"]["title"] == "FID"


@pytest.mark.parametrize("width", [60, 100, 200])
def test_the_table_fits_and_holds_every_number(width, tmp_path):
    rows = [row(f"run{i}", parameters=found(1_000 + 100 * i), frechet=absent("no sampler")) for i in range(5)]
    rows[0]["cells"]["nats"] = found(12.345, low=12.1, high=12.6, floor=3.25, kind="bound", n=7)
    console = Console(width=width, record=True, file=io.StringIO())
    compare.show(console, leaderboard(rows))
    text = console.export_text()
    assert all(f"{1_000 + 100 * i:,}" in text for i in range(5))
    assert all(part in text for part in ("12.345", "bound", "n = 7", "3.2500", "Fréchet: no sampler"))
    assert all(len(line) <= width for line in text.splitlines() if "─" in line or "likelihood," in line)
