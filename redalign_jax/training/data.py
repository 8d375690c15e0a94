"""What a run trains on: a task's arrays on the device."""

from typing import NamedTuple

from jax import Array

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
    """

    train: Split
    valid: Split
    test: Split
    zero: Array | None = None
    order: Order | None = None
