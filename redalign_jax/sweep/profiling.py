"""Profiles of chosen segments, on request."""

import contextlib
from collections.abc import Collection
from pathlib import Path

import jax


def profiled(
    folder: Path, segment: int, wanted: Collection[int]
) -> contextlib.AbstractContextManager:
    """Profiles what runs inside if `segment` is wanted, into `<folder>/segment_<number>/`.

    What runs inside has to wait for its results, else it ends before the device does. The trace
    opens in Perfetto (`*.trace.json.gz`) and, with the package xprof, in TensorBoard
    (`*.xplane.pb`).

    Args:
      folder: of the profiles, made if need be.
      segment: the number of this one, counted from 0 over the whole sweep.
      wanted: those to profile.
    """
    if segment not in wanted:
        return contextlib.nullcontext()
    return jax.profiler.trace(str(folder / f"segment_{segment}"))
