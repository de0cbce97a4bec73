"""What a run says of itself: objectives as formulas, alarms, and where it stopped being finite."""

import dataclasses
import io
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from capable import density, sampler
from cases import CASES
from rich.console import Console

from genjax_zoo import Experiment, Model, Player, data, evals, fit, losses, models, train
from genjax_zoo.core import Card
from genjax_zoo.runs.objective import explain
from genjax_zoo.train.finite import Diverged
from genjax_zoo.train.log import Progress


@pytest.mark.parametrize(
    "alarm, quiet, loud, says",
    [
        (train.critic_wins(), {"critic/accuracy": 0.9}, {"critic/accuracy": 1.0}, "tells real from fake in 100.0%"),
        (train.collapsed(), {"samples/coverage": 0.9}, {"samples/coverage": 0.1}, "cover 10.0% of held-out"),
        (train.steep("vae", 10), {"vae/grad_norm": 9.0}, {"vae/grad_norm": 99.0}, "norm of 99, above 10"),
    ],
)
def test_alarms(alarm, quiet, loud, says):
    assert alarm(quiet) is None and alarm({}) is None
    assert says in alarm(loud)


def test_a_collapse_is_told_in_the_log_and_in_the_progress_line(tmp_path):
    """A generator of one image covers nothing; one of the data's own distribution covers what is known of it."""
    digits = data.load("digits", "test", batch_size=100)
    spec = digits.spec
    others = data.load("digits", "train", batch_size=100).at(0)["x"]

    def of(sample):
        init = {"params": {"net": {"w": jnp.zeros(())}}}
        return Model(spec=spec, init=lambda key, batch: init, sampler=sampler(sample))

    def terms(variables, batch, key, train):
        return {"w": (variables["params"]["net"]["w"] - 1) ** 2 * jnp.ones(len(batch["x"]))}, variables

    held_out = evals.held_out_coverage(digits, k=5)
    collapsed = of(lambda variables, key, n, cond={}: jnp.repeat(others[:1], n, axis=0))
    same = of(lambda variables, key, n, cond={}: others[:n])
    assert held_out(collapsed, {}, jax.random.key(0))["coverage"] < 0.15
    assert held_out(same, {}, jax.random.key(0))["coverage"] > 0.85

    shown = io.StringIO()
    console = Console(file=shown, width=200)
    experiment = Experiment(
        model=collapsed,
        players={"p": Player(terms=terms, weights={"w": 1.0}, tx=optax.sgd(0.1))},
        data=data.load("digits", "train", batch_size=16),
        evals={"samples": held_out},
        alarms=(train.collapsed(), train.steep("p", above=1.0)),
        steps=2,
        log_every=1,
    )
    fit(experiment, workdir=tmp_path, sinks=lambda start: [Progress(console, start=start, steps=2)])
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    warnings = [row["warning"] for row in rows if "warning" in row]
    assert sum("may have collapsed" in w for w in warnings) == 1 and sum("norm of" in w for w in warnings) == 2
    for sentence in warnings:
        assert f"warning: {sentence}" in shown.getvalue()
    assert (tmp_path / "curves.png").exists()


def test_the_first_leaf_that_is_not_finite_is_named():
    def terms(variables, batch, key, train):
        a, b, c = (variables["params"]["net"][name] for name in "abc")
        ones = jnp.ones(len(batch["x"]))
        return {"pull": a * ones, "root": 0 * (jnp.sqrt(b) + jnp.sqrt(c)) * ones}, variables

    source = data.load("grid25", "train", batch_size=8)
    start = {"params": {"net": {"a": jnp.ones(()), "b": jnp.zeros(()), "c": jnp.zeros(())}}}
    init = lambda key, batch: jax.tree.map(jnp.copy, start)  # noqa: E731  # a run donates what it starts from
    model = Model(spec=source.spec, init=init)
    broken = Player(terms=terms, weights={"pull": 1.0, "root": 1.0}, tx=optax.sgd(0.1))
    experiment = Experiment(model=model, players={"p": broken}, data=source, steps=3)
    with pytest.raises(Diverged, match=r"Step 0: 'grad_norm' of player 'p' is not finite \(first in .* of net/b\)"):
        fit(experiment)
    sound = dataclasses.replace(experiment, players={"p": dataclasses.replace(broken, weights={"pull": 1.0})})
    assert np.isfinite(float(fit(sound).state.variables["params"]["net"]["a"]))  # control


def test_explain():
    model = models.r3gan(shape=(2,), hidden=(4,))
    critic, generator = losses.adversarial(model, losses.hinge, r1=losses.lazy(losses.r1, 4))
    both = losses.merge(critic, CASES["vae"]().model.nelbo)
    sgd = optax.sgd(1.0)
    players = {
        "critic": Player(
            terms=both, weights={"adversarial": 1.0, "r1": 0.5, "rate": 2.0}, tx=sgd, owns=("discriminator",), every=2
        ),
        "generator": Player(
            terms=generator,
            weights={"adversarial": optax.linear_schedule(0, 1, 10)},
            tx=sgd,
            owns=("generator",),
            ema=0.9,
        ),
    }
    said = explain(Experiment(model=model, players=players, data=None, steps=10))  # type: ignore[arg-type]
    assert said.splitlines() == [
        f"r3gan (gan), {model.card.paper}.",
        "critic writes discriminator every 2 steps; it minimises the mean of",
        "             1 * adversarial: relu(1 - D(x)) + relu(1 + D(G(z)))",
        "           0.5 * r1: 4 * [turn % 4 == 0] * |grad D(x)|**2",
        "             2 * rate [nats]: KL(q(z | x) || p(z))",
        "generator writes generator every step, averaged by 0.9 for evaluation; it minimises the mean of",
        "       0 ... 1 * adversarial: -D(G(z))",
    ]


def test_explain_says_what_a_likelihood_is_of_and_weighs_it():
    """Of one's own model, what it says itself; of terms that are not named, that each weighs one."""

    def said(model, **weights):
        player = Player(terms=model.density.terms, tx=optax.sgd(1.0), **weights)
        data: Any = None
        return explain(Experiment(model=model, players={"p": player}, data=data, steps=10)).splitlines()

    vae, flow = models.vae(shape=(2, 1, 1), latent=2, hidden=(4,)), models.nice(shape=(2,), layers=2, hidden=(4,))
    assert said(vae)[0].endswith("its likelihood is a probability of 2 levels.")
    assert [line.split(":")[0].strip() for line in said(vae)[2:]] == ["1 * distortion [nats]", "1 * rate [nats]"]
    assert said(flow)[0].endswith("its likelihood is a density.") and "1 * log_det [nats]" in said(flow)[3]

    def terms(variables, batch, key, train=False):
        raise AssertionError("nothing is run")

    own = Model(spec={}, init=lambda key, batch: {}, density=density(terms), card=Card(frozen=("runs/a, step 4",)))
    assert said(own)[:2] == [
        "A model of one's own; it does not state what its likelihood is of.",
        "Frozen in it: runs/a, step 4.",
    ]
    assert said(own)[3:] == ["             1 * each term of the likelihood [nats]"]
    assert said(own, weights={"a": 0.5})[3:] == ["           0.5 * a [nats]"]
