"""The classifier of MNIST whose features and classes judge samples.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train classifier_mnist

FOLDER/mnist holds the four original files. The weights that the package ships are this run's: see `judges.mnist`. An
Experiment of its own: it is judged by its accuracy.

Cost: 12 minutes on one CPU core. Expected: "test/accuracy" 99.48 %.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, judges


def experiment(
    *,
    shift: int = 2,
    learning_rate: float = 2e-3,
    batch_size: int = 100,
    steps: int = 10_000,
    seed: int = 0,
) -> Experiment:
    """A small convolutional network on grey MNIST.

    Args:
        shift: training images move by up to so many pixels.
        learning_rate: Adam's step size at first; it falls to 0 along a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = judges.image_classifier()
    tx = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    moved = data.shifted(data.scale(256), (shift, shift))
    test = data.load("mnist", "test", batch_size=500, conditions=("label",))
    return Experiment(
        model=model,
        players={
            "classifier": Player(terms=judges.cross_entropy(model), weights={"cross_entropy": 1.0}, tx=tx),
        },
        data=data.load("mnist", "train", batch_size=batch_size, conditions=("label",), transform=moved, seed=seed),
        steps=steps,
        seed=seed,
        evals={"test": evals.accuracy(test)},
        steps_per_call=10,
    )
