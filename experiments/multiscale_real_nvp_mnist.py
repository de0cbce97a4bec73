"""Multi-scale Real NVP on MNIST: three scales, through noise and the logit.

    GENJAX_ZOO_DATA=FOLDER genjax-zoo train multiscale_real_nvp_mnist

FOLDER/mnist holds the four original .gz files. "test/bits/dim" is a bound on that of the 256 grey levels.

Cost: not measured; hundreds of epochs, for an accelerator. Unfinished after the default steps: 1.06 bits/dim are
reported (Grathwohl et al. 2019).
"""

import optax

from genjax_zoo import Experiment, Player, data, evals, likelihood_experiment, models, wrap


def experiment(
    *,
    scales: int = 3,
    width: int = 32,
    blocks: int = 2,
    learning_rate: float = 1e-3,
    batch_size: int = 100,
    steps: int = 20_000,
    seed: int = 0,
) -> Experiment:
    """Real NVP (Dinh et al. 2016) for images on MNIST.

    Args:
        scales: how many.
        width: of the residual networks at the first scale.
        blocks: residual blocks in each.
        learning_rate: Adam's step size at first; it falls to zero by a cosine.
        batch_size: images per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    density = models.multiscale_real_nvp(shape=(28, 28, 1), scales=scales, width=width, blocks=blocks)
    model = wrap.dequantized(wrap.logit_space(density, alpha=1e-6))
    tx = optax.chain(optax.clip_by_global_norm(100.0), optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))
    return likelihood_experiment(
        model,
        {"flow": Player(terms=model.nelbo, tx=tx, ema=0.999)},
        data.splits("mnist", batch_size=batch_size, seed=seed),
        steps=steps,
        seed=seed,
        more={"temperatures": evals.temperatures()},
        eval_every=500,
        save_every=500,
    )
