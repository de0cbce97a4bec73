"""The command line: the main job end to end, and one sentence with exit status 2 for every bad input."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from PIL import Image

from genjax_zoo import cli, restore, runs
from genjax_zoo.runs import only_trainer

ROOT = Path(__file__).parent.parent
DIGITS = str(ROOT / "experiments/vae_digits.py")
TINY = ["--hidden", "8", "--latent", "2", "--batch-size", "16", "--log-every", "2", "--steps-per-call", "2"]


def run(*argv):
    cli.console([str(a) for a in argv])


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiments").symlink_to(ROOT / "experiments")
    return tmp_path


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "vae"
    run("train", DIGITS, "--workdir", folder, "--steps", 4, *TINY)
    return folder


def refused(capsys, *argv):
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        run(*argv)
    error = capsys.readouterr().err.strip()
    assert ended.value.code == 2, error
    assert "\n" not in error and "Traceback" not in error, error
    return error


def test_main_job(trained, capsys, tmp_path):
    assert {path.name for path in trained.iterdir()} >= {
        "checkpoints",
        "config.json",
        "curves.png",
        "experiment.py",
        "metrics.jsonl",
        "reconstructions.png",
        "samples.png",
    }
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert rows[0]["step"] == 2 and {"vae/distortion", "vae/rate", "vae/loss"} <= rows[0].keys()
    assert rows[-1].keys() >= {"eval/test/nelbo", "eval/test/bits/dim"}
    config = json.loads((trained / "config.json").read_text())
    assert config["flags"]["hidden"] == 8 and "jax" in config["history"][0]["versions"]
    capsys.readouterr()
    run("eval", trained)
    out = capsys.readouterr().out
    assert f"{rows[-1]['eval/test/nelbo']:.4f} nats" in out
    run("sample", trained, "-n", 5, "--out", tmp_path / "x.npy")
    run("sample", trained, "-n", 5, "--out", tmp_path / "x.png")
    assert np.load(tmp_path / "x.npy").shape == (5, 8, 8, 1)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == (3 * 34, 2 * 34)


def test_going_on_prints_where_and_finishes(trained, capsys):
    run("train", DIGITS, "--workdir", trained, "--steps", 6, *TINY)
    out = capsys.readouterr().out
    assert "at step 4" in out and "to step 6" in out
    assert int(restore(trained)[1].step) == 6
    assert len(json.loads((trained / "config.json").read_text())["history"]) == 2


@pytest.mark.parametrize(
    "argv, message",
    [
        (["train", DIGITS, "--larning-rate", "1"], "There is no flag --larning-rate; did you mean --learning-rate?"),
        (["train", DIGITS, "--larning-rate=1"], "There is no flag --larning-rate; did you mean --learning-rate?"),
        (["train", DIGITS, "more"], "'more' belongs to no flag"),
        (["train", DIGITS, "--latent=many"], "--latent takes INT, not 'many'"),
        (["train", DIGITS, "--save-every=often"], "--save-every takes INT, not 'often'"),
        (["sample", "nowhere", "--temprature", "2"], "There is no flag --temprature; did you mean --temperature?"),
        (["train", DIGITS, "--latent", "many"], "--latent takes INT, not 'many'"),
        (["train", DIGITS, "--steps", "many"], "--steps takes INT, not 'many'"),
        (["train", DIGITS, "--backend", "xmap"], "--backend takes one of shard_map, pmap, jit, not 'xmap'"),
        (["train", DIGITS, "--batch-size", "12"], "A batch of 12 does not divide over 8 devices; use 16"),
        (["train", DIGITS, "--steps", "0"], "--steps must be at least 1"),
        (["train", "vae_digit"], "did you mean 'vae_digits'"),
        (["trian", DIGITS], "did you mean 'train'"),
        (["train", "experiments/vae_mnist.py"], "--data-dir"),
        (["train", "experiments/vae_mnist.py", "--data-dir", "nowhere"], "There is no folder nowhere;"),
        (["sample", "nowhere"], "holds no run"),
        (["sample", "nowhere", "-n", "0"], "Cannot draw 0 samples"),
        (["sample", "nowhere", "--out", "x.gif"], "must end in .png or .npy"),
    ],
)
def test_bad_input(capsys, monkeypatch, tmp_path, argv, message):
    monkeypatch.delenv("GENJAX_ZOO_DATA", raising=False)
    assert message in refused(capsys, *argv)
    assert not (tmp_path / "runs").exists()


def write(path, body, imports="", steps=4):
    path.write_text(f"""
import jax, jax.numpy as jnp, optax
from genjax_zoo import Experiment, Player, data, models
from genjax_zoo.math import discretized_logistic
{imports}

