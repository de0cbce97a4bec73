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
        "judges/inception.py",
        "/ _pooled(inside, jax.lax.add, 0.0, 1, 1)",
        "/ 9",
        ("test_inception.py::test_equals_the_network_written_out_in_numpy",),
    ),
    Mutant(
        "inference/codec.py",
        "jax.nn.softmax(views.choices",
        "jax.nn.softmax(0.5 * views.choices",
        ("test_codec.py::test_bytes_are_as_many_as_a_likelihood_known_by_hand_says",),
    ),
    Mutant(
        "inference/codec.py",
        "if any(code != _encoded(*one)",
        "if all(code != _encoded(*one)",
        ("test_codec.py::test_examples_come_back_in_as_many_bits_as_their_nll[nade]",),
    ),
    Mutant(
        "data/support.py",
        "math.log2(self.levels) if self.noisy",
        "0.0 if self.noisy",
        ("test_leaderboard.py::test_bits_are_of_the_levels[mnist-deq--1980.5-4.36-bound]",),
    ),
    Mutant(
        "compare/scores.py",
        "subject_of(experiment, eval_variables(state), asked)",
        "subject_of(experiment, state.variables, asked)",
        ("test_readers.py::test_a_command_reads_the_averages[compare]",),
    ),
    Mutant(
        "compare/scores.py",
        '"k": asked.k, ',
        "",
        ("test_leaderboard.py::test_a_run_measured_another_way_is_measured_again_and_not_ranked_with_the_first",),
    ),
    Mutant(
        "data/resident.py",
        "return ((position < len(self)) | self.train)",
        "return ((position <= len(self)) | self.train)",
        ("test_data.py::test_evaluation_counts_every_example_once",),
    ),
    Mutant(
        "data/shuffle.py",
        "mix(xp.asarray(epoch).astype(xp.uint32).reshape(-1) + np.uint32(0x9E3779B9))",
        "mix(0 * xp.asarray(epoch).astype(xp.uint32).reshape(-1) + np.uint32(0x9E3779B9))",
        ("test_data.py::test_orders_differ_and_look_random",),
    ),
    Mutant(
        "explore/drawing.py",
        "x = draw(eval_variables(state), jax",
        "x = draw(state.variables, jax",
        ("test_readers.py::test_a_command_reads_the_averages[sample]",),
    ),
    Mutant(
        "explore/drawing.py",
        "for name, value in settings.items() if value != SETTINGS[name]}",
        "for name, value in {}.items() if value != SETTINGS[name]}",
        ("test_sampling.py::test_the_command_tempers_a_flow",),
    ),
    Mutant(
        "evals/fidelity.py",
        "prdc(real, fake, k=k, resamples=resamples)",
        "prdc(real, fake, resamples=resamples)",
        ("test_scores.py::test_fidelity_compares_by_its_own_k_and_n",),
    ),
    Mutant(
        "evals/frechet.py",
        "np.sqrt(weights / (weights.sum() - 1))",
        "np.sqrt(weights / weights.sum())",
        ("test_metrics.py::test_frechet_of_gaussians",),
    ),
    Mutant(
        "evals/parzen.py",
        "_log_densities(fake, valid, sigmas, at_once).mean",
        "_log_densities(fake, test, sigmas, at_once).mean",
        ("test_scores.py::test_the_width_is_chosen_on_validation",),
    ),
    Mutant(
        "evals/units.py",
        "np.sum(covariance > threshold)",
        "np.sum(covariance >= threshold)",
        ("test_bounds.py::test_a_unit_is_active_above_the_threshold",),
    ),
    Mutant(
        "cli/sweep.py",
        '",".join(map(str, range(_count(given))))',
        "str(_count(given))",
        ("test_sweep.py::test_the_seeds_are_those_asked_for[flags0-seeds0]",),
    ),
    Mutant(
        "runs/folder.py",
        'MAY_CHANGE = {"steps", ',
        'MAY_CHANGE = {"seed", "steps", ',
        (
            "test_cli.py::test_another_seed_is_refused",
            "test_cli.py::test_a_run_goes_on_under_its_own_seed_and_numbers[seed-1-False]",
        ),
    ),
    Mutant(
        "runs/source.py",
        "if ast.dump(ast.parse(old)) == ast.dump(ast.parse(new)):",
        "if len(ast.dump(ast.parse(old))) == len(ast.dump(ast.parse(new))):",
        ("test_run_folder.py::test_a_changed_line_is_shown_and_asked_about",),
    ),
    Mutant(
        "losses/games.py",
        "lambda x: score(before, x, cond, jax.random.clone(k_real), train)[0]",
        "lambda x: critic.score(before, x, cond, train=train)[0]",
        ("test_gan.py::test_penalties_go_through_the_augmentation",),
    ),
    Mutant(
        "losses/games.py",
        "*(reals, fakes, real_score, fake_score, k_penalty)",
        "*(reals, fakes, real_score, fake_score, k_sample)",
        ("test_laws.py::test_law[no_key_is_used_twice-gan]",),
    ),
    Mutant(
        "losses/importance.py",
        "return math.log(k) - jax.nn.logsumexp(log_w, axis=0)",
        "return -jax.nn.logsumexp(log_w, axis=0)",
        ("test_bounds.py::test_the_term_is_minus_the_log_of_the_mean_weight",),
    ),
    Mutant(
        "losses/penalties.py",
        "share(x) * 0.5 * spread",
        "share(x) * spread",
        ("test_gan.py::test_dragan_looks_above_the_data_by_up_to_half_their_deviation",),
    ),
    Mutant(
        "losses/penalties.py",
        "lambda: every * penalty.of(round)",
        "lambda: penalty.of(round)",
        ("test_gan.py::test_lazy_penalties_and_lecam_remember",),
    ),
    Mutant(
        "math/densities.py",
        "jnp.where(level < 0.5,",
        "jnp.where(level < -0.5,",
        ("test_math.py::test_discretized_logistic_sums_to_one[17]",),
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
        "compose/flows.py",
        "return embed_conditions(cond, conditions), v",
        "return None, v",
        (
            "test_flows.py::test_every_density_depends_on_its_label[nice]",
            "test_flows.py::test_every_density_depends_on_its_label[iaf]",
        ),
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
        "models/flow/real_nvp.py",
        "odd=i % 2 == 1",
        "odd=True",
        ("test_flows.py::test_a_scale_of_real_nvp_is_three_checkerboards_a_squeeze_and_three_halves_of_the_channels",),
    ),
    Mutant(
        "models/vae/ladder_vae.py",
        "return gaussian_kl((q[0] - p[0]) * jnp.exp(-p[1]), q[1] - p[1])",
        "return gaussian_kl(q[1] - p[1], (q[0] - p[0]) * jnp.exp(-p[1]))",
        ("test_bounds.py::test_rates_of_a_ladder_are_the_formula",),
    ),
    Mutant(
        "models/vae/ladder_vae.py",
        "output, layers = self._run(self._noise(k_noise, len(x)), below",
        'output, layers = self._run([tile(n, k) for n in self._noise(k_noise, len(batch["x"]))], below',
        ("test_bounds.py::test_every_draw_of_a_bound_has_noise_of_its_own[ladder_vae]",),
    ),
    Mutant(
        "compose/latents.py",
        "return emitted.draw(v, k_x, n,",
        "return emitted.draw(v, k_z, n,",
        ("test_laws.py::test_law[no_key_is_used_twice-vae]",),
    ),
    Mutant(
        "nn/causal.py",
        "Above(rows[:, 1:], across",
        "Above(rows[:, :-1], across",
        ("test_laws.py::test_law[cached_view_is_the_network-gated_pixel_cnn]",),
    ),
    Mutant(
        "nn/invertible_conv.py",
        "product(x, weights.T), over_places(x, log_scale)",
        "product(x, weights.T), over_places(x[:, 0, 0], log_scale)",
        ("test_bijections.py::test_bijection[invertible_conv]",),
    ),
    Mutant(
        "nn/masked.py",
        "mask = degrees[:, None] <= outputs",
        "mask = degrees[:, None] < outputs",
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
        "nn.SpectralNorm(make_layer())(x, update_stats=train)",
        "nn.SpectralNorm(make_layer())(x, update_stats=False)",
        (
            "test_norms.py::test_what_a_spectrally_normalised_layer_does_has_a_largest_singular_value_of_one[dense]",
            "test_norms.py::test_what_a_spectrally_normalised_layer_does_has_a_largest_singular_value_of_one[conv]",
        ),
    ),
    Mutant(
        "nn/norm.py",
        "return nn.SpectralNorm(make_layer())(x, update_stats=train)",
        "return nn.SpectralNorm(make_layer())(x, update_stats=True)",
        ("test_laws.py::test_law[evaluation_leaves_state_alone-sngan]",),
    ),
    Mutant(
        "nn/quantizer.py",
        "jnp.sum((z - code) ** 2, axis=(1, 2, 3))",
        "jnp.sum((jax.lax.stop_gradient(z) - code) ** 2, axis=(1, 2, 3))",
        ("test_quantizer.py::test_vectors_are_drawn_to_their_codes_and_not_the_codes_to_them",),
    ),
    Mutant(
        "report/page.py",
        "autoescape=True",
        "autoescape=False",
        ("test_page.py::test_text_of_a_run_stays_text",),
    ),
    Mutant(
        "train/checkpoint.py",
        '"best": self.best_step() or steps[-1]',
        '"best": steps[-1]',
        ("test_readers.py::test_a_command_reads_the_checkpoint_that_it_is_told[sample]",),
    ),
    Mutant(
        "runs/fitting.py",
        "JsonLines(log, start=start)",
        "JsonLines(log)",
        ("test_checkpoint.py::test_resumed_in_the_middle_of_a_call",),
    ),
    Mutant(
        "inference/sampling.py",
        "beyond / max(temperature, float(least))",
        "beyond / (max(temperature, float(least)) if top_p is None else 1.0)",
        ("test_sampling.py::test_the_nucleus_is_of_the_tempered_probabilities[settings1-p1]",),
    ),
    Mutant(
        "train/checkpoint.py",
        "cleanup_tmp_directories=not reading",
        "cleanup_tmp_directories=True",
        ("test_checkpoint.py::test_reading_leaves_a_save_that_is_being_written",),
    ),
    Mutant(
        "train/checkpoint.py",
        "if math.isfinite(value):",
        "if self._best in metrics:",
        ("test_checkpoint.py::test_what_is_not_finite_never_ranks",),
    ),
    Mutant(
        "train/evaluating.py",
        "found = _asked(experiment, run, eval_variables(state))",
        "found = _asked(experiment, run, state.variables)",
        (
            "test_checkpoint.py::test_the_best_checkpoint_is_that_of_the_averages",
            "test_readers.py::test_a_command_reads_the_averages[train]",
            "test_readers.py::test_a_command_reads_the_averages[evaluate]",
            "test_readers.py::test_an_evaluation_is_of_the_average_itself",
        ),
    ),
    Mutant(
        "train/run.py",
        "self.checkpoints.rank(step, self.results)",
        "self.checkpoints.rank(self.checkpoints.steps[0], self.results)",
        ("test_checkpoint.py::test_only_a_checkpoint_of_the_step_that_was_evaluated_is_ranked",),
    ),
    Mutant(
        "train/run.py",
        """        self.save(step, state)
        if self.checkpoints:
            self.checkpoints.wait()""",
        "        pass",
        ("test_keeping.py::test_steps_are_kept_when_an_evaluation_ends_the_run[3-error0]",),
    ),
    Mutant(
        "train/step.py",
        '"finite": (finite & jnp.all(written))',
        '"finite": finite',
        (
            "test_keeping.py::test_what_is_saved_is_finite_and_the_sentence_says_what_is_left",
            "test_keeping.py::test_statistics_that_are_not_finite_are_told",
        ),
    ),
    Mutant(
        "train/digest.py",
        "_mixed(bits ^ _mixed(place))",
        "(2 * place + 1) * bits",
        ("test_checkpoint.py::test_digest_sees_flips_that_a_sum_does_not",),
    ),
    Mutant(
        "train/loop.py",
        "return min(k - step % k, self._experiment.steps - step)",
        "return min(k, self._experiment.steps - step)",
        ("test_checkpoint.py::test_resumed_in_the_middle_of_a_call",),
    ),
    Mutant(
        "train/merged.py",
        "if all(same(first.value, one.value) for one in found):",
        "if found:",
        ("test_sweep_law.py::test_a_member_is_its_single_run[gain-1.0,0.5]",),
    ),
    Mutant(
        "train/step.py",
        "_mean_over(axis, jnp.mean(value)) for term",
        "_mean_over(axis, jnp.sum(value)) for term",
        ("test_step.py::test_one_turn_by_hand",),
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
        "train/step.py",
        "_at(weight, state.updates[name]) * means",
        "_at(weight, state.step) * means",
        ("test_optimizers.py::test_one_clock_for_each_player[of three steps]",),
    ),
    Mutant(
        "train/step.py",
        "fresh = jnp.where(made, fresh, 0)",
        "pass",
        ("test_optimizers.py::test_one_clock_for_each_player[of three steps]",),
    ),
    Mutant(
        "train/step.py",
        "count = state.updates[name]",
        "count = state.step",
        ("test_step.py::test_average_of_parameters_that_move_every_second_step",),
    ),
    Mutant(
        "train/players.py",
        "return _owned_of(player.owns, networks(variables))",
        "return networks(variables)",
        ("test_step.py::test_players_write_what_they_own_and_see_what_was_written_before",),
    ),
    Mutant(
        "train/step.py",
        "(changed if n in moving else state.variables)[collection][n]",
        "changed[collection][n]",
        ("test_step.py::test_players_write_what_they_own_and_see_what_was_written_before",),
    ),
    Mutant(
        "train/step.py",
        "gradients = _mean_over(axis, own)",
        "gradients = own",
        ("test_step.py::test_gradients_are_averaged_over_devices_before_they_are_clipped",),
    ),
    Mutant(
        "train/step.py",
        "changed = jax.tree.map(lambda new, old: jnp.where(kept, new, old), changed, _moving(state.variables))",
        "pass",
        ("test_step.py::test_a_dropped_turn_leaves_no_trace",),
    ),
    Mutant(
        "train/step.py",
        "_turn(name, player, axis, state, batch, jax.random.fold_in(key, index))",
        "_turn(name, player, axis, state, batch, key)",
        ("test_parallel.py::test_every_example_player_and_step_has_noise_of_its_own",),
    ),
    Mutant(
        "train/step.py",
        "jax.random.fold_in(jax.random.fold_in(state.key, state.step), shard)",
        "jax.random.fold_in(state.key, shard)",
        ("test_parallel.py::test_every_example_player_and_step_has_noise_of_its_own",),
    ),
    Mutant(
        "train/members.py",
        "jax.random.key(e.seed) for e in experiments",
        "jax.random.key(seed) for seed in sorted(e.seed for e in experiments)",
        ("test_sweep.py::test_a_members_clocks_are_those_of_a_run",),
    ),
    Mutant(
        "train/members.py",
        "_replace(step=states[0].step)",
        "_replace(step=0 * states[0].step)",
        ("test_sweep.py::test_a_members_clocks_are_those_of_a_run",),
    ),
    Mutant(
        "wrap/conditions.py",
        "score(variables, x, tell(cond, len(x)), *args, **how)",
        "score(variables, x, cond, *args, **how)",
        ("test_wrap.py::test_a_fixed_condition_reaches_the_model_whatever_is_asked[latent.decode]",),
    ),
    Mutant(
        "wrap/levels.py",
        "return log_w.reshape(k, -1) - offset, variables",
        "return log_w.reshape(k, -1) + offset, variables",
        ("test_bounds.py::test_weights_of_levels_have_the_mean_of_their_mass",),
    ),
    Mutant(
        "compose/flows.py",
        "return (x, nats + log_det), v",
        "return (x, nats), v",
        ("test_compose.py::test_relatives_of_a_vae_of_flows_agree",),
    ),
    Mutant(
        "compose/trees.py",
        "return run(own, *args, **how)[0], variables",
        "return run(own, *args, train=train, **how)[0], variables",
        ("test_compose.py::test_frozen_models_are_copied_constant_and_never_train",),
    ),
    Mutant(
        "compose/latents.py",
        "if p.weigh is None:",
        "if True:",
        ("test_vae.py::test_bounds_of_two_layers_fall_to_the_exact_value",),
    ),
    Mutant(
        "compose/flows.py",
        "aside(key, CONTEXT)",
        "jax.random.split(key)[0]",
        ("test_relatives.py::test_whoever_shares_a_key_has_one_of_its_own",),
    ),
    Mutant(
        "compose/latents.py",
        'named, _ = stated(constant, {**_tiled(of_x(batch), k), "x": z}, again, train=train)',
        'named, _ = stated(constant, {**_tiled(of_x(batch), k), "x": z}, again)',
        ("test_relatives.py::test_estimators_have_one_value_where_a_posterior_is_another_in_training[dropout]",),
    ),
    Mutant(
        "compose/latents.py",
        'log_p, v = p.weigh(v, {**conditions(every), "x": z}, k_p',
        'log_p, v = p.weigh(v, {**conditions(every), "x": seen}, k_p',
        ("test_relatives.py::test_gradients_of_layers_upon_layers_are_unbiased",),
    ),
    Mutant(
        "compose/parts.py",
        "return None if key is None else aside(key, NETWORK)",
        "return key",
        ("test_relatives.py::test_noise_around_a_network_is_not_the_networks",),
    ),
    Mutant(
        "core/types.py",
        'return [name for name in every if unit_of(stated, name) == "nats"] or every',
        "return every",
        ("test_relatives.py::test_what_is_only_looked_at_is_no_part_of_a_bound",),
    ),
    Mutant(
        "wrap/data.py",
        "return x, drawn[1] - log_det(x)",
        "return x, drawn[1] + log_det(x)",
        ("test_wrapped_laws.py::test_relatives_agree",),
    ),
    Mutant(
        "wrap/conditions.py",
        "mean=one.mean and numbered(one.mean),",
        "mean=one.mean,",
        ("test_wrap.py::test_a_fixed_condition_reaches_the_model_whatever_is_asked",),
    ),
    Mutant(
        "train/players.py",
        "left -= set(weights[name])",
        "left.clear()",
        ("test_relatives.py::test_merged_terms_keep_what_each_states",),
    ),
    Mutant(
        "runs/restored.py",
        "frozen=frozen or experiment.model.card.frozen",
        "frozen=experiment.model.card.frozen",
        ("test_frozen_runs.py::test_a_distilled_student_goes_on_from_any_folder",),
    ),
    Mutant(
        "train/step.py",
        'if name not in ("params", FROZEN)}',
        'if name != "params"}',
        ("test_players.py::test_what_is_frozen_is_of_no_turn",),
    ),
    Mutant(
        "wrap/levels.py",
        "noisy({name: tile(value, k) for name, value in batch.items()}, k_noise), k_model",
        "{name: tile(value, k) for name, value in noisy(batch, k_noise).items()}, k_model",
        ("test_bounds.py::test_weights_of_levels_have_the_mean_of_their_mass",),
    ),
)
