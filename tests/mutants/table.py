"""Mistakes that the tests must see: one line of the package each, and the tests that fail when it is wrong.

The tests named must all fail, and pass without the mistake. Every test in the table is one that runs in seconds.
"""

from typing import NamedTuple


class Mutant(NamedTuple):
    """One mistake in one line."""

    file: str  # below genjax_zoo/
    old: str  # a line or part of one, found once in the file
    new: str
    tests: tuple[str, ...]  # below tests/, as pytest names them; each must fail


MUTANTS = (
    Mutant(
        "classifiers/convolutional.py",
        "-jnp.take_along_axis(log_p",
        "jnp.take_along_axis(log_p",
        ("test_classifiers.py::test_cross_entropy_is_that_of_the_logits",),
    ),
    Mutant(
        "classifiers/convolutional.py",
        "[..., None] / 80 + 1",
        "[..., None] / 80",
        ("test_classifiers.py::test_classifiers_are_their_layers_by_hand[sound]",),
    ),
    Mutant(
        "classifiers/inception.py",
        "/ _pooled(inside, jax.lax.add, 0.0, 1, 1)",
        "/ 9",
        ("test_inception.py::test_equals_the_network_written_out_in_numpy",),
    ),
    Mutant(
        "classifiers/inception.py",
        'return 2 * jax.image.resize(x, (len(x), SIZE, SIZE, x.shape[-1]), "bilinear", antialias=False) - 1',
        'return jax.image.resize(x, (len(x), SIZE, SIZE, x.shape[-1]), "bilinear", antialias=False)',
        ("test_inception.py::test_images_are_prepared_by_interpolation_from_minus_one_to_one",),
    ),
    Mutant(
        "classifiers/inception.py",
        "antialias=False",
        "antialias=True",
        ("test_inception.py::test_images_are_prepared_by_interpolation_from_minus_one_to_one[made smaller]",),
    ),
    Mutant(
        "classifiers/inception.py",
        "torch.load(path, weights_only=True)",
        "torch.load(path, weights_only=False)",
        ("test_inception.py::test_the_published_file_is_converted_without_loss[saved_by_numpy]",),
    ),
    Mutant(
        "codec.py",
        "jax.nn.softmax(views.choices",
        "jax.nn.softmax(0.5 * views.choices",
        ("test_codec.py::test_bytes_are_as_many_as_a_likelihood_known_by_hand_says",),
    ),
    Mutant(
        "codec.py",
        "above = jnp.asarray(np.stack(places, axis=1))",
        "above = 0 * jnp.asarray(np.stack(places, axis=1))",
        ("test_codec.py::test_bytes_are_as_many_as_a_likelihood_known_by_hand_says",),
    ),
    Mutant(
        "losses/games.py",
        "lambda x: discriminate(before, augmented(jax.random.clone(k_real), x), cond, train)[0]",
        "lambda x: discriminate(before, x, cond, train)[0]",
        ("test_gan.py::test_penalties_go_through_the_augmentation",),
    ),
    Mutant(
        "losses/penalties.py",
        "0.5 * jnp.std(round.real)",
        "jnp.std(round.real)",
        ("test_gan.py::test_dragan_looks_above_the_data_by_up_to_half_their_deviation",),
    ),
    Mutant(
        "losses/penalties.py",
        "lambda: every * penalty.of(round)",
        "lambda: penalty.of(round)",
        ("test_gan.py::test_lazy_penalties_and_lecam_remember",),
    ),
    Mutant(
        "losses/terms.py",
        "adversary.generator(real, fake) + adversary.generator(real, prior)",
        "adversary.generator(real, fake) + adversary.generator(real, fake)",
        ("test_losses.py::test_the_terms_of_a_vae_gan_by_hand",),
    ),
    Mutant(
        "math/densities.py",
        "return math.log(len(means)) - jax.nn.logsumexp",
        "return -jax.nn.logsumexp",
        ("test_vae.py::test_mixture_density",),
    ),
    Mutant(
        "math/densities.py",
        "jnp.where(level < 0.5,",
        "jnp.where(level < -0.5,",
        ("test_math.py::test_discretized_logistic_sums_to_one[17]",),
    ),
    Mutant(
        "math/densities.py",
        "return math.log(len(means)) - jax",
        "return -jax",
        ("test_vae.py::test_mixture_density",),
    ),
    Mutant(
        "math/densities.py",
        "sum_per_example(softplus - x * logits)",
        "sum_per_example(softplus - (1 - x) * logits)",
        ("test_math.py::test_samples_follow_their_likelihood[bernoulli]",),
    ),
    Mutant(
        "math/elementwise.py",
        "(y - t) * jnp.exp(-s), -s",
        "(y - t) * jnp.exp(-s), s",
        ("test_bijections.py::test_bijection[coupling_affine]",),
    ),
    Mutant(
        "math/mixtures.py",
        "return -sum_per_example(jax.nn.logsumexp(log_p, axis=-1))",
        "return -sum_per_example(jnp.max(log_p, axis=-1))",
        ("test_pixel_cnn_pp.py::test_nll_is_that_of_the_paper_and_of_the_logits",),
    ),
    Mutant(
        "models/autoregressive/autoregressive.py",
        "return jnp.concatenate(each, axis=-1) if each else None",
        "return None",
        ("test_pixel_networks.py::test_every_image_is_as_likely_as_its_label_makes_it[pixel_cnn]",),
    ),
    Mutant(
        "models/autoregressive/pixel_cnn.py",
        "written(state.row, inputs, column)",
        "written(state.row, inputs, column + 1)",
        ("test_pixel_networks.py::test_probabilities_sum_to_one_and_samples_follow_them[pixel_cnn]",),
    ),
    Mutant(
        "models/autoregressive/wavenet.py",
        "2 ** (layer % block) for layer",
        "2 ** min(layer, block - 1) for layer",
        (
            "test_wavenet.py::test_a_sample_depends_on_as_many_before_as_the_dilations_reach[5-3-11]",
            "test_wavenet.py::test_the_papers_blocks_reach_1024_samples_each",
        ),
    ),
    Mutant(
        "models/autoregressive/wavenet.py",
        "(column & (dilation - 1))",
        "(column & (dilation // 2))",
        ("test_wavenet.py::test_sounds_of_another_length[45]",),
    ),
    Mutant(
        "models/flow/flow.py",
        'return jax.nn.one_hot(cond["label"], classes) if classes else None',
        "return None",
        (
            "test_flows.py::test_every_density_depends_on_its_label[nice]",
            "test_flows.py::test_every_density_depends_on_its_label[iaf]",
        ),
    ),
    Mutant(
        "models/flow/glow.py",
        "Chain((ActNorm(), InvertibleConv(), coupling))",
        "Chain((ActNorm(), coupling))",
        ("test_flows.py::test_a_step_of_glow_normalises_rotates_and_then_halves_nearly_nothing",),
    ),
    Mutant(
        "models/flow/maf.py",
        "(MaskedAutoregressive(map, network), Reverse())",
        "(MaskedAutoregressive(map, network),)",
        (
            "test_flows.py::test_every_latent_sees_every_number[maf]",
            "test_flows.py::test_every_latent_sees_every_number[iaf]",
            "test_flows.py::test_one_layer_alone_sees_those_before",
        ),
    ),
    Mutant(
        "models/flow/nice.py",
        "EvenOdd(), Stack(",
        "Stack(",
        ("test_flows.py::test_couplings_change_odd_and_even_places_in_turn",),
    ),
    Mutant(
        "models/flow/real_nvp.py",
        "odd=i % 2 == 1",
        "odd=True",
        ("test_flows.py::test_a_scale_of_real_nvp_is_three_checkerboards_a_squeeze_and_three_halves_of_the_channels",),
    ),
    Mutant(
        "models/gan/sngan.py",
        "UpBlock(self.features, self.classes, name=",
        "UpBlock(self.features, 0, name=",
        ("test_gan.py::test_a_projection_gan_sees_its_labels",),
    ),
    Mutant(
        "models/vae/cvae.py",
        "jnp.concatenate([centre + jnp.exp(log_scale) * z, y], axis=-1)",
        "jnp.concatenate([z, y], axis=-1)",
        ("test_vae.py::test_a_label_moves_the_prior_and_is_seen_by_encoder_and_decoder",),
    ),
    Mutant(
        "nn/bijections.py",
        "momentum: float = 0.95",
        "momentum: float = 0.9",
        ("test_bijections.py::test_batch_norm_follows_batches_by_a_twentieth",),
    ),
    Mutant(
        "nn/causal.py",
        "self.across(shift_down(down))",
        "self.across(down)",
        ("test_pixel_networks.py::test_probabilities_sum_to_one_and_samples_follow_them[gated_pixel_cnn]",),
    ),
    Mutant(
        "nn/causal.py",
        "Above(rows[:, 1:], across",
        "Above(rows[:, :-1], across",
        ("test_laws.py::test_law[cached_view_is_the_network-gated_pixel_cnn]",),
    ),
    Mutant(
        "nn/coupling.py",
        "(rows + columns) % 2 == int(self.odd)",
        "columns % 2 == int(self.odd)",
        ("test_bijections.py::test_a_checkerboard_keeps_one_colour_and_moves_the_other_by_what_it_kept",),
    ),
    Mutant(
        "nn/invertible_conv.py",
        "x @ weights.T, over_places(x, log_scale)",
        "x @ weights.T, over_places(x[:, 0, 0], log_scale)",
        ("test_bijections.py::test_bijection[invertible_conv]",),
    ),
    Mutant(
        "nn/masked.py",
        "return x, -self.forward(x, cond, train)[1]",
        "return x, self.forward(x, cond, train)[1]",
        ("test_bijections.py::test_bijection[masked_affine]",),
    ),
    Mutant(
        "nn/masked.py",
        "mask = degrees[:, None] <= outputs",
        "mask = degrees[:, None] < outputs",
        ("test_bijections.py::test_masks_leak_nothing_and_miss_nothing[6-hidden2-True]",),
    ),
    Mutant(
        "nn/masked.py",
        "degrees = np.arange(1, self.dimensions + 1)\n",
        "degrees = np.arange(self.dimensions)\n",
        ("test_bijections.py::test_masks_leak_nothing_and_miss_nothing[6-hidden2-True]",),
    ),
    Mutant(
        "nn/norm.py",
        "momentum=0.9, axis_name=mapped_axis(), use_scale=shared",
        "momentum=0.9, use_scale=shared",
        ("test_parallel.py::test_every_kind_of_state_is_that_of_one_device[pmap]",),
    ),
    Mutant(
        "nn/norm.py",
        "momentum=0.9, axis_name=mapped_axis())(y)",
        "momentum=0.99, axis_name=mapped_axis())(y)",
        ("test_gan.py::test_batch_norm_follows_batches_by_a_tenth[False]",),
    ),
    Mutant(
        "nn/norm.py",
        "nn.SpectralNorm(make_layer())(x, update_stats=train)",
        "nn.SpectralNorm(make_layer())(x, update_stats=False)",
        (
            "test_gan.py::test_what_a_spectrally_normalised_layer_does_has_a_largest_singular_value_of_one[dense]",
            "test_gan.py::test_what_a_spectrally_normalised_layer_does_has_a_largest_singular_value_of_one[conv]",
        ),
    ),
    Mutant(
        "nn/pixels.py",
        "self.size, sees_self=False)\n        self.head",
        "self.size)\n        self.head",
        ("test_pixel_networks.py::test_probabilities_sum_to_one_and_samples_follow_them[pixel_cnn]",),
    ),
    Mutant(
        "nn/pixels.py",
        "own = x if self.sees_self else shift_right(x)",
        "own = shift_right(x)",
        (
            "test_pixel_networks.py::test_a_cached_row_that_is_off_by_one_is_noticed[pixel_cnn-genjax_zoo.models.autoregressive.pixel_cnn]",
        ),
    ),
    Mutant(
        "nn/quantizer.py",
        "_mean(jnp.mean(chosen, axis=0))",
        "jnp.mean(chosen, axis=0)",
        ("test_parallel.py::test_every_kind_of_state_is_that_of_one_device[pmap]",),
    ),
    Mutant(
        "nn/quantizer.py",
        "jnp.sum((z - code) ** 2, axis=(1, 2, 3))",
        "jnp.sum((jax.lax.stop_gradient(z) - code) ** 2, axis=(1, 2, 3))",
        ("test_quantizer.py::test_vectors_are_drawn_to_their_codes_and_not_the_codes_to_them",),
    ),
    Mutant(
        "pages/gather.py",
        "step = max((step for of",
        "step = min((step for of",
        ("test_page.py::test_numbers_of_a_run_are_those_in_its_files",),
    ),
    Mutant(
        "pages/scoreboard.py",
        'floor=text.get("floor", "")',
        'floor=text.get("low", "")',
        ("test_page.py::test_numbers_of_a_run_are_those_in_its_files",),
    ),
    Mutant(
        "report/page.py",
        "autoescape=True",
        "autoescape=False",
        ("test_page.py::test_text_of_a_run_stays_text",),
    ),
    Mutant(
        "report/page.py",
        "round((1 - (value - y0) / (y1 - y0))",
        "round(((value - y0) / (y1 - y0))",
        ("test_page.py::test_a_plot_has_later_steps_to_the_right_and_greater_values_higher",),
    ),
    Mutant(
        "train/step.py",
        "_mean_over(axis, jnp.mean(value)) for term",
        "_mean_over(axis, jnp.sum(value)) for term",
        ("test_step.py::test_one_turn_by_hand",),
    ),
    Mutant(
        "train/step.py",
        "(jax.lax.pmean if jnp.issubdtype(x.dtype, jnp.inexact) else jax.lax.pmax)(x, axis)",
        "jax.lax.pmax(x, axis)",
        ("test_parallel.py::test_every_kind_of_state_is_that_of_one_device[pmap]",),
    ),
    Mutant(
        "train/step.py",
        "changed = _average_state(axis, changed)",
        'changed = {**_average_state(axis, changed), "memory": changed.get("memory", {})}',
        ("test_parallel.py::test_every_kind_of_state_is_that_of_one_device[pmap]",),
    ),
    Mutant(
        "train/step.py",
        "jax.random.fold_in(jax.random.fold_in(state.key, state.step), shard)",
        "jax.random.fold_in(state.key, state.step)",
        ("test_parallel.py::test_every_example_player_and_step_has_noise_of_its_own",),
    ),
    Mutant(
        "wrap.py",
        "name: -jnp.sum(log_det",
        "name: jnp.sum(log_det",
        (
            "test_likelihood.py::test_wrapped_densities_integrate_to_what_they_cover[logit]",
            "test_likelihood.py::test_wrapped_densities_integrate_to_what_they_cover[scaled]",
            "test_transforms.py::test_the_protocol_and_the_wrapper_use_one_formula",
        ),
    ),
    Mutant(
        "wrap.py",
        "weights + jnp.sum(log_det",
        "weights - jnp.sum(log_det",
        ("test_bounds.py::test_weights_are_the_likelihood_at_the_true_posterior",),
    ),
    Mutant(
        "wrap.py",
        "decode(v, z, with_fixed(cond, len(z)))",
        "decode(v, z, cond)",
        ("test_wrap.py::test_a_fixed_condition_reaches_the_model_whatever_is_asked[decode]",),
    ),
    Mutant(
        "wrap.py",
        "views.start(v, n, with_fixed(cond, n))",
        "views.start(v, n, cond)",
        ("test_wrap.py::test_a_fixed_condition_reaches_the_model_whatever_is_asked[conditionals.start]",),
    ),
)
