"""A sweep's members are the runs that `train` makes, whatever the family, however many devices; and it goes on."""

import json
import signal

import jax
import numpy as np
import optax
import pytest

from genjax_zoo import Experiment, Player, cli, data, evals, fit, losses, models, restore, runs, wrap
from genjax_zoo.files import read_log
from genjax_zoo.runs import sweep as sweeps
from genjax_zoo.train.checkpoint import Checkpoints
from genjax_zoo.train.interrupts import Interrupts
from genjax_zoo.train.parallel import member_mesh

FILE = """
from test_sweep import FAMILIES

def experiment(
    *, family: str = "vae", learning_rate: float = 0.01, width: int = 4, steps: int = 4, seed: int = 0
):
    return FAMILIES[family](learning_rate, width, steps, seed)
"""


def _run(model, players, source, steps, seed, **more):
    return Experiment(
        model=model,
        players=players,
        data=source,
        steps=steps,
        seed=seed,
        steps_per_call=2,
        log_every=2,
        save_every=2,
        **more,
    )


def vae(learning_rate, width, steps, seed):
    model = models.vae(shape=(8, 8, 1), latent=2, hidden=(width,))
    player = Player(
        terms=model.nelbo,
        weights={"distortion": 1.0, "rate": optax.linear_schedule(0, 1, 3)},
        tx=optax.sgd(learning_rate / 100),
        ema=0.5,
    )
    source = data.load("digits", "train", batch_size=16, transform=data.binarize, seed=seed)
    test = data.load("digits", "test", batch_size=50, transform=data.binarize)
    return _run(model, {"vae": player}, source, steps, seed, evals={"test": evals.likelihood(test)}, eval_every=4)


def gan(learning_rate, width, steps, seed):
    model = wrap.with_memory(models.gan(shape=(2,), latent=2, hidden=(width,), critic_hidden=(width,), normalised=True))
    critic, generator = losses.adversarial(model, losses.adversary("relativistic"), r1=losses.lazy(losses.r1, 2))
    sgd = optax.sgd(learning_rate, momentum=0.5)
    falling = optax.sgd(optax.linear_schedule(learning_rate, 0.0, 4), momentum=0.5)
    weights = {"adversarial": optax.linear_schedule(0.5, 1.5, 4)}
    players = {
        "critic": Player(terms=critic, weights={"adversarial": 1.0, "r1": 0.1}, tx=sgd, owns=("discriminator",)),
        "generator": Player(terms=generator, weights=weights, tx=falling, owns=("generator",), every=2, ema=0.9),
    }
    modes = evals.mode_coverage(*data.mixture("grid25"), n=50)
    return _run(
        model, players, data.load("grid25", "train", batch_size=16, seed=seed), steps, seed, evals={"coverage": modes}
    )


def flow(learning_rate, width, steps, seed):
    model = models.real_nvp(shape=(2,), layers=2, hidden=(width,))
    player = Player(terms=model.nll, weights={"prior": 1.0, "log_det": 1.0}, tx=optax.sgd(learning_rate / 100))
    source = data.load("grid25", "train", batch_size=16, seed=seed)
    return _run(model, {"flow": player}, source, steps, seed)


def autoregressive(learning_rate, width, steps, seed):
    model = models.nade(shape=(8, 8, 1), hidden=width)
    player = Player(terms=model.nll, weights={"nll": 1.0}, tx=optax.sgd(learning_rate / 100))
    source = data.load("digits", "train", batch_size=16, transform=data.binarize, seed=seed)
    return _run(model, {"model": player}, source, steps, seed)


FAMILIES = {"vae": vae, "gan": gan, "flow": flow, "autoregressive": autoregressive}


@pytest.fixture
def file(tmp_path):
    return write_file(tmp_path)


def write_file(folder):
    path = folder / "mine.py"
    path.write_text(FILE)
    return path


def swept(file, folder, *flags):
    cli.console(["sweep", str(file), "--workdir", str(folder), *flags])
    return json.loads((folder / "sweep.json").read_text())


