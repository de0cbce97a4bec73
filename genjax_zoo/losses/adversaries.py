"""Adversarial losses as functions of scores, one number per example.

A score is the critic's output before any nonlinearity, high where an example looks real. Each game also says itself as
formulas of D(x), the score of a real example, and D(G(z)), that of a fake one; a test evaluates them.
"""

from collections.abc import Callable, Mapping

import jax

from genjax_zoo.core import Array, behaviour
from genjax_zoo.errors import UserError

softplus, relu = jax.nn.softplus, jax.nn.relu


@behaviour
class Adversary:
    """One game. Both functions map (real scores [B], fake scores [B]) to losses [B]."""

    critic: Callable[[Array, Array], Array]
    generator: Callable[[Array, Array], Array]
    formulas: tuple[str, str]  # the critic's and the generator's loss


def _logistic_critic(real: Array, fake: Array) -> Array:
    return softplus(-real) + softplus(fake)  # -log D(x) - log(1 - D(G(z))) of probabilities D


_LOGISTIC = "softplus(-D(x)) + softplus(D(G(z)))"

minimax = Adversary(
    critic=_logistic_critic,
    generator=lambda real, fake: -softplus(fake),
    formulas=(_LOGISTIC, "-softplus(D(G(z)))"),
)
"""The zero-sum game of Goodfellow et al. 2014, eq. 1: the generator minimises log(1 - D(G(z)))."""

non_saturating = Adversary(
    critic=_logistic_critic,
    generator=lambda real, fake: softplus(-fake),
    formulas=(_LOGISTIC, "softplus(-D(G(z)))"),
)
"""The same critic; the generator minimises -log D(G(z)) (Goodfellow et al. 2014, sec. 3)."""

least_squares = Adversary(
    critic=lambda real, fake: 0.5 * ((real - 1) ** 2 + fake**2),
    generator=lambda real, fake: 0.5 * (fake - 1) ** 2,
    formulas=("0.5 * ((D(x) - 1)**2 + D(G(z))**2)", "0.5 * (D(G(z)) - 1)**2"),
)
"""Mao et al. 2016, arXiv:1611.04076, eq. 9: targets 0 for fake, 1 for real and for fooling."""

hinge = Adversary(
    critic=lambda real, fake: relu(1 - real) + relu(1 + fake),
    generator=lambda real, fake: -fake,
    formulas=("relu(1 - D(x)) + relu(1 + D(G(z)))", "-D(G(z))"),
)
"""Lim & Ye 2017, arXiv:1705.02894; Miyato et al. 2018."""

wasserstein = Adversary(
    critic=lambda real, fake: fake - real,
    generator=lambda real, fake: -fake,
    formulas=("D(G(z)) - D(x)", "-D(G(z))"),
)
"""Arjovsky et al. 2017, arXiv:1701.07875; the critic needs a penalty that bounds its slope."""


def relativistic(adversary: Adversary) -> Adversary:
    """The game of pairs: each side's loss is the critic's, of how much realer one of a pair is than the other.

    Of the logistic critic it is softplus(D(G(z)) - D(x)), of the hinge relu(1 - D(x) + D(G(z))): the paired games of
    Jolicoeur-Martineau 2018, arXiv:1807.00734, sec. 3, whose landscape has no mode dropping minima (Sun et al. 2020).
    Of least squares it is RpLSGAN, (D(x) - D(G(z)) - 1)**2: its targets 1 and 0 are not opposite, so it is not the
    critic's loss of the differences.
    """
    if adversary is least_squares:
        return _paired_least_squares

    def ahead(first: Array, second: Array) -> Array:
        return 0.5 * adversary.critic(first - second, second - first)

    def written(first: str, second: str) -> str:
        formula = adversary.formulas[0].replace("D(G(z))", "{fake}").replace("D(x)", "{real}")
        return f"0.5 * ({formula.format(real=f'({first} - {second})', fake=f'({second} - {first})')})"

    return Adversary(
        critic=ahead,
        generator=lambda real, fake: ahead(fake, real),
        formulas=(written("D(x)", "D(G(z))"), written("D(G(z))", "D(x)")),
    )


_paired_least_squares = Adversary(
    critic=lambda real, fake: (real - fake - 1) ** 2,
    generator=lambda real, fake: (fake - real - 1) ** 2,
    formulas=("(D(x) - D(G(z)) - 1)**2", "(D(G(z)) - D(x) - 1)**2"),
)


ADVERSARIES: Mapping[str, Adversary] = {
    "minimax": minimax,
    "non_saturating": non_saturating,
    "least_squares": least_squares,
    "hinge": hinge,
    "wasserstein": wasserstein,
    "relativistic": relativistic(non_saturating),
    "relativistic_hinge": relativistic(hinge),
}


def adversary(name: str) -> Adversary:
    """The game of this name, for a flag.

    Raises:
        UserError: there is none, with those there are.
    """
    if name not in ADVERSARIES:
        raise UserError(f"There is no adversary '{name}'; there are {', '.join(ADVERSARIES)}.")
    return ADVERSARIES[name]
