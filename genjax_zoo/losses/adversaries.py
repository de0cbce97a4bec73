"""Adversaries: what critic and generator each minimise, as functions of scores, one number per example.

A score is the critic's output before any nonlinearity, high where an example looks real.
"""

from collections.abc import Callable

import jax

from genjax_zoo.core import Array, behaviour

softplus = jax.nn.softplus


@behaviour
class Adversary:
    """One game. Both functions map (real scores [B], fake scores [B]) to losses [B]."""

    critic: Callable[[Array, Array], Array]
    generator: Callable[[Array, Array], Array]


def _logistic_critic(real: Array, fake: Array) -> Array:
    return softplus(-real) + softplus(fake)  # -log D(x) - log(1 - D(G(z)))


minimax = Adversary(critic=_logistic_critic, generator=lambda real, fake: -softplus(fake))
"""The zero-sum game of Goodfellow et al. 2014, eq. 1: the generator minimises log(1 - D(G(z)))."""

non_saturating = Adversary(critic=_logistic_critic, generator=lambda real, fake: softplus(-fake))
"""The same critic; the generator minimises -log D(G(z)) (Goodfellow et al. 2014, sec. 3)."""

least_squares = Adversary(
    critic=lambda real, fake: 0.5 * ((real - 1) ** 2 + fake**2),
    generator=lambda real, fake: 0.5 * (fake - 1) ** 2,
)
"""Mao et al. 2016, arXiv:1611.04076, eq. 9: targets 0 for fake, 1 for real and for fooling."""

hinge = Adversary(
    critic=lambda real, fake: jax.nn.relu(1 - real) + jax.nn.relu(1 + fake),
    generator=lambda real, fake: -fake,
)
"""Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018."""
