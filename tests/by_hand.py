"""Networks, densities and flows once more, in NumPy and float64 with no line of the package's: for tests of values.

Parameters are trees of arrays as a model has them; `numbers` makes them NumPy's. Nats are of each example, [B].
"""

from typing import Any

import jax
import numpy as np
from scipy.special import expit, log_expit, logsumexp

STRIDED = {"size": 4, "stride": 2, "pad": 1}


def numbers(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64) if np.asarray(x).dtype.kind == "f" else np.asarray(x), tree)


def relu(x):
    return np.maximum(x, 0)


def leaky(x):
    return np.where(x > 0, x, 0.2 * x)


def softplus(x):
    return np.logaddexp(0, x)


def silu(x):
    return x * expit(x)


def linear(p, x):
    return x @ p["kernel"] + p.get("bias", 0)


def mlp(p, x, activation=relu):
    x = x.reshape(len(x), -1)
    for index in range(len(p) - 1):
        x = activation(linear(p[f"hidden_{index}"], x))
    return linear(p["out"], x)


def maxout(p, x, pieces=5):
    for index in range(len(p) - 1):
        x = linear(p[f"hidden_{index}"], x).reshape(len(x), pieces, -1).max(axis=1)
    return linear(p["out"], x)[:, 0]


def convolved(p, x, size, stride, pad, apart=1):
    """X [B, H, W, C], with zeros put between and around, under a kernel [size, size, C, F]."""
    height, width = ((side - 1) * apart + 1 for side in x.shape[1:3])
    wide = np.zeros((len(x), height + 2 * pad, width + 2 * pad, x.shape[3]))
    wide[:, pad : pad + height : apart, pad : pad + width : apart] = x
    ends = [side - size + 1 for side in wide.shape[1:3]]
    seen = [
        wide[:, i : i + ends[0] : stride, j : j + ends[1] : stride] @ p["kernel"][i, j]
        for i in range(size)
        for j in range(size)
    ]
    return sum(seen) + p.get("bias", 0)


def batch_normed(p, stats, x):
    return (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5) * p["scale"] + p["bias"]


# ---- densities, in nats ----


def gaussian_nats(x, mean: Any = 0.0, log_std: Any = 0.0):
    return np.sum(0.5 * ((x - mean) / np.exp(log_std)) ** 2 + log_std + 0.5 * np.log(2 * np.pi), axis=-1)


def rate(mean, log_std):
    """KL(N(mean, exp(log_std)^2) || N(0, I))."""
    return 0.5 * np.sum(np.exp(2 * log_std) + mean**2 - 1 - 2 * log_std, axis=-1)


def grey_nats(out, x, levels=17):
    """Of grey levels under a logistic, whose mass beyond 0 and 1 is of the outer ones; out [B, H * W * C * 2]."""
    mean, log_scale = np.split(out.reshape(*x.shape[:-1], -1), 2, axis=-1)
    mean, scale = expit(mean), np.exp(np.clip(log_scale - 2, -7, 3))
    half = 0.5 / (levels - 1)
    lower, upper = (x - half - mean) / scale, (x + half - mean) / scale
    inner = log_expit(upper) + log_expit(-lower) + np.log1p(-np.exp(lower - upper))  # of the difference
    log_p = np.where(x < half, log_expit(upper), np.where(x > 1 - half, log_expit(-lower), inner))
    return -np.sum(log_p.reshape(len(x), -1), axis=1)


# ---- flows: z and log |dz/dx| of x, and back ----


def _squashed(out, columns):
    """A network's output as shifts and log scales."""
    shift, raw = np.split(out.reshape(len(out), 2 * columns), 2, axis=1)
    return shift, 3 * np.tanh(raw / 3)


def _real_nvp_layers(variables):
    """Of each layer: its network, and the mean, shift and log scale of its norm."""
    params = variables["params"]["bijection"]["layers_2"]["layer"]
    first = variables["constants"]["bijection"]["layers_2"]["layer"]["layers_1"]
    mean, log_scale = first["mean"], params["layers_1"]["log_scale"] - first["log_std"]
    if "batch_stats" in variables:
        moving = variables["batch_stats"]["bijection"]["layers_2"]["layer"]["layers_1"]
        mean = mean + moving["mean"] * np.exp(first["log_std"])
        log_scale = log_scale - 0.5 * np.log(moving["var"] + 1e-4)
    for index in range(len(mean)):
        network = jax.tree.map(lambda x, i=index: x[i], params["layers_0"]["network"])
        yield network, mean[index], params["layers_1"]["shift"][index], log_scale[index]


def _beside(x, context):
    return x if context is None else np.concatenate([x, context], axis=1)


def real_nvp(variables, x, context=None):
    x = np.concatenate([x[:, ::2], x[:, 1::2]], axis=1)
    total, half = np.zeros(len(x)), x.shape[1] // 2
    for network, mean, shift, log_scale in _real_nvp_layers(variables):
        kept, changed = x[:, :half], x[:, half:]
        t, s = _squashed(mlp(network, _beside(kept, context)), changed.shape[1])
        x = np.concatenate([changed * np.exp(s) + t, kept], axis=1)
        x = (x - mean) * np.exp(log_scale) + shift
        total = total + s.sum(axis=1) + log_scale.sum()
    return x, total


def real_nvp_back(variables, z, context=None):
    columns = z.shape[1] - z.shape[1] // 2
    for network, mean, shift, log_scale in list(_real_nvp_layers(variables))[::-1]:
        z = (z - shift) * np.exp(-log_scale) + mean
        changed, kept = z[:, :columns], z[:, columns:]
        t, s = _squashed(mlp(network, _beside(kept, context)), columns)
        z = np.concatenate([kept, (changed - t) * np.exp(-s)], axis=1)
    x = np.zeros_like(z)
    x[:, ::2], x[:, 1::2] = z[:, : (z.shape[1] + 1) // 2], z[:, (z.shape[1] + 1) // 2 :]
    return x


def real_nvp_nats(variables, x, context=None):
    z, log_det = real_nvp(variables, x, context)
    return gaussian_nats(z), -log_det


def autoregressive(p, x, context=None):
    """One masked layer of one hidden layer: z_i is of x_i and those before it, and log |dz/dx|."""
    size, width = p["kernel_0"].shape
    least = 0 if context is not None else 1
    degrees = least + np.arange(width) * (size - least) // width
    into = p["kernel_0"] * (np.arange(1, size + 1)[:, None] <= degrees)
    out = p["kernel_1"] * (degrees[:, None] <= np.tile(np.arange(size), 2))
    told = 0 if context is None else context @ p["condition"]
    t, s = _squashed(relu(x @ into + p["bias_0"] + told) @ out + p["bias_1"], size)
    return x * np.exp(s) + t, s.sum(axis=1)


def of_grid(x, shift, scale):
    """What a scaled model sees."""
    return (x - shift) * scale


def slopes(score, x, step=1e-6):
    """The squared norm of a score's gradient at x [B, D]."""
    moved = [step * np.eye(x.shape[1])[index] for index in range(x.shape[1])]
    return sum(((score(x + e) - score(x - e)) / (2 * step)) ** 2 for e in moved)


def mean_of_weights(log_w):
    """-log of the mean of w [k, B]."""
    return np.log(len(log_w)) - logsumexp(log_w, axis=0)
