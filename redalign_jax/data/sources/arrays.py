"""Your own arrays, in the file or folder that they are in: see `data.readers`."""

import functools
import os
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from redalign_jax import kinds
from redalign_jax.data import (
    checks,
    identity,
    labels,
    members,
    missing,
    notes,
    parts,
    readers,
    row_groups,
    rows,
    scaling,
    splits,
    transforms,
)
from redalign_jax.errors import UserError
from redalign_jax.task import Task


def defaults() -> ConfigDict:
    """The fields of `data`; a tuple is a task axis."""
    return ConfigDict(
        {
            "source": "arrays",
            "path": "",  # the file or folder, or .npy files and a table between commas
            "modalities": ("",),  # comma-separated arrays, or NAME=PATTERN of columns; "" = all
            "label": "",  # array or column of the labels; "" = `labels`, or what is usual
            "id": "",  # column of ids in a table beside arrays; "none" = rows are in order
            "groups": "",  # array of which equal values belong together; "" = `groups`, if there
            "split": "",  # array of train, valid, test; "" = `split`, if there
            "kinds": "",  # NAME=vector, sequence, image or tokens, between commas; "" guesses
            "transform": "",  # NAME=log1p, between commas
            "transpose": "",  # comma-separated arrays that are features × rows
            "target": "",  # classes or regression; "" tells by the type of the labels
            "unlabelled": "",  # the label that stands for none, such as -1; "missing" for nan
            "labels": (0,),  # labelled training pairs; 0 = all
            "valid": 0.1,
            "test": 0.2,
        }
    )


