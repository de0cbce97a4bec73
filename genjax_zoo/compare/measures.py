"""The columns that a run's test split and samples fill: likelihoods, distances of samples, modes."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo import data, evals
from genjax_zoo.compare.cells import Cell, Cells, absent, found
from genjax_zoo.compare.judges import Judge, judge_of, judge_of_file, judge_of_inception
from genjax_zoo.core import Batch, Experiment, Model, Variables, conditions, dimensions, likelihood_terms
from genjax_zoo.evals.estimate import mean
from genjax_zoo.evals.samples import draw

AT_ONCE = 250  # examples, and samples, in a batch
OF_SAMPLES = ("frechet", "kernel_distance", "precision", "recall", "density", "coverage", "memorisation", "class_score")
PAPERS_MODES = {"stacked-mnist": 26_000, "grid25": 2_500, "ring8": 2_500}  # samples in which modes are counted


class Protocol(NamedTuple):
    """How runs are measured."""

    n: int = 5_000  # samples; at most half of the test split, as their floor takes as many
    k: int = 5  # neighbours
    seed: int = 0  # of what is drawn
    mode_samples: int | None = None  # in which modes are counted; as in the papers by default
    features: Path | None = None  # a Python file with a function `features`
    inception: Path | None = None  # a file of Inception's weights


@dataclasses.dataclass(frozen=True)
class Subject:
    """A run that is being measured."""

    experiment: Experiment
    variables: Variables
    test: data.Resident | data.Streamed  # with what the model is given
    judge: Judge
    n: int
    asked: Protocol

    @property
    def model(self) -> Model:
        return self.experiment.model

    @property
    def origin(self) -> data.Origin:
        assert self.test.origin is not None  # `data.reloaded` gave it
        return self.test.origin

    @property
    def key(self) -> jax.Array:
        return jax.random.key(self.asked.seed)

    def given(self, n: int) -> Batch:
        """The test split's conditions for n samples."""
        batch = self.test.at(0)
        return {name: jnp.resize(batch[name], (n, *one.shape)) for name, one in conditions(self.model.spec).items()}


