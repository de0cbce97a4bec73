"""Two processes train as one does, and another number of them goes on; so does a sweep that was killed."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from genjax_zoo import Experiment, Player, cli, data, evals, fit, math, models

ROOT = Path(__file__).parent.parent
BATCH = 16


def experiment(resident, steps):
    """A VAE with the same noise for every example, so that sharding changes nothing, by plain SGD."""
    model = models.vae(shape=(8, 8, 1), latent=4, hidden=(16,), likelihood=math.discretized_logistic(17))

    def terms(variables, batch, key, train):
        def one(x):
            return model.nelbo(variables, {"x": x[None]}, jax.random.key(0), train=train)[0]

        return {name: value[:, 0] for name, value in jax.vmap(one)(batch["x"]).items()}, variables

    return Experiment(
        model=model,
        players={"vae": Player(terms=terms, weights={"distortion": 1.0, "rate": 1.0}, tx=optax.sgd(1e-3))},
        data=data.load("digits", "train", batch_size=BATCH, seed=1, resident=resident),
        evals={"test": evals.likelihood(data.load("digits", "test", batch_size=50))},
        steps=steps,
        save_every=3,
    )


CHILD = f"""
import sys
import time
import jax
sys.path.insert(0, {str(Path(__file__).parent)!r})
rank, address, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
jax.config.update("jax_num_cpu_devices", 1)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.distributed.initialize(address, 2, rank, initialization_timeout=60)
import test_processes as ours
read, parts = ours.data.Streamed.read, []
def reading(self, step, shard=0, shards=1):
    raw = read(self, step, shard, shards)
    parts.append((shard, shards, len(raw["x"])))
    return raw
ours.data.Streamed.read = reading
for resident in (True, False):
    result = ours.fit(ours.experiment(resident, 3), workdir=f"{{folder}}/{{resident}}")
print(set(parts) - {{(0, 1, {BATCH})}},  # which initialises, everywhere alike
      result.results["test/nelbo"])
"""


def free_address():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.processes
def test_two_processes_then_one(tmp_path):
    address = free_address()
    command = [sys.executable, "-c", CHILD]
    both = [
        subprocess.Popen(
            [*command, str(rank), address, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for rank in range(2)
    ]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    for rank, (printed, _) in enumerate(outputs):
        assert f"{{({rank}, 2, {BATCH // 2})}}" in printed  # its own half, and nothing else, once it trains
    assert outputs[0][0].split()[-1] == outputs[1][0].split()[-1]
    whole = fit(experiment(True, 6), devices=jax.devices()[:1])
    expected = jax.tree.leaves(whole.state.variables)
    for resident in (True, False):
        resumed = fit(experiment(resident, 6), workdir=tmp_path / str(resident))
        assert int(resumed.state.step) == 6
        for ours, reference in zip(jax.tree.leaves(resumed.state.variables), expected):
            np.testing.assert_allclose(ours, reference, rtol=2e-5, atol=1e-7)
        assert resumed.results["test/nelbo"] == pytest.approx(whole.results["test/nelbo"], rel=1e-5)


KILLED = """
import os, signal
import jax, jax.numpy as jnp, optax
from genjax_zoo import Experiment, Model, Player, data

def experiment(*, rate: float = 0.1, calls: str = ""):
    source = data.load("grid25", "train", batch_size=8)

    def terms(variables, batch, key, train):
        w = variables["params"]["net"]["w"] + jax.random.normal(key, (2,))
        return {"far": jnp.square(batch["x"] - w).sum(-1)}, variables

    def judged(model, variables, key):  # in the calls of these numbers: between one member's save and another's
        with open(__file__ + ".calls", "a+") as file:
            file.write(".")
            file.flush()
            count = file.tell()
        if str(count) in calls.split("/"):
            os.kill(os.getpid(), signal.SIGKILL)
        return {"w": variables["params"]["net"]["w"].sum()}

    init = lambda key, batch: {"params": {"net": {"w": jax.random.normal(key, (2,))}}}
    player = Player(terms=terms, weights={"far": 1.0}, tx=optax.adam(rate), ema=0.9)
    model = Model(spec=source.spec, init=init)
    often = {"save_every": 1, "eval_every": 1, "evals": {"test": judged}, "best": "test/w"}
    return Experiment(model=model, players={"one": player}, data=source, steps=6, **often)
"""


@pytest.mark.slow
@pytest.mark.processes
def test_a_sweep_that_is_killed_twice_is_the_unbroken_one(tmp_path):
    file, flags = tmp_path / "killed.py", ["--rate", "0.1,0.2"]
    file.write_text(KILLED)
    cli.console(["sweep", str(file), "--workdir", str(tmp_path / "whole"), *flags])
    (tmp_path / "killed.py.calls").unlink()
    command = [sys.executable, "-m", "genjax_zoo", "sweep", str(file), "--workdir", str(tmp_path / "parts")]
    ends = [
        subprocess.run([*command, *flags, "--calls", "4/9"], capture_output=True, text=True, timeout=120)
        for _ in range(3)
    ]
    assert [end.returncode for end in ends] == [-9, -9, 0], ends
    assert "Going on at step" in ends[2].stdout
    tables = [json.loads((tmp_path / name / "sweep.json").read_text()) for name in ("whole", "parts")]
    for row, same in zip(*tables, strict=True):
        assert row["results"]["test/w"]["mean"] == pytest.approx(same["results"]["test/w"]["mean"], rel=1e-5, abs=1e-5)
    for one in (tmp_path / "whole").glob("*=*"):
        logs = [(folder / one.name / "metrics.jsonl").read_text() for folder in (one.parent, tmp_path / "parts")]
        ours, its = ([json.loads(line) for line in log.splitlines()] for log in logs)
        assert [(row["step"], row.keys()) for row in ours] == [(row["step"], row.keys()) for row in its]
        for row, same in zip(ours, its):
            for name in row.keys() - {"steps/s", "examples/s"}:
                assert row[name] == pytest.approx(same[name], rel=1e-5, abs=1e-5), name


SLOW = """
import jax, jax.numpy as jnp
from scripted import scripted

def spin(w):
    a = jnp.ones((1500, 1500)) * w
    return jnp.sum(jax.lax.fori_loop(0, 10**6, lambda i, x: jnp.tanh(x @ a), a))

def experiment():
    one = scripted([3.0, 2.0, 1.0, 2.0], best=None, eval_every=3, save_every=100)
    one.evals["slow"] = lambda model, variables, key: {"x": float(jax.jit(spin)(variables["params"]["net"]["w"]))}
    return one
"""


@pytest.mark.processes
def test_an_evaluation_is_left_within_seconds_and_its_steps_are_kept(tmp_path):
    """One that computes for hours, deep in a library that hears no signal."""
    (tmp_path / "slow.py").write_text(SLOW)
    command = [sys.executable, "-m", "genjax_zoo", "train", "slow.py", "--workdir", "run"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests")))}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as running:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run/checkpoints/3").is_dir():
            assert time.monotonic() < deadline and running.poll() is None
            time.sleep(0.1)
        time.sleep(2)
        running.terminate()
        start = time.monotonic()
        _, said = running.communicate(timeout=60)
    assert time.monotonic() - start < 10 and running.returncode == 130
    assert said == "genjax-zoo: Stopped; run the same command to go on.\n"
