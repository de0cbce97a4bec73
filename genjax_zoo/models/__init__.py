"""The models, by name. A factory takes the shape of an image [H, W, C] and the paper's settings as keywords."""

from collections.abc import Callable, Mapping

from genjax_zoo.core import Model
from genjax_zoo.models.gan.dcgan import dcgan as dcgan
from genjax_zoo.models.vae.cvae import cvae as cvae
from genjax_zoo.models.vae.iwae import iwae as iwae
from genjax_zoo.models.vae.ladder_vae import ladder_vae as ladder_vae
from genjax_zoo.models.vae.vae import conv_vae as conv_vae
from genjax_zoo.models.vae.vae import vae as vae
from genjax_zoo.models.vae.vae_gan import vae_gan as vae_gan
from genjax_zoo.models.vae.vamp_prior import vamp_prior as vamp_prior
from genjax_zoo.models.vae.vq_vae import vq_vae as vq_vae

MODELS: Mapping[str, Callable[..., Model]] = {
    "vae": vae,
    "conv_vae": conv_vae,
    "cvae": cvae,
    "iwae": iwae,
    "vamp_prior": vamp_prior,
    "vq_vae": vq_vae,
    "ladder_vae": ladder_vae,
    "dcgan": dcgan,
    "vae_gan": vae_gan,
}
