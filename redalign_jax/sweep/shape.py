"""How a grid of runs is cut into blocks.

A block is a rectangle of *rows* × *settings*. A row is a task with its seed; all runs of a row
share data, init and batches, so whatever depends on those alone is computed once per row. Rows are
the sharded axis.
"""

from typing import NamedTuple


class Shape(NamedTuple):
    """How a grid is cut into blocks.

    Attributes:
      rows: rows of a block, over all devices.
      settings: settings of a block.
      turn: rows that a device trains and measures at a time, where memory is short; 0 for all.
    """

    rows: int
    settings: int
    turn: int = 0


def cut(
    tasks: int, settings: int, device_count: int, runs_per_device: int, least: int = 1
) -> Shape:
    """The block for a grid of `tasks` × `settings` runs: full devices, little padding.

    Args:
      tasks: tasks times seeds.
      settings: hyperparameter settings.
      device_count: devices that share the rows.
      runs_per_device: target.
      least: runs per device, filled with rows that are trained twice where there are no more.
    """
    share = -(-tasks * settings // device_count)  # runs that one device gets in all
    widest = max(1, min(settings, runs_per_device, share))
    blocks = -(-settings // widest)
    wide = -(-settings // blocks)
    rows = -(-tasks * blocks // device_count)
    turns = -(-rows // max(1, runs_per_device // wide))
    return Shape(max(-(-rows // turns), -(-least // wide)) * device_count, wide)
