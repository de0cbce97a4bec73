"""The page about runs: text stays text, everything is inside, and it stays small."""

import base64
import dataclasses
import io
import json
import math
import os
import re
import shlex
import shutil
import socket

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import run_folders
from hypothesis import given, settings
from hypothesis import strategies as st
from page_elements import Elements, foreign
from PIL import Image
from scipy.io import wavfile

from genjax_zoo import cli, data, models
from genjax_zoo.cli.flags import OF_ONE_START, RunFlags
from genjax_zoo.core import Experiment
from genjax_zoo.draw import read_curves, save_curves, thinned
from genjax_zoo.report import computed
from genjax_zoo.report import gather as pages
from genjax_zoo.report.cards import OF_RUN, command_of
from genjax_zoo.report.page import Panel, plot, render, short, ticks
from genjax_zoo.report.scoreboard import boards_of
from genjax_zoo.runs import read_config

EVIL = "<script>alert(1)</script><img src=x onerror='alert(2)'>\"'&"


def page_of(*folders):
    return render(pages.gather(folders))


@pytest.fixture
def run(tmp_path):
    return run_folders.trained(tmp_path / "one")


def test_text_of_a_run_stays_text(tmp_path):
    named = tmp_path / "<script>alert(1)"
    folder = run_folders.trained(named, title=EVIL.replace('"', ""), warning=EVIL, note=EVIL)
    run_folders.log(folder, step=300, **{f"{EVIL}/{EVIL}": 1.0})
    run_folders.show(folder, EVIL.replace("/", ""), 10, np.zeros((9, 9), np.uint8))
    run_folders.score(folder, model=EVIL, data=EVIL, nats=EVIL, cells={"recall": {"value": 0.5, "kind": EVIL}})
    shutil.copytree(named, tmp_path / "two")
    found = page_of(named, tmp_path / "two")
    assert foreign(found) == []
    assert Elements(found).text.count(EVIL) >= 6
    assert "<script>alert(1)" in Elements(found).text


def test_control_of_what_is_foreign():
    assert len(foreign(f"<script></script><script></script><p>{EVIL}</p>")) == 3
    assert foreign('<link href="https://a.b/c.css"><style>p {background: url(x)}</style>') == [
        "https://a.b/c.css",
        "url(",
    ]


def test_pictures_and_sounds_are_whole(run):
    elements = Elements(page_of(run)).found
    images = [attrs for tag, attrs in elements if tag == "img"]
    assert len(images) == 3 + 1 + 1
    for attrs in images:
        picture = Image.open(io.BytesIO(decoded(attrs["src"], "image/png")))
        picture.load()
        assert picture.size == (int(attrs["width"]), int(attrs["height"]))
        assert len(attrs["alt"]) > 20 or attrs["alt"] == ""
    (sound,) = (attrs["src"] for tag, attrs in elements if tag == "audio")
    rate, samples = wavfile.read(io.BytesIO(decoded(sound, "audio/wav")))
    assert (rate, len(samples)) == (8_000, 2_000)


def decoded(uri, kind):
    head, _, content = uri.partition(",")
    assert head == f"data:{kind};base64"
    return base64.b64decode(content, validate=True)


