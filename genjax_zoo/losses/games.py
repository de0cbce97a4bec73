"""The two sides of a GAN as terms: any adversary, penalties, augmentation and packing, for any critic and sources."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from genjax_zoo.core import (
    MEMORY,
    SCORE,
    SOURCE,
    TURNS,
    Array,
    Batch,
    Critic,
    Explained,
    FromBatch,
    Key,
    Model,
    Sampler,
    Terms,
    Variables,
    aside,
    conditions,
    require,
)
from genjax_zoo.errors import UserError
from genjax_zoo.losses.adversaries import Adversary, non_saturating
from genjax_zoo.losses.augment import Augment
from genjax_zoo.losses.penalties import Examples, Penalty, Round, count

DECAY = 0.99  # of the running means of scores (Tseng et al. 2021)


def data_x(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Array, Variables]:
    """The source that is the batch's x."""
    return batch["x"], variables


def samples_of(model: Model) -> FromBatch[Array]:
    """The source of a model's samples, as many as the batch has, under the batch's conditions.

    Raises:
        UserError: the model has no sampler.
    """
    sampler = require(model, Sampler)

    def draw(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Array, Variables]:
        return sampler.draw(variables, key, len(batch["x"]), conditions(batch), train=train)

    return draw


def adversarial(
    model: Model,
    adversary: Adversary = non_saturating,
    *,
    augment: Augment | None = None,
    memory: str | None = None,
    **penalties: Penalty,
) -> tuple[Explained, Explained]:
    """The two sides of a GAN, whose own critic compares its samples with the batch's x; see `game`.

    Raises:
        UserError: the model has no critic, or no sampler.
    """
    critic = require(model, Critic)
    return game(critic, samples_of(model), data_x, adversary, augment=augment, memory=memory, **penalties)


