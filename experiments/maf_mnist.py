"""MAF (5) of flat MNIST in logit space, batch norm between its masked layers of 784-1024-1024; or Real NVP (5).

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train maf_mnist
    GENJAX_ZOO_DATA=FOLDER genjax-zoo train maf_mnist --coupling --workdir runs/real_nvp_mnist

FOLDER/mnist holds the four original .gz files. "test_logit_space/nll" is minus the log-density in logit space, as the
paper reports it, and "test/nll" that of x in [0, 1). The best checkpoint by validation counts; the paper stops when 30
epochs of 500 steps bring nothing.

Cost: four hours on one CPU core. Unfinished: log p -1310 nats in logit space at step 4,000, still rising, where the
paper reports -1300.5; with --coupling -1278 at step 5,000, where it reports -1323.2.
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, models, wrap


def experiment(
    *,
    coupling: bool = False,
    layers: int = 5,
    hidden: int = 1_024,
    learning_rate: float = 1e-4,
    batch_size: int = 100,
    steps: int = 30_000,
    seed: int = 0,
) -> Experiment:
    """MAF (Papamakarios et al. 2017), and Real NVP (Dinh et al. 2016) as the same paper trains it.

    Args:
        coupling: affine couplings instead of autoregressive layers: Real NVP.
        layers: how many.
        hidden: width of both layers of each one's network.
        learning_rate: Adam's step size.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    build = models.real_nvp if coupling else models.maf
    model = wrap.logit_space(build(shape=(28, 28, 1), layers=layers, hidden=(hidden, hidden)))
    mnist = data.splits("mnist-deq", batch_size=batch_size, seed=seed, eval_batch_size=500)
    return likelihood_experiment(
        model,
        {"flow": Player(terms=model.nll, tx=optax.adam(learning_rate))},
        mnist,
        steps=steps,
        seed=seed,
        more={"test_logit_space": evals.likelihood(mnist.test, leave_out=("logit",))},
    )
