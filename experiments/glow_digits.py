"""Glow on the embedded 8x8 digits: two scales of eight steps, through noise and the logit.

    genjax-zoo train experiments/glow_digits.py

Needs no files. "test/nelbo" is a bound on -log P of the 17 grey levels, and comparable with every other model's of the
digits.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, main, models, wrap


def experiment(
    *,
    levels: int = 2,
    depth: int = 8,
    width: int = 64,
    learning_rate: float = 1e-3,
    batch_size: int = 128,
    steps: int = 4_000,
    seed: int = 0,
) -> Experiment:
    """Glow (Kingma & Dhariwal 2018) on scikit-learn's digits.

    Args:
        levels: scales.
        depth: steps of flow at each scale.
        width: of the couplings' networks.
        learning_rate: Adam's step size at first; it falls to zero by a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    density = models.glow(shape=(8, 8, 1), levels=levels, steps=depth, width=width)
    model = wrap.dequantized(wrap.logit_space(density, alpha=0.01), levels=17)
    tx = optax.chain(optax.clip_by_global_norm(100.0), optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))
    valid, test = (data.load("digits", split, batch_size=250) for split in ("valid", "test"))
    return Experiment(
        model=model,
        players={"flow": Player(terms=model.nelbo, tx=tx, ema=0.99)},
        data=data.load("digits", "train", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        evals={
            "valid": evals.likelihood(valid),
            "test": evals.likelihood(test),
            "samples": evals.sample_grid(n=64),
            "temperatures": evals.temperatures(),
        },
        eval_every=500,
        save_every=500,
        best="valid/nelbo",
    )


if __name__ == "__main__":
    main(experiment)
