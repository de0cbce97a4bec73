"""The commands that read a run: of which checkpoint, and of which of its parameters, what they give is."""

import contextlib
import functools
import io
import json

import jax.numpy as jnp
import numpy as np
import pytest
import run_folders

from genjax_zoo import cli, runs
from genjax_zoo.compare import speed
from genjax_zoo.compare.cells import number_cell
from genjax_zoo.train.checkpoint import Checkpoints

MINE = """
import jax, jax.numpy as jnp, numpy as np, optax
from genjax_zoo import Experiment, Model, Player, data, math
from genjax_zoo.core import Card, Density, Explained, Latent, Levels, Sampler

def experiment():
    '''All that the model does depends on its one parameter, w.'''
    train, test = data.load("digits", "train", batch_size=16), data.load("digits", "test", batch_size=250)
    real = jnp.asarray(test.arrays["x"][:20] / 16).reshape(20, 8, 8, 1)
    ramp = jnp.linspace(0, 1, 64).reshape(8, 8, 1)

    def w(variables):
        return variables["params"]["net"]["w"]

    def sample(variables, key, n, cond={}, *, train=False):
        noise = jax.random.uniform(key, (n, 8, 8, 1)) < w(variables) ** 2
        return jnp.where(noise, ramp, jnp.resize(real, noise.shape)), variables

    def nelbo(variables, batch, key, train):
        return {"distortion": jnp.mean((batch["x"] - w(variables)) ** 2, axis=(1, 2, 3))}, variables

    def encode(variables, batch, key, *, train=False):
        return jnp.tanh(w(variables) * batch["x"].reshape(-1, 64)[:, 26:44:17]), variables

    def decode(variables, z, cond={}, *, train=False):
        x = jax.nn.sigmoid(w(variables) + z[:, :1] + z[:, 1:] * ramp.reshape(1, 64)).reshape(-1, 8, 8, 1)
        return x, variables

    def prior(variables, key, n, cond={}, *, train=False):
        return jax.random.normal(key, (n, 2)), variables

    init = lambda key, batch: {"params": {"net": {"w": jnp.zeros(())}}}
    z = Model(spec=train.spec, init=init, sampler=Sampler(draw=prior))
    model = Model(
        spec=train.spec, init=init, sampler=Sampler(draw=sample), card=Card(support=Levels(17)),
        density=Density(terms=Explained(terms=nelbo, rest="nats"), exact=False),
        latent=Latent(prior=z, encode=encode, decode=decode),
    )
    player = Player(terms=nelbo, weights={"distortion": 1.0}, tx=optax.sgd(0.1), ema=0.9)
    evals = {"test": lambda model, variables, key: {"w": w(variables)}}
    return Experiment(model=model, players={"p": player}, data=train, steps=2, evals=evals, best="test/w")
"""
OF_THE_MODEL = ("nats", "bits_per_dim", "frechet", "kernel_distance", "precision", "recall", "density", "coverage")
RUNS = {"one": (0.6, 0.4), "of other parameters": (0.7, 0.4), "of other averages": (0.6, 0.8)}  # w, and its average


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """What a command gives of a run: (command, run, flags) -> name -> anything."""
    root = tmp_path_factory.mktemp("runs")
    for name, latest in RUNS.items():
        made(root / name, (0.5, 0.8, {"test/w": 0.1}), (*latest, {}))
    with pytest.MonkeyPatch.context() as patch:  # what takes longest, and is not of the parameters' values
        patch.setattr(
            speed, "train_step", lambda *_: {"compile_s": number_cell(1.0), "peak_memory_mb": number_cell(1.0)}
        )
        patch.setattr(speed, "samples_per_s", lambda *_: number_cell(1.0))
        yield functools.cache(lambda command, name, *flags: command(root / name, flags))


def made(folder, *checkpoints):
    """A run folder with checkpoints: each its raw and its averaged parameter, and what ranks it."""
    source = folder.with_suffix(".py")
    source.write_text(MINE)
    runs.open_run(folder, source, {"steps": None, "precision": "float32"})
    run_folders.log(folder, step=1, **{"p/loss": 1.0})
    state = runs.create_state_of(runs.load_experiment(source)())
    with Checkpoints(folder / "checkpoints", best="test/w") as saved:
        for step, (raw, average, rank) in enumerate(checkpoints, 1):
            params, ema = ({"net": {"w": jnp.float32(value)}} for value in (raw, average))
            saved.save(step, state._replace(step=jnp.int32(step), variables={"params": params}, ema=ema), rank)
        saved.wait()


def printed(*argv):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        cli.console([str(word) for word in argv])
    return out.getvalue()


def train(folder, flags):
    """The last evaluation, where no step is left to train."""
    printed("train", folder / "experiment.py", "--workdir", folder)
    return json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])


def evaluate(folder, flags):
    step, numbers = printed("eval", folder, *flags).splitlines()
    return {"step": int(step.split()[-1]), "numbers": numbers.split()}


def sample(folder, flags):
    out = printed("sample", folder, "-n", 4, "--out", folder / "x.npy", *flags)
    return {"step": int(out.partition(":")[0].split()[-1]), "x": np.load(folder / "x.npy").tobytes()}


def latent(folder, flags):
    printed("latent", folder, "-n", 1, "--steps", 2, "--examples", 16, *flags)
    return {path.name: path.read_bytes() for path in (folder / "latent").iterdir()}


def compare(folder, flags):
    printed("compare", folder, "-n", 20, "-k", 3, "--out", folder / "board.json", *flags)
    row = json.loads((folder / "scores.json").read_text())
    return {"step": row["step"], **{name: row["cells"][name]["value"] for name in OF_THE_MODEL}}


def report(folder, flags):
    printed("report", folder)
    return {path.name: path.read_bytes() for path in (folder / "page").iterdir()}


@pytest.mark.parametrize("command", (train, evaluate, sample, latent, compare, report))
def test_a_command_reads_the_averages(command, read):
    """All that it gives depends on the averaged parameters, and nothing on the raw ones."""
    one = read(command, "one")
    assert one == read(command, "of other parameters")
    other = read(command, "of other averages")
    assert one and one.keys() == other.keys()
    assert [name for name in one if one[name] == other[name] and name != "step"] == []


@pytest.mark.parametrize("command", (evaluate, sample, latent, compare))
def test_a_command_reads_the_checkpoint_that_it_is_told(command, read):
    """The best of a run is the first, whose averages are those of another's latest."""
    best, same = read(command, "one", "--checkpoint", "best"), read(command, "of other averages")
    assert best == {**same, **({"step": 1} if "step" in same else {})}
    assert read(command, "one") != best


def test_an_evaluation_is_of_the_average_itself(read):
    assert read(evaluate, "one") == {"step": 2, "numbers": ["test/w", "0.4000"]}
    assert read(evaluate, "one", "--checkpoint", "best") == {"step": 1, "numbers": ["test/w", "0.8000"]}
