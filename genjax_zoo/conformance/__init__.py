"""The laws that any model and its players must keep, as one public call.

    conformance.check(Case(model=..., players=..., batch=...))

raises AssertionError with the first law that is broken, in a sentence. Run it on a tiny model of your own in a test.
"""

from collections.abc import Callable, Mapping

from genjax_zoo.conformance.capabilities import cached_view_is_the_network as cached_view_is_the_network
from genjax_zoo.conformance.capabilities import conditionals_see_what_came_before as conditionals_see_what_came_before
from genjax_zoo.conformance.capabilities import decoded_prior_is_the_samples as decoded_prior_is_the_samples
from genjax_zoo.conformance.capabilities import encoding_and_decoding_fit as encoding_and_decoding_fit
from genjax_zoo.conformance.capabilities import (
    likelihood_is_a_change_of_variables as likelihood_is_a_change_of_variables,
)
from genjax_zoo.conformance.capabilities import samples_look_like_the_data as samples_look_like_the_data
from genjax_zoo.conformance.capabilities import scored_samples_have_their_density as scored_samples_have_their_density
from genjax_zoo.conformance.capabilities import weights_agree_with_the_bound as weights_agree_with_the_bound
from genjax_zoo.conformance.case import Case as Case
from genjax_zoo.conformance.case import double_precision as double_precision
from genjax_zoo.conformance.case import randomise as randomise
from genjax_zoo.conformance.distributions import all_bits as all_bits
from genjax_zoo.conformance.distributions import density_integrates_to_one as density_integrates_to_one
from genjax_zoo.conformance.distributions import probabilities_sum_to_one as probabilities_sum_to_one
from genjax_zoo.conformance.distributions import samples_follow_the_density as samples_follow_the_density
from genjax_zoo.conformance.distributions import samples_follow_the_likelihood as samples_follow_the_likelihood
from genjax_zoo.conformance.exactness import (
    exact_products_ask_for_full_precision as exact_products_ask_for_full_precision,
)
from genjax_zoo.conformance.purity import evaluation_leaves_state_alone as evaluation_leaves_state_alone
from genjax_zoo.conformance.purity import no_key_is_used_twice as no_key_is_used_twice
from genjax_zoo.conformance.purity import same_key_same_terms as same_key_same_terms
from genjax_zoo.conformance.training import a_turn_changes_only_what_it_owns as a_turn_changes_only_what_it_owns
from genjax_zoo.conformance.training import every_owned_leaf_gets_a_gradient as every_owned_leaf_gets_a_gradient
from genjax_zoo.conformance.training import second_step_does_not_recompile as second_step_does_not_recompile
from genjax_zoo.conformance.training import terms_are_finite_per_example as terms_are_finite_per_example
from genjax_zoo.conformance.training import terms_are_of_the_whole_batch as terms_are_of_the_whole_batch
from genjax_zoo.conformance.training import thirty_turns_lower_the_loss as thirty_turns_lower_the_loss
from genjax_zoo.core import Model

Law = Callable[[Case], None]


def check(case: Case) -> None:
    """Checks every law that the model's capabilities call for.

    Raises:
        AssertionError: a law is broken.
    """
    for law in laws(case).values():
        law(case)


def laws(case: Case) -> Mapping[str, Law]:
    """The laws for this case, by name."""
    capable = [law for law, asked in BY_CAPABILITY.items() if asked(case.model)]
    return {law.__name__: law for law in (*EVERY, *capable)}


EVERY: tuple[Law, ...] = (
    terms_are_finite_per_example,
    same_key_same_terms,
    no_key_is_used_twice,
    evaluation_leaves_state_alone,
    terms_are_of_the_whole_batch,
    second_step_does_not_recompile,
    a_turn_changes_only_what_it_owns,
    every_owned_leaf_gets_a_gradient,
    thirty_turns_lower_the_loss,
)


def _exact(model: Model) -> bool:
    return model.density is not None and model.density.exact


def _coded(model: Model) -> bool:
    return model.latent is not None and model.latent.encode is not None and model.latent.decode is not None


def _decoded(model: Model) -> bool:
    latent = model.latent
    drawn = latent is not None and latent.prior is not None and latent.prior.sampler is not None
    return latent is not None and latent.decode is not None and drawn and model.sampler is not None


BY_CAPABILITY: Mapping[Law, Callable[[Model], bool]] = {
    samples_look_like_the_data: lambda model: model.sampler is not None,
    scored_samples_have_their_density: lambda m: _exact(m) and m.sampler is not None and m.sampler.scored is not None,
    encoding_and_decoding_fit: _coded,
    decoded_prior_is_the_samples: _decoded,
    exact_products_ask_for_full_precision: lambda model: model.density is not None,
    weights_agree_with_the_bound: lambda model: model.density is not None and model.density.weigh is not None,
    likelihood_is_a_change_of_variables: lambda model: _exact(model) and _coded(model),
    conditionals_see_what_came_before: lambda model: _exact(model) and model.conditionals is not None,
    cached_view_is_the_network: lambda model: model.conditionals is not None,
}
