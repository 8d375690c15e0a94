"""Your own arrays: one `.npz` file with an array per modality and one named `labels`."""

import functools
import os
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from redalign_jax import kinds
from redalign_jax.data import checks, identity, labels, notes, npz, row_groups, scaling, splits
from redalign_jax.errors import UserError
from redalign_jax.task import Task


def defaults() -> ConfigDict:
    """The fields of `data`; a tuple is a task axis."""
    return ConfigDict(
        {
            "source": "arrays",
            "path": "",  # the .npz file
            "modalities": ("",),  # comma-separated arrays; "" = all that may be, in file order
            "kinds": "",  # NAME=vector, sequence, image or tokens, between commas; "" guesses
            "target": "",  # classes or regression; "" tells by the type of the labels
            "unlabelled": "",  # the label that stands for none, such as -1; "missing" for nan
            "groups": "",  # array of which equal values belong together; "" = `groups`, if there
            "labels": (0,),  # labelled training pairs; 0 = all
            "valid": 0.1,
            "test": 0.2,
        }
    )


def load(config: ConfigDict, seed: int) -> Task:
    """Reads a task from `numpy.savez("mine.npz", audio=…, text=…, labels=…)`.

    Row i of every array describes the same thing, or arrays have ids, and rows are joined by them.
    Arrays of these names are no modalities: `labels`, see `labels.read`; `groups`, rows of one
    value of which are never in two splits; `split`, train, valid or test (0, 1, 2) where the splits
    are given; `NAME_ids`, the ids of the rows of NAME, for all modalities and the labels. Ids, and
    whole numbers one per row beside wider arrays, are left out with a line, unless
    `modalities` names them. What an array is, `kinds` says or guesses, see `kinds.guess`; what
    becomes of it, `scaling.standardise`. Copies of rows stay together, see `row_groups.numbers`.

    Args:
      config: the fields of `defaults`, one value each.
      seed: of the splits.

    Returns:
      The task.

    Raises:
      UserError: one line that names the file and what is wrong with it.
    """
    if not config.path:
        raise UserError("data.path is empty: name an .npz file with one array per modality")
    path = os.path.expanduser(config.path)
    options = (config.modalities, config.kinds, config.target, config.unlabelled, config.groups)
    ready = _read(path, _stamp(path), *options)
    identity.note_file(path)
    return task(ready, config, seed, path)


def task(ready: "Ready", config: ConfigDict, seed: int, source: str) -> Task:
    """The task of arrays that `understand` has read.

    Args:
      ready: the arrays.
      config: of `defaults`; only `labels`, `valid` and `test` are read.
      seed: of the splits.
      source: the file, for what is said.

    Raises:
      UserError: a split or a number of labels that the data do not allow.
    """
    common = {"labels": config.labels, "seed": seed, "source": source}
    common |= {"kinds": ready.kinds, "groups": ready.groups, "known": ready.known}
    if ready.split is None:
        return splits.make_task(ready.x, ready.y, valid=config.valid, test=config.test, **common)
    parts = [np.flatnonzero(ready.split == part) for part in range(3)]
    parts[1:] = [part[ready.known[part]] for part in parts[1:]]
    x, scales = ready.x, None
    if len(parts[0]):
        x, scales = scaling.modalities(ready.x, ready.kinds, parts[0], source)
    return splits.make_split_task(x, ready.y, parts, scales=scales, **common)


class Ready(NamedTuple):
    """Arrays as all seeds use them; see `splits.make_task`."""

    x: dict[str, np.ndarray]
    y: np.ndarray
    known: np.ndarray
    kinds: dict[str, str]
    groups: np.ndarray | None
    split: np.ndarray | None


def _stamp(path: str) -> tuple[int, int]:
    """Changes when the file does."""
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return 0, 0
    return about.st_mtime_ns, about.st_size


@functools.lru_cache(maxsize=1)  # every seed splits the same content
def _read(
    path: str,
    stamp: tuple[int, int],
    modalities: str,
    stated: str,
    target: str,
    unlabelled: str,
    groups: str,
) -> Ready:
    del stamp
    return understand(npz.read(path, modalities, groups), stated, target, unlabelled, path)


def understand(found: npz.Members, stated: str, target: str, unlabelled: str, source: str) -> Ready:
    """Arrays of a file or of memory: checked, labels and kinds told, groups found.

    Args:
      found: the arrays, row by row paired.
      stated: the field `data.kinds`.
      target: the field of that name.
      unlabelled: the field of that name.
      source: the file, for what is said.

    Raises:
      UserError: one line that names the source and what is wrong.
    """
    x, y, group, split = found
    y, known = labels.read(y, unlabelled=unlabelled, target=target, source=source)
    x, of, group = understood(x, len(known), stated, group, source)
    if split is not None and group is not None:
        pairs = np.unique(np.stack([group, split], axis=1), axis=0)
        if len(pairs) > len(np.unique(group)):
            notes.once(f"{source}: rows that belong together are in two or more parts of 'split'")
    return Ready(x, y, known, of, group, split)


def understood(
    x: dict[str, np.ndarray], n: int, stated: str, group: np.ndarray | None, source: str
) -> tuple[dict[str, np.ndarray], dict[str, str], np.ndarray | None]:
    """Arrays in the shape of their kind, their kinds, and which rows belong together.

    Args:
      x: name → (n, ...), as found.
      n: rows.
      stated: the field `data.kinds`.
      group: (n,) numbers, equal for rows of which it is known that they belong together, or None.
      source: the file or dataset, for what is said.

    Raises:
      UserError: an array that cannot be trained on, or is not of the stated kind.
    """
    x = {name: checks.modality(name, value, n, source) for name, value in x.items()}
    of = kinds.resolve(stated, x)
    if set(of.values()) != {"vector"}:
        notes.once(f"{source}: {kinds.line(of, x)}")
    group, lines = row_groups.numbers(x, group)
    for line in lines:
        notes.once(f"{source}: {line}")
    return {name: kinds.cast(v, of[name], name, source) for name, v in x.items()}, of, group
