"""PixelRNN on statically binarized MNIST: 7 layers of h = 16, Diagonal BiLSTM or Row LSTM.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train pixel_rnn_mnist
    GENJAX_ZOO_DATA=FOLDER genjax-zoo train pixel_rnn_mnist --row

FOLDER/mnist_static holds Larochelle's three files. The paper reports 79.20 nats for the Diagonal BiLSTM, 80.75 with
--layers 1 --features 32, and 80.54 for a Row LSTM of a size that it does not say. Adam with batches of 64 stands where
the paper has RMSProp with batches of 16.

Cost: 0.8 steps/s of two layers on one CPU core, twice that with --row. Unfinished: "test/nll" 97.2 nats at step 300 of
two layers, 99.6 at step 400 with --row.
"""

import optax

from genjax_zoo import Experiment, Player, data, likelihood_experiment, models


def experiment(
    *,
    row: bool = False,
    features: int = 16,
    layers: int = 7,
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    steps: int = 50_000,
    seed: int = 0,
) -> Experiment:
    """PixelRNN (van den Oord et al. 2016, arXiv:1601.06759, Table 4).

    Args:
        row: Row LSTMs instead of diagonal ones in both directions.
        features: h; maps between layers have 2 h channels.
        layers: of LSTMs.
        learning_rate: Adam's step size at the start; it falls to zero along a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    build = models.row_lstm if row else models.diagonal_bilstm
    model = build(shape=(28, 28, 1), features=features, layers=layers)
    player = Player(terms=model.nll, tx=optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))
    mnist = data.splits("mnist-static", batch_size=batch_size, seed=seed, eval_batch_size=100)
    return likelihood_experiment(model, {"model": player}, mnist, steps=steps, seed=seed)
