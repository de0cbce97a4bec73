"""A score of classes like the Inception score (Salimans et al. 2016, arXiv:1606.03498), of any classifier."""

import numpy as np

from genjax_zoo.evals.estimate import Estimate, check_features, estimate, resample


def class_score(logits: np.ndarray, *, resamples: int = 100) -> Estimate:
    """Gives exp of the mean of KL(p(class | x) || p(class)): sure of each sample, and all classes alike.

    From 1 to the number of classes. It never sees real examples: one perfect picture of each class scores best.

    Args:
        logits: [n, classes].
        resamples: of the interval.

    Raises:
        UserError: logits of another shape, fewer than 2, or not finite.
    """
    (logits,) = check_features(logits=logits)
    log_p = logits.astype(np.float64) - np.logaddexp.reduce(logits.astype(np.float64), axis=1, keepdims=True)
    p = np.exp(log_p)
    weights = resample(len(p), resamples).astype(np.float64) / len(p)
    marginal = weights @ p
    between = weights @ np.sum(p * log_p, axis=1) - np.sum(marginal * np.log(np.maximum(marginal, 1e-300)), axis=1)
    return estimate(np.exp(between), len(p), least=1.0, most=p.shape[1])
