"""Files of a run that are damaged: a reader names them in a sentence, or leaves the bad row out and says so."""

import contextlib
import io
import json

import numpy as np
import pytest
import run_folders
import test_readers

from genjax_zoo import cli
from genjax_zoo.compare.scores import _kept
from genjax_zoo.compare.speed import examples_per_s
from genjax_zoo.draw import read_curves, read_sound, save_sound
from genjax_zoo.files import read_log
from genjax_zoo.report.gather import gather
from genjax_zoo.report.page import render

GOOD = {
    "experiment": "mine.py",
    "flags": {},
    "history": [{"commit": None, "versions": {}, "python": "", "devices": ""}],
}
COMMANDS = [["report", "--no-compute"], ["report"], ["compare"], ["watch"], ["eval"], ["sample"], ["latent"]]


def said(*argv):
    with contextlib.redirect_stderr(io.StringIO()) as error, pytest.raises(SystemExit) as ended:
        cli.console([str(word) for word in argv])
    text = error.getvalue().strip()
    assert ended.value.code == 2 and "\n" not in text and "Traceback" not in text, text
    return text


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command))
@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "null",
        b"\xff\xfe",
        "",
        json.dumps({**GOOD, "flags": []}),
        json.dumps({**GOOD, "flags": None}),
        json.dumps({**GOOD, "history": "once"}),
        json.dumps({**GOOD, "history": [3]}),
        json.dumps({**GOOD, "history": [{"versions": "all"}]}),
        json.dumps({**GOOD, "experiment": 3}),
        json.dumps({name: GOOD[name] for name in ("experiment", "flags")}),
    ],
)
def test_a_damaged_config_is_named(command, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_folders.trained(tmp_path / "run")
    (tmp_path / "run/config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert "config.json" in said(command[0], "run", *command[1:])


@pytest.mark.parametrize("flags", [{"steps": "many"}, {"seed": [1]}, {"beta": "much"}])
@pytest.mark.parametrize("command", ["eval", "sample"])
def test_flags_of_another_type_are_named(command, flags, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = run_folders.trained(tmp_path / "run")
    asked = (
        "def experiment(*, steps: int = 4, seed: int = 0, beta: float = 1.0):\n    steps * 1.5, seed * 1.5, beta * 1.5"
    )
    source = test_readers.MINE.replace("def experiment():", asked)
    (run / "experiment.py").write_text(source)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "flags": {"steps": None, **flags}}))
    error = said(command, "run")
    assert "config.json" in error and next(iter(flags)) in error


ROWS = [
    b"\xff\xfe\x00",
    b"[1, 2]",
    b"null",
    b'"text"',
    b"{",
    b'{"p/loss": 3.0}',
    b'{"step": "ten", "p/loss": 3.0}',
    b'{"step": null}',
    b'{"step": [1]}',
    b'{"step": 1.5}',
    b"",
]
STRANGE = [
    {"step": 2, "warning": 3},
    {"step": 2, "p/loss": "three"},
    {"step": 2, "p/loss": None, "examples/s": [3]},
    {"step": 2, "p/loss": 10**400},
    {"step": 2, "p/loss": True},
]


def test_a_bad_row_of_a_log_is_left_out_and_said(tmp_path):
    run = run_folders.start(tmp_path / "run")
    good = [{"step": 1, "p/loss": 1.0, "examples/s": 5.0}, {"step": 3, "p/loss": 2.0}]
    lines = [json.dumps(good[0]).encode(), *ROWS, *(json.dumps(row).encode() for row in STRANGE)]
    (run / "metrics.jsonl").write_bytes(b"\n".join([*lines, json.dumps(good[1]).encode()]) + b'\n{"step": 4, "p/lo')
    rows, damaged = read_log(run / "metrics.jsonl")
    assert [row["step"] for row in rows] == [1, *[2] * len(STRANGE), 3] and damaged == len(ROWS)
    panels, warnings = read_curves(run / "metrics.jsonl")
    assert panels == {"loss": {"p": [(1, 1.0), (3, 2.0)]}}
    assert warnings == [(3, f"metrics.jsonl has {len(ROWS)} rows that cannot be read; they are left out.")]
    assert examples_per_s(run / "metrics.jsonl")["value"] == 5.0
    assert f"{len(ROWS)} rows that cannot be read" in render(gather([run]))


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "null", b"\xff", '{"cells": 3}', '{"cells": {"nats": 3}, "step": 1}', '{"run": "x", "cells": {}}'],
)
def test_damaged_scores_are_measured_again(text, tmp_path):
    run = run_folders.trained(tmp_path / "run")
    (run / "scores.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert _kept(run / "scores.json", {"commit": "0123"}) is None
    assert "scores.json cannot be read: run &#39;genjax-zoo compare" in render(gather([run]))


def test_any_damage_to_a_sound_is_named(tmp_path):
    path, whole = tmp_path / "x.wav", tmp_path / "whole.wav"
    save_sound(whole, 0.5 + 0.2 * np.sin(np.arange(40) / 3)[:, None])
    content = whole.read_bytes()
    damaged = [content[:end] for end in range(len(content))]
    damaged += [
        bytes([*content[:place], content[place] ^ flip, *content[place + 1 :]])
        for place in range(44)
        for flip in (1, 128, 255)
    ]
    for one in damaged:
        path.write_bytes(one)
        try:
            x = read_sound(path)
        except ValueError as error:
            assert "x.wav" in str(error) and "\n" not in str(error)
        else:
            assert x.ndim == 2 and np.isfinite(x).all()


def test_an_experiment_whose_text_is_damaged_has_a_page(tmp_path):
    run = run_folders.trained(tmp_path / "run")
    (run / "experiment.py").write_bytes(b"\xff\x00def")
    assert "run" in render(gather([run]))
