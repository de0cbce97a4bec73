"""Evaluations: functions of (model, variables, key) that return named numbers and images."""

from genjax_zoo.evals.accuracy import accuracy as accuracy
from genjax_zoo.evals.codebook import code_book as code_book
from genjax_zoo.evals.conditionals import bits_map as bits_map
from genjax_zoo.evals.conditionals import completions as completions
from genjax_zoo.evals.density import density_map as density_map
from genjax_zoo.evals.density import divergence as divergence
from genjax_zoo.evals.density import sample_map as sample_map
from genjax_zoo.evals.estimate import Estimate as Estimate
from genjax_zoo.evals.frechet import frechet as frechet
from genjax_zoo.evals.frechet import kernel_distance as kernel_distance
from genjax_zoo.evals.likelihood import bits_per_sample as bits_per_sample
from genjax_zoo.evals.likelihood import iw_bound as iw_bound
from genjax_zoo.evals.likelihood import likelihood as likelihood
from genjax_zoo.evals.neighbours import memorisation as memorisation
from genjax_zoo.evals.neighbours import nearest as nearest
from genjax_zoo.evals.neighbours import neighbourhoods as neighbourhoods
from genjax_zoo.evals.neighbours import prdc as prdc
from genjax_zoo.evals.points import count_modes as count_modes
from genjax_zoo.evals.points import mode_coverage as mode_coverage
from genjax_zoo.evals.samples import reconstruction_error as reconstruction_error
from genjax_zoo.evals.samples import reconstructions as reconstructions
from genjax_zoo.evals.samples import sample_grid as sample_grid
from genjax_zoo.evals.samples import sample_spectrograms as sample_spectrograms
from genjax_zoo.evals.samples import temperatures as temperatures
from genjax_zoo.evals.units import active_units as active_units
