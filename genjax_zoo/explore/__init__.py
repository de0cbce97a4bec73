"""What is drawn from a model: samples one by one (`drawing`), and pictures of its latent space (`latent`)."""

from genjax_zoo.explore.latent import examples_of as examples_of
from genjax_zoo.explore.latent import explore as explore
from genjax_zoo.explore.latent import plane as plane
from genjax_zoo.explore.latent import save as save
