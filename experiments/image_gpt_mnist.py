"""ImageGPT on MNIST with fresh bits: eight blocks of 64 features and two heads, as pytorch-generative trains it.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train image_gpt_mnist

FOLDER/mnist holds the four original .gz files. pytorch-generative reports 79.17 nats after 457 epochs, by the best
epoch on test; here the best checkpoint by 400 validation images counts.

Cost: not measured; for an accelerator, since a step attends from 784 numbers of 64 images in eight blocks. Unfinished:
a small network had "test/nll" 108 nats at step 360.
"""

import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models


def experiment(
    *,
    features: int = 64,
    layers: int = 8,
    heads: int = 2,
    dropout: float = 0.0,
    learning_rate: float = 5e-3,
    warmup: int | None = None,
    batch_size: int = 64,
    steps: int = 428_000,
    seed: int = 0,
) -> Experiment:
    """ImageGPT (Chen et al. 2020) on binary 28x28 MNIST.

    Args:
        features: of every token.
        layers: transformer blocks.
        heads: of attention.
        dropout: share of features dropped in training.
        learning_rate: Adam's step size after the warm-up; it falls by 2.3e-5 of itself at every step.
        warmup: steps over which the step size rises from zero, which pytorch-generative does without; a tenth of all,
            up to 1,000, where it is not given.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.image_gpt(shape=(28, 28, 1), features=features, layers=layers, heads=heads, dropout=dropout)
    warmup = min(1_000, steps // 10) if warmup is None else warmup
    decay = optax.exponential_decay(learning_rate, 1, 0.999977)
    schedule = optax.join_schedules([optax.linear_schedule(0.0, learning_rate, warmup), decay], [warmup])
    tx = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    return likelihood_experiment(
        model,
        {"image_gpt": Player(terms=model.nll, tx=tx, ema=0.999)},
        data.splits("mnist-dynamic", batch_size=batch_size, seed=seed, eval_batch_size=100),
        steps=steps,
        seed=seed,
        eval_every=5_000,
        save_every=5_000,
    )
