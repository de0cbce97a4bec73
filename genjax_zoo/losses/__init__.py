"""Losses on three levels: of scores (adversaries), as named terms, and by the weights of a Player."""

from genjax_zoo.losses.adversaries import Adversary as Adversary
from genjax_zoo.losses.adversaries import hinge as hinge
from genjax_zoo.losses.adversaries import least_squares as least_squares
from genjax_zoo.losses.adversaries import minimax as minimax
from genjax_zoo.losses.adversaries import non_saturating as non_saturating
from genjax_zoo.losses.importance import doubly_reparameterized as doubly_reparameterized
from genjax_zoo.losses.importance import importance_weighted as importance_weighted
from genjax_zoo.losses.importance import reparameterized as reparameterized
from genjax_zoo.losses.importance import sticking_the_landing as sticking_the_landing
from genjax_zoo.losses.terms import adversarial as adversarial
from genjax_zoo.losses.terms import free_bits as free_bits
from genjax_zoo.losses.terms import merge as merge
from genjax_zoo.losses.terms import vae_gan_terms as vae_gan_terms
from genjax_zoo.losses.terms import vector_quantized as vector_quantized
