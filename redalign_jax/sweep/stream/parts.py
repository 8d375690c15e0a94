"""A block's data in two parts: what is placed for good, and what is sent when it is read."""

from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding

from redalign_jax.data.rows import Rows
from redalign_jax.measures import evaluate
from redalign_jax.runtime import devices, processes
from redalign_jax.sweep.shape import Shape
from redalign_jax.task import Split
from redalign_jax.training import embedded
from redalign_jax.training.data import Data, shared
from redalign_jax.training.embedded import Embeddings
from redalign_jax.training.loop import TrainSpec

WINDOW = 2**28  # bytes of a window, about
SHARE = 0.4  # of an accelerator's memory, that arrays may fill which all tasks share

EMPTY = Split((), None)


def wanted(example: Data, mesh: Mesh) -> bool:
    """Whether the arrays that tasks share are too large for an accelerator.

    A CPU reads them where they are. Several processes keep them on their devices: windows would
    have to be the same on all.
    """
    if mesh.devices.flat[0].platform == "cpu" or jax.process_count() > 1:
        return False
    held = sum(a.nbytes for a in jax.tree.leaves(example.wholes))
    return held > SHARE * devices.memory_bound()


@dataclass
class Streamed:
    """A block's tasks, in the place of `Data`.

    Attributes:
      base: what is placed for good. Its `Rows` have no index, and there are no wholes.
      index: by "train", "valid", "test": per modality (R, n) rows of its whole, or None; on the
        host.
      partners: (R, M, n) of `Data.order`, on the host, or None.
      wholes: per modality, on the host.
      ahead: by its first step, what was sent for a stretch of steps.
    """

    base: Data
    index: dict[str, tuple[np.ndarray | None, ...]]
    partners: np.ndarray | None
    wholes: tuple[np.ndarray | None, ...]
    ahead: dict[int, Data] = field(default_factory=dict)


def load(local: dict[int, Data], rows: int, sharding: NamedSharding) -> Streamed:
    """Places all of the tasks but what they share; by row one of `grid.arrays`."""
    tasks, index = [local[row] for row in range(rows)], {}
    for part in ("train", "valid", "test"):
        index[part] = tuple(
            np.stack([getattr(task, part).x[m].index for task in tasks])
            if isinstance(one, Rows)
            else None
            for m, one in enumerate(getattr(tasks[0], part).x)
        )
    bare = [indexed(task._replace(wholes=None), None) for task in tasks]
    base = processes.place_rows(sharding, len(tasks), dict(enumerate(bare)))
    partners = tasks[0].order and np.stack([task.order.train for task in tasks])
    return Streamed(base, index, partners, shared(tasks))


def indexed(data: Data, index: Any) -> Data:
    """`data` whose rows have all this index."""

    def split(of: Split) -> Split:
        x = (replace(one, index=index) if isinstance(one, Rows) else one for one in of.x)
        return of._replace(x=tuple(x))

    return data._replace(train=split(data.train), valid=split(data.valid), test=split(data.test))


class Sizes(NamedTuple):
    """Numbers of a block that is streamed.

    Attributes:
      stretch: steps of a window.
      probes: training rows that are embedded for probes.
      turn: by "valid" and "test" the rows that are embedded at a time.
    """

    stretch: int
    probes: int
    turn: dict[str, int]


def sizes(plan: TrainSpec, settings: evaluate.EvalSpec, shape: Shape, example: Data) -> Sizes:
    """How it is cut: windows of at most `WINDOW` bytes, or of one step."""
    steps, each = plan.steps // plan.evaluations, per_step(plan, example)
    row = sum(w.size * w.dtype.itemsize // w.shape[0] for w in jax.tree.leaves(example.wholes))
    whole = [s for s in range(1, steps + 1) if not steps % s]
    fits = [s for s in whole if shape.rows * s * each * row <= WINDOW]
    turn = {part: min(embedded.TURN, len(getattr(example, part).y)) for part in ("valid", "test")}
    return Sizes(max(fits, default=1), min(settings.probe_examples, len(example.train.y)), turn)


def per_step(plan: TrainSpec, example: Data) -> int:
    """Rows that a step reads."""
    labels, pairs = len(example.train.y), len(example.train.x[0])
    return min(plan.batch, labels) + plan.batch * (pairs > labels)


def reading(split: Split, index: tuple, windows: tuple, **more: Any) -> Data:
    """A task whose training rows are places in windows; without other splits, or as `more` says."""
    pairs = zip(split.x, index, strict=True)
    x = tuple(replace(one, index=i) if isinstance(one, Rows) else one for one, i in pairs)
    splits = {"train": split._replace(x=x), "valid": EMPTY, "test": EMPTY}
    return Data(**{**splits, "wholes": windows, **more})


def known(split: Split, found: tuple, best: tuple | None = None) -> Split:
    """A split whose rows were embedded."""
    triples = zip(split.x, found, best or (None,) * len(found), strict=True)
    x = (Embeddings(now, then) if isinstance(one, Rows) else one for one, now, then in triples)
    return split._replace(x=tuple(x))
