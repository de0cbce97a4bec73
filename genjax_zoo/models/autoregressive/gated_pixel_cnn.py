"""Gated PixelCNN: two stacks of gated convolutions with no blind spot (van den Oord et al. 2016, arXiv:1606.05328).

Conditions are biases of every gate. Channels of a pixel are conditioned on one another in the head, where the paper
masks groups of features.
"""

from genjax_zoo.core import Model, factory
from genjax_zoo.errors import UserError
from genjax_zoo.math import Shape
from genjax_zoo.models.autoregressive.autoregressive import autoregressive
from genjax_zoo.nn import NO_CONDITIONS, Conditions, GatedPixelCNN, with_classes


@factory("van den Oord et al. 2016, arXiv:1606.05328")
def gated_pixel_cnn(
    *,
    shape: Shape,
    levels: int = 2,
    features: int = 64,
    layers: int = 8,
    size: int = 7,
    classes: int = 0,
    conditions: Conditions = NO_CONDITIONS,
) -> Model:
    """Gated PixelCNN over images.

    Term: "nll" (nats). Network: "network".

    Args:
        shape: an image's [H, W, C].
        levels: grey levels of every number, K; 2 for binary images.
        features: channels of both stacks.
        layers: convolutions of each stack, the first with the larger kernel; each more sees one pixel further.
        size: rows and columns of the first layer's kernel, odd.
        classes: how many classes a label, int32 [B], has that the model is given; 0 is no label.
        conditions: what else it is given: how many classes, or the shape of floats, by name; see nn.conditions.

    Raises:
        UserError: an even kernel, or x that is no image.
    """
    if size % 2 == 0:
        raise UserError(f"The first kernel's size must be odd, not {size}.")
    given = with_classes(conditions, classes)
    network = GatedPixelCNN(levels, shape[-1], features, layers, size, ordered=True, conditional=bool(given))
    return autoregressive(network, shape=shape, levels=levels, conditions=given)