def load(config: ConfigDict, seed: int) -> Task:
    """Reads a task from what `config.path` names, such as `numpy.savez("mine.npz", audio=…, …)`.

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
    ready = read(config)
    return task(ready, config, seed, os.path.expanduser(config.path))


def read(config: ConfigDict) -> "Ready":
    """The arrays that `config.path` names, read once and noted every time; see `load`.

    Raises:
      UserError: as `load`.
    """
    if not config.path:
        raise UserError(
            f"data.path is empty: name a file with your data; it may be {readers.FORMATS}"
        )
    path = os.path.expanduser(config.path)
    asked = members.Asked(
        config.modalities, config.label, config.id, config.groups, config.split, config.transpose
    )
    how = (config.kinds, config.transform, config.target, config.unlabelled)
    stamp = _stamp(path)
    ready, content = _read(path, stamp, asked, *how)
    if path.endswith(".npz") and os.path.isfile(path):
        identity.note_file(path)
    else:
        identity.know((path, stamp, asked), content)
        identity.note((path, stamp, asked))
    return ready


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
    common["present"] = ready.present
    if ready.split is None:
        sizes = {"valid": config.valid, "test": config.test}
        return splits.make_task(ready.x, ready.y, wholes=ready.wholes, **sizes, **common)
    stratum, least = splits.strata_of(ready.y, ready.known, source)
    found = parts.completed(
        ready.split,
        stratum,
        ready.known,
        ready.groups,
        valid=config.valid,
        test=config.test,
        least=least,
        seed=seed,
        source=source,
    )
    x, scales = scaling.modalities(
        ready.x, ready.kinds, found[0], source, ready.present, ready.wholes
    )
    made = splits.make_split_task(x, ready.y, found, scales=scales, **common)
    return replace(made, fixed_test=bool((ready.split == parts.TEST).any()))


class Ready(NamedTuple):
    """Arrays as all seeds use them; see `splits.make_task`. `wholes`: the large ones of `x`."""

    x: dict[str, np.ndarray]
    y: np.ndarray
    known: np.ndarray
    kinds: dict[str, str]
    groups: np.ndarray | None
    split: np.ndarray | None
    present: missing.Present
    wholes: dict[str, rows.Whole]


def _stamp(path: str) -> tuple[tuple[str, int, int], ...]:
    """Changes when a file does."""
    found = []
    for file in readers.files(path):
        try:
            about = os.stat(file)
        except (OSError, ValueError):
            continue
        found.append((os.path.realpath(file), about.st_mtime_ns, about.st_size))
    return tuple(found)


@functools.lru_cache(maxsize=1)  # every seed splits the same content
def _read(
    path: str, stamp: tuple, asked: members.Asked, *how: str
) -> tuple[Ready, identity.Digests]:
    del stamp
    found, raw = readers.read(path, asked)
    ready = understand(found, *how, path)
    if path.endswith(".npz"):
        return ready, {}
    named = {**raw.x, members.LABELS: raw.y, **raw.beside}
    named |= {f"{name}_ids": value for name, value in raw.ids.items()}
    return ready, {name: identity.digest(value) for name, value in named.items()}


def understand(
    found: members.Members,
    stated: str,
    transform: str,
    target: str,
    unlabelled: str,
    source: str,
) -> Ready:
    """Arrays of a file or of memory: checked, labels and kinds told, groups found.

    Args:
      found: the arrays, row by row paired.
      stated: the field `data.kinds`.
      transform: the field of that name.
      target: the field of that name.
      unlabelled: the field of that name.
      source: the file, for what is said.

    Raises:
      UserError: one line that names the source and what is wrong.
    """
    x, y, group, split, present = found
    y, known = labels.read(y, unlabelled=unlabelled, target=target, source=source)
    n = len(known)
    x = {name: checks.modality(name, value, n, source, holes=True) for name, value in x.items()}
    x, present = missing.cleared(x, present, source)
    if present:
        keep = missing.kept(present, len(x), known)
        missing.say(present, len(x), keep, n, source)
        if not keep.all():
            y, known = y[keep[known]], known[keep]
            x, present = ({k: v[keep] for k, v in some.items()} for some in (x, present))
            group, split = (None if v is None else v[keep] for v in (group, split))
    x = transforms.applied(x, transform, source)
    x, of, group = understood(x, len(known), stated, group, source, present)
    if split is not None and group is not None:
        pairs = np.unique(np.stack([group, split], axis=1), axis=0)
        if len(pairs) > len(np.unique(group)):
            notes.once(f"{source}: rows that belong together are in two or more parts of 'split'")
    wholes = {name: rows.whole(value, of[name]) for name, value in x.items()}
    wholes = {name: value for name, value in wholes.items() if value}
    x = {name: _same(value, wholes.get(name)) for name, value in x.items()}
    return Ready(x, y, known, of, group, split, present, wholes)


def _same(x: np.ndarray, whole: rows.Whole | None) -> np.ndarray:
    """The array, or what holds the same numbers already."""
    return whole.values if whole and whole.values.dtype == x.dtype else x


def understood(
    x: dict[str, np.ndarray],
    n: int,
    stated: str,
    group: np.ndarray | None,
    source: str,
    present: missing.Present | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, str], np.ndarray | None]:
    """Arrays in the shape of their kind, their kinds, and which rows belong together.

    Args:
      x: name → (n, ...), as found.
      n: rows.
      stated: the field `data.kinds`.
      group: (n,) numbers, equal for rows of which it is known that they belong together, or None.
      source: the file or dataset, for what is said.
      present: the rows that modalities have, zeros in the others.

    Raises:
      UserError: an array that cannot be trained on, or is not of the stated kind.
    """
    x = {name: checks.modality(name, value, n, source) for name, value in x.items()}
    present = present or {}
    of = kinds.resolve(stated, {k: v[present[k]] if k in present else v for k, v in x.items()})
    if set(of.values()) != {"vector"}:
        notes.once(f"{source}: {kinds.line(of, x)}")
    group, lines = row_groups.numbers(x, group, present)
    for line in lines:
        notes.once(f"{source}: {line}")
    return {name: kinds.cast(v, of[name], name, source) for name, v in x.items()}, of, group
