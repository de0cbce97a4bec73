"""`--steps` and `--seed` reach what an experiment builds of them: schedules, and the order and noise of its data."""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from genjax_zoo import Experiment, Player, UserError, cli, data, fit, models, restore, runs

ROOT = Path(__file__).parent.parent
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.py"))
OF_EVERY_STEP = {"nice_mnist", "image_gpt_mnist", "pixel_cnn_pp_mnist"}  # whose source divides the rate at each step


@pytest.fixture
def without_files(monkeypatch):
    """Zeros stand for every data set: what an experiment builds of its flags needs no files."""

    def zeros(name, split, *, batch_size, seed=0, conditions=(), window=None, **_):
        shape = (window, 1) if window else data.PROTOCOLS[name].shape
        given: dict[str, Any] = {entry: np.ones(2, np.int32) for entry in conditions}
        x = np.zeros((2, *shape), np.float32)
        return data.from_arrays(x, batch_size=2, train=split == "train", seed=seed, **given)

    monkeypatch.setattr(data, "load", zeros)


def step_size(tx, turn):
    """The first update of an optimizer whose schedule has come to this turn."""
    params = {"w": jnp.ones(2)}

    def come(state):
        return state._replace(count=jnp.asarray(turn)) if isinstance(state, optax.ScaleByScheduleState) else state

    states = [come(one) for one in leaves_of(tx.init(params))]
    update, _ = tx.update(params, rebuilt(tx.init(params), iter(states)), params)
    return float(jnp.abs(update["w"]).max())


def is_state(x):
    return isinstance(x, tuple) and hasattr(x, "_fields")


def leaves_of(state):
    return [state] if is_state(state) else [one for part in state for one in leaves_of(part)]


def rebuilt(state, found):
    return next(found) if is_state(state) else tuple(rebuilt(part, found) for part in state)


def lasts_to_the_end(experiment):
    """No schedule is over before the last hundredth of the steps: a cosine's own end is lost to float32's rounding."""
    for name, player in experiment.players.items():
        assert step_size(player.tx, int(0.99 * experiment.steps)) > 0, f"the last updates of '{name}' are nothing"


def is_a_scaled_version(short, whole):
    for one, other in zip(short.players.values(), whole.players.values(), strict=True):
        for part in (0.0, 0.02, 0.5, 1.0):
            turns = [round(part * of.steps) for of in (short, whole)]
            sizes = [step_size(player.tx, turn) for player, turn in zip((one, other), turns)]
            np.testing.assert_allclose(*sizes, rtol=1e-4, atol=1e-9, err_msg=f"after {part} of all steps")
            for term, weight in (one.weights or {}).items():
                if callable(weight):
                    first: Any = weight
                    second: Any = (other.weights or {})[term]
                    np.testing.assert_allclose(first(turns[0]), second(turns[1]), rtol=1e-4)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_is_as_long_as_it_is_asked_to_be(path, without_files):
    make = runs.load_experiment(path)
    whole = runs.build(make, {})
    for steps in (7, whole.steps // 10, 2 * whole.steps):
        other = runs.build(make, {"steps": steps})
        assert other.steps == steps
        runs.check_heard(make, {"steps": steps}, other)
        lasts_to_the_end(other)
        if steps > 7 and path.stem not in OF_EVERY_STEP:
            is_a_scaled_version(other, whole)


def test_a_schedule_of_its_own_length_is_seen():
    """The control: 2,000 steps whatever is asked for."""
    model = models.vae(shape=(8, 8, 1), latent=2, hidden=(4,))
    source = data.from_arrays(np.zeros((2, 8, 8, 1), np.uint8), batch_size=2)

    def of(steps):
        tx = optax.adam(optax.cosine_decay_schedule(1e-3, 2_000))
        player = Player(terms=model.nelbo, weights={"distortion": 1.0, "rate": 1.0}, tx=tx)
        return Experiment(model=model, players={"vae": player}, data=source, steps=steps)

    lasts_to_the_end(of(2_000))
    with pytest.raises(AssertionError, match="the last updates of 'vae' are nothing"):
        lasts_to_the_end(of(4_000))
    with pytest.raises(AssertionError, match="after 0.02 of all steps"):
        is_a_scaled_version(of(200), of(2_000))


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.stem)
def test_the_seed_of_an_experiment_is_that_of_its_data(path, without_files):
    make = runs.load_experiment(path)
    for seed in (0, 5):
        found = runs.build(make, {"seed": seed})
        source: Any = found.data
        assert found.seed == source.seed == seed
        runs.check_heard(make, {"seed": seed}, found)


def test_none_in_an_old_config_leaves_a_number_to_the_function():
    make = runs.load_experiment(ROOT / "experiments/vae_digits.py")
    found = runs.build(make, {"steps": None, "seed": None, "eval_every": None})
    assert (found.steps, found.seed, found.eval_every) == (2_000, 0, 500)


def test_none_is_a_value_of_an_argument():
    def experiment(*, clip: float | None = 1.0):
        found.append(clip)
        return Experiment(model=None, players={}, data=None, steps=2)  # type: ignore[arg-type]

    found: list[float | None] = []
    runs.build(experiment, {"clip": None})
    assert found == [None]


FILE = """
import optax
from genjax_zoo import Experiment, Player, data, models

def experiment(*, {arguments}):
    model = models.vae(shape=(8, 8, 1), latent=2, hidden=(4,))
    player = Player(terms=model.nelbo, weights={{"distortion": 1.0, "rate": 1.0}}, tx=optax.adam(1e-3))
    digits = data.load("digits", "train", batch_size=16, transform=data.binarize)
    return Experiment(model=model, players={{"vae": player}}, data=digits, {passed})
"""
WITHOUT = "width: int = 4"


