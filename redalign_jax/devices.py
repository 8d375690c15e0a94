"""The devices a sweep runs on."""

import contextlib
import os
from pathlib import Path

import jax
import numpy as np

RUNS = "runs"


def prepare() -> None:
    """Before JAX starts: one XLA host device per core, and the persistent compilation cache.

    Does nothing to a JAX that has started, or that was told otherwise by the environment.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(cache) / "redalign_jax" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    told = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not told and "JAX_NUM_CPU_DEVICES" not in os.environ:
        # JAX has started; no affinity on this system
        with contextlib.suppress(RuntimeError, AttributeError):
            jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def mesh() -> jax.sharding.Mesh:
    """All devices along one axis, `runs`."""
    return jax.sharding.Mesh(np.array(jax.devices()), (RUNS,))


def memory_bound() -> int:
    """Bytes that one device's program may take: half of the host's memory, shared by its devices,
    or nine tenths of what an accelerator says it has."""
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(0.9 * stats["bytes_limit"])
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return total // 2 // jax.local_device_count()
