"""The devices a sweep runs on."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from redalign_jax.errors import UserError

RUNS, BATCH = "runs", "batch"


def prepare() -> None:
    """Before JAX starts: one XLA host device per core, and the persistent compilation cache.

    Does nothing to a JAX that has started, or that was told otherwise by the environment.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = os.environ.get("XDG_CACHE_HOME") or _home() / ".cache"
        jax.config.update("jax_compilation_cache_dir", str(Path(cache) / "redalign_jax" / "xla"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    told = "xla_force_host_platform_device_count" in os.environ.get("XLA_FLAGS", "")
    if not told and "JAX_NUM_CPU_DEVICES" not in os.environ:
        # JAX has started; no affinity on this system
        with contextlib.suppress(RuntimeError, AttributeError):
            jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def _home() -> Path:
    """The user's folder, or one for temporary files where there is no such user."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(tempfile.gettempdir()) / f"redalign-{os.getuid()}"


def mesh(batch: int = 1, found: Sequence[jax.Device] | None = None) -> jax.sharding.Mesh:
    """All devices of all processes: `runs` × `batch`, where a run's batch is split over the latter.

    Args:
      batch: devices that share a batch.
      found: the devices, also such as are only described; None for those there are.

    Raises:
      UserError: `batch` does not divide the number of devices.
    """
    found = np.array(jax.devices() if found is None else found)
    if found.size % batch:
        raise UserError(f"sweep.batch_shards: {batch} does not divide the {found.size} devices")
    return jax.sharding.Mesh(found.reshape(-1, batch), (RUNS, BATCH))


def describe() -> str:
    """The devices that a result's last bits depend on."""
    found = jax.devices()
    processes = f" in {jax.process_count()} processes" * (jax.process_count() > 1)
    return f"{len(found)} × {found[0].device_kind}{processes}"


def _machine_memory() -> int:
    """Bytes of this machine, or of the container if that allows less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):  # cgroups 2 and 1
        with contextlib.suppress(OSError, ValueError):  # none, or "max"
            total = min(total, int((Path("/sys/fs/cgroup") / limit).read_text()))
    return total


def memory_bound() -> int:
    """Bytes that one device's program may take.

    On CPU half of the machine's memory, shared by its devices; on an accelerator nine tenths of
    what is free.
    """
    device = jax.local_devices()[0]
    stats = device.memory_stats() if device.platform != "cpu" else None
    if stats and "bytes_limit" in stats:
        return int(0.9 * (stats["bytes_limit"] - stats.get("bytes_in_use", 0)))
    return _machine_memory() // 2 // jax.local_device_count()


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turns a device's out-of-memory error, whichever it is, into a MemoryError of one line."""
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise MemoryError(str(error).splitlines()[0][:200]) from None
