"""Projection GAN: cGANs with projection discriminator (Miyato & Koyama 2018, arXiv:1802.05637).

SNGAN's networks, given a label: the generator by batch norm with the label's own scale and shift, the discriminator by
one more term of its score, the inner product of its features and the label's embedding.
"""

from genjax_zoo.core import Model, factory
from genjax_zoo.errors import UserError
from genjax_zoo.linen import from_linen, image_spec
from genjax_zoo.models.gan.gan import GAN
from genjax_zoo.models.gan.sngan import Discriminator, Generator
from genjax_zoo.nn import NO_CONDITIONS, halvings


@factory("Miyato & Koyama 2018, arXiv:1802.05637")
def projection_gan(
    *, shape: tuple[int, int, int], classes: int = 10, latent: int = 128, features: int = 128, pack: int = 1
) -> Model:
    """The conditional GAN with a projection discriminator; its condition is "label" in 0 ... classes - 1.

    Terms: none of its own, see `losses.adversarial`. Networks: "generator", "discriminator".

    Args:
        shape: an image's [H, W, C], of sizes that halve down to 4.
        classes: how many classes the label, int32 [B], has that both networks are given; 0 is refused.
        latent: the dimension of z.
        features: channels of all blocks.
        pack: examples that the discriminator sees at once, whose labels' embeddings are summed.

    Raises:
        UserError: no classes.
    """
    if classes < 1:
        raise UserError("A projection GAN is given a label of one class or more; models.sngan is the same without.")
    networks = Generator(shape, features, classes), Discriminator(features, halvings(shape) - 1, classes)
    module, spec = GAN(latent, *networks, NO_CONDITIONS, pack), image_spec(shape, labelled=True)
    return from_linen(module, spec, classes={"label": classes}, bounded=True)
