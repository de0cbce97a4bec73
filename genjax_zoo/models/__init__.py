"""The models, by name. A factory takes the shape of an image [H, W, C] and the paper's settings as keywords."""

from collections.abc import Callable, Mapping

from genjax_zoo.core import Model
from genjax_zoo.models.gan.dcgan import dcgan as dcgan
from genjax_zoo.models.vae.vae import conv_vae as conv_vae
from genjax_zoo.models.vae.vae import vae as vae
from genjax_zoo.models.vae.vae_gan import vae_gan as vae_gan

MODELS: Mapping[str, Callable[..., Model]] = {
    "vae": vae,
    "conv_vae": conv_vae,
    "dcgan": dcgan,
    "vae_gan": vae_gan,
}