@pytest.mark.parametrize(  # what a sweep does to a number is said by test_sweep_law, of small programs
    "family", [pytest.param(n, marks=[pytest.mark.slow] * (n in ("vae", "flow"))) for n in FAMILIES]
)
def test_members_are_single_runs(family, file, tmp_path):
    """Two seeds and two learning rates on four devices; weights, averages, and numbers logged."""
    folder = tmp_path / "sweep"
    swept(file, folder, "--family", family, "--seed", "5,3", "--learning-rate", "0.01,0.02")
    make = runs.load_experiment(file)
    assert len(list(folder.glob("*/config.json"))) == 4 and member_mesh(4).size == 4
    for rate, seed in ((0.01, 5), (0.02, 3)):
        name = folder / f"learning_rate={rate},seed={seed}"
        _, state = restore(name)
        flags = {"family": family, "learning_rate": rate, "seed": seed}
        alone = fit(runs.build(make, flags), workdir=tmp_path / name.name, devices=jax.devices()[:1])
        assert int(state.step) == int(alone.state.step) == 4
        ours, theirs = (
            jax.device_get((state.variables, state.ema)),
            jax.device_get((alone.state.variables, alone.state.ema)),
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), ours, theirs)
        logs = [(folder.parent / at / "metrics.jsonl").read_text().splitlines() for at in (name, name.name)]
        for mine, its in zip(*(map(json.loads, lines) for lines in logs)):
            for entry in set(mine) - {"steps/s", "examples/s"}:
                np.testing.assert_allclose(mine[entry], its[entry], rtol=1e-4, atol=1e-5, err_msg=entry)
        with pytest.raises(AssertionError, match="another member"):  # control
            _, other = restore(folder / f"learning_rate={rate},seed={8 - seed}")
            other = jax.device_get(other.variables)
            jax.tree.map(
                lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5, err_msg="another member"), other, theirs[0]
            )


def test_members_compute_in_the_precision_of_a_run(file, tmp_path):
    """In float32 the same losses are others."""
    swept(file, tmp_path / "sweep", "--family", "autoregressive", "--steps", "2", "--precision", "bf16")
    one = runs.build(runs.load_experiment(file), {"family": "autoregressive", "steps": 2})
    for precision in ("bf16", "float32"):
        fit(one, workdir=tmp_path / precision, precision=precision, devices=jax.devices()[:1])
    logs = (tmp_path / name / "metrics.jsonl" for name in ("sweep/seed=0", "bf16", "float32"))
    mine, its, other = (json.loads(log.read_text().splitlines()[0])["model/loss"] for log in logs)
    assert mine == pytest.approx(its, rel=1e-6) and its != pytest.approx(other, rel=1e-5)


CLOCKS = """
import jax, jax.numpy as jnp, optax
from genjax_zoo import Experiment, Model, Player, data

def experiment(*, steps: int = 6, seed: int = 0):
    source = data.load("grid25", "train", batch_size=8)

    def terms(variables, batch, key, train):
        return {name: -net["w"] * jnp.ones(len(batch["x"])) for name, net in variables["params"].items()}, variables

    players = {
        name: Player(
            terms=terms, weights={name: lambda step: 1.0 + step}, owns=(name,), every=every, ema=0.9,
            tx=optax.sgd(lambda turn: 1 / (1.0 + turn)),
        )
        for name, every in (("a", 1), ("b", 2))
    }
    init = lambda key, batch: {"params": {name: {"w": jax.random.normal(key)} for name in ("a", "b")}}
    model = Model(spec=source.spec, init=init)
    evals = {"test": lambda model, variables, key: {"w": variables["params"]["a"]["w"]}}
    return Experiment(model=model, players=players, data=source, evals=evals, best="test/w", steps=steps, seed=seed)
"""


