"""The models, by name. A factory takes the shape of an image [H, W, C] and the paper's settings as keywords."""

from collections.abc import Callable, Mapping

from genjax_zoo.core import Model
from genjax_zoo.models.gan.dcgan import dcgan as dcgan
from genjax_zoo.models.vae.cvae import cvae as cvae
from genjax_zoo.models.vae.iwae import iwae as iwae
from genjax_zoo.models.vae.vae import conv_vae as conv_vae
from genjax_zoo.models.vae.vae import vae as vae
from genjax_zoo.models.vae.vae_gan import vae_gan as vae_gan
from genjax_zoo.models.vae.vamp_prior import vamp_prior as vamp_prior

MODELS: Mapping[str, Callable[..., Model]] = {
    "vae": vae,
    "conv_vae": conv_vae,
    "cvae": cvae,
    "iwae": iwae,
    "vamp_prior": vamp_prior,
    "dcgan": dcgan,
    "vae_gan": vae_gan,
}
