"""What the tests themselves rely on."""

import gc

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import MAPS, memory_maps


@pytest.fixture
def no_rubbish():
    """Programs of tests before do not end in the middle of counting."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def test_programs_give_their_memory_maps_back(no_rubbish):
    """So that keeping them from module to module, until a tenth of the maps is taken, never reaches the limit."""
    x, before = jnp.ones(3), memory_maps()
    programs = {jax.jit(lambda x, i=i: jnp.sin(x * i)): i for i in range(30)}
    assert all(float(program(x)[0]) == pytest.approx(np.sin(i), abs=1e-6) for program, i in programs.items())
    held = memory_maps() - before
    assert 30 <= held < 30 * 10 or before == 0  # a few each; there is nothing to count but on Linux
    programs.clear()
    gc.collect()
    assert memory_maps() - before <= held // 3
    assert memory_maps() < MAPS // 2
