"""What a run trains on: a task's arrays on the device."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from jax import Array

from redalign_jax.data.rows import Rows
from redalign_jax.task import Split


class Order(NamedTuple):
    """Which row of every modality stands beside which, where partners are shuffled.

    Attributes:
      train: (M, n) a permutation of the training rows per modality, for pairs to align.
      valid: (M, n_valid) the same for the validation split, for what posteriors are weighed on.
    """

    train: Array
    valid: Array


class Data(NamedTuple):
    """A task's arrays on the device.

    Attributes:
      train, valid, test: the splits; targets of a regression are standardised.
      zero: where the zero of a regression's own units is on that scale, scalar; None for classes.
      order: of shuffled partners; None where row i of every modality is about the same thing. Task
        losses, validation scores and measures know nothing of it.
      wholes: per modality the (N, d) array of which the splits hold `Rows`, None where they hold
        arrays; or None. All tasks of a program share them.
    """

    train: Split
    valid: Split
    test: Split
    zero: Array | None = None
    order: Order | None = None
    wholes: tuple[Array | None, ...] | None = None


def apart(data: Data) -> Data:
    """`data` with what tasks share in `wholes` alone."""
    if not any(isinstance(x, Rows) for x in data.train.x):
        return data
    wholes = tuple(x.values if isinstance(x, Rows) else None for x in data.train.x)
    return _held(data, (None,) * len(wholes))._replace(wholes=wholes)


def together(data: Data) -> Data:
    """The other way round: splits that can be read."""
    return data if data.wholes is None else _held(data, data.wholes)._replace(wholes=None)


def _held(data: Data, wholes: tuple[Array | None, ...]) -> Data:
    def split(of: Split) -> Split:
        pairs = zip(of.x, wholes, strict=False)  # a split may be empty
        return of._replace(
            x=tuple(replace(x, values=v) if isinstance(x, Rows) else x for x, v in pairs)
        )

    return data._replace(train=split(data.train), valid=split(data.valid), test=split(data.test))


def shared(tasks: Iterable[Data]) -> tuple[Array | None, ...] | None:
    """The `wholes` of tasks, which are the very same arrays.

    Raises:
      RuntimeError: they are not.
    """
    first, *others = (task.wholes for task in tasks)
    for one in others:
        if any(a is not b for a, b in zip(first or (), one or (), strict=True)):
            raise RuntimeError("tasks of one program read from different arrays")
    return first
