"""CMU-MOSI: the sentiment of sentences from online film reviews, [−3, 3], a regression.

Features per word: facial (20 or 35), acoustic (5 or 74), GloVe (300). File: MultiBench's
`mosi_raw.pkl`.

> A. Zadeh, R. Zellers, E. Pincus, L.-P. Morency. MOSI: Multimodal Corpus of Sentiment Intensity
> and Subjectivity Analysis in Online Opinion Videos. IEEE Intelligent Systems 31(6), 2016.
"""

from ml_collections import ConfigDict

from redalign_jax.data.sources import multibench
from redalign_jax.task import Task


def defaults() -> ConfigDict:
    """The fields of `data`; a tuple is a task axis."""
    return multibench.defaults("mosi")


def load(config: ConfigDict, seed: int) -> Task:
    """The published splits as a task, see `multibench.load`."""
    return multibench.load(Mosi, config, seed)


class Mosi(multibench.Affect):
    """The TFDS builder."""

    FILE = "mosi_raw.pkl"
    SENTIMENT = True
    HOMEPAGE = "http://multicomp.cs.cmu.edu/resources/cmu-mosi-dataset/"
