"""Linen layers without probability."""

from genjax_zoo.nn.causal import GatedPixelCNN as GatedPixelCNN
from genjax_zoo.nn.dense import MLP as MLP
from genjax_zoo.nn.dense import GatedMLP as GatedMLP
from genjax_zoo.nn.image import Conv as Conv
from genjax_zoo.nn.image import ImageDecoder as ImageDecoder
from genjax_zoo.nn.image import ImageEncoder as ImageEncoder
from genjax_zoo.nn.image import Pyramid as Pyramid
from genjax_zoo.nn.image import Strided as Strided
from genjax_zoo.nn.norm import Norm as Norm
from genjax_zoo.nn.norm import batch_norm as batch_norm
from genjax_zoo.nn.norm import no_norm as no_norm
from genjax_zoo.nn.norm import spectral_norm as spectral_norm
from genjax_zoo.nn.quantizer import Quantizer as Quantizer
from genjax_zoo.nn.residual import GatedBlocks as GatedBlocks
from genjax_zoo.nn.residual import ResidualBlock as ResidualBlock
