"""The law of exact code: what is not a network computes in the full precision of its type on every accelerator."""

import re
from collections.abc import Iterator
from typing import Any

import flax.linen as nn
import jax

from genjax_zoo.conformance.case import Case
from genjax_zoo.core import conditions
from genjax_zoo.wrap.precision import each_network

PRODUCT = re.compile(r"stablehlo\.(dot_general|convolution)\b")
ASKED = re.compile(r"[<\[ ](DEFAULT|HIGHEST|HIGH)\b")


def exact_products_ask_for_full_precision(case: Case) -> None:
    """Each matrix product and convolution outside of the networks asks for the highest precision.

    Read off the programs lowered for TPUs, which by default multiply in bfloat16; a network is what is no bijection
    below the root. Their gradients ask for what they do.
    """
    for name, program in _programs(case):
        for line in program.splitlines():
            if PRODUCT.search(line):
                asked = ASKED.search(line)
                assert asked and asked[1] != "DEFAULT", (
                    f"{name} has a product outside of the networks in the default precision; use math.product, or ask "
                    f"for Precision.HIGHEST: {line.strip()[:200]}"
                )


def _programs(case: Case) -> Iterator[tuple[str, str]]:
    """What a case computes, as text for TPUs; the networks in it multiply in a precision of their own, HIGH."""
    model, batch, key = case.model, case.batch, jax.random.key(0)
    variables, n = case.state.variables, len(batch["x"])
    functions: dict[str, Any] = {
        f"the terms of '{name}'": lambda v, of=player: of.terms(v, batch, key, train=True)
        for name, player in case.players.items()
    }
    if model.latent is not None and model.latent.decode is not None and model.sampler is not None:
        functions["sample"] = lambda v: model.sample(v, key, n, conditions(batch))
    if model.density is not None and model.density.weigh is not None:
        functions["log_weights"] = lambda v: model.log_weights(v, batch, key, 2)
    for name, function in functions.items():
        with each_network(_rough):
            yield name, jax.jit(function).trace(variables).lower(lowering_platforms=("tpu",)).as_text()


def _rough(module: nn.Module, method: str, args: Any, kwargs: Any) -> Any:
    with jax.default_matmul_precision("tensorfloat32"):
        return getattr(module, method)(*args, **kwargs)
