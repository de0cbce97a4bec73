"""What a sampler's settings are multiplied by, and what a critic remembers."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from genjax_zoo.core import MEMORY, TURNS, Array, Batch, Key, Model, Sampler, Variables
from genjax_zoo.errors import UserError
from genjax_zoo.math import check_temperature
from genjax_zoo.wrap.calls import record_lost


def tempered(model: Model, temperature: float) -> Model:
    """The same model, whose draws from the prior lie a temperature times as far from its centre.

    Of a Gaussian prior these are mean + temperature * (z - mean), learned or not (Kingma & Dhariwal 2018, sec. 6); of a
    mixture, of every component; of codes, or an autoregressive model's numbers, the logits are divided by it. It
    multiplies the setting "temperature" of the model's sampler and of its prior's. Likelihoods stay what they are, and
    at 1 samples are those of the model itself.

    Raises:
        UserError: a temperature that is not above 0, or samplers that have none.
    """
    check_temperature(temperature)
    prior = model.latent and model.latent.prior
    samplers = [one for one in (model.sampler, prior and prior.sampler) if one is not None]
    if not samplers or any("temperature" not in one.settings for one in samplers):
        raise UserError(
            "This model has no prior with a temperature: it must be Gaussian or over codes, and its module's "
            "`sample_prior` take temperature=."
        )

    def colder(one: Sampler) -> Sampler:
        usual = one.settings["temperature"]

        def draw(variables: Variables, *args: Any, temperature: Any = usual, **how: Any) -> tuple[Array, Variables]:
            return one.draw(variables, *args, temperature=ours * temperature, **how)

        return Sampler(draw=draw, settings=one.settings)

    def cold(one: Model) -> Model:
        lost = {
            "sampler.scored": one.sampler and one.sampler.scored,
            "sampler.mean": one.sampler and one.sampler.mean,
        }
        sampler = one.sampler and colder(one.sampler)
        return dataclasses.replace(one, sampler=sampler, left_out=record_lost(one, "wrap.tempered", lost))

    ours = temperature
    latent = model.latent and dataclasses.replace(model.latent, prior=prior and cold(prior))
    return dataclasses.replace(cold(model), latent=latent)


def with_memory(model: Model, network: str = "discriminator") -> Model:
    """The model with what lazy penalties and LeCam keep of earlier turns: their count, and the scores' running means.

    Each of several critics has a memory of its own: wrap once for each.

    Args:
        model: a GAN's.
        network: the critic's, whose owner's updates are the ones that count.

    Raises:
        UserError: when it is initialised, if the model has no such network.
    """

    def init(key: Key, batch: Batch) -> Variables:
        variables = model.init(key, batch)
        if network not in variables["params"]:
            raise UserError(f"There is no network '{network}' to remember for; there are {list(variables['params'])}.")
        empty = {name: jnp.zeros((), jnp.float32) for name in (TURNS, "real_score", "fake_score")}
        return {**variables, MEMORY: {**variables.get(MEMORY, {}), network: empty}}

    return dataclasses.replace(model, init=init)
