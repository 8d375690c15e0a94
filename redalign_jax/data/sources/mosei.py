"""CMU-MOSEI: the sentiment of sentences from online videos, [−3, 3], a regression.

Features per word: facial (35), acoustic (74), GloVe (300). File: MultiBench's `mosei_raw.pkl`.

> A. Zadeh, P. P. Liang, S. Poria, E. Cambria, L.-P. Morency. Multimodal Language Analysis in the
> Wild: CMU-MOSEI Dataset and Interpretable Dynamic Fusion Graph. ACL 2018.
"""

from ml_collections import ConfigDict

from redalign_jax.data.sources import multibench
from redalign_jax.task import Task


def defaults() -> ConfigDict:
    """The fields of `data`; a tuple is a task axis."""
    return multibench.defaults("mosei")


def load(config: ConfigDict, seed: int) -> Task:
    """The published splits as a task, see `multibench.load`."""
    return multibench.load(Mosei, config, seed)


class Mosei(multibench.Affect):
    """The TFDS builder."""

    FILE = "mosei_raw.pkl"
    SENTIMENT = True
    HOMEPAGE = "http://multicomp.cs.cmu.edu/resources/cmu-mosei-dataset/"
