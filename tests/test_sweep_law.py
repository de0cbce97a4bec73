"""Whatever a swept number acts through, a member is the run that `train` makes with it, or the sweep refuses it."""

import json

import jax
import numpy as np
import pytest

from genjax_zoo import cli, restore

FILE = """
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax

from genjax_zoo import Experiment, Model, Player, data

POINTS = np.random.default_rng(0).normal(size=(32, 2)).astype("float32")


def experiment(
    *, scale: float = 0.5, weight: float = 1.0, rate: float = 0.1, every: int = 1, averaged: float = 0.5,
    noise: float = 0.5, gain: float = 1.0, of_data: int = 0, resident: bool = True, judged: float = 0.0,
    size: int = 32, batch: int = 8, length: int = 3, power: int = 2, often: int = 2, seed: int = 0,
):
    def transform(raw, keys):
        return {"x": gain * raw["x"]}

    points = POINTS[:size] + noise * np.random.default_rng(1 + of_data).normal(size=(size, 2)).astype("float32")
    kind = data.Resident if resident else data.Streamed
    arrays = {"x": jnp.asarray(points) if resident else points}
    source = kind(arrays=arrays, transform=transform, batch_size=batch, seed=seed + of_data, train=True)
    drawn = jax.random.key(seed)
    factor = scale if isinstance(scale, float) else 1.0

    def init(key, batch):
        return {"params": {"net": {"w": scale * jax.random.normal(key, (2,))}}}

    @jax.custom_vjp
    def smaller(x):
        return scale * x

    smaller.defvjp(lambda x: (scale * x, None), lambda _, g: (2 * scale * g,))
    compiled = jax.jit(lambda x: smaller(x) * scale)

    def terms(variables, batch, key, train):
        w = variables["params"]["net"]["w"] + 0.01 * jax.random.normal(drawn, (2,))
        far = jnp.abs(batch["x"] - factor * w) ** power / scale
        kept, _ = jax.lax.scan(lambda sum, _: (scale * sum + far, None), far, None, length=length)
        chosen = jax.lax.cond(w[0] > 0, lambda x: x * scale, lambda x: x, far) + compiled(far)
        start = 1 + jax.lax.stop_gradient(smaller(w[0]) ** 2)
        below = jax.lax.while_loop(lambda x: x > 0.1, lambda x: x * scale, start)
        return {
            "far": kept.sum(-1), "near": math.log(1 + scale) * far.sum(-1), "cut": (chosen * (1 + below)).sum(-1)
        }, variables

    player = Player(
        terms=terms, weights={"far": weight, "near": 0.3, "cut": 0.1}, every=every, ema=averaged,
        tx=optax.sgd(optax.linear_schedule(rate / 10, rate / 50, 4)),
    )
    model = Model(spec=source.spec, init=init)
    evals = {"test": lambda model, variables, key: {"w": variables["params"]["net"]["w"].sum() + judged}}
    return Experiment(
        model=model, players={"net": player}, data=source, evals=evals, steps=4, log_every=often, steps_per_call=2,
        alarms=(lambda numbers: "far" if numbers.get("net/loss", 0.0) > 9 - judged else None,), seed=seed)
"""


@pytest.fixture
def file(tmp_path, request):
    """Only where the seed is swept the experiment asks for it: then each seed has an experiment of its own."""
    path, seeded = tmp_path / "mine.py", "seed" in request.node.name
    path.write_text(
        FILE
        if seeded
        else FILE.replace("seed: int = 0, ", "")
        .replace("seed + of_data", "of_data")
        .replace("(seed)", "(0)")
        .replace(", seed=seed)", ")")
    )
    return path


def made(folder):
    """What a run has come to: its numbers, warnings and evaluations at every step, and its variables."""
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    rows = [{name: row[name] for name in row if name not in ("steps/s", "examples/s", "waiting")} for row in rows]
    _, state = restore(folder)
    return rows, jax.device_get((state.variables, state.ema, state.opt_state))


def assert_same(one, other):
    (rows, state), (others, theirs) = one, other
    assert [row.keys() for row in rows] == [row.keys() for row in others]
    for row, same in zip(rows, others):
        for name in row:
            if name == "warning":
                assert row[name] == same[name]
            else:
                np.testing.assert_allclose(row[name], same[name], rtol=1e-6, atol=1e-6, err_msg=name)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6), state, theirs)


@pytest.mark.parametrize(
    "flag, values",
    [
        ("scale", "0.5,0.25"),  # of the model: loops, a branch, a call, Python's own math, where a type decides
        ("weight", "1.0,0.1"),  # of the loss
        ("rate", "0.1,0.2"),  # of the optimizer's schedule
        ("every", "2,3"),  # whose turns they are
        ("averaged", "0.05,0.15"),
        ("noise", "0.0,3.0"),  # the data's arrays
        ("gain", "1.0,0.5"),  # their transform
        ("of_data", "1,2"),  # arrays and order
        ("gain --no-resident", "1.0,0.5"),
        ("of_data --no-resident", "1,2"),
        ("judged", "0.0,8.9"),  # the evaluation, and an alarm
        ("seed", "0,1"),  # the network's start, the data's order, and a constant that is drawn
        ("seed --no-resident", "0,1"),
    ],
)
def test_a_member_is_its_single_run(flag, values, file, tmp_path):
    name, *more = flag.split()
    folders = [f"{name}={float(value):g}" + (",seed=0" if name != "seed" else "") for value in values.split(",")]
    cli.console(["sweep", str(file), "--workdir", str(tmp_path / "sweep"), f"--{name}", values, *more])
    value = values.split(",")[1]
    cli.console(["train", str(file), "--workdir", str(tmp_path / "alone"), f"--{name}", value, *more])
    first, second = (made(tmp_path / "sweep" / folder) for folder in folders)
    alone = made(tmp_path / "alone")
    assert_same(second, alone)
    with pytest.raises(AssertionError, match="step|keys|tolerance"):  # control: the number does something
        assert_same(first, alone)


@pytest.mark.parametrize("flag, values", [("size", "32,24"), ("batch", "8,4"), ("length", "3,4"), ("power", "2,3")])
def test_a_number_that_makes_another_program_is_refused(flag, values, file, tmp_path, capsys):
    """By its own name, although another is swept beside it."""
    folder = tmp_path / "sweep"
    with pytest.raises(SystemExit) as ended:
        cli.console(["sweep", str(file), "--workdir", str(folder), "--rate", "0.1,0.2", f"--{flag}", values])
    error = capsys.readouterr().err
    assert ended.value.code == 2 and f"--{flag}: a swept number must not" in error and error.count("\n") == 1
    assert "--rate" not in error and not list(folder.rglob("*.json"))