def test_recompressed_pictures_look_the_same(tmp_path):
    few = (np.arange(60).reshape(6, 10) % 5 * 60).astype(np.uint8)
    for name, pixels in {"grey": few, "rgb": np.stack([few, 255 - few, few // 2], -1)}.items():
        folder = run_folders.start(tmp_path / name)
        run_folders.show(folder, "samples", 1, pixels)
        (uri,) = Elements(page_of(folder)).attributes("src")
        shown = np.asarray(Image.open(io.BytesIO(decoded(uri, "image/png"))).convert("RGB"), int)
        assert np.abs(shown - np.asarray(Image.fromarray(pixels).convert("RGB"), int)).max() <= 1


def test_four_runs_are_below_three_megabytes(tmp_path):
    noise, folders = np.random.default_rng(0), [tmp_path / f"run{i}" for i in range(4)]
    for folder in folders:
        run_folders.start(folder)
        rows = [{"step": s, **{f"a/{i}": float(v) for i, v in enumerate(noise.normal(size=12))}} for s in range(1_500)]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        for step in (1, 2, 3):
            run_folders.show(folder, "samples", step, noise.integers(0, 255, (400, 400, 3)).astype(np.uint8))
    size = sum(path.stat().st_size for folder in folders for path in folder.glob("pictures/*.png"))
    found = page_of(*folders)
    assert size > 3_000_000 > len(found.encode()) > 1_500_000
    assert found.count('alt="Samples of the run') >= 4
    assert "of the 3 pictures 'samples'; all are in the run folder" in Elements(found).text


def test_what_cannot_be_read_is_said(run):
    (run / "broken.png").write_bytes(b"\x89PNG no more")
    (run / "broken.wav").write_bytes(b"RIFF")
    (run / "scores.json").write_text('{"cells": {"nats"')
    found = page_of(run)
    assert "broken.png is no picture" in found and "broken.wav is no WAV file" in found
    assert "scores.json cannot be read" in found


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=True, width=32), min_size=1, max_size=300), st.integers(4, 50))
def test_thinning_keeps_extremes(values, most):
    points = list(enumerate(values))
    finite = [point for point in points if math.isfinite(point[1])]
    thin = thinned(points, most)
    assert len(thin) <= most and set(thin) <= set(finite) and thin == sorted(thin)
    if finite:
        assert {thin[0], thin[-1]} == {finite[0], finite[-1]}
        assert {choose(v for _, v in thin) for choose in (min, max)} == {
            choose(v for _, v in finite) for choose in (min, max)
        }
    if len(finite) <= most:
        assert thin == finite


def test_every_tenth_would_lose_a_spike():
    points = [(step, float(step == 555)) for step in range(1_000)]
    assert max(v for _, v in points[::10]) == 0 and max(v for _, v in thinned(points, 100)) == 1


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_even_and_inside(low, span):
    found = ticks(low, low + span)
    assert 1 <= len(found) <= 6
    assert all(low - 1e-6 * span <= tick <= low + span * (1 + 1e-6) for tick in found)
    assert np.allclose(np.diff(found, 2), 0, atol=1e-6 * span)


def test_a_steep_start_runs_off_the_plot_and_a_late_spike_does_not():
    flat = [(step, float(step % 2)) for step in range(100)]
    for spiked, inside in ((0, False), (50, True)):
        points = [(step, 1e3 if step == spiked else value) for step, value in flat]
        heights = [float(point.split(",")[1]) for point in plot(Panel("loss", {"vae": points}))["lines"][0].split()]
        assert (min(heights) >= 0) == inside and (max(heights) - min(heights[60:]) > 50) != inside


def test_numbers_of_a_run_are_those_in_its_files(tmp_path):
    """How far it came, the end of each curve, and a score with its interval, its floor, and on how many."""
    folder = run_folders.trained(tmp_path / "one", steps=1_400)
    frechet = {"value": 9.5, "low": 9.0, "high": 10.25, "floor": 2.0, "n": 1_250}
    run_folders.score(folder, nats=90.25, cells={"frechet": frechet, "recall": {"value": 0.75, "floor": 1.0}})
    text = re.sub(r"\s+", " ", Elements(page_of(folder)).text)
    assert "A model on digits · step 200 of 1,400" in text
    assert "vae 0.5 test 0.55" in text and "vae 20 " in text  # 100 / step and 110 / step; step / 10
    assert "likelihood [nats] 90.250 bound" in text
    assert re.search("Fréchet ?9.500 ?9.000 to 10.25 ?2.000 ?1,250", text)
    gauges = {score.title: score.gauge for score in pages.gather([folder]).runs[0].scores if score.gauge}
    share = {"value": 9.5 / 10.25, "low": 9 / 10.25, "high": 1, "floor": 2 / 10.25}
    assert gauges == {"Fréchet": pytest.approx(share), "recall": {"value": 0.75, "floor": 1.0}}


def test_a_plot_has_later_steps_to_the_right_and_greater_values_higher():
    """Margins of 2 and 5 % around 306 x 168 units: 0 lies at 0.2 / 10.4 of the width, 1 at 2.1 / 2.2 of the height."""
    drawn = plot(Panel("loss", {"vae": [(0, 1.0), (10, 3.0)]}))
    assert drawn["lines"] == ["5.9,160.4 300.1,7.6"]
    assert drawn["y"][0] == (pytest.approx(168 * 2.1 / 2.2, abs=0.06), "1")
    assert drawn["x"][-1] == (pytest.approx(306 * 10.2 / 10.4, abs=0.06), "10")


