"""What experiments of one kind share: how a likelihood is watched, and how a GAN's two players take turns."""

import types
from collections.abc import Mapping

import optax

from genjax_zoo.core import Alarm, Data, Density, Eval, Experiment, Model, Player, TermFn, require
from genjax_zoo.data import Splits
from genjax_zoo.evals.likelihood import likelihood
from genjax_zoo.evals.samples import reconstructions as reconstructions_of
from genjax_zoo.evals.samples import sample_grid

SAMPLES = sample_grid(n=64)
NONE: Mapping[str, Eval] = types.MappingProxyType({})
NO_PENALTIES: Mapping[str, float] = types.MappingProxyType({})


def likelihood_experiment(
    model: Model,
    players: Mapping[str, Player],
    data: Splits,
    *,
    steps: int,
    seed: int,
    samples: Eval | None = SAMPLES,
    reconstructions: int = 0,
    more: Mapping[str, Eval] = NONE,
    best: bool = True,
    eval_every: int = 1_000,
    save_every: int = 1_000,
    steps_per_call: int = 1,
) -> Experiment:
    """An experiment that is judged by its likelihood, or by a bound on it.

    It trains on `data.train`. It evaluates "valid/nll" and "test/nll" in nats per example, or "nelbo" of a bound, with
    their terms and bits/dim; and "samples".

    Args:
        model: has a density.
        players: whose turns are a step.
        data: such as `data.splits("digits", ...)`; without a validation split there is no "valid" and no best.
        steps: train up to this step.
        seed: of parameters, noise and pictures.
        samples: the evaluation "samples": 64 draws, or None.
        reconstructions: test examples that are shown beside what becomes of them, as "reconstructions".
        more: further evaluations.
        best: keeps the checkpoint whose "valid/nll" or "valid/nelbo" is smallest.
        eval_every: steps between evaluations.
        save_every: steps between checkpoints.
        steps_per_call: steps in one compiled scan.

    Raises:
        UserError: the model has no density.
    """
    name = require(model, Density).name
    held_out = {"test": data.test} if data.valid is None else {"valid": data.valid, "test": data.test}
    pictures = {} if samples is None else {"samples": samples}
    if reconstructions:
        pictures["reconstructions"] = reconstructions_of(data.test, n=reconstructions)
    return Experiment(
        model=model,
        players=players,
        data=data.train,
        steps=steps,
        seed=seed,
        evals={**{split: likelihood(examples) for split, examples in held_out.items()}, **more, **pictures},
        best=f"valid/{name}" if best and data.valid is not None else None,
        eval_every=eval_every,
        save_every=save_every,
        steps_per_call=steps_per_call,
    )


def gan_experiment(
    model: Model,
    game: tuple[TermFn, TermFn],
    tx: optax.GradientTransformation,
    data: Data,
    *,
    steps: int,
    seed: int,
    penalties: Mapping[str, float] = NO_PENALTIES,
    critic_every: int = 1,
    ema: float = 0.999,
    samples: Eval | None = SAMPLES,
    more: Mapping[str, Eval] = NONE,
    alarms: tuple[Alarm, ...] = (),
    eval_every: int = 1_000,
    save_every: int = 1_000,
    log_every: int = 100,
    steps_per_call: int = 10,
) -> Experiment:
    """An experiment of two players, "critic" and "generator", under one optimizer; it evaluates "samples".

    Args:
        model: has the networks "discriminator" and "generator".
        game: the terms of both, as `losses.adversarial` gives them.
        tx: the optimizer, each player's own copy.
        data: training data.
        steps: train up to this step.
        seed: of parameters, noise and pictures.
        penalties: weights of the critic's terms besides "adversarial", which weighs 1.
        critic_every: the critic plays on steps divisible by this.
        ema: of the generator's parameters, for evaluation; 0 takes them as they are.
        samples: the evaluation "samples": 64 draws, or None.
        more: further evaluations.
        alarms: asked of every log and every evaluation.
        eval_every: steps between evaluations.
        save_every: steps between checkpoints.
        log_every: steps between logs.
        steps_per_call: steps in one compiled scan.
    """
    critic, generator = game
    weights = {"adversarial": 1.0}
    return Experiment(
        model=model,
        players={
            "critic": Player(
                terms=critic, weights={**weights, **penalties}, tx=tx, owns=("discriminator",), every=critic_every
            ),
            "generator": Player(terms=generator, weights=weights, tx=tx, owns=("generator",), ema=ema),
        },
        data=data,
        steps=steps,
        seed=seed,
        evals={**more, **({} if samples is None else {"samples": samples})},
        alarms=alarms,
        eval_every=eval_every,
        save_every=save_every,
        log_every=log_every,
        steps_per_call=steps_per_call,
    )
