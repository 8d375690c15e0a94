"""A table that is open, whatever kind of file it is in."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Table(NamedTuple):
    """A table that is open.

    Attributes:
      names: its columns.
      get: a column as an array, (n,) or wider; texts and what has holes as objects.
      wide: columns that hold more than one number per row.
    """

    names: list[str]
    get: Callable[[str], np.ndarray]
    wide: list[str]