def test_numbers_are_short():
    shown = [short(v) for v in (450_000, 2_000, 0.00012, -3e7, 1.5e9, 12_300)]
    assert shown == ["450k", "2000", "0.00012", "-30M", "1.5G", "12.3k"]


def test_half_a_line_is_left_out(run):
    before = read_curves(run / "metrics.jsonl")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 210, "vae/loss": 0.4')
    assert read_curves(run / "metrics.jsonl") == before
    save_curves(run / "metrics.jsonl", run / "curves.png")
    with (run / "metrics.jsonl").open("a") as file:
        file.write("7}\n")
    assert read_curves(run / "metrics.jsonl")[0]["loss"]["vae"][-1] == (210, 0.47)


def test_command_makes_the_run_again(tmp_path):
    folder = run_folders.start(tmp_path / "one", widths=[1, 2], name="a b", deep=True, wide=False)
    words = shlex.split(command_of(read_config(folder), folder))
    assert words[:3] == ["genjax-zoo", "train", "experiments/model_digits.py"]
    assert words[3:] == [
        "--steps",
        "200",
        "--beta",
        "1.0",
        "--widths",
        "1",
        "2",
        "--name",
        "a b",
        "--deep",
        "--no-wide",
    ]


def test_defaults_of_how_a_run_is_run_are_those_of_its_flags():
    kept = {one.name: one.default for one in dataclasses.fields(RunFlags) if one.name not in OF_ONE_START}
    assert {name: default for name, default in kept.items() if default is not None} == OF_RUN


def test_leaderboards(tmp_path):
    a, b, c = (run_folders.trained(tmp_path / name) for name in "abc")
    run_folders.score(a, nats=90.0, frechet=20.0, recall=0.5, parameters=10)
    run_folders.score(b, nats="no likelihood: a GAN", frechet=10.0, recall=0.4, parameters=20)
    run_folders.score(c, data="mnist/test", nats=80.0)
    rows = [json.loads((folder / "scores.json").read_text()) for folder in (a, b, c)]
    (board,), notes = boards_of(rows)
    assert board.data == "digits/test" and {name for name, _, _ in board.rows} == {"a", "b"}
    assert "different data" in notes[0]
    assert board.floors == [""] * len(board.columns)
    cells = {name: {score.title: score for score in scores} for name, _, scores in board.rows}
    assert cells["b"]["likelihood [nats]"].reason == "no likelihood: a GAN"
    best = {(name, title) for name, of in cells.items() for title, score in of.items() if score.best}
    assert best == {("a", "likelihood [nats]"), ("a", "recall"), ("b", "Fréchet")}  # parameters have no better
    page = pages.gather([a, b, c])
    assert len(page.boards) == 1 and not page.runs[0].notes


def test_no_leaderboard_across_protocols(tmp_path):
    rows = []
    for name, kind in (("a", "exact"), ("b", "exact given the label")):
        run_folders.score(run_folders.start(tmp_path / name), cells={"nats": {"value": 1.0, "kind": kind}}, recall=0.5)
        rows.append(json.loads((tmp_path / name / "scores.json").read_text()))
    (board,), _ = boards_of(rows)
    assert not board.rows[0][2][0].interval and any("given the label" in note for note in board.notes)
    rows[1]["protocol"]["n"] = 999
    boards, notes = boards_of(rows)
    assert not boards and "different protocols" in notes[0]
    boards, _ = boards_of([*rows, rows[0]])
    assert [len(board.rows) for board in boards] == [2]


def test_names_that_are_alike(tmp_path):
    assert pages.names_of([tmp_path / "x/vae", tmp_path / "y/vae", tmp_path / "gan"]) == ["x/vae", "y/vae", "gan"]
    assert pages.names_of([tmp_path / "digits_sweep/seed=0"]) == ["digits_sweep/seed=0"]


# the command


def refused(capsys, *argv):
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        cli.console([str(a) for a in argv])
    error = capsys.readouterr().err.strip()
    assert ended.value.code == 2 and "\n" not in error and "Traceback" not in error, error
    return error


