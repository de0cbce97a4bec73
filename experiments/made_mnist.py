"""MADE with mixtures of ten Gaussians on flat MNIST in logit space: 784-1024-1024.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train made_mnist

FOLDER/mnist holds the four original .gz files. "test_logit_space/nll" is minus the log-density in logit space, as MAF
reports it, and "test/nll" that of x in [0, 1). The best checkpoint by validation counts; the paper stops when 30 epochs
of 500 steps bring nothing.

Cost: not measured, for a full training needs an accelerator. Unfinished: -1038.5 nats in logit space are reported
(Papamakarios et al. 2017).
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, math, models, wrap


def experiment(
    *,
    components: int = 10,
    hidden: int = 1_024,
    learning_rate: float = 1e-3,
    batch_size: int = 100,
    steps: int = 30_000,
    seed: int = 0,
) -> Experiment:
    """MADE-MoG on MNIST in logit space, the baseline of MAF (Papamakarios et al. 2017).

    Args:
        components: Gaussians for every pixel; 1 is MADE.
        hidden: width of both layers of the network.
        learning_rate: AdamW's step size, with a weight decay of 1e-6.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    model = wrap.logit_space(
        models.made(shape=(28, 28, 1), hidden=(hidden, hidden), likelihood=math.gaussian_mixture(components))
    )
    mnist = data.splits("mnist-deq", batch_size=batch_size, seed=seed, eval_batch_size=500)
    return likelihood_experiment(
        model,
        {"flow": Player(terms=model.nll, tx=optax.adamw(learning_rate, weight_decay=1e-6))},
        mnist,
        steps=steps,
        seed=seed,
        more={"test_logit_space": evals.likelihood(mnist.test, leave_out=("logit",))},
    )
