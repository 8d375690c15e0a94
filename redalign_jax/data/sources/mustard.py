"""MUStARD: whether an utterance from a television show is sarcastic, two classes.

Features per word: visual (371), acoustic (81), GloVe (300). File: MultiBench's `sarcasm.pkl`.

> S. Castro, D. Hazarika, V. Pérez-Rosas, R. Zimmermann, R. Mihalcea, S. Poria. Towards Multimodal
> Sarcasm Detection (An _Obviously_ Perfect Paper). ACL 2019.
"""

from ml_collections import ConfigDict

from redalign_jax.data.sources import multibench
from redalign_jax.task import Task


def defaults() -> ConfigDict:
    """The fields of `data`; a tuple is a task axis."""
    return multibench.defaults("mustard")


def load(config: ConfigDict, seed: int) -> Task:
    """The published splits as a task, see `multibench.load`."""
    return multibench.load(Mustard, config, seed)


class Mustard(multibench.Affect):
    """The TFDS builder."""

    FILE = "sarcasm.pkl"
    SENTIMENT = False
    HOMEPAGE = "https://github.com/soujanyaporia/MUStARD"