def test_report_writes_one_file(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cli.console(["report", str(run), "--no-compute"])
    assert str(run / "report.html") in capsys.readouterr().out
    shutil.copytree(run, tmp_path / "two")
    cli.console(["report", str(run), "two", "--no-compute"])
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")
    assert not [*tmp_path.rglob("*.tmp")]


def test_bad_input(run, tmp_path, capsys):
    assert "holds no run" in refused(capsys, "report", tmp_path)
    assert "holds no run" in refused(capsys, "watch", tmp_path)
    assert "Name one run folder" in refused(capsys, "report")
    assert "must end in .html" in refused(capsys, "report", run, "--out", "a.pdf")
    new = run_folders.start(tmp_path / "new")
    assert "no numbers and no pictures yet" in refused(capsys, "report", new)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "use --port 0" in refused(capsys, "watch", run, "--port", taken.getsockname()[1])
    assert "0 ... 65535" in refused(capsys, "watch", run, "--port", 70_000)


def test_draws_what_the_folder_lacks(tmp_path, capsys):
    folder, experiment = tmp_path / "vae", os.path.join(os.path.dirname(__file__), "../experiments/vae_digits.py")
    tiny = ["--hidden", "8", "--latent", "2", "--batch-size", "16", "--log-every", "2", "--steps-per-call", "2"]
    cli.console(["train", experiment, "--workdir", str(folder), "--steps", "4", *tiny])
    cli.console(["report", str(folder)])
    drawn = {path.name: path.stat().st_mtime_ns for path in (folder / "page").iterdir()}
    assert drawn.keys() == {f"{n}-0000004.png" for n in ("interpolation", "traversal", "map", "manifold")}
    assert "Each row goes from one latent to another." in (folder / "report.html").read_text()
    cli.console(["report", str(folder)])
    assert {path.name: path.stat().st_mtime_ns for path in (folder / "page").iterdir()} == drawn


def test_what_cannot_be_drawn_is_said(run, monkeypatch):
    monkeypatch.setattr(computed, "restore", lambda folder: 1 / 0)
    assert computed.complete(run) == ["Nothing was drawn from a checkpoint: division by zero"]
    cli.console(["report", str(run)])
    assert "Nothing was drawn from a checkpoint: division by zero" in (run / "report.html").read_text()


def zeros(model, batch):
    """Variables as `init` would give them, all zero, without compiling it."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), batch)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def test_likelihood_map_of_an_autoregressive_model(tmp_path):
    model = models.gated_pixel_cnn(shape=(8, 8, 1), levels=17, features=4, layers=2, size=3)
    train = data.load("digits", "train", batch_size=16)
    experiment = Experiment(model=model, players={}, data=train, steps=1)
    folder, variables = run_folders.start(tmp_path / "pixels"), zeros(model, train.at(0))
    for draw in (computed.likelihood_map, computed.reconstructions, computed.sounds):
        assert draw(experiment, variables, folder, 3) == []
    assert "no latent space" in computed.latent_space(experiment, variables, folder, 3)[0]
    (path,) = (folder / "page").iterdir()
    assert path.name == "bits_map-0000003.png"
    tiles = np.asarray(Image.open(path)).reshape(4, 34, 8, 34)[:, 1:-1, :, 1:-1]
    assert np.all(tiles[:, :, 1::2] == 128) and np.ptp(tiles[:, :, ::2]) > 200  # even odds, beside the digits


def test_sounds_of_a_model_that_is_small(tmp_path, monkeypatch):
    monkeypatch.setattr(computed, "SECONDS", 0.01)
    model = models.wavenet(length=64, layers=2, block=2, features=4, gates=8, skip=8, conditions={})
    variables = zeros(model, {"x": jnp.zeros((1, 64, 1))})
    experiment = Experiment(model=model, players={}, data=None, steps=1)  # type: ignore[arg-type]
    folder = run_folders.start(tmp_path / "wavenet")
    assert computed.sounds(experiment, variables, folder, 7) == []
    names = [f"sound-0000007-{i}.wav" for i in range(computed.SOUNDS)]
    assert sorted(path.name for path in (folder / "page").iterdir()) == names
    (page,) = pages.gather([folder]).runs
    assert [sound.title for sound in page.sounds] == [name.removesuffix(".wav") for name in names]
    monkeypatch.setattr(computed, "CHEAP", 1.0)
    shutil.rmtree(folder / "page")
    assert "genjax-zoo sample" in computed.sounds(experiment, variables, folder, 7)[0]
