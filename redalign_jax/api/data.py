"""Arrays in memory as data, and a look at data before anything is trained."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from redalign_jax import config as configs
from redalign_jax.api.experiment import experiment
from redalign_jax.data import Load, look, memory
from redalign_jax.data.memory import Dataset
from redalign_jax.runtime import processes, workdir

OWN = ("arrays", "tfds")  # sources of data that a user brings


def arrays(
    modalities: Mapping[str, Any],
    labels: Any,
    *,
    split: Any = None,
    groups: Any = None,
    ids: Mapping[str, Any] | None = None,
    kinds: Mapping[str, str] | str = "",
    transform: Mapping[str, str] | str = "",
    unlabelled: str = "",
    target: str = "",
    n_labels: int | Sequence[int] = 0,
    valid: float = 0.1,
    test: float = 0.2,
) -> Dataset:
    """Paired arrays in memory as a dataset; the same checks and splits as those of an .npz file.

    Args:
      modalities: name → (n, ...) numbers, row i of each about the same thing: numpy, JAX, lists,
        pandas (an index is ids: where indexes differ, rows are joined by them), scipy sparse (made
        dense, up to 2²⁸ numbers), lists of sequences of several lengths. Vectors, sequences
        (n, t, d), images (n, h, w[, c]) and tokens (n, t) are told apart, see
        `redalign_jax.kinds.guess`. A row that is NaN throughout, None in a list, or without its id
        is missing: it trains the encoders of what it has, and no pair that lacks it.
      labels: (n,) integers, booleans or texts are classes, floating point is a regression's target;
        one-hot (n, C) is taken as classes. Rows of None, NaN or NA are pairs without a label, and
        still aligned.
      split: (n,) "train", "valid" or "test" (or 0, 1, 2) of every row, where that is given.
      groups: (n,) values; rows of one value are never on two sides of a split or fold.
      ids: name → (rows,) ids of every modality and of "labels", to join rows that are not paired.
      kinds: name → "vector", "sequence", "image" or "tokens", where the guess is wrong.
      transform: name → "log1p", of counts that span decades.
      unlabelled: a label, as text, that stands for none, such as "-1".
      target: "classes" or "regression", where the type of the labels does not say it.
      n_labels: labelled training pairs, 0 for all; several are an axis of a sweep.
      valid, test: shares of the labelled pairs, or their numbers; the rest is for training.

    Returns:
      The dataset, a copy of the arrays.

    Raises:
      UserError: one line that names the array and what is wrong with it.

    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> views = {name: y[:, None] + rng.normal(size=(200, 3)) for name in ("vision", "text")}
    >>> arrays(views, y)
    Dataset of 200 rows, 200 labelled: vision (vector 3), text (vector 3)
    """
    many = isinstance(n_labels, (Sequence, np.ndarray))
    return memory.dataset(
        modalities,
        labels,
        split=split,
        groups=groups,
        ids=ids,
        kinds=kinds,
        transform=transform,
        unlabelled=unlabelled,
        target=target,
        labels=tuple(int(n) for n in n_labels) if many else (n_labels,),
        valid=valid,
        test=test,
    )


def inspect(data: Dataset | ConfigDict | str, **fields: Any) -> str:
    """A look at data before training: rows, labels, modalities, and what to mind, in 12 lines.

    Args:
      data: as of `sweep`; of several tasks, the first.
      **fields: of the experiment, as of `sweep`; those of `data` matter.

    Returns:
      The lines. Rows that go together no better than shuffled ones are said to, see
      `data.look.pairing`.

    Raises:
      UserError: data that cannot be used.

    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(200) % 2
    >>> data = arrays({name: y[:, None] + rng.normal(size=(200, 3)) for name in "ab"}, y)
    >>> print(inspect(data).splitlines()[0])
    arrays: 200 rows, all labelled in 2 classes: 0 100, 1 100
    """
    config, load = experiment(data, fields)
    config = configs.check(config)
    _, source = configs.points(config, load)[0]
    source(config.sweep.first_seed)  # refuses what cannot be split
    return "\n".join(look.noted(*facts(data, config, load)))


def facts(
    data: Dataset | ConfigDict | str, config: ConfigDict, load: Load | None
) -> tuple[list[str], str]:
    """What there is to say about data, and what they are called in it."""
    point = configs.data_points(config.data)[0][1]
    name = point.get("path") or point.source
    if isinstance(data, Dataset):
        ready = data.ready
    elif point.source == "arrays":
        from redalign_jax.data.sources import arrays as files

        name, ready = os.path.expanduser(name), files.read(point)
    else:
        columns, source = configs.points(config, load)[0]
        name = ", ".join([name, *(f"{n}={v}" for n, v in columns.items())])
        return look.facts_of_task(source(config.sweep.first_seed), name), name
    said = (ready.x, ready.kinds, ready.y, ready.known, ready.groups, ready.split)
    return look.facts(*said, name, ready.present), name


def look_at(
    data: Dataset | ConfigDict | str,
    config: ConfigDict,
    load: Load | None,
    progress: bool | None,
) -> tuple[list[str], str] | None:
    """Prints a look at a user's own data, and returns its facts; None of other data."""
    if config.data.source not in OWN or not processes.first():
        return None
    found = facts(data, config, load)
    if progress is not False:
        print("\n".join(look.noted(*found)), flush=True)
    return found


def keep(found: tuple[list[str], str] | None, folder: Path) -> None:
    """Writes the look into the workdir for its report, with all that was said until now."""
    if found:
        workdir.write_json(folder / look.FILE, look.noted(*found))
