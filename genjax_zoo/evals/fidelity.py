"""How samples compare with real examples in the features of any network, each number beside its floor."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from genjax_zoo.core import Array, Data, Eval, Key, Model, Variables, require
from genjax_zoo.evals.class_score import class_score
from genjax_zoo.evals.estimate import Estimate, report
from genjax_zoo.evals.frechet import frechet, kernel_distance
from genjax_zoo.evals.neighbours import memorisation, prdc
from genjax_zoo.evals.samples import draw

FeatureFn = Callable[[Array], Array]  # x [B, ...] -> [B, F]
Compare = Callable[[np.ndarray, np.ndarray], Mapping[str, Estimate]]  # (real, fake) -> estimates


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
    """Compares n samples with the first n examples of a split, which the next n examples are compared with, too.

    Real examples against real is each metric's floor, at the same n: what perfect samples would get. A conditional
    model is given the conditions of the examples it is compared with. Only features stay in memory.

    Args:
        data: an evaluation split of 2 n examples or more; its batch size is how many samples are drawn at a time.
        features: such as `classifiers.mnist().features`, or any function of x.
        name: of the extractor, which every number carries. Only Inception's may be called FID.
        n: samples.
        k: neighbours, of precision, recall, density and coverage.
        classify: x -> logits, adds "class_score", an Inception score of that classifier.
        train: the training split, adds "memorisation", to whose nearest examples the second n are compared as well.
        resamples: of the 95 % bootstrap intervals.

    Returns:
        An Eval of "frechet[<name>]", "kernel_distance[<name>]", "precision[<name>]", "recall[<name>]",
        "density[<name>]", "coverage[<name>]" and those two, each with "/low", "/high" and "/floor"; and "n[<name>]".
        It raises ValueError for a model without `sample`.

    Raises:
        ValueError: data with fewer than 2 n examples.
    """
    if _size(data) < 2 * n:
        raise ValueError(f"{n:,} samples and their floor need {2 * n:,} real examples, not {_size(data):,}; lower n.")

    def compare(real: np.ndarray, fake: np.ndarray) -> dict[str, Estimate]:
        distances = {"frechet": frechet, "kernel_distance": kernel_distance}
        found = {what: metric(real, fake, resamples=resamples) for what, metric in distances.items()}
        return found | prdc(real, fake, k=k, resamples=resamples)

    def run(model: Model, variables: Variables, key: Key) -> Mapping[str, Any]:
        require(model, "sample")

        def sampled(step: int) -> Array:
            batch = data.at(step)
            cond = {entry: batch[entry] for entry in model.spec if entry != "x"}
            return draw(model, len(batch["x"]))(variables, jax.random.fold_in(key, step), cond)

        functions = (features,) if classify is None else (features, classify)
        fake, *fake_logits = _collected(functions, data, n, sampled)
        both, *real_logits = _collected(functions, data, 2 * n)
        real, other = both[:n], both[n:]
        found, floor = compare(real, fake), compare(real, other)
        for ours, theirs in zip(fake_logits, real_logits):
            found["class_score"] = class_score(ours, resamples=resamples)
            floor["class_score"] = class_score(theirs[:n], resamples=resamples)
        if train is not None:
            (known,) = _collected((features,), train, _size(train))
            found["memorisation"] = memorisation(known, other, fake, resamples=resamples)
            floor["memorisation"] = memorisation(known, other, real, resamples=resamples)
        numbers = {}
        for what, one in found.items():
            numbers |= report(f"{what}[{name}]", one, floor[what])
        return {**numbers, f"n[{name}]": n}

    return run


def _size(data: Data) -> int:
    """How many examples a split has, without those that pad."""
    return int((data.batches - 1) * data.batch_size + np.sum(data.mask(data.batches - 1)))


def _collected(
    functions: Sequence[FeatureFn], data: Data, n: int, x_of: Callable[[int], Array] | None = None
) -> list[np.ndarray]:
    """Functions of the first n examples of a split, or of `x_of` each batch in their place: each [n, F]."""
    parts: list[list[np.ndarray]] = []
    for step in range(data.batches):
        x, own = x_of(step) if x_of else data.at(step)["x"], np.asarray(data.mask(step)) == 1
        parts.append([np.asarray(function(x))[own] for function in functions])
        if (step + 1) * data.batch_size >= n:
            break
    return [np.concatenate(some)[:n] for some in zip(*parts)]