def experiment(*, shape: int = 8, steps: int = {steps}, seed: int = 0):
    model = models.vae(shape=(shape, shape, 1), latent=2, hidden=(8,), likelihood=discretized_logistic(17))
    digits = data.load("digits", "train", batch_size=16)
{body}
""")
    return path


@pytest.mark.parametrize(
    "players, message",
    [
        ('{"vae": Player(terms=model.nelbo, weights={"kl": 1.0}, tx=optax.sgd(1.0))}', "Player 'vae' weighs 'kl'"),
        (
            '{"vae": Player(terms=model.nelbo, weights={"rate": 1.0}, tx=optax.sgd(1.0), owns=("decoder",))}',
            "No player owns 'encoder'",
        ),
        (
            '{n: Player(terms=model.nelbo, weights={"rate": 1.0}, tx=optax.sgd(1.0)) for n in "ab"}',
            "Players 'a' and 'b' both own",
        ),
    ],
)
def test_players_that_do_not_fit(capsys, tmp_path, players, message):
    file = write(
        tmp_path / "mine.py", f"    return Experiment(model=model, players={players}, data=digits, steps=steps)"
    )
    assert message in refused(capsys, "train", file)
    assert not (tmp_path / "runs").exists()


SOUND = """    player = Player(terms=model.nelbo, weights={"distortion": 1.0, "rate": 1.0}, tx=optax.sgd(1e-6))
    return Experiment(model=model, players={"vae": player}, data=digits, steps=steps, seed=seed)"""


def test_images_of_another_shape(capsys, tmp_path):
    error = refused(capsys, "train", write(tmp_path / "mine.py", SOUND), "--shape", "16")
    assert "expects 'x' of shape (16, 16, 1), but the data has (8, 8, 1)" in error
    assert not (tmp_path / "runs").exists()


def test_another_runs_folder(capsys, trained, tmp_path):
    before = (trained / "config.json").read_text()
    error = refused(capsys, "train", DIGITS, "--workdir", trained, "--steps", 6, *TINY, "--beta", "2.0")
    assert "beta was 1.0 and is 2.0" in error and "--fresh" in error
    assert (trained / "config.json").read_text() == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.tex").write_text("years of work")
    assert "holds no run" in refused(capsys, "train", DIGITS, "--workdir", tmp_path / "full", "--fresh")
    assert (tmp_path / "full/thesis.tex").exists()


@pytest.mark.parametrize(
    "flag, value, may",
    [
        ("steps", 8, True),
        ("steps_per_call", 2, True),
        ("save_every", 3, True),
        ("eval_every", 3, True),
        ("log_every", 3, True),
        ("backend", "pmap", True),
        ("data_dir", "elsewhere", True),
        ("seed", 1, False),
        ("precision", "bf16", False),
        ("beta", 2.0, False),
    ],
)
def test_a_run_goes_on_under_its_own_seed_and_numbers(flag, value, may, tmp_path):
    """How often it looks at itself may change; what is trained may not."""
    old = {"steps": 4, "seed": 0, "precision": "float32", "backend": "shard_map", "beta": 1.0}
    runs.open_run(tmp_path / "run", Path(DIGITS), old)
    before = (tmp_path / "run/config.json").read_text()
    new = {**old, flag: value}
    if may:
        runs.open_run(tmp_path / "run", Path(DIGITS), new)
        assert json.loads((tmp_path / "run/config.json").read_text())["flags"] == new
        return
    with pytest.raises(ValueError, match=f"{flag} was {old[flag]!r} and is {value!r}. Use those flags"):
        runs.open_run(tmp_path / "run", Path(DIGITS), new)
    assert (tmp_path / "run/config.json").read_text() == before


def test_another_seed_is_refused(capsys, tmp_path, monkeypatch):
    def stopped(*_, sinks, **__):
        sinks(0)
        raise KeyboardInterrupt

    monkeypatch.setattr(runs, "fit", stopped)
    file = write(tmp_path / "mine.py", SOUND)
    for _ in range(2):  # the same seed goes on
        with pytest.raises(SystemExit) as ended:
            run("train", file, "--seed", 3)
        assert ended.value.code == 130
    assert "seed was 3 and is 5. Use those flags" in refused(capsys, "train", file, "--seed", 5)
    assert "seed was 3 and is 0" in refused(capsys, "train", file)


def test_a_run_that_is_trained_is_left_to_its_trainer(capsys, trained):
    """A second trainer is refused in a sentence, readers read on; the lock of a process that ended is nobody's."""
    before = {path: path.read_bytes() for path in trained.glob("*.*")}
    with only_trainer(trained):
        for more in ([], ["--fresh"]):
            error = refused(capsys, "train", DIGITS, "--workdir", trained, "--steps", 4, *TINY, *more)
            assert "Another process trains in" in error and "another --workdir" in error
        run("sample", trained, "-n", 1, "--out", "x.npy")
    assert {path: path.read_bytes() for path in before} == before
    run("train", DIGITS, "--workdir", trained, "--steps", 4, *TINY)