def refused(capsys, *argv):
    with pytest.raises(SystemExit) as ended:
        cli.console([str(word) for word in argv])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and error.count("\n") == 1
    return error


@pytest.mark.parametrize("command", ["train", "sweep", "explain"])
@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--steps", 2], "an argument 'steps', and pass it to its schedules, and to Experiment(steps=steps)."),
        (["--seed=3"], "an argument 'seed', and pass it to its training data, and to Experiment(seed=seed)."),
        (["--batch-size", 8], "an argument 'batch_size', and pass it to its training data."),
        (["--learning-rate=0.1"], "an argument 'learning_rate', and pass it to its optimizer."),
    ],
)
def test_what_the_function_does_not_take_is_refused(command, words, sentence, tmp_path, capsys):
    """With what to do; and nothing is written."""
    file = tmp_path / "mine.py"
    file.write_text(FILE.format(arguments=WITHOUT, passed="steps=4"))
    flag = str(words[0]).partition("=")[0]
    said = f"mine.py takes no {flag}: give its function 'experiment' {sentence}"
    assert said in refused(capsys, command, file, "--workdir", tmp_path / "run", *words)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["train", "sweep", "explain"])
@pytest.mark.parametrize("name, default", [("steps", 2), ("seed", 3)])
def test_what_does_not_arrive_is_refused(command, name, default, tmp_path, capsys):
    """Whether it was given, or is the function's own; and where it arrives, it is not."""
    file, run = tmp_path / "mine.py", tmp_path / "run"
    arguments = f"steps: int = 1, {name}: int = {default}" if name == "seed" else f"{name}: int = {default}"
    file.write_text(FILE.format(arguments=arguments, passed="steps=1"))
    for words, value in (([], default), ([f"--{name}", "4"], 4)):
        said = refused(capsys, command, file, "--workdir", run, *words)
        assert f"--{name} {value} does not reach the Experiment of mine.py, which has {name}=" in said
    assert not run.exists()
    file.write_text(FILE.format(arguments="steps: int = 1, seed: int = 3", passed="steps=steps, seed=seed"))
    cli.console([command, str(file), "--workdir", str(run)])


def test_nothing_of_an_experiment_is_replaced_but_its_pace():
    make = runs.load_experiment(ROOT / "experiments/vae_digits.py")
    ours, theirs = runs.build(make, {"save_every": 3, "steps_per_call": 7}), make()
    paced = runs.at_pace(ours, {"save_every": 3, "steps_per_call": 7, "eval_every": None, "steps": 1})
    for name in ("steps", "seed", "save_every", "eval_every", "log_every", "steps_per_call", "best"):
        assert getattr(ours, name) == getattr(theirs, name)
        changed = {"save_every": 3, "steps_per_call": 7}.get(name, getattr(theirs, name))
        assert getattr(paced, name) == changed


def test_the_pace_is_an_argument_of_fit(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(FILE.format(arguments="steps: int = 6", passed="steps=steps"))
    found = fit(runs.build(runs.load_experiment(file), {}), log_every=2, steps_per_call=2, progress=False)
    assert list(found.history["step"]) == [2, 4, 6]
    with pytest.raises(UserError, match="--log-every must be at least 1, not 0"):
        fit(runs.build(runs.load_experiment(file), {}), log_every=0, progress=False)


def test_a_run_of_a_file_without_them_is_read_and_goes_on(tmp_path, capsys):
    """What an earlier version kept of flags that its function did not take: they are ignored."""
    file, run = tmp_path / "mine.py", tmp_path / "run"
    file.write_text(FILE.format(arguments=WITHOUT, passed="steps=2"))
    cli.console(["train", str(file), "--workdir", str(run)])
    config = json.loads((run / "config.json").read_text())
    old = {"steps": None, "seed": None, "save_every": 3, **config["flags"]}
    (run / "config.json").write_text(json.dumps({**config, "flags": old}))
    assert restore(run)[0].steps == 2
    cli.console(["train", str(file), "--workdir", str(run)])
    config["flags"] = {**old, "steps": 2, "seed": 5}  # as --steps and --seed were kept
    (run / "config.json").write_text(json.dumps(config))
    assert int(restore(run)[1].step) == 2 and restore(run)[0].seed == 5
    assert "seed was 5, and mine.py has no such argument: give it one" in refused(
        capsys, "train", file, "--workdir", run
    )


def test_a_longer_run_says_whose_schedule_it_has(tmp_path, capsys):
    """A run that began when its file had no `seed` and no `steps` goes on, too, where the change is accepted."""
    file, run = tmp_path / "mine.py", tmp_path / "run"

    def train(*flags):
        cli.console(["train", str(file), "--workdir", str(run), *flags])
        return capsys.readouterr().out

    file.write_text(FILE.format(arguments=WITHOUT, passed="steps=2"))
    train()
    arguments = f"{WITHOUT}, steps: int = 2, seed: int = 0"
    file.write_text(FILE.format(arguments=arguments, passed="steps=steps, seed=seed"))
    assert "seed was None and is 1" in refused(
        capsys, "train", file, "--workdir", run, "--accept-changes", "--seed", "1"
    )
    train("--accept-changes")
    out = train("--steps", "4")
    assert "at step 2. Schedules are those of 4 steps from here on; until here they were of 2." in out
    assert int(restore(run)[1].step) == 4 and restore(run)[0].steps == 4
    assert json.loads((run / "config.json").read_text())["flags"]["steps"] == 4
