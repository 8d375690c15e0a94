"""UR-FUNNY: whether a sentence of a talk makes the audience laugh, two classes.

Features per word: visual (371), acoustic (81), GloVe (300). File: MultiBench's `humor.pkl`.

> M. K. Hasan, W. Rahman, A. Zadeh et al. UR-FUNNY: A Multimodal Language Dataset for Understanding
> Humor. EMNLP 2019.
"""

from ml_collections import ConfigDict

from redalign_jax.data.sources import multibench
from redalign_jax.task import Task


def defaults() -> ConfigDict:
    """The fields of `data`; a tuple is a task axis."""
    return multibench.defaults("ur_funny")


def load(config: ConfigDict, seed: int) -> Task:
    """The published splits as a task, see `multibench.load`."""
    return multibench.load(UrFunny, config, seed)


class UrFunny(multibench.Affect):
    """The TFDS builder."""

    FILE = "humor.pkl"
    SENTIMENT = False
    HOMEPAGE = "https://github.com/ROC-HCI/UR-FUNNY"
