"""A model whose conditions are fixed: whatever it is asked, the model inside is told them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax_zoo import wrap
from genjax_zoo.core import Conditionals, Model

V, KEY = {}, jax.random.key(0)
SPEAKERS = {"speaker": jnp.array([7, 8])}
BATCH, Z = {"x": jnp.zeros((2, 1)), **SPEAKERS}, jnp.zeros((2, 3))


def telling():
    """Every function gives what it was told: ten times the label, and the speaker."""

    def told(given):
        return 10 * given["label"] + given["speaker"]

    def terms(variables, batch, key, train):
        return {"told": told(batch)}, variables

    views = Conditionals(
        grid=(1, 1, 1),
        levels=2,
        logits=lambda v, batch: told(batch),
        start=lambda v, n, cond: told(cond),
        begin_row=lambda *_: None,
        step=lambda *_: (None, None),
        choices=lambda *_: jnp.zeros(2),
    )
    return Model(
        spec={name: jax.ShapeDtypeStruct((), jnp.int32) for name in ("x", "label", "speaker")},
        init=lambda key, batch: {"told": told(batch)},
        apply=lambda *_: (None, {}),
        sample=lambda v, key, n, cond: told(cond),
        nll=terms,
        nelbo=terms,
        log_weights=lambda v, batch, key, k: told(batch),
        encode=lambda v, batch, key: told(batch),
        posterior_means=lambda v, batch, key, k: told(batch),
        decode=lambda v, z, cond: told(cond),
        sample_prior=lambda v, key, n, cond: told(cond),
        codes=lambda v, batch: told(batch),
        conditionals=views,
        check=lambda batch: told({"speaker": 0, **batch}),
        of_length=lambda length: telling(),
        at_temperature=lambda t: telling(),
    )


ASKED = {
    "init": lambda model: model.init(KEY, BATCH)["told"],
    "sample": lambda model: model.sample(V, KEY, 2, SPEAKERS),
    "nll": lambda model: model.nll(V, BATCH, KEY, False)[0]["told"],
    "nelbo": lambda model: model.nelbo(V, BATCH, KEY, False)[0]["told"],
    "log_weights": lambda model: model.log_weights(V, BATCH, KEY, 5),
    "encode": lambda model: model.encode(V, BATCH, KEY),
    "posterior_means": lambda model: model.posterior_means(V, BATCH, KEY, 5),
    "decode": lambda model: model.decode(V, Z, SPEAKERS),
    "sample_prior": lambda model: model.sample_prior(V, KEY, 2, SPEAKERS),
    "codes": lambda model: model.codes(V, BATCH),
    "conditionals": lambda model: model.conditionals.logits(V, BATCH),
    "conditionals.start": lambda model: model.conditionals.start(V, 2, SPEAKERS),
    "check": lambda model: model.check(BATCH),
    "at_temperature": lambda model: model.at_temperature(0.5).sample(V, KEY, 2, SPEAKERS),
    "of_length": lambda model: model.of_length(9).sample(V, KEY, 2, SPEAKERS),
}


@pytest.mark.parametrize("field", ASKED)
def test_a_fixed_condition_reaches_the_model_whatever_is_asked(field):
    three = wrap.conditioned(telling(), label=3)
    assert set(three.spec) == {"x", "speaker"}
    np.testing.assert_array_equal(ASKED[field](three), [37, 38])
    with pytest.raises(KeyError, match="label"):  # control: nothing else tells it
        ASKED[field](telling())


def test_no_field_is_left_out():
    assert {field.name for field in dataclasses.fields(Model)} == {*ASKED, "spec", "apply", "made"} - {
        "conditionals.start"
    }


@pytest.mark.parametrize("label", (1.5, True, "a"))
def test_a_class_is_a_whole_number(label):
    with pytest.raises(ValueError, match="The condition 'label' is of int32, not"):
        wrap.conditioned(telling(), label=label)
