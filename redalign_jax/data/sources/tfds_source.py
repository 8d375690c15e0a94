"""Any dataset that TensorFlow Datasets has prepared on this machine, by its name."""

import os
import re
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds
from ml_collections import ConfigDict

from redalign_jax.data import notes, prepared, splits
from redalign_jax.data.sources.arrays import understood
from redalign_jax.errors import UserError
from redalign_jax.task import Task


def defaults() -> ConfigDict:
    """The fields of `data`; a tuple is a task axis."""
    return ConfigDict(
        {
            "source": "tfds",
            "dataset": "",  # name, name/config, name:version or name/config:version
            "split": "all",  # a TFDS split to read; ours are drawn from it
            "label": "label",  # the feature to predict
            "modalities": ("",),  # comma-separated features; "" = all numeric but the label, sorted
            "kinds": "",  # NAME=vector, sequence, image or tokens, between commas; "" guesses
            "labels": (0,),  # labelled training pairs; 0 = all
            "valid": 0.1,
            "test": 0.2,
            "data_dir": "",  # where the prepared dataset is, see prepared.directory
        }
    )


def load(config: ConfigDict, seed: int) -> Task:
    """Reads a task from a dataset prepared as array_record (TFDS's own splits are not kept).

    Only files are read, never the code that generated them, so no TensorFlow is needed.

    Args:
      config: the fields of `defaults`, one value each.
      seed: of the splits.

    Returns:
      The task. What a feature is, `kinds.guess` tells; copies of rows stay together.

    Raises:
      UserError: one line that names the dataset or the field.
    """
    if not config.dataset:
        raise UserError("data.dataset is empty: name a dataset that TFDS has prepared")
    home = _find(config.dataset, prepared.directory(config.data_dir))
    source = os.fspath(home)
    features = prepared.open_directory(home).info.features
    if config.label not in features:
        raise UserError(f"data.label={config.label!r}: {source} has {', '.join(features)}")
    # Sorted, because the files keep features in no particular order.
    usable = sorted(n for n, f in features.items() if n != config.label and _is_numeric(f))
    names = splits.choose(config.modalities, usable, source)
    wide = [name for name in names if features[name].shape]
    if not config.modalities.strip() and wide:
        ids = [n for n in names if n not in wide and np.dtype(features[n].np_dtype).kind in "biu"]
        names = [name for name in names if name not in ids]
        if ids:
            notes.once(
                f"{source}: {', '.join(map(repr, ids))} left out: whole numbers, one per row, are "
                "no modality unless --config.data.modalities says so"
            )
    if not names:
        raise UserError(f"{source}: no numeric feature besides {config.label!r}")
    arrays = prepared.read(home, [*names, config.label], config.split)
    y = arrays[config.label]
    x = {name: arrays[name] for name in names}
    x, kinds, groups = understood(x, len(y), config.kinds, None, source)
    return splits.make_task(
        x,
        y,
        labels=config.labels,
        valid=config.valid,
        test=config.test,
        seed=seed,
        source=source,
        kinds=kinds,
        groups=groups,
    )


def _find(dataset: str, root: Path) -> Path:
    """The newest matching version directory: root/name/version or root/name/config/version."""
    name, _, version = dataset.partition(":")
    homes = [info.parent for info in (root / name).glob(f"{version or '*'}/{prepared.INFO}")]
    homes = [home for home in homes if re.fullmatch(r"\d+\.\d+\.\d+", home.name)]
    if not homes:
        raise UserError(
            f"data.dataset={dataset!r} is not prepared in {root} (data.data_dir); "
            "it must look like name, name/config or name:1.0.0"
        )
    return max(homes, key=lambda home: [int(number) for number in home.name.split(".")])


def _is_numeric(feature: tfds.features.FeatureConnector) -> bool:
    dtype = feature.np_dtype
    return not isinstance(dtype, dict) and np.dtype(dtype).kind in "biuf"
