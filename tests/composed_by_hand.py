"""The terms of the methods in experiments/composed at their tiny sizes, in NumPy: formulas of the papers, once more.

Each method is a function (variables, batch, key) -> {player: {term: [B]}} of NumPy's arrays in float64. Noise is drawn
by the keys that the library and the method's own lines give it, which is all that these know of either.
"""

import by_hand as hand
import jax
import numpy as np
from scipy.special import log_softmax, logsumexp

from genjax_zoo.core import SOURCE, aside

B, DIGITS = 16, 1_297  # examples in a batch, and to train on


def noise(key, *shape):
    return np.asarray(jax.random.normal(key, shape), np.float64)


def split(key, n=2):
    return jax.random.split(key, n)


def fold(key, index):
    return jax.random.fold_in(key, index)


def moments(params, x):
    return np.split(hand.mlp(params["encoder"], x), 2, axis=1)


def distortion(params, z, x):
    return hand.grey_nats(hand.mlp(params["decoder"], z), x)


def scores(real, fake, adversarial):
    return {
        "adversarial": adversarial,
        "real_score": real,
        "fake_score": fake,
        "margin": real - fake,
        "accuracy": (real > fake).astype(float),
    }


# ---- each method's terms, by player: (variables, batch, key) -> {player: {term: [B]}} ----


def tcvae_digits(v, batch, key):
    (mean, log_std), x = moments(v["params"], batch["x"]), batch["x"]
    z = mean + np.exp(log_std) * noise(split(key)[0], *mean.shape)
    pairs = np.array(
        [[-hand.gaussian_nats(zi[:, None], m[:, None], s[:, None]) for m, s in zip(mean, log_std)] for zi in z]
    )
    size = np.log(DIGITS * len(x))
    log_qz, log_qzs = logsumexp(pairs.sum(2), axis=1) - size, (logsumexp(pairs, axis=1) - size).sum(1)
    log_q, log_p = -hand.gaussian_nats(z, mean, log_std), -hand.gaussian_nats(z)
    rates = {"mi": log_q - log_qz, "tc": log_qz - log_qzs, "kl": log_qzs - log_p}
    return {"vae": {"distortion": distortion(v["params"], z, x), **rates}}


def aae_digits(v, batch, key):
    def codes(key):
        mean, log_std = moments(v["params"], batch["x"])
        return mean + np.exp(log_std) * noise(key, *mean.shape)

    def score(z):
        return hand.mlp(v["params"]["critic"], z)[:, 0]

    real, fake = score(noise(aside(key, SOURCE), B, 2)), score(codes(split(key, 4)[0]))
    fooling = score(codes(split(fold(key, 1), 3)[0]))
    critic = scores(real, fake, hand.softplus(-real) + hand.softplus(fake))
    cost = distortion(v["params"], codes(fold(key, 0)), batch["x"])
    return {"critic": critic, "autoencoder": {"distortion": cost, "adversarial": hand.softplus(-fooling)}}


def wae_digits(v, batch, key):
    def kernel(a, b):
        square = np.sum((a - b) ** 2)
        return sum(4 * c / (4 * c + square) for c in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0))

    z, x = moments(v["params"], batch["x"])[0], batch["x"].reshape(B, -1)
    prior = noise(split(key)[1], B, 2)
    within = [np.mean([kernel(z[i], z[j]) + kernel(prior[i], prior[j]) for j in range(B) if j != i]) for i in range(B)]
    across = [np.mean([kernel(z[i], p) for p in prior]) for i in range(B)]
    errors = np.sum((x - hand.mlp(v["params"]["decoder"], z)) ** 2, axis=1)
    return {"wae": {"distortion": errors, "mmd": np.array(within) - 2 * np.array(across)}}


