"""The columns that a run's test split and samples fill: likelihoods, distances of samples, modes."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from genjax_zoo import data, evals
from genjax_zoo.compare.cells import Cell, Cells, absent_cell, number_cell
from genjax_zoo.compare.judges import FeatureJudge, judge_of, judge_of_file, judge_of_inception
from genjax_zoo.core import Batch, Experiment, Model, Variables, conditions
from genjax_zoo.errors import UserError
from genjax_zoo.evals.estimate import mean
from genjax_zoo.evals.points import modes_floor
from genjax_zoo.evals.samples import draw
from genjax_zoo.evals.support import counted_terms, numbers_of, stranger_sentence, support_of
from genjax_zoo.evals.walk import collect, some_of

AT_ONCE = 250  # examples, and samples, in a batch
OF_SAMPLES = ("frechet", "kernel_distance", "precision", "recall", "density", "coverage", "memorisation", "class_score")
PAPERS_MODES = {"stacked-mnist": 26_000, "grid25": 2_500, "ring8": 2_500}  # samples in which modes are counted


class Measurement(NamedTuple):
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
    judge: FeatureJudge
    n: int
    asked: Measurement

    @property
    def model(self) -> Model:
        return self.experiment.model

    @property
    def origin(self) -> data.Origin:
        assert self.test.origin is not None  # `data.reload` gave it
        return self.test.origin

    @property
    def key(self) -> jax.Array:
        return jax.random.key(self.asked.seed)

    def given(self, n: int) -> Batch:
        """Conditions of n samples, as the test split has them."""
        taken = some_of(self.test, n, conditions(self.model.spec), self.asked.seed)
        return {name: jnp.asarray(value) for name, value in taken.items()}


def subject_of(experiment: Experiment, variables: Variables, asked: Measurement) -> Subject:
    """The run with its test split, its judge, and as many samples as the split has pairs."""
    if asked.n < 1 or asked.k < 1 or (asked.mode_samples or 1) < 1:
        raise UserError(f"Samples and neighbours are 1 or more, not {asked.n}, {asked.k} and {asked.mode_samples}.")
    given = set(conditions(experiment.model.spec))
    test = data.reload(experiment.data, "test", batch_size=1, conditions=tuple(sorted(given)))
    name, n = str(test.origin and test.origin.name), min(asked.n, len(test) // 2)
    if n < asked.k + 1:
        raise UserError(
            f"{n} samples are too few for {asked.k} neighbours, which need {asked.k + 1}; the test split of '{name}' "
            f"allows -n {len(test) // 2:,}. Take more samples, or a smaller -k."
        )
    if name in data.PROTOCOLS and "length" in data.PROTOCOLS[name].conditions:
        given |= {"length"}
    test = data.reload(experiment.data, "test", batch_size=min(AT_ONCE, n), conditions=tuple(sorted(given)))
    x = test.at(0)["x"]
    judge = judge_of(name, x.shape[1:])
    if asked.inception and asked.features:
        raise UserError("Give --features or --inception-weights, not both.")
    if own := asked.inception or asked.features:
        by = judge_of_inception(own, x) if asked.inception else judge_of_file(own, x.shape[1:])
        judge = dataclasses.replace(by, classify=judge.classify)
    return Subject(experiment, variables, test, judge, n, asked)


def likelihood(s: Subject) -> tuple[Cells, list[str]]:
    """Nats and bits/dim of the test split, and what has to be said of them."""

    def none(reason: str) -> tuple[Cells, list[str]]:
        return {"nats": absent_cell(reason), "bits_per_dim": absent_cell(reason)}, []

    density = s.model.density
    if density is None:
        return none("no likelihood")
    terms, _ = jax.eval_shape(density.terms, s.variables, s.test.at(0), s.key)
    try:
        support, notes = support_of(s.model, s.test), []
        nats = evals.nats_per_example(s.model, s.variables, s.key, s.test)
    except UserError as error:
        return none(str(error))
    if not np.all(np.isfinite(nats)):
        return none("not finite on every test example")
    if support.unsaid:
        if nats.mean() < 0:
            return none(f"a density, below 0 nats: no probability of {support.unsaid} levels")
        notes.append(
            f"the model does not say whether its likelihood is a probability of {support.unsaid} levels or a density; "
            f"state it in the model's card, support=Levels({support.unsaid}) or Levels(None), or wrap it by "
            f"wrap.dequantized."
        )
    elif s.test.support is None:
        notes.append("these data are the user's own: what its likelihood is of is not known here.")
    if strangers := counted_terms(density.terms, tuple(terms))[1]:
        notes.append(stranger_sentence(strangers))
    given = " and ".join(conditions(s.model.spec))
    kind = ("exact" if density.exact else "bound") + (f" given the {given}" if given else "")
    one = mean(nats)

    def cell(scale: float, shift: float = 0.0, kind: str = kind) -> Cell:
        low, value, high = (shift + scale * end for end in (one.low, one.value, one.high))
        return number_cell(value, low=low, high=high, n=one.n, kind=kind)

    numbers = collect(s.test, s.key, lambda batch, _: numbers_of(batch))
    none_at_all, per_nat = (support.bits(nat, float(numbers.mean())) for nat in (0.0, 1.0))
    if none_at_all is not None and per_nat is not None:
        bits = cell(per_nat - none_at_all, none_at_all, kind.replace("exact", "bound") if support.noisy else kind)
    elif support.unsaid:
        bits = absent_cell("the model does not say whether it is of levels or a density")
    else:
        bits = absent_cell(
            "a density has no bits" if s.test.support else "the levels of one's own data are not known here"
        )
    return {"nats": cell(1.0), "bits_per_dim": bits}, notes


def of_samples(s: Subject) -> Cells:
    """How samples compare with the test split in the judge's features; see `evals.fidelity`."""
    if s.model.sampler is None:
        return {key: absent_cell("no sampler") for key in OF_SAMPLES}
    whole, train = s.experiment.data, None
    if s.asked.inception is None:
        train = data.reload(whole, "train", batch_size=min(AT_ONCE, len(whole)))  # type: ignore[arg-type]
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
    except UserError as error:
        if "not all finite" not in str(error):
            raise
        return {key: absent_cell("its samples are not all finite") for key in OF_SAMPLES}
    reasons = {"memorisation": "the whole training set would have to pass through Inception"}
    reasons["class_score"] = "no classifier of these data is shipped"
    cells = {key: absent_cell(reasons.get(key, "not measured")) for key in OF_SAMPLES}
    for key in OF_SAMPLES:
        if (name := f"{key}[{s.judge.name}]") in numbers:
            more = {end: numbers[f"{name}/{end}"] for end in ("low", "high", "floor")}
            cells[key] = number_cell(numbers[name], n=s.n, **more)
    return cells


def modes(s: Subject) -> Cells:
    """How many modes samples reach, and how evenly, of data whose modes are known."""
    if s.origin.name not in PAPERS_MODES:
        reason = "no modes are known in these data"
        return {"modes": absent_cell(reason), "mode_kl": absent_cell(reason)}
    if s.model.sampler is None:
        return {"modes": absent_cell("no sampler"), "mode_kl": absent_cell("no sampler")}
    n = s.asked.mode_samples or PAPERS_MODES[s.origin.name]
    if s.origin.name == "stacked-mnist":
        numbers = evals.stacked_modes(n, cond=s.given(n))(s.model, s.variables, s.key)
        return {
            key: number_cell(numbers[key], n=n, **{end: numbers[f"{key}/{end}"] for end in ("low", "high", "floor")})
            for key in ("modes", "mode_kl")
        }
    mixture = data.mixture(s.origin.name)
    floor = modes_floor(*mixture, n)
    drawn = evals.count_modes(np.asarray(draw(s.model, n)(s.variables, s.key, s.given(n))), *mixture)
    return {
        "modes": number_cell(drawn["modes"], floor=floor["modes"], n=n),
        "mode_kl": number_cell(drawn["reverse_kl"], floor=floor["reverse_kl"], n=n),
    }