def subject_of(experiment: Experiment, variables: Variables, asked: Protocol) -> Subject:
    """The run with its test split, its judge, and as many samples as the split has pairs."""
    if asked.n < 1 or asked.k < 1 or (asked.mode_samples or 1) < 1:
        raise ValueError(f"Samples and neighbours are 1 or more, not {asked.n}, {asked.k} and {asked.mode_samples}.")
    given = set(conditions(experiment.model.spec))
    test = data.reloaded(experiment.data, "test", batch_size=1, conditions=tuple(sorted(given)))
    name, n = str(test.origin and test.origin.name), min(asked.n, len(test) // 2)
    if n < asked.k + 1:
        raise ValueError(
            f"{n} samples are too few for {asked.k} neighbours, which need {asked.k + 1}; the test split of '{name}' "
            f"allows -n {len(test) // 2:,}. Take more samples, or a smaller -k."
        )
    if name in data.PROTOCOLS and "length" in data.PROTOCOLS[name].conditions:
        given |= {"length"}
    test = data.reloaded(experiment.data, "test", batch_size=min(AT_ONCE, n), conditions=tuple(sorted(given)))
    x = test.at(0)["x"]
    judge = judge_of(name, x.shape[1:])
    if asked.inception and asked.features:
        raise ValueError("Give --features or --inception-weights, not both.")
    if own := asked.inception or asked.features:
        by = judge_of_inception(own, x) if asked.inception else judge_of_file(own, x.shape[1:])
        judge = dataclasses.replace(by, classify=judge.classify)
    return Subject(experiment, variables, test, judge, n, asked)


def likelihood(s: Subject) -> tuple[Cells, list[str]]:
    """Nats and bits/dim of the test split, and what has to be said of them."""

    def none(reason: str) -> tuple[Cells, list[str]]:
        return {"nats": absent(reason), "bits_per_dim": absent(reason)}, []

    if s.model.nll is None and s.model.nelbo is None:
        return none("no likelihood")
    protocol, batch = data.PROTOCOLS.get(s.origin.name), s.test.at(0)
    name, terms_of = likelihood_terms(s.model)
    terms, _ = jax.eval_shape(lambda v, b, k: terms_of(v, b, k, False), s.variables, batch, s.key)
    levels, notes = protocol.levels if protocol else None, []
    nats = evals.nats_per_example(s.model, s.variables, s.key, s.test)
    if not np.all(np.isfinite(nats)):
        return none("not finite on every test example")
    if levels and support_of(s.model, terms, batch, levels) is None:
        if nats.mean() < 0:
            return none(f"a density, below 0 nats: no probability of {levels} levels")
        notes.append(
            f"the model does not say whether its likelihood is a probability of {levels} levels or a density; give its "
            f"module a `likelihood` that checks x, or wrap it by wrap.dequantized."
        )
    elif protocol and not levels and ("dequantization" in terms or s.model.conditionals is not None):
        return none("a probability of levels, where these data have a density")
    elif not protocol:
        notes.append("these data are the user's own: what its likelihood is of is not known here.")
    given = " and ".join(conditions(s.model.spec))
    kind = ("exact" if name == "nll" else "bound") + (f" given the {given}" if given else "")
    one = mean(nats)

    def cell(scale: float, shift: float = 0.0, kind: str = kind) -> Cell:
        low, value, high = (shift + scale * end for end in (one.low, one.value, one.high))
        return found(value, low=low, high=high, n=one.n, kind=kind)

    per_bit = dimensions(s.model.spec) * math.log(2)
    if "length" in batch:  # padding does not count
        lengths = np.concatenate([np.asarray(s.test.at(i)["length"]) for i in range(s.test.batches)])[: one.n]
        bits = cell(1 / (float(lengths.mean()) * math.log(2)))
    elif s.origin.name == "mnist-deq":
        bits = cell(1 / per_bit, 8.0, kind.replace("exact", "bound"))  # of the 256 levels below the noise
    else:
        bits = (
            cell(1 / per_bit)
            if levels
            else absent("a density has no bits" if protocol else "the levels of one's own data are not known here")
        )
    return {"nats": cell(1.0), "bits_per_dim": bits}, notes


def of_samples(s: Subject) -> Cells:
    """How samples compare with the test split in the judge's features; see `evals.fidelity`."""
    if s.model.sample is None:
        return {key: absent("no sampler") for key in OF_SAMPLES}
    whole, train = s.experiment.data, None
    if s.asked.inception is None:
        train = data.reloaded(whole, "train", batch_size=min(AT_ONCE, len(whole)))  # type: ignore[arg-type]
    width = jax.eval_shape(s.judge.features, s.test.at(0)["x"]).shape[1]
    measure = evals.fidelity(
        s.test,
        s.judge.features,
        name=s.judge.name,
        n=s.n,
        k=s.asked.k,
        classify=s.judge.classify,
        train=train,
        resamples=100 if width <= 256 else 20,  # a covariance each
    )
    try:
        numbers = measure(s.model, s.variables, s.key)
    except ValueError as error:
        if "not all finite" not in str(error):
            raise
        return {key: absent("its samples are not all finite") for key in OF_SAMPLES}
    reasons = {"memorisation": "the whole training set would have to pass through Inception"}
    reasons["class_score"] = "no classifier of these data is shipped"
    cells = {key: absent(reasons.get(key, "not measured")) for key in OF_SAMPLES}
    for key in OF_SAMPLES:
        if (name := f"{key}[{s.judge.name}]") in numbers:
            more = {end: numbers[f"{name}/{end}"] for end in ("low", "high", "floor")}
            cells[key] = found(numbers[name], n=s.n, **more)
    return cells


def modes(s: Subject) -> Cells:
    """How many modes samples reach, and how evenly, of data whose modes are known."""
    if s.origin.name not in PAPERS_MODES:
        reason = "no modes are known in these data"
        return {"modes": absent(reason), "mode_kl": absent(reason)}
    if s.model.sample is None:
        return {"modes": absent("no sampler"), "mode_kl": absent("no sampler")}
    n = s.asked.mode_samples or PAPERS_MODES[s.origin.name]
    if s.origin.name == "stacked-mnist":
        numbers = evals.stacked_modes(n, cond=s.given(min(500, n)))(s.model, s.variables, s.key)
        return {
            key: found(numbers[key], n=n, **{end: numbers[f"{key}/{end}"] for end in ("low", "high", "floor")})
            for key in ("modes", "mode_kl")
        }
    mixture = data.mixture(s.origin.name)
    real = np.concatenate([np.asarray(s.test.at(i)["x"]) for i in range(s.test.batches)])[:n]
    floor = evals.count_modes(real, *mixture)
    drawn = evals.count_modes(np.asarray(draw(s.model, n)(s.variables, s.key, s.given(n))), *mixture)
    return {
        "modes": found(drawn["modes"], floor=floor["modes"], n=n),
        "mode_kl": found(drawn["reverse_kl"], floor=floor["reverse_kl"], n=n),
    }


def support_of(model: Model, terms: Mapping[str, Any], batch: Batch, levels: int) -> str | None:
    """What a likelihood of data with so many levels is of: "levels"; or None where the model does not say.

    It says so by noise in place of the levels, by its conditionals, or by refusing values between two levels.
    """
    if "dequantization" in terms or model.conditionals is not None:
        return "levels"
    half = 0.5 / (levels - 1)
    between = {**batch, "x": jnp.where(batch["x"] + half < 1, batch["x"] + half, batch["x"] - half)}
    try:
        jax.eval_shape(lambda: model.init(jax.random.key(0), between))
    except ValueError:
        return "levels"
    return None
