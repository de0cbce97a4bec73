"""Flow-GAN on points in the plane: a Real NVP trained by its likelihood and by the critic of a GAN.

    genjax-zoo train flow_gan_points

Cost: a minute on two CPU cores. Expected: "test/nll" 3.8 nats, with a critic that is right on 86 % of pairs.
"""

import optax

from genjax_zoo import Experiment, Player, compose, data, evals, likelihood_experiment, losses, models


def experiment(
    *,
    points: str = "grid25",
    layers: int = 4,
    hidden: int = 64,
    nll: float = 1.0,
    gamma: float = 0.1,
    learning_rate: float = 1e-3,
    batch_size: int = 256,
    steps: int = 3_000,
    seed: int = 0,
) -> Experiment:
    """Flow-GAN (Grover et al. 2017, arXiv:1705.08868) in two dimensions.

    Args:
        points: the set.
        layers: couplings of the flow.
        hidden: the width of all hidden layers.
        nll: the weight of the likelihood against the game.
        gamma: of R1, whose weight is gamma / 2.
        learning_rate: Adam's step size, for both.
        batch_size: points per step, over all devices.
        steps: train up to this step.
        seed: of parameters, noise, and the training data's order.
    """
    flow = models.real_nvp(shape=(2,), layers=layers, hidden=(hidden, hidden))
    gan = models.gan(shape=(2,), latent=2, hidden=(8,), critic_hidden=(hidden, hidden))
    both = compose.merge(flow=flow, gan=compose.only(gan, "discriminator"))  # own
    model = both.model(both["flow"], critic=both["gan"].critic)  # own
    critic, generator = losses.adversarial(model, r1=losses.r1)
    weights = {"prior": nll, "log_det": nll, "adversarial": 1.0}  # own
    return likelihood_experiment(
        model,
        {
            "critic": Player(
                terms=critic,
                weights={"adversarial": 1.0, "r1": gamma / 2},
                tx=optax.adam(learning_rate),
                owns=("gan",),  # own
            ),
            "flow": Player(
                terms=losses.merge(model.nll, generator),  # own
                weights=weights,
                tx=optax.adam(learning_rate),
                owns=("flow",),  # own
            ),
        },
        data.splits(points, batch_size=batch_size, seed=seed, eval_batch_size=1_000, valid=False),
        steps=steps,
        seed=seed,
        samples=None,
        more={"map": evals.sample_map()},
        steps_per_call=20,
    )
