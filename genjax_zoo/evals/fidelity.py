"""How samples compare with real examples in the features of any network, each number beside its floor."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from genjax_zoo.core import Array, Batch, Data, Eval, Key, Model, Sampler, Variables, conditions, require
from genjax_zoo.errors import UserError
from genjax_zoo.evals.class_score import class_score
from genjax_zoo.evals.estimate import Estimate, report
from genjax_zoo.evals.frechet import frechet, kernel_distance
from genjax_zoo.evals.neighbours import memorisation, prdc
from genjax_zoo.evals.samples import draw
from genjax_zoo.evals.walk import collect, size, some_of, whole

FeatureFn = Callable[[Array], Array]  # x [B, ...] -> [B, F]


def fidelity(
    data: Data,
    features: FeatureFn,
    *,
    name: str,
    n: int = 5_000,
    k: int = 5,
    classify: FeatureFn | None = None,
    train: Data | None = None,
    resamples: int = 100,
) -> Eval:
    """Compares n samples with n examples of a split, and n others with those: each metric's floor.

    Real against real, at the same n, is what perfect samples would get. Both are drawn from the whole split, because
    its order may matter: MNIST's last 5,000 test images differ from its first. A conditional model is given the
    conditions of the n others, so that perfect samples are at the floor. Only features stay in memory.

    Args:
        data: a split of 2 n examples or more; its batch size is how many samples are drawn at a time.
        features: such as `judges.mnist().features`, or any function of x.
        name: of the extractor, which every number carries. Only Inception's may be called FID.
        n: samples.
        k: neighbours, of precision, recall, density and coverage.
        classify: x -> logits, adds "class_score", which is like the Inception score but of this classifier.
        train: the training split, of which all examples are looked at, adds "memorisation": distances to the nearest of
            them, over those of the n real examples.
        resamples: of the 95 % bootstrap intervals.

    Returns:
        An Eval of "frechet[<name>]", "kernel_distance[<name>]", "precision[<name>]", "recall[<name>]",
        "density[<name>]", "coverage[<name>]" and those two, each with "/low", "/high" and "/floor"; and "n[<name>]".
        It raises ValueError for a model without a sampler.

    Raises:
        UserError: data with fewer than 2 n examples.
    """
    data = whole(data)
    if size(data) < 2 * n:
        raise UserError(f"{n:,} samples and their floor need {2 * n:,} real examples, not {size(data):,}; lower n.")

    def compare(real: np.ndarray, fake: np.ndarray) -> dict[str, Estimate]:
        distances = {"frechet": frechet, "kernel_distance": kernel_distance}
        found = {what: metric(real, fake, resamples=resamples) for what, metric in distances.items()}
        return found | prdc(real, fake, k=k, resamples=resamples)

    functions = {"features": features} if classify is None else {"features": features, "logits": classify}

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        require(model, Sampler)

        def judged(x: Array) -> dict[str, Array]:
            return {what: function(x) for what, function in functions.items()}

        def real_and_given(batch: Batch, _: Key) -> tuple[dict[str, Array], dict[str, Array]]:
            return judged(batch["x"]), {entry: batch[entry] for entry in model.spec if entry != "x"}

        split = collect(data, key, real_and_given)
        order = np.random.Generator(np.random.PCG64(0)).permutation(size(data))
        real, _ = jax.tree.map(lambda x: x[order[:n]], split)
        other, given = jax.tree.map(lambda x: x[order[n : 2 * n]], split)
        fake = _sampled(model, variables, key, n, data.batch_size, given, judged)
        found, floor = (compare(real["features"], one["features"]) for one in (fake, other))
        if classify is not None:
            found["class_score"], floor["class_score"] = (
                class_score(one["logits"], resamples=resamples) for one in (fake, other)
            )
        if train is not None:
            known = collect(train, key, lambda batch, _: features(batch["x"]))
            found["memorisation"], floor["memorisation"] = (
                memorisation(known, real["features"], one["features"], resamples=resamples) for one in (fake, other)
            )
        numbers = {}
        for what, one in found.items():
            numbers |= report(f"{what}[{name}]", one, floor[what].value)
        return {**numbers, f"n[{name}]": n}

    return run


def held_out_coverage(data: Data, features: FeatureFn | None = None, *, k: int = 5) -> Eval:
    """Cheap enough to ask often: how much of a batch of held-out examples as many samples cover, for `train.collapsed`.

    Args:
        data: an evaluation split, of which as many examples as a batch has are drawn once; more than k of them.
        features: of x; its own numbers by default.
        k: neighbours; perfect samples cover about 1 - 2^-k (Naeem et al. 2020, arXiv:2002.09797).

    Returns:
        An Eval of "coverage" in [0, 1]. It raises ValueError for a model without a sampler.
    """

    def flat(x: Array) -> np.ndarray:
        y = np.asarray(x if features is None else features(x))
        return y.reshape(len(y), -1)

    @functools.cache
    def drawn(entries: tuple[str, ...]) -> Mapping[str, Any]:
        return some_of(data, min(data.batch_size, size(whole(data))), entries)

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        batch = drawn(tuple(model.spec))
        fake = draw(model, len(batch["x"]))(variables, key, conditions(batch))
        return {"coverage": prdc(flat(batch["x"]), flat(fake), k=k, resamples=0)["coverage"].value}

    return run


def _sampled(
    model: Model, variables: Variables, key: Key, n: int, chunk: int, given: Batch, judged: Callable[[Array], Any]
) -> Any:
    """What is judged of n samples, drawn in chunks under the conditions [n, ...]: a pytree of [n, ...]."""
    parts = []
    for start in range(0, n, chunk):
        cond = {entry: value[(start + np.arange(chunk)) % n] for entry, value in given.items()}
        x = draw(model, chunk)(variables, jax.random.fold_in(key, start), cond)
        parts.append(jax.tree.map(np.asarray, judged(x)))
    return jax.tree.map(lambda *some: np.concatenate(some)[:n], *parts)
