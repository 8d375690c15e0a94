"""A block whose large arrays stay on the host: what a stretch of steps reads is sent ahead.

The programs are those of a block in memory, see `lower`. They read from a *window*, the rows of a
stretch of steps in the order of their use, by `Rows` whose numbers are places in it. Which rows
these are is known beforehand, so the next window is gathered and sent while the device trains.
Validation and test rows are embedded in windows as well.
"""

from redalign_jax.sweep.stream.driver import Driver
from redalign_jax.sweep.stream.parts import Streamed, load, sizes, wanted
from redalign_jax.sweep.stream.programs import Compiled, lowered

__all__ = ["Compiled", "Driver", "Streamed", "load", "lowered", "sizes", "wanted"]