def test_a_tuple_of_numbers_is_resumed(tmp_path):
    file = write(tmp_path / "mine.py", SOUND.replace("steps=steps", "steps=len(widths)"))
    file.write_text(file.read_text().replace("steps: int = 4", "widths: tuple[int, ...] = (3, 4)"))
    run("train", file, "--widths", 1, 2, 3)
    run("train", file, "--widths", 1, 2, 3)
    assert int(restore("runs/mine")[1].step) == 3


def test_fresh_starts_anew(tmp_path):
    file = write(tmp_path / "mine.py", SOUND)
    run("train", file, "--seed", 1)
    run("train", file, "--seed", 2, "--steps", 2, "--fresh")
    assert int(restore("runs/mine")[1].step) == 2


def test_not_finite_stops_and_keeps_the_last_good_checkpoint(capsys, tmp_path):
    body = """    def terms(variables, batch, key, train):
        terms, variables = model.nelbo(variables, batch, key, train=train)
        bad = jnp.where(batch["step"] >= 5, jnp.nan, 1.0)
        return {**terms, "rate": terms["rate"] * bad}, variables
    class Counted(type(digits)):
        def at(self, step, *a):
            batch = super().at(step, *a)
            return {**batch, "step": jnp.full(len(batch["x"]), step)}
    jax.tree_util.register_dataclass(Counted)
    counted = Counted(**vars(digits))
    player = Player(terms=terms, weights={"distortion": 1.0, "rate": 1.0}, tx=optax.sgd(1e-6))
    return Experiment(model=model, players={"vae": player}, data=counted, steps=steps, save_every=2, log_every=4)"""
    error = refused(capsys, "train", write(tmp_path / "mine.py", body, steps=20))
    assert "Step 5: 'rate' of player 'vae' is not finite" in error
    experiment, state = restore("runs/mine")
    assert int(state.step) == 4
    assert all(np.isfinite(x).all() for x in (state.variables["params"]["encoder"]["out"].values()))


def test_debug_shows_the_traceback(tmp_path):
    file = write(tmp_path / "mine.py", SOUND)
    with pytest.raises(ValueError, match="expects 'x'"):
        run("train", file, "--shape", "16", "--debug")


@pytest.mark.processes
def test_help_is_quick_and_imports_no_jax():
    code = "import sys, genjax_zoo.cli as c\ntry: c.console(['--help'])\nfinally: print('jax' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
    assert all(word in done.stdout for word in ("train", "sample", "eval", "list"))


def test_tensorboard(tmp_path, monkeypatch, capsys):
    file = write(tmp_path / "mine.py", SOUND)
    run("train", file, "--tensorboard")
    assert list((tmp_path / "runs/mine/tensorboard").glob("events*"))
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert "pip install 'genjax-zoo[wandb]'" in refused(capsys, "train", file, "--wandb", "--fresh")


def test_list(capsys):
    run("list")
    out = capsys.readouterr().out
    assert all(name in out for name in ("conv_vae", "dcgan", "digits", "vae_gan_digits"))


def start(folder, log):
    """The tiny main job in a process of its own."""
    arguments = [
        "train",
        DIGITS,
        *TINY[:-4],
        "--steps-per-call",
        "2",
        "--steps",
        "2000",
        "--save-every",
        "100",
        "--eval-every",
        "2000",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "genjax_zoo", *arguments, "--workdir", str(folder)]
    with log.open("w") as output:
        return subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)


def bits(folder):
    return [np.asarray(x).tobytes() for x in jax.tree.leaves(restore(folder)[1]._replace(key=jax.numpy.zeros(())))]


def last_saved(folder):
    return max((int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdigit()), default=0)


@pytest.mark.processes
def test_killed_and_gone_on_ends_bit_equal(tmp_path):
    """Killed at a random moment, gone on, stopped, gone on by one command: the state is that of an unbroken run."""
    folder, logs = tmp_path / "broken", iter(tmp_path / f"{i}.log" for i in range(4))
    with start(tmp_path / "unbroken", next(logs)) as unbroken:
        for how, status in ((signal.SIGKILL, -9), (signal.SIGTERM, 130)):
            before, log = last_saved(folder), next(logs)
            with start(folder, log) as broken:
                deadline = time.monotonic() + 120
                while last_saved(folder) == before:
                    assert time.monotonic() < deadline and broken.poll() is None, log.read_text()
                    time.sleep(0.02)
                time.sleep(0.2 * random.random())
                broken.send_signal(how)
            assert broken.returncode == status and ("Going on with" in log.read_text()) == bool(before), log.read_text()
        with start(folder, log := next(logs)) as again:
            pass
        assert again.returncode == 0 and "Going on with" in log.read_text(), log.read_text()
    assert unbroken.returncode == 0, (tmp_path / "0.log").read_text()
    assert bits(folder) == bits(tmp_path / "unbroken")