def infogan_digits(v, batch, key):
    p, stats = v["params"], v["batch_stats"]

    def pyramid(p, x, normed=None):
        x = hand.leaky(hand.convolved(p["pyramid"]["down_0"], x, 4, 2, 1))
        x = hand.convolved(p["pyramid"]["down_1"], x, 4, 2, 1)
        x = x if normed is None else hand.batch_normed(p["pyramid"]["BatchNorm_0"], normed, x)
        return hand.linear(p["out"], hand.leaky(x).reshape(B, -1))

    def latents(key):
        k_code, k_noise = split(key)
        code = np.eye(3)[np.asarray(jax.random.randint(k_code, (B,), 0, 3))]
        return np.concatenate([code, noise(k_noise, B, 2)], axis=1)

    def generated(z):
        of, seen = p["generator"]["decoder"], stats["generator"]["decoder"]
        x = hand.linear(of["project"]["dense"], z).reshape(B, 2, 2, 6)
        x = hand.relu(hand.batch_normed(of["BatchNorm_0"], seen["BatchNorm_0"], x))
        x = hand.relu(
            hand.batch_normed(of["BatchNorm_1"], seen["BatchNorm_1"], hand.convolved(of["up_0"], x, 4, 1, 2, 2))
        )
        return (np.tanh(hand.convolved(of["out"], x, 4, 1, 2, 2)) + 1) / 2

    def score(x):
        return pyramid(
            p["discriminator"]["encoder"], 2 * x - 1, stats["discriminator"]["encoder"]["pyramid"]["BatchNorm_0"]
        )[:, 0]

    def information(key):
        z = latents(key)
        return -np.sum(z[:, :3] * log_softmax(pyramid(p["recogniser"], generated(z)), axis=1), axis=1)

    real, fake = score(batch["x"]), score(generated(latents(split(key, 4)[0])))
    fooling = score(generated(latents(split(fold(key, 0), 3)[0])))
    return {
        "critic": scores(real, fake, hand.softplus(-real) + hand.softplus(fake)),
        "generator": {"adversarial": hand.softplus(-fooling), "information": information(fold(key, 1))},
        "recogniser": {"information": information(key)},
    }


def flow_gan_points(v, batch, key, shift=0.0, scale=1.0):
    """Of y = (x - shift) * scale, too, which the flow and the critic then see."""
    flow = {c: {"bijection": tree["flow/bijection"]} for c, tree in v.items()}

    def score(x):
        return hand.maxout(v["params"]["gan/discriminator"]["maxout"], (x - shift) * scale)

    def drawn(key):
        return hand.real_nvp_back(flow, noise(key, B, 2)) / scale + shift

    real, fake = score(batch["x"]), score(drawn(split(key, 4)[0]))
    fooling = score(drawn(split(fold(key, 1), 3)[0]))
    prior, log_det = hand.real_nvp_nats(flow, (batch["x"] - shift) * scale)
    critic = scores(real, fake, hand.softplus(-real) + hand.softplus(fake))
    nll = {"prior": prior, "log_det": log_det}
    return {
        "critic": {**critic, "r1": hand.slopes(score, batch["x"])},
        "flow": {**nll, "adversarial": hand.softplus(-fooling)},
    }


def flow_prior_log_weights(v, batch, key, k):
    x = np.tile(batch["x"], (k, 1, 1, 1))
    mean, log_std = moments(v["params"], x)
    z = mean + np.exp(log_std) * noise(key, *mean.shape)
    cost, cross = distortion(v["params"], z, x), np.sum(hand.real_nvp_nats(v, z), axis=0)
    return (hand.gaussian_nats(z, mean, log_std) - cross - cost).reshape(k, -1), cost


def flow_prior_digits(v, batch, key):
    log_w, cost = flow_prior_log_weights(v, batch, key, 1)
    return {"vae": {"distortion": cost, "rate": -log_w[0] - cost}}


