"""Array functions: densities, observation models, transforms. No parameters, no state."""

from genjax_zoo.math.densities import Gaussian as Gaussian
from genjax_zoo.math.densities import bernoulli_nll as bernoulli_nll
from genjax_zoo.math.densities import discretized_logistic_nll as discretized_logistic_nll
from genjax_zoo.math.densities import gaussian_kl as gaussian_kl
from genjax_zoo.math.densities import gaussian_mixture_nll as gaussian_mixture_nll
from genjax_zoo.math.densities import gaussian_nll as gaussian_nll
from genjax_zoo.math.densities import gaussian_of as gaussian_of
from genjax_zoo.math.densities import sum_per_example as sum_per_example
from genjax_zoo.math.likelihoods import Likelihood as Likelihood
from genjax_zoo.math.likelihoods import bernoulli as bernoulli
from genjax_zoo.math.likelihoods import discretized_logistic as discretized_logistic
from genjax_zoo.math.likelihoods import gaussian as gaussian
from genjax_zoo.math.transforms import logit as logit
from genjax_zoo.math.transforms import logit_inverse as logit_inverse
from genjax_zoo.math.transforms import mu_law as mu_law
from genjax_zoo.math.transforms import mu_law_inverse as mu_law_inverse
from genjax_zoo.math.transforms import tiled as tiled
from genjax_zoo.math.transforms import tilted as tilted
