"""WaveNet on spoken digits, given the digit and the speaker: 20 layers, about half a second of past at 8 kHz.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train wavenet_spoken_digit
    genjax-zoo sample runs/wavenet_spoken_digit --seconds 2 -n 4 --cond label=3 speaker=0,1,2,3

FOLDER/spoken_digit holds the Free Spoken Digit Dataset as WAV files, a .zip of them or its archive. "test/bits/sample"
counts the test recordings' own samples, each once, and not the silence that fills the last window: that is why it is an
Experiment of its own.

Cost: 50 minutes on one CPU core for 700 steps of `--batch-size 4`. Unfinished: 4.55 bits/sample there, still falling.
"""

import jax.numpy as jnp
import optax

from genjax_zoo import Experiment, Player, data, evals, models


def experiment(
    *,
    window: int = 4_096,
    layers: int = 20,
    block: int = 10,
    features: int = 64,
    skip: int = 256,
    learning_rate: float = 1e-3,
    batch_size: int = 16,
    steps: int = 20_000,
    seed: int = 0,
) -> Experiment:
    """WaveNet on FSDD's official split.

    Args:
        window: samples in an example.
        layers: of the stack.
        block: layers after which the dilations start again at 1.
        features: channels of the residual connections; there are twice as many gates.
        skip: channels of the skip connections.
        learning_rate: Adam's step size.
        batch_size: windows per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = models.wavenet(length=window, layers=layers, block=block, features=features, gates=2 * features, skip=skip)
    known = ("label", "speaker", "length")
    train, test = (
        data.load("spoken-digit", split, batch_size=size, conditions=known, window=window, seed=seed)
        for split, size in (("train", batch_size), ("test", 16))
    )
    digits = jnp.arange(10)
    return Experiment(
        model=model,
        players={"model": Player(terms=model.nll, tx=optax.adam(learning_rate), ema=0.999)},
        data=train,
        steps=steps,
        seed=seed,
        evals={
            "test": evals.bits_per_sample(test),
            "samples": evals.sample_spectrograms(n=10, cond={"label": digits, "speaker": digits % 6}),
        },
        eval_every=2_000,
        save_every=1_000,
    )
