"""Bad input of every command gets one sentence that says what to do, exit status 2, and nothing is half-written."""

import inspect
import math
import typing
from pathlib import Path

import numpy as np
import pytest
import run_folders

from genjax_zoo import cli, data, models, runs
from genjax_zoo.errors import UserError

ROOT = Path(__file__).parent.parent
DIGITS = str(ROOT / "experiments/vae_digits.py")
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.py"))
NONE_OF_THEM = {"shift", "warm_up", "warmup", "seed"}  # which may be 0
LINEAR = {"r3gan_points"}  # whose networks may have no layers


@pytest.fixture
def refused(capsys, monkeypatch, tmp_path):
    """What a command says of its input; nothing is written beside what was there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENJAX_ZOO_DATA", "")  # and undone after

    def run(*argv):
        before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
        with pytest.raises(SystemExit) as ended:
            cli.console([str(word) for word in argv])
        error = capsys.readouterr().err.strip()
        assert ended.value.code == 2, error
        assert "\n" not in error and "Traceback" not in error and "[Errno" not in error and "---" not in error, error
        assert {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*") if path.name != "__pycache__"} == before
        return error

    return run


@pytest.fixture
def digits_for_all(monkeypatch):
    """The digits stand for every data set: what an experiment builds of its flags needs no files."""
    load = data.load

    def digits(name, split="train", *, batch_size, conditions=(), **_):
        given = ("label",) if "label" in conditions else ()
        return load("digits", "train", batch_size=min(batch_size, 16), conditions=given)

    monkeypatch.setattr(data, "load", digits)


@pytest.mark.parametrize(
    "path", [path for path in EXPERIMENTS if path.stem != "wavenet_spoken_digit"], ids=lambda path: path.stem
)
def test_no_experiment_takes_a_senseless_number(path, digits_for_all):
    make = runs.load_experiment(path)
    flags = {name: one.default for name, one in runs.parameters(make).items()}
    runs.build(make, flags)  # as it is, it can be built
    for name, default in flags.items():
        numbers = default if isinstance(default, tuple) else (default,)
        literal = typing.get_origin(runs.parameters(make)[name].annotation) is typing.Literal  # the parser's
        if literal or isinstance(default, bool) or not isinstance(numbers[0], int | float):
            continue
        senseless = [math.nan, math.inf] if isinstance(numbers[0], float) else [-1, 0]
        if name in NONE_OF_THEM or name == "layers" and path.stem in LINEAR:
            senseless.remove(0)
        if name.endswith("learning_rate"):
            senseless += [0.0, -1.0]
        for value in senseless:
            with pytest.raises(ValueError, match=r"\w") as said:
                runs.build(make, {**flags, name: (value,) if isinstance(default, tuple) else value})
            assert isinstance(said.value, UserError) and "\n" not in str(said.value)


KEYWORDS = [
    (name, keyword)
    for name, make in models.MODELS.items()
    for keyword, one in inspect.signature(make).parameters.items()
    if isinstance(one.default, int) and not isinstance(one.default, bool)
]


@pytest.mark.parametrize("name, keyword", KEYWORDS)
def test_no_model_takes_a_senseless_size(name, keyword):
    make = models.MODELS[name]
    shape = {"shape": (8, 8, 1)} if "shape" in inspect.signature(make).parameters else {}
    with pytest.raises(ValueError, match=f"^{keyword} must be at least [01], not -1"):
        make(**shape, **{keyword: -1})
    with pytest.raises(ValueError, match="at least 1, not 0" if keyword != "classes" else "shape must be at least 1"):
        make(**(shape and {"shape": (8, 0, 1)}), **{keyword: 0})


@pytest.mark.parametrize("command", ["train", "explain"])
@pytest.mark.parametrize(
    "body, flags, message",
    [
        ("def experiment():\n    return None", [], "returns NoneType, and not an Experiment"),
        ("def experiment():\n    return {'model': 3}", [], "returns dict, and not an Experiment"),
        ("def experiment(*, size: int = 1):\n    1 // size", ["--size", 0], "mine.py with --size 0 cannot be built"),
        ("def experiment():\n    return {}['x']", [], "KeyError: 'x' (line 2 of mine.py)"),
        ("def experiment(:", [], "line 1, is no Python"),
        ("import nosuchmodule", [], "line 1, imports 'nosuchmodule', which is neither installed"),
        ("x = 1", [], "has no function 'experiment'"),
    ],
)
def test_an_experiment_that_is_none(command, body, flags, message, refused, tmp_path):
    (tmp_path / "mine.py").write_text(body)
    assert message in refused(command, "mine.py", *flags)


@pytest.mark.parametrize("command", ["train", "sweep"])
@pytest.mark.parametrize(
    "workdir", ["/proc/nope", "afile", "afile/x", "dangling", "loop", "n" * 300], ids=lambda name: name[:10]
)
def test_a_workdir_that_cannot_be(command, workdir, refused, tmp_path):
    (tmp_path / "afile").write_text("mine")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "mine.py").write_text((ROOT / "experiments/vae_digits.py").read_text())
    assert "name another by --workdir" in refused(command, "mine.py", "--workdir", workdir)


@pytest.mark.parametrize("form", [["--data-dir=nowhere"], ["--data-dir", "nowhere"], ["--data_dir=nowhere"]])
@pytest.mark.parametrize("command", ["train", "sweep", "explain"])
def test_a_data_folder_that_is_not_there(command, form, refused):
    assert "There is no folder nowhere; --data-dir" in refused(command, DIGITS, *form)


@pytest.mark.parametrize("form", [["--data-dir={}"], ["--data-dir", "{}"]])
def test_a_data_folder_is_known_before_the_experiment_is_built(form, refused, tmp_path):
    """An experiment's defaults may depend on it, in each form of the flag."""
    source = "from genjax_zoo import data\ndef experiment(*, at: str = str(data.folder())):\n    raise ValueError(at)"
    (tmp_path / "mine.py").write_text(source)
    (tmp_path / "sets").mkdir()
    assert str(tmp_path / "sets") in refused("train", "mine.py", *(word.format(tmp_path / "sets") for word in form))


