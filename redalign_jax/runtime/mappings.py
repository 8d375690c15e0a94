"""Room for compiled programs among the memory mappings that Linux allows a process."""

import gc
from collections.abc import Callable
from pathlib import Path

import jax

SHARE = 0.5  # of the mappings, that may be taken before programs are let go


def crowded() -> bool:
    """Whether more than half of this process's memory mappings are taken; False where none counts.

    Every program for CPUs takes hundreds of mappings, and JAX keeps all it compiled. At the bound,
    `vm.max_map_count` (65,530 unless set), XLA ends the process with a segmentation fault.
    """
    try:
        bound = int(Path("/proc/sys/vm/max_map_count").read_text())
        taken = Path("/proc/self/maps").read_bytes().count(b"\n")
    except OSError:
        return False
    return taken > SHARE * bound


def make_room(*others: Callable[[], object]) -> None:
    """Where it is crowded, lets go of what JAX compiled, and calls `others`, which drop more.

    Whoever still holds a program goes on with it; what is asked for again is compiled again.
    """
    if crowded():
        for drop in others:
            drop()
        jax.clear_caches()
        gc.collect()