def iaf_posterior_digits(v, batch, key):
    out = hand.mlp(v["params"]["encoder"], batch["x"])
    mean, log_std, told = out[:, :3], out[:, 3:6], out[:, 6:]
    base = mean + np.exp(log_std) * noise(key, B, 3)
    first, last = (v["params"]["flow"]["of"][f"layers_{index}"]["network"] for index in (0, 2))
    z, one = hand.autoregressive(first, base, told)
    z, two = hand.autoregressive(last, z[:, ::-1], told)
    log_q = -hand.gaussian_nats(base, mean, log_std) - one - two
    return {"vae": {"distortion": distortion(v["params"], z, batch["x"]), "rate": log_q + hand.gaussian_nats(z)}}


def m2_digits(v, batch, key):
    p = v["params"]
    classifier, stats = p["judge/classifier"], v["batch_stats"]["judge/classifier"]

    def log_odds(x):
        for index, stride in enumerate((1, 2)):
            x = hand.convolved(classifier[f"conv_{index}"], x, 3, stride, 1)
            norm = f"BatchNorm_{index}"
            x = hand.relu(hand.batch_normed(classifier[norm], stats[norm], x))
        features = hand.relu(hand.linear(classifier["features"], x.reshape(B, -1)))
        return log_softmax(hand.linear(classifier["logits"], features), axis=1)

    def bound(x, label, eps):
        y = np.eye(10)[label]
        mean, log_std = np.split(hand.mlp(p["cvae/encoder"], np.concatenate([x.reshape(B, -1), y], 1)), 2, axis=1)
        centre, log_scale = np.split(hand.linear(p["cvae/prior"]["out"], y), 2, axis=1)
        z = mean + np.exp(log_std) * eps
        cost = hand.grey_nats(hand.mlp(p["cvae/decoder"], np.concatenate([z, y], axis=1)), x)
        return cost, hand.rate((mean - centre) / np.exp(log_scale), log_std - log_scale)

    (k_all, k_one, _), x, log_q = split(key, 3), batch["x"], log_odds(batch["x"])
    label_rate = np.sum(np.exp(log_q) * log_q, axis=1) + np.log(10)

    def over_labels(key):
        every = noise(key, 10 * B, 2).reshape(10, B, 2)
        bounds = np.array([bound(x, np.full(B, label), every[label]) for label in range(10)])  # [10, 2, B]
        distortion, rate = np.einsum("bl,ltb->tb", np.exp(log_q), bounds)
        return {"distortion": distortion, "rate": rate, "label_rate": label_rate}

    one = np.sum(bound(x, batch["label"], noise(k_one, B, 2)), axis=0) + np.log(10)
    known, right = batch["labelled"], -log_q[np.arange(B), batch["label"]]
    semi = np.where(known, one, np.sum(list(over_labels(k_all).values()), axis=0))
    return {"m2": {"bound": semi, "cross_entropy": np.where(known, right, 0.0)}, "density": over_labels(key)}


def conditional_flow_points(v, batch, key):
    prior, log_det = hand.real_nvp_nats(v, batch["x"], batch["context"])
    return {"flow": {"prior": prior, "log_det": log_det}}


def velocity(v, x, t):
    waves = np.pi * t[:, None] * [1, 2, 4, 8]
    return hand.mlp(v["params"]["network"], np.concatenate([x, np.sin(waves), np.cos(waves)], axis=1), hand.silu)


def flow_matching_points(v, batch, key):
    k_t, k_noise = split(key)
    t, eps = np.asarray(jax.random.uniform(k_t, (B, 1)), np.float64), noise(k_noise, B, 2)
    found = velocity(v, (1 - t) * eps + t * batch["x"], t[:, 0])
    return {"flow": {"matching": np.sum((found - batch["x"] + eps) ** 2, axis=1)}}


def optimizers_digits(v, batch, key):
    mean, log_std = moments(v["params"], batch["x"])
    z = mean + np.exp(log_std) * noise(key, *mean.shape)
    return {"vae": {"distortion": distortion(v["params"], z, batch["x"]), "rate": hand.rate(mean, log_std)}}


def notebook(v, batch, key):
    prior, log_det = hand.real_nvp_nats(v, batch["x"])
    return {"flow": {"prior": prior, "log_det": log_det}}