@pytest.mark.parametrize(
    "argv, message",
    [
        (["train"], "Name an experiment first: genjax-zoo train FILE [FLAGS]"),
        (["train", "notes.txt"], "There is no experiment notes.txt"),
        (["train", DIGITS, "--seed", -1], "--seed must be in 0 ... 4294967295, not -1"),
        (["train", DIGITS, "--seed", 10**30], "--seed must be in 0 ... 4294967295"),
        (["train", DIGITS, "--steps", -1], "--steps must be at least 1, not -1"),
        (["train", DIGITS, "--learning-rate", "nan"], "--learning-rate takes a finite number, not nan"),
        (["sweep", DIGITS, "--learning-rate", "1e-3,nan"], "--learning-rate takes a finite number, not nan"),
        (["sweep", DIGITS, "--hidden", "8,-1"], "hidden must be at least 1, not -1"),
        (["sample", "run", "--seed", -1], "--seed must be in 0"),
        (["sample", "run", "--seed", 10**30], "--seed must be in 0"),
        (["sample", "run", "-n", "many"], "-n takes INT, not 'many'"),
        (["sample", "run", "--out", "/proc/nope/x.png"], "Cannot write to the folder '/proc/nope'"),
        (["sample", "run", "--out", "notes.txt/x.npy"], "Cannot write to the folder 'notes.txt'"),
        (["sample", "notes.txt"], "notes.txt holds no run"),
        (["eval", "notes.txt"], "notes.txt holds no run"),
        (["latent", "run", "--span", "nan"], "--span takes a finite number"),
        (["latent", "run", "--seed", -1], "--seed must be in 0"),
        (["latent", "run", "--out", "notes.txt"], "Cannot write to the folder 'notes.txt'"),
        (["compare", "run", "--seed", -1], "--seed must be in 0"),
        (["compare", "run", "--mode-samples", 0], "--mode-samples must be at least 1"),
        (["compare", "run", "--out", "x.txt"], "--out must end in .json"),
        (["report", "run", "--out", "/proc/nope/x.html"], "Cannot write to the folder '/proc/nope'"),
        (["watch", "notes.txt"], "notes.txt holds no run"),
    ],
)
def test_bad_flags(argv, message, refused, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    run_folders.trained(tmp_path / "run")
    assert message in refused(*argv)


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("x.npy", None, "There is no x.npy"),
        ("x.npy", b"\x93NUMPY\x01\x00", "x.npy is no whole .npy file of numbers"),
        ("x.npy", np.array(["a"]), "x.npy holds <U1"),
        ("x.npy", np.array(3.0), "x.npy holds one number"),
        ("x.npy", np.array([None]), "x.npy is no whole .npy file of numbers"),
        ("x.txt", b"1 2 3", "takes a .npy file of x in raster order"),
        ("x.wav", None, "There is no x.wav"),
        ("x.wav", b"RIFF\x00\x00", "x.wav is no WAV file"),
    ],
)
def test_a_prefix_that_cannot_be_read(name, content, message, tmp_path, monkeypatch):
    from genjax_zoo.explore.drawing import prefix_of

    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        Path(name).write_bytes(content)
    elif content is not None:
        np.save(name, content)
    with pytest.raises((ValueError, FileNotFoundError), match=message.replace("(", r"\(").replace(")", r"\)")):
        prefix_of(None, None, 2, Path(name), None)  # type: ignore[arg-type]


TINY = """
import optax
from genjax_zoo import Experiment, Player, data, models
from genjax_zoo.math import discretized_logistic

def experiment(*, steps: int = 4):
    model = models.vae(shape=(8, 8, 1), latent=2, hidden=(4,), likelihood=discretized_logistic(17))
    player = Player(terms=model.nelbo, weights={"distortion": 1.0, "rate": 1.0}, tx=optax.sgd(1e-6))
    digits = data.load("digits", "train", batch_size=16)
    return Experiment(model=model, players={"vae": player}, data=digits, steps=steps)
"""


def test_nothing_left_to_train_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(TINY)
    for steps in (4, 2):
        cli.console(["train", "mine.py", "--workdir", "run", "--steps", str(steps)])
        out = capsys.readouterr().out
        assert ("Nothing is left to train: step 4 is reached, of 2; more" in out) == (steps == 2)
        assert ("Compiling" in out) == (steps == 4) and "Schedules are" not in out
        assert runs.read_config(tmp_path / "run")["flags"]["steps"] == 4  # by which it was trained
