"""The two sides of a GAN as terms: any adversary, penalties, augmentation and packing, for any network."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax_zoo.core import (
    MEMORY,
    TURNS,
    Array,
    Batch,
    Explained,
    Key,
    Model,
    TermFn,
    Terms,
    Variables,
    check_methods,
    conditions,
    require,
)
from genjax_zoo.losses.adversaries import Adversary, non_saturating
from genjax_zoo.losses.augment import Augment
from genjax_zoo.losses.penalties import Penalty, Round

DECAY = 0.99  # of the running means of scores (Tseng et al. 2021)


def adversarial(
    model: Model,
    adversary: Adversary = non_saturating,
    *,
    augment: Augment | None = None,
    critic: str | None = None,
    **penalties: Penalty,
) -> tuple[TermFn, TermFn]:
    """The two sides of a GAN: (critic's terms, generator's terms).

    Args:
        model: has `sample`, and a method "discriminate" from (x [B, ...], cond) to scores [B], or one per pack of
            consecutive examples.
        adversary: the game.
        augment: changes what the critic sees, real and fake alike; gradients and penalties go through it.
        critic: the network whose memory the penalties use; the only one that `wrap.with_memory` gave one if None.
        penalties: on the critic, each a term of its name.

    Returns:
        Two TermFns with the term "adversarial". The critic's also has the penalties, "real_score", "fake_score", their
        "margin", and "accuracy": 1 where the real example (or pack) scores above the fake one. Its gradient stops at
        the samples.

    Raises:
        ValueError: the model has no `sample`, or another than `apply` gives; when run, if a penalty needs single
            examples, but batch norm mixes them, or it is not said which of several memories is meant.
    """
    require(model, "sample")
    check_methods(model, "sample")

    def augmented(key: Key, x: Array) -> Array:
        return x if augment is None else augment(key, x)

    def discriminate(variables: Variables, x: Array, cond: Batch, key: Key, train: bool) -> tuple[Array, Variables]:
        k_score = jax.random.fold_in(key, 1)
        return model.apply(variables, "discriminate", augmented(key, x), cond, key=k_score, train=train)

    def critics(variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
        k_sample, k_real, k_fake, k_penalty = jax.random.split(key, 4)
        x, cond = batch["x"], conditions(batch)
        fake, variables = model.apply(variables, "sample", k_sample, len(x), cond, train=train)
        fake, before = jax.lax.stop_gradient(fake), variables
        real_score, variables = discriminate(variables, x, cond, k_real, train)
        fake_score, variables = discriminate(variables, fake, cond, k_fake, train)
        if any(penalty.local for penalty in penalties.values()):
            _check_no_batch_norm(before, variables)
        remembered = _memory_of(variables, critic)
        if remembered:
            _check_scores(remembered, lambda v: discriminate(v, x, cond, jax.random.key(0), train)[0], variables)
        memory = variables[MEMORY][remembered] if remembered else {}
        round = Round(
            lambda x: discriminate(before, x, cond, jax.random.clone(k_real), train)[0],  # as it was scored
            *(x, fake, real_score, fake_score, k_penalty, memory),
        )
        terms = {
            "adversarial": adversary.critic(real_score, fake_score),
            "real_score": real_score,
            "fake_score": fake_score,
            "margin": real_score - fake_score,
            "accuracy": (real_score > fake_score).astype(real_score.dtype),
            **{name: penalty.of(round) for name, penalty in penalties.items()},
        }
        return _per_example(terms, len(x)), _remember(variables, remembered, round) if train else variables

    def generators(variables: Variables, batch: Batch, key: Key, train: bool) -> tuple[Terms, Variables]:
        k_sample, k_real, k_fake = jax.random.split(key, 3)
        x, cond = batch["x"], conditions(batch)
        fake, variables = model.apply(variables, "sample", k_sample, len(x), cond, train=train)
        real_score, _ = discriminate(variables, x, cond, k_real, train)  # costs nothing where it is unused
        fake_score, variables = discriminate(variables, fake, cond, k_fake, train)
        return _per_example({"adversarial": adversary.generator(real_score, fake_score)}, len(x)), variables

    of_critic, of_generator = adversary.formulas
    written = {"adversarial": of_critic, **{name: penalty.formula for name, penalty in penalties.items()}}
    sides = (critics, written), (generators, {"adversarial": of_generator})
    of_critics, of_generators = (Explained(terms=terms, formulas=formulas) for terms, formulas in sides)
    return of_critics, of_generators


def _per_example(terms: Terms, size: int) -> Terms:
    """A pack's numbers count for each of its examples, so that means are the same."""
    return {name: jnp.repeat(value, size // len(value)) for name, value in terms.items()}


def _memory_of(variables: Variables, critic: str | None) -> str | None:
    """The network whose memory is this critic's, or None where there is none."""
    kept = list(variables.get(MEMORY, {}))
    if critic is not None and critic not in kept:
        raise ValueError(f"'{critic}' has no memory; wrap the model in wrap.with_memory(model, '{critic}').")
    if critic is None and len(kept) > 1:
        raise ValueError(f"The critics {kept} have a memory each; say whose it is: adversarial(critic='{kept[0]}').")
    return critic or next(iter(kept), None)


def _check_scores(network: str, score: Callable[[Variables], Array], variables: Variables) -> None:
    """Checks that the score needs a network: traced without it, it cannot be had."""
    others = {name: params for name, params in variables["params"].items() if name != network}
    try:
        jax.eval_shape(score, {**variables, "params": others})
    except Exception:  # of whatever looks for it: Linen's, a KeyError
        return
    raise ValueError(
        f"'{network}' has the memory, but no part in the score of the method 'discriminate'; "
        f"wrap.with_memory(model, NAME) takes the network that scores."
    )


def _remember(variables: Variables, critic: str | None, round: Round) -> Variables:
    """Counts the turn and follows the scores, where `wrap.with_memory` keeps them."""
    if critic is None:
        return variables
    first = round.memory[TURNS] == 0
    kept = {TURNS: round.memory[TURNS] + 1}
    for name in ("real_score", "fake_score"):
        mean = jax.lax.stop_gradient(jnp.mean(getattr(round, name)))
        kept[name] = jnp.where(first, mean, DECAY * round.memory[name] + (1 - DECAY) * mean)
    return {**variables, MEMORY: {**variables[MEMORY], critic: kept}}


def _check_no_batch_norm(before: Variables, after: Variables) -> None:
    """The critic's passes led from `before` to `after`; what they left alone is the same object."""
    old = jax.tree.leaves(before.get("batch_stats", {}))
    new = jax.tree_util.tree_leaves_with_path(after.get("batch_stats", {}))
    for (path, value), unchanged in zip(new, old):
        if value is not unchanged and str(getattr(path[-1], "key", "")) == "mean":
            raise ValueError(
                f"The critic has batch norm ({jax.tree_util.keystr(path[:-1])}), which mixes the examples of a batch, "
                f"so the gradient of one example's score is not its own; take nn.no_norm or nn.spectral_norm for it."
            )
