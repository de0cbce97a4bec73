"""Eight virtual devices, a compilation cache, and no warnings."""

import os
from pathlib import Path

import jax

jax.config.update("jax_num_cpu_devices", 8)
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genjax_zoo" / "jax"
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))  # for the processes that tests start
jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
