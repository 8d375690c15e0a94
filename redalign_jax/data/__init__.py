"""Where tasks come from: one module per source, each with `defaults()` and `load(config, seed)`."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from ml_collections import ConfigDict

from redalign_jax.errors import UserError
from redalign_jax.task import Source, Split, Task

# A task from the `data` section at one point of the task axis, and a seed; `load` below is one.
Load = Callable[[ConfigDict, int], Task]

# By name the module that knows it, imported when it is asked for.
SOURCES = {
    "redundancy_bits": "redundancy_bits",
    "gaussian_views": "gaussian_views",
    "mfeat": "mfeat",
    "av_digits": "av_digits",
    "avmnist": "avmnist",
    "mosei": "multibench",
    "mosi": "multibench",
    "mustard": "multibench",
    "ur_funny": "multibench",
    "arrays": "arrays",
    "tfds": "tfds_source",
}

__all__ = ["SOURCES", "Load", "Source", "Split", "Task", "defaults", "load", "module"]


def module(source: str) -> ModuleType:
    """The module of a source.

    Raises:
      UserError: there is none of that name.
    """
    if source not in SOURCES:
        raise UserError(f"data.source: {source!r} is not one of {', '.join(SOURCES)}")
    return import_module(f"{__name__}.sources.{SOURCES[source]}")


def defaults(source: str) -> ConfigDict:
    """The section `data` of a source, as it stands before anything is chosen."""
    found = module(source).defaults()
    found.source = source
    return found


def load(config: ConfigDict, seed: int) -> Task:
    """The task of `config.source` at one point of the task axis.

    Args:
      config: the `data` section with one value per field.
      seed: decides everything random about the task: samples, splits, which labels are seen.

    Raises:
      UserError: one line that names the field or file.
    """
    return module(config.source).load(config, seed)