def game(
    critic: Critic,
    fake: FromBatch[Examples],
    real: FromBatch[Examples] = data_x,
    adversary: Adversary = non_saturating,
    *,
    augment: Augment | None = None,
    memory: str | None = None,
    **penalties: Penalty,
) -> tuple[Explained, Explained]:
    """The two sides of a game about what a critic sees: (critic's terms, generator's terms).

    What it sees is an x, a z, or a tuple of arrays, such as pairs (x, z): whatever both sources give.

    Args:
        critic: scores examples [B, ...] under the batch's conditions: [B], or one score per pack of consecutive ones.
        fake: what the generator's side makes, a function of (variables, batch, key, train).
        real: what it should be told apart from.
        adversary: the game.
        augment: changes what the critic sees, real and fake alike; gradients and penalties go through it.
        memory: the network whose memory the penalties use; the only one that `wrap.with_memory` gave one if None.
        penalties: on the critic, each a term of its name.

    Returns:
        Two TermFns with the term "adversarial". The critic's also has the penalties, "real_score", "fake_score", their
        "margin", and "accuracy": 1 where the real example (or pack) scores above the fake one. Its gradient stops at
        both sources; the generator's goes through both.

    Raises:
        UserError: when run, if real and fake examples are not alike, or the augmentation changes their shape; if a
            penalty needs single examples, but batch norm mixes them; or it is not said which of several memories is
            meant.
    """

    def score(variables: Variables, x: Examples, cond: Batch, key: Key, train: bool) -> tuple[Array, Variables]:
        seen = x if augment is None else augment(key, x)
        if _shapes(seen) != _shapes(x):
            raise UserError(f"The augmentation makes {_shapes(seen)} of {_shapes(x)}; it must keep the shape.")
        return critic.score(variables, seen, cond, key=aside(key, SCORE), train=train)

    def drawn(
        variables: Variables, batch: Batch, key: Key, k_real: Key, train: bool
    ) -> tuple[Examples, Examples, Variables]:
        fakes, variables = fake(variables, batch, key, train=train)
        reals, variables = real(variables, batch, k_real, train=train)
        if _shapes(fakes) != _shapes(reals):
            raise UserError(
                f"The critic is to tell fakes of shape {_shapes(fakes)} from real examples of {_shapes(reals)}; "
                f"give it sources of one space: game(critic, fake, real)."
            )
        return fakes, reals, variables

    def critics(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
        k_source = aside(key, SOURCE)
        k_sample, k_real, k_fake, k_penalty = jax.random.split(key, 4)
        cond = conditions(batch)
        *both, variables = drawn(variables, batch, k_sample, k_source, train)
        (fakes, reals), before = jax.lax.stop_gradient(both), variables
        real_score, variables = score(variables, reals, cond, k_real, train)
        fake_score, variables = score(variables, fakes, cond, k_fake, train)
        if any(penalty.local for penalty in penalties.values()):
            _check_no_batch_norm(before, variables)
        remembered = _memory_of(variables, memory)
        if remembered:
            _check_scores(remembered, lambda v: score(v, reals, cond, jax.random.key(0), train)[0], variables)
        round = Round(
            lambda x: score(before, x, cond, jax.random.clone(k_real), train)[0],  # as it was scored
            *(reals, fakes, real_score, fake_score, k_penalty),
            variables[MEMORY][remembered] if remembered else {},
        )
        terms = {
            "adversarial": adversary.critic(real_score, fake_score),
            "real_score": real_score,
            "fake_score": fake_score,
            "margin": real_score - fake_score,
            "accuracy": (real_score > fake_score).astype(real_score.dtype),
            **{name: penalty.of(round) for name, penalty in penalties.items()},
        }
        return _per_example(terms, count(reals)), _remember(variables, remembered, round) if train else variables

    def generators(variables: Variables, batch: Batch, key: Key, *, train: bool = False) -> tuple[Terms, Variables]:
        k_source = aside(key, SOURCE)
        k_sample, k_real, k_fake = jax.random.split(key, 3)
        cond = conditions(batch)
        fakes, reals, variables = drawn(variables, batch, k_sample, k_source, train)
        real_score, _ = score(variables, reals, cond, k_real, train)  # costs nothing where it is unused
        fake_score, variables = score(variables, fakes, cond, k_fake, train)
        return _per_example({"adversarial": adversary.generator(real_score, fake_score)}, count(fakes)), variables

    of_critic, of_generator = adversary.formulas
    written = {"adversarial": of_critic, **{name: penalty.formula for name, penalty in penalties.items()}}
    return (
        Explained(terms=critics, formulas=written, units=dict.fromkeys(written, "loss"), rest="look"),
        Explained(terms=generators, formulas={"adversarial": of_generator}, units={"adversarial": "loss"}),
    )


def _shapes(x: Examples) -> str:
    """The shape of an array, or of each of several."""
    return " and ".join(str(jnp.shape(leaf)) for leaf in jax.tree.leaves(x))


def _per_example(terms: Terms, size: int) -> Terms:
    """A pack's numbers count for each of its examples, so that means are the same."""
    return {name: jnp.repeat(value, size // len(value)) for name, value in terms.items()}


def _memory_of(variables: Variables, network: str | None) -> str | None:
    """The network whose memory is this critic's, or None where there is none."""
    kept = list(variables.get(MEMORY, {}))
    if network is not None and network not in kept:
        raise UserError(f"'{network}' has no memory; wrap the model in wrap.with_memory(model, '{network}').")
    if network is None and len(kept) > 1:
        raise UserError(f"The critics {kept} have a memory each; say whose it is: memory='{kept[0]}'.")
    return network or next(iter(kept), None)


def _check_scores(network: str, score: Callable[[Variables], Array], variables: Variables) -> None:
    """Checks that the score needs a network: traced without it, it cannot be had."""
    others = {name: params for name, params in variables["params"].items() if name != network}
    try:
        jax.eval_shape(score, {**variables, "params": others})
    except Exception:  # of whatever looks for it: Linen's, a KeyError
        return
    raise UserError(
        f"'{network}' has the memory, but no part in the score of this critic; "
        f"wrap.with_memory(model, NAME) takes the network that scores."
    )


def _remember(variables: Variables, network: str | None, round: Round) -> Variables:
    """Counts the turn and follows the scores, where `wrap.with_memory` keeps them."""
    if network is None:
        return variables
    first = round.memory[TURNS] == 0
    kept = {TURNS: round.memory[TURNS] + 1}
    for name in ("real_score", "fake_score"):
        mean = jax.lax.stop_gradient(jnp.mean(getattr(round, name)))
        kept[name] = jnp.where(first, mean, DECAY * round.memory[name] + (1 - DECAY) * mean)
    return {**variables, MEMORY: {**variables[MEMORY], network: kept}}


def _check_no_batch_norm(before: Variables, after: Variables) -> None:
    """The critic's passes led from `before` to `after`; what they left alone is the same object."""
    old = jax.tree.leaves(before.get("batch_stats", {}))
    new = jax.tree_util.tree_leaves_with_path(after.get("batch_stats", {}))
    for (path, value), unchanged in zip(new, old):
        if value is not unchanged and str(getattr(path[-1], "key", "")) == "mean":
            raise UserError(
                f"The critic has batch norm ({jax.tree_util.keystr(path[:-1])}), which mixes the examples of a batch, "
                f"so the gradient of one example's score is not its own; take nn.no_norm or nn.spectral_norm for it."
            )
