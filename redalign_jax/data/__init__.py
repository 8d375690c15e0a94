"""Where tasks come from: one module per source, each with `defaults()` and `load(config, seed)`."""

from ml_collections import ConfigDict

from redalign_jax.data import (
    arrays,
    av_digits,
    avmnist,
    emoji,
    mfeat,
    mosei,
    mosi,
    mustard,
    redundancy_bits,
    tfds_source,
    ur_funny,
)
from redalign_jax.data.task import Split, Task
from redalign_jax.errors import UserError

SOURCES = {
    "redundancy_bits": redundancy_bits,
    "mfeat": mfeat,
    "av_digits": av_digits,
    "emoji": emoji,
    "avmnist": avmnist,
    "mosei": mosei,
    "mosi": mosi,
    "mustard": mustard,
    "ur_funny": ur_funny,
    "arrays": arrays,
    "tfds": tfds_source,
}

__all__ = ["SOURCES", "Split", "Task", "load"]


def load(config: ConfigDict, seed: int) -> Task:
    """The task of `config.source` at one point of the task axis.

    Args:
      config: the `data` section with one value per field.
      seed: decides everything random about the task: samples, splits, which labels are seen.

    Raises:
      UserError: one line that names the field or file.
    """
    if config.source not in SOURCES:
        raise UserError(f"data.source: {config.source!r} is not one of {', '.join(SOURCES)}")
    return SOURCES[config.source].load(config, seed)
