"""What papers report of a model on a protocol: one table, as the README's results and the experiments quote them."""

from collections.abc import Mapping
from typing import NamedTuple


class Published(NamedTuple):
    """A paper's number, and what it is of: seldom exactly what is measured here."""

    value: float
    of: str  # the quantity, with its unit
    source: str


_IWAE, _MAF, _FFJORD = "Burda et al. 2015", "Papamakarios et al. 2017", "Grathwohl et al. 2019"
_PACGAN = "Lin et al. 2018"

PUBLISHED: Mapping[tuple[str, str], Published] = {
    ("vae", "mnist-dynamic"): Published(86.76, "nats, iw-5000", _IWAE),
    ("iwae", "mnist-dynamic"): Published(84.78, "nats, iw-5000, k = 50, one layer", _IWAE),
    ("vamp_prior", "mnist-static"): Published(85.57, "nats, iw-5000", "Tomczak & Welling 2018"),
    ("ladder_vae", "mnist-static"): Published(79.24, "nats, iw-1000, three layers", "addtt/ladder-vae-pytorch"),
    ("real_nvp", "mnist-deq"): Published(1323.2, "nats in logit space", _MAF),
    ("maf", "mnist-deq"): Published(1300.5, "nats in logit space", _MAF),
    ("made", "mnist-deq"): Published(1038.5, "nats in logit space, mixtures of Gaussians", _MAF),
    ("nice", "mnist-deq"): Published(-1980.5, "nats", "Dinh et al. 2014"),
    ("glow", "mnist"): Published(1.05, "bits/dim", _FFJORD),
    ("multiscale_real_nvp", "mnist"): Published(1.06, "bits/dim", _FFJORD),
    ("gan", "grid25"): Published(17.3, "modes of 25, reverse KL 0.70 nats", _PACGAN),
    ("dcgan", "stacked-mnist"): Published(78.9, "modes of 1,000", _PACGAN),
    ("r3gan", "stacked-mnist"): Published(0.029, "mode KL, nats", "Huang et al. 2024"),
}
