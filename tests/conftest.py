"""Eight virtual devices, a compilation cache, no warnings, and data folders that are the test's own."""

import hashlib
import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read at NumPy's import: two workers' threads wait for each other

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genjax_zoo" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))  # for the processes that tests start
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
# without expensive passes, compiling takes half the time: the tests are of our programs, not of XLA's passes
jax.config.update("jax_disable_most_optimizations", True)
MAPS = 65_530  # of one process


def pytest_make_parametrize_id(val):
    """Bytes are not a test's name: gzip's hold the time, and two processes would not collect the same tests."""
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


def pytest_collection_modifyitems(items):
    """Two processes compile side by side; tests with programs in common stay together: a file's, or a model's laws."""
    for item in items:
        group = item.path.stem
        name = getattr(item, "originalname", None)
        if name == "test_law":
            group = f"laws of {item.callspec.params['name']}"
        elif name in ("test_experiment", "test_mutant"):
            group = item.name
        item.add_marker(pytest.mark.xdist_group(group))


def memory_maps():
    """How many maps this process holds; each compiled program takes some, and Linux allows 65,530."""
    maps = Path("/proc/self/maps")
    return maps.read_text().count("\n") if maps.exists() else 0


@pytest.fixture(autouse=True, scope="module")
def _programs_are_kept_while_there_is_room():
    """What the next module needs again is not compiled again, until a tenth of the maps is taken: 2,000 programs."""
    yield
    if memory_maps() > MAPS // 10:
        jax.clear_caches()


@pytest.fixture
def own_folders(monkeypatch, tmp_path):
    """No data folder but the test's own, and a cache of its own."""
    from genjax_zoo.data import mnist

    (tmp_path / "data").mkdir()
    monkeypatch.setenv("GENJAX_ZOO_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    for cached in (mnist._read, mnist._static, mnist._stacked):
        cached.cache_clear()
    yield tmp_path / "data"
    for cached in (mnist._read, mnist._static, mnist._stacked):
        cached.cache_clear()


@pytest.fixture
def small(monkeypatch):
    """The small set's digests stand for MNIST's."""
    from made import SMALL

    from genjax_zoo.data import mnist

    digests = {
        (split, entry): hashlib.sha256(SMALL[split][entry].astype("uint8").tobytes()).hexdigest()
        for split, entry in mnist.CONTENT
    }
    monkeypatch.setattr(mnist, "CONTENT", digests)