def test_a_members_clocks_are_those_of_a_run(tmp_path):
    """By hand, from the seed's own start: one network moves at every step, one at every second, gone on in the middle.

    Schedules of weights and of learning rates, and the warm-up of averages, count the turns that were taken.
    """
    file, folder = tmp_path / "clocks.py", tmp_path / "sweep"
    file.write_text(CLOCKS)
    make = runs.load_experiment(file)
    for steps in ("3", "6"):
        swept(file, folder, "--seed", "5,3", "--steps", steps, "--steps-per-call", "3")
    for seed in (5, 3):
        _, state = restore(folder / f"seed={seed}")
        log = map(json.loads, (folder / f"seed={seed}/metrics.jsonl").read_text().splitlines())
        assert [row["step"] for row in log if "a/loss" in row] == [3, 6]
        start = runs.create_state_of(runs.build(make, {"seed": seed})).variables["params"]["a"]["w"]
        for network, every in (("a", 1), ("b", 2)):
            w = average = float(start)
            for turn in range(6 // every):
                w += (1 + turn) / (1 + turn)  # a weight that rises, and a rate that falls
                kept = min(0.9, (1 + turn) / (10 + turn))
                average = kept * average + (1 - kept) * w
            np.testing.assert_allclose(state.variables["params"][network]["w"], w, rtol=1e-5)
            np.testing.assert_allclose(state.ema[network]["w"], average, rtol=1e-5)


@pytest.mark.parametrize("save_every", ("1", "9"))
def test_only_a_members_checkpoint_of_the_step_that_was_evaluated_is_ranked(tmp_path, save_every):
    """Evaluated, and so saved, at every second step: the first is the best, and the one after it is not as good."""
    (tmp_path / "clocks.py").write_text(CLOCKS)
    often = ("--steps", "4", "--save-every", save_every, "--eval-every", "2")
    swept(tmp_path / "clocks.py", tmp_path / "sweep", "--seed", "5", *often)
    assert int(restore(tmp_path / "sweep/seed=5", checkpoint="best")[1].step) == 2


@pytest.mark.parametrize(
    "flags, seeds",
    [
        (["--seeds", "3"], [0, 1, 2]),
        (["--seed", "3"], [3]),
        (["--seed=3"], [3]),
        (["--seeds=2"], [0, 1]),
        (["--seed=5,3"], [5, 3]),
        (["--seed", "5,3"], [5, 3]),
        ([], [0]),
    ],
)
def test_the_seeds_are_those_asked_for(flags, seeds, file, tmp_path, monkeypatch):
    """`--seeds 3` is three of them, and `--seed 3` is that one; in the order asked for, each in its own folder."""
    trained = []

    def sweep(members, prepared, *, begin, show):
        trained.extend(members)
        [begin(one) for one in members]
        return sweeps.table(members)

    monkeypatch.setattr(sweeps, "sweep", sweep)
    (row,) = swept(file, tmp_path / "sweep", "--family", "flow", *flags)
    assert row["seeds"] == len(seeds)
    assert [m.folder.name for m in trained] == [f"seed={seed}" for seed in seeds]
    for m, seed in zip(trained, seeds):
        assert m.experiment.seed == m.flags["seed"] == runs.read_config(m.folder)["flags"]["seed"] == seed


def test_a_sweep_goes_on_and_tells_mean_and_error(file, tmp_path, capsys):
    whole = swept(file, tmp_path / "whole", "--seeds", "3", "--steps", "8")
    swept(file, tmp_path / "parts", "--seeds", "3", "--steps", "4")
    parts = swept(file, tmp_path / "parts", "--seeds", "3", "--steps", "8")
    assert parts == whole and "Going on at step 4" in capsys.readouterr().out
    assert swept(file, tmp_path / "parts", "--seeds", "3", "--steps", "8") == whole  # nothing left to train
    one = tmp_path / "parts" / "seed=1"
    cli.console(["train", str(file), "--workdir", str(one), "--seed", "1", "--steps", "10"])  # a run like any other
    assert int(restore(one)[1].step) == 10
    assert swept(file, tmp_path / "parts", "--seeds", "3", "--steps", "12") == swept(
        file, tmp_path / "whole", "--seeds", "3", "--steps", "12"
    )  # it goes back to what all have
    (row,) = whole
    found = row["results"]["test/nelbo"]
    assert row["seeds"] == 3 and row["failed"] == {} and len(found["values"]) == 3
    np.testing.assert_allclose(found["mean"], np.mean(found["values"]))
    np.testing.assert_allclose(found["standard_error"], np.std(found["values"], ddof=1) / 3**0.5)


@pytest.mark.parametrize(
    "flags",
    [("--log-every", "1"), ("--log-every", "3", "--save-every", "2"), ("--log-every", "9", "--steps-per-call", "4")],
)
def test_a_member_tells_what_a_run_tells(flags, tmp_path):
    """At the same steps, and the same numbers; rates only once there is more than the call that compiles."""
    file = tmp_path / "clocks.py"
    file.write_text(CLOCKS)
    swept(file, tmp_path / "sweep", "--seeds", "2", "--eval-every", "4", *flags)
    cli.console(["train", str(file), "--workdir", str(tmp_path / "alone"), "--eval-every", "4", *flags])
    logs = [(tmp_path / at / "metrics.jsonl").read_text().splitlines() for at in ("sweep/seed=0", "alone")]
    mine, its = ([(row["step"], set(row)) for row in map(json.loads, lines)] for lines in logs)
    assert mine == its and mine[-1][0] == 6
    known = ["steps/s" in row for _, row in mine if "a/loss" in row]
    assert known == ([False] * ("--steps-per-call" in flags or flags[1] == "1") + [True] * 6)[: len(known)]


@pytest.mark.parametrize("many", [1, 2])
def test_what_can_be_left_at_once_is_saved_before(many, tmp_path, monkeypatch):
    """A call of another length compiles, and a state is evaluated, only once it is saved: of a run, and of members."""
    file, events = tmp_path / "clocks.py", []
    file.write_text(CLOCKS)
    save, at_once = Checkpoints.save, Interrupts.at_once
    monkeypatch.setattr(Checkpoints, "save", lambda self, step, state: events.append(step) or save(self, step, state))
    monkeypatch.setattr(Interrupts, "at_once", lambda self: events.append("left") or at_once(self))
    flags = ("--steps", "3", "--steps-per-call", "2", "--save-every", "9", "--eval-every", "9")
    command = ["train"] if many == 1 else ["sweep", "--seeds", f"{many}"]
    cli.console([command[0], str(file), "--workdir", str(tmp_path / "runs"), *command[1:], *flags])
    assert events == ["left", *[2] * many, "left", *[3] * many, *["left"] * many]


def test_members_that_differ_in_a_late_digit_have_folders_of_their_own(tmp_path):
    make = runs.load_experiment(write_file(tmp_path))
    rates = {"learning_rate": [0.0012345678, 0.0012345679]}
    members = sweeps.plan(make, {}, rates, [20240101, 20240102], tmp_path)
    names = [m.folder.name for m in members]
    assert len(set(names)) == 4 and names[0] == "learning_rate=0.0012345678,seed=20240101"


def test_a_stopped_sweep_loses_no_step(file, tmp_path, capsys, monkeypatch):
    flags = ("--seeds", "2", "--steps", "8", "--log-every", "2", "--save-every", "8")
    whole = swept(file, tmp_path / "whole", *flags)
    signals = iter([signal.SIGTERM])
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as stopped:
        patch.setattr("genjax_zoo.train.run.sound_alarms", lambda *_: [*map(signal.raise_signal, signals)])
        swept(file, tmp_path / "parts", *flags)
    assert stopped.value.code == 130 and "Stopped at step 4" in capsys.readouterr().err
    assert swept(file, tmp_path / "parts", *flags) == whole and "Going on at step 4" in capsys.readouterr().out


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def test_a_sweep_of_which_one_member_cannot_go_on_leaves_all_as_they_were(tmp_path, capsys):
    """Its checkpoint is damaged, its file was changed, or its folder holds something else: with --fresh, too."""
    file, folder = tmp_path / "clocks.py", tmp_path / "sweep"
    file.write_text(CLOCKS)
    swept(file, folder, "--seeds", "2", "--steps", "2")
    for flags, damaged in (
        (("--steps", "4"), "seed=1/checkpoints/2/record/metadata"),
        (("--steps", "4"), "seed=1/experiment.py"),
        (("--steps", "4", "--fresh"), "seed=1/config.json"),
    ):
        whole = (folder / damaged).read_bytes()
        (folder / damaged).write_text("{}")
        before = contents(folder)
        with pytest.raises(SystemExit) as ended:
            cli.console(["sweep", str(file), "--workdir", str(folder), "--seeds", "2", *flags])
        assert ended.value.code == 2 and "seed=1" in capsys.readouterr().err
        assert contents(folder) == before, damaged
        (folder / damaged).write_bytes(whole)
    with pytest.raises(SystemExit):  # of another program: known before anything is deleted
        cli.console(["sweep", str(file), "--workdir", str(folder), "--seeds", "2", "--fresh", "--steps", "0"])
    assert contents(folder) == before | {folder / damaged: whole}
    (folder / "seed=2").mkdir()
    (folder / "seed=2/notes.txt").write_text("years of work")
    before = contents(folder)
    with pytest.raises(SystemExit):
        cli.console(["sweep", str(file), "--workdir", str(folder), "--seeds", "3", "--fresh"])
    assert "seed=2 is not empty and holds no run" in capsys.readouterr().err and contents(folder) == before
    assert swept(file, folder, "--seeds", "2", "--steps", "4", "--fresh")[0]["seeds"] == 2  # control


def test_a_member_that_is_added_does_not_take_the_others_back(tmp_path, capsys):
    (tmp_path / "clocks.py").write_text(CLOCKS)
    swept(tmp_path / "clocks.py", tmp_path / "sweep", "--seeds", "2", "--steps", "2")
    before = contents(tmp_path / "sweep")
    with pytest.raises(SystemExit) as ended:
        swept(tmp_path / "clocks.py", tmp_path / "sweep", "--seeds", "3", "--steps", "2")
    assert ended.value.code == 2 and "seed=0 is ahead of the others, at step 2" in capsys.readouterr().err
    assert contents(tmp_path / "sweep") == before


def test_nobody_else_trains_a_member_while_its_sweep_does(tmp_path, capsys, monkeypatch):
    file, folder = tmp_path / "clocks.py", tmp_path / "sweep"
    file.write_text(CLOCKS)
    other = ["train", str(file), "--workdir", str(folder / "seed=1"), "--seed", "1"]
    ends = []

    def meanwhile(*_):
        with pytest.raises(SystemExit) as ended:
            cli.console(other)
        ends.append((ended.value.code, capsys.readouterr().err))

    with monkeypatch.context() as patch:
        patch.setattr("genjax_zoo.train.run.sound_alarms", meanwhile)
        swept(file, folder, "--seeds", "2", "--steps", "1")
    assert len(ends) == 2 and all(code == 2 and "Another process trains in" in said for code, said in ends)
    cli.console([*other, "--steps", "2"])  # control


@pytest.mark.parametrize("rates", ["0.01,1e30", "1e30,0.01"])
def test_a_member_that_breaks_leaves_the_others(file, tmp_path, capsys, rates):
    flags = ("--learning-rate", rates, "--steps")
    swept(file, tmp_path / "parts", *flags, "4")
    rows = swept(file, tmp_path / "sweep", *flags, "6")
    assert swept(file, tmp_path / "parts", *flags, "6") == rows  # who left does not keep the others from going on
    bad, good = sorted(rows, key=lambda row: -row["numbers"]["learning_rate"])
    steps = [row["step"] for row in read_log(tmp_path / "parts/learning_rate=0.01,seed=0/metrics.jsonl")[0]]
    assert steps == sorted(steps) and steps[-1] == 6
    assert good["failed"] == {} and np.isfinite(good["results"]["test/nelbo"]["mean"])
    assert bad["results"] == {} and "of player 'vae' is not finite" in bad["failed"]["learning_rate=1e+30,seed=0"]
    out = capsys.readouterr().out
    assert "left the sweep" in out and "Going on at step 4" in out


@pytest.mark.parametrize(
    "flags, reason",
    [
        (["--family", "vae,gan"], "--family vae,gan: only an experiment's own numbers can be swept"),
        (["--steps", "4,8"], "--steps: a swept number must not decide"),
        (["--save-every=4,8"], "--save-every takes INT, not '4,8'"),
        (["--width", "4,8"], "--width: a swept number must not decide the shapes or branches"),
        (["--learning-rate", "0.1,x"], "--learning-rate takes FLOATs with commas, not '0.1,x'"),
        (["--seed=0,x"], "--seed takes INTs with commas, not '0,x'"),
        (["--seed", "0,0"], "--seed has a value twice"),
        (["--seed", "0,-1"], "--seed must be in 0 ... 4294967295, not -1"),
        (["--seeds", "5,3"], "--seeds takes a count; list seeds by --seed 5,3."),
        (["--seeds=5,3"], "--seeds takes a count; list seeds by --seed 5,3."),
        (["--learning-rate", "0.1,0.1"], "--learning-rate has a value twice"),
        (["--seeds", "many"], "--seeds takes a count, not 'many'"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--backend", "pmap"], "A sweep has no --backend"),
        (["--learning-rat", "0.1,0.2"], "There is no flag --learning-rat; did you mean --learning-rate?"),
    ],
)
def test_bad_sweeps(flags, reason, file, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.console(["sweep", str(file), "--workdir", str(tmp_path / "sweep"), *flags])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and reason in error and error.count("\n") == 1
    assert not list((tmp_path / "sweep").glob("*/checkpoints/*"))
