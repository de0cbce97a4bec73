"""The models, by name. A factory takes the shape of an image [H, W, C] and the paper's settings as keywords."""

import sys
import types
from collections.abc import Callable, Mapping

from genjax_zoo.core import Model
from genjax_zoo.models.autoregressive.gated_pixel_cnn import gated_pixel_cnn as gated_pixel_cnn
from genjax_zoo.models.autoregressive.image_gpt import image_gpt as image_gpt
from genjax_zoo.models.autoregressive.made import made as made
from genjax_zoo.models.autoregressive.nade import nade as nade
from genjax_zoo.models.autoregressive.pixel_cnn import pixel_cnn as pixel_cnn
from genjax_zoo.models.autoregressive.pixel_cnn_pp import pixel_cnn_pp as pixel_cnn_pp
from genjax_zoo.models.autoregressive.pixel_rnn import diagonal_bilstm as diagonal_bilstm
from genjax_zoo.models.autoregressive.pixel_rnn import row_lstm as row_lstm
from genjax_zoo.models.autoregressive.wavenet import wavenet as wavenet
from genjax_zoo.models.flow.glow import glow as glow
from genjax_zoo.models.flow.iaf import iaf as iaf
from genjax_zoo.models.flow.maf import maf as maf
from genjax_zoo.models.flow.neural_spline import spline_autoregressive as spline_autoregressive
from genjax_zoo.models.flow.neural_spline import spline_coupling as spline_coupling
from genjax_zoo.models.flow.nice import nice as nice
from genjax_zoo.models.flow.real_nvp import multiscale_real_nvp as multiscale_real_nvp
from genjax_zoo.models.flow.real_nvp import real_nvp as real_nvp
from genjax_zoo.models.gan.dcgan import dcgan as dcgan
from genjax_zoo.models.gan.gan import gan as gan
from genjax_zoo.models.gan.gan import uniform as uniform
from genjax_zoo.models.gan.projection_gan import projection_gan as projection_gan
from genjax_zoo.models.gan.r3gan import r3gan as r3gan
from genjax_zoo.models.gan.sngan import sngan as sngan
from genjax_zoo.models.vae.cvae import cvae as cvae
from genjax_zoo.models.vae.iwae import iwae as iwae
from genjax_zoo.models.vae.ladder_vae import ladder_vae as ladder_vae
from genjax_zoo.models.vae.vae import conv_vae as conv_vae
from genjax_zoo.models.vae.vae import vae as vae
from genjax_zoo.models.vae.vae_gan import vae_gan as vae_gan
from genjax_zoo.models.vae.vae_gan import vae_gan_terms as vae_gan_terms
from genjax_zoo.models.vae.vamp_prior import vamp_prior as vamp_prior
from genjax_zoo.models.vae.vq_vae import vector_quantized as vector_quantized
from genjax_zoo.models.vae.vq_vae import vq_vae as vq_vae

MODELS: Mapping[str, Callable[..., Model]] = {
    "vae": vae,
    "conv_vae": conv_vae,
    "cvae": cvae,
    "iwae": iwae,
    "vamp_prior": vamp_prior,
    "vq_vae": vq_vae,
    "ladder_vae": ladder_vae,
    "nice": nice,
    "real_nvp": real_nvp,
    "multiscale_real_nvp": multiscale_real_nvp,
    "glow": glow,
    "gated_pixel_cnn": gated_pixel_cnn,
    "wavenet": wavenet,
    "image_gpt": image_gpt,
    "nade": nade,
    "pixel_cnn_pp": pixel_cnn_pp,
    "pixel_cnn": pixel_cnn,
    "row_lstm": row_lstm,
    "diagonal_bilstm": diagonal_bilstm,
    "made": made,
    "maf": maf,
    "iaf": iaf,
    "spline_coupling": spline_coupling,
    "spline_autoregressive": spline_autoregressive,
    "gan": gan,
    "dcgan": dcgan,
    "sngan": sngan,
    "projection_gan": projection_gan,
    "r3gan": r3gan,
    "vae_gan": vae_gan,
}

for _family in (vae, gan):  # named like the packages that they are in: `import genjax_zoo.models.vae.cvae` asks them
    _package = vars(sys.modules[f"{__name__}.{_family.__name__}"])
    vars(_family).update({name: one for name, one in _package.items() if isinstance(one, types.ModuleType)})
