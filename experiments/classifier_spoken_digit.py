"""The classifier of spoken digits whose features and classes judge samples, from spectrograms of half a second.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train classifier_spoken_digit

FOLDER/spoken_digit holds the Free Spoken Digit Dataset. A recording longer than a window is several examples, and its
last may hold next to nothing of the word: "test/accuracy" counts all 377 windows of the 300 recordings. The weights
that the package ships are this run's: see `judges.spoken_digit`. An Experiment of its own: it is judged by its
accuracy.

Cost: 13 minutes on one CPU core. Expected: "test/accuracy" 90.7 %, which is 99 % of the first windows and 58 % of the
others.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, judges


def experiment(
    *,
    window: int = 4_096,
    shift: int = 600,
    learning_rate: float = 2e-3,
    batch_size: int = 64,
    steps: int = 2_000,
    seed: int = 0,
) -> Experiment:
    """A small convolutional network on the spectrograms of FSDD's official split.

    Args:
        window: samples in an example.
        shift: training windows move by up to so many samples.
        learning_rate: Adam's step size at first; it falls to 0 along a cosine.
        batch_size: windows per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = judges.sound_classifier(length=window)
    tx = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    moved = data.shifted(data.scale(256), (shift,), fill=128)
    options = {"conditions": ("label",), "window": window}
    return Experiment(
        model=model,
        players={
            "classifier": Player(terms=judges.cross_entropy(model), weights={"cross_entropy": 1.0}, tx=tx),
        },
        data=data.load("spoken-digit", "train", batch_size=batch_size, transform=moved, **options, seed=seed),
        steps=steps,
        seed=seed,
        evals={"test": evals.accuracy(data.load("spoken-digit", "test", batch_size=64, **options))},
        steps_per_call=5,
    )
