"""A look at data before anything is trained: at most `LINES` lines."""

import itertools
from collections.abc import Mapping

import numpy as np

from redalign_jax.data import notes, row_groups
from redalign_jax.data.parts import NAMES
from redalign_jax.task import Task, lengths

FILE = "look.json"  # in a workdir
LINES = 12
SKEWED = 2.0  # skewness from which on counts span too much for a mean and a spread
_CLASSES, _MODALITIES = 8, 5
_ROWS, _SHUFFLES, _COLUMNS = 400, 199, 256
MOST = 50_000  # rows whose columns are looked at


def facts(
    x: Mapping[str, np.ndarray],
    kinds: Mapping[str, str],
    y: np.ndarray,
    known: np.ndarray,
    groups: np.ndarray | None,
    split: np.ndarray | None,
    source: str,
    present: Mapping[str, np.ndarray] | None = None,
) -> list[str]:
    """What the data are, as lines of text; `noted` adds what was done to them.

    Args:
      x: name → (n, ...) of `kinds.cast`.
      kinds: name → of `kinds.KINDS`.
      y: labels of the `known` rows.
      known: (n,) bool.
      groups: (n,) numbers, or None.
      split: (n,) 0, 1, 2, or None.
      source: the file.
      present: name → (n,) bool, the rows that a modality has; a name that is left out has all.
    """
    present = present or {}
    lines = [f"{source}: {len(known):,} rows, {_labelled(y, known)}"]
    names = list(x)
    lines += [_modality(k, x[k], kinds[k], present.get(k)) for k in names[:_MODALITIES]]
    if len(names) > _MODALITIES:
        lines.append(f"{len(names) - _MODALITIES} more: {', '.join(names[_MODALITIES:])[:80]}")
    if groups is not None:
        lines.append(f"{len(np.unique(groups)):,} groups of rows that stay on one side of a split")
    if split is not None:
        counts = ", ".join(
            f"{count:,} {part}" if (count := np.sum(split == k)) else f"{part} to be drawn"
            for k, part in enumerate(NAMES)
        )
        lines.append(f"split as given: {counts}")
    if len(names) > 1:
        one = None if groups is None else np.sort(np.unique(groups, return_index=True)[1])
        lines.append(_paired(x, kinds, one, present))
    return lines


def noted(lines: list[str], source: str) -> list[str]:
    """`facts`, and what was said of the source so far: dropped, cut or guessed; `LINES` at most."""
    said = [line.removeprefix(f"{source}: ") for line in notes.about(source)]
    room = LINES - len(lines)
    if len(said) > room:
        said = [*said[: room - 1], f"and {len(said) - room + 1} more lines like these, see above"]
    return lines + said[: max(room, 0)]


def facts_of_task(task: Task, source: str) -> list[str]:
    """`facts` of a task of any source: its three splits together."""
    parts = (task.train, task.valid, task.test)
    x = {
        name: np.concatenate([part.x[m] for part in parts])
        for m, name in enumerate(task.modalities)
    }
    known = np.concatenate([np.arange(len(part.x[0])) < len(part.y) for part in parts])
    y = np.concatenate([part.y for part in parts])
    y = y if task.classes else y * task.target_scale + task.target_mean
    groups = None if task.groups is None else np.concatenate(task.groups)
    present = None
    if task.train.present is not None:
        there = np.concatenate([part.present for part in parts], axis=1)
        present = dict(zip(task.modalities, there, strict=True))
    kinds = dict(zip(task.modalities, task.kinds, strict=True))
    return facts(x, kinds, y, known, groups, None, source, present)


def _labelled(y: np.ndarray, known: np.ndarray) -> str:
    count = f"{known.sum():,} labelled" if not known.all() else "all labelled"
    if y.dtype.kind == "f":
        low, middle, high = y.min(), np.median(y), y.max()
        return f"{count}: a regression from {low:.4g} to {high:.4g}, median {middle:.4g}"
    classes, counts = np.unique(y, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:_CLASSES]
    shown = ", ".join(f"{str(classes[k])[:20]} {counts[k]:,}" for k in order)
    more = f" and {len(classes) - _CLASSES} smaller" if len(classes) > _CLASSES else ""
    return f"{count} in {len(classes)} classes: {shown}{more}"


def _modality(name: str, x: np.ndarray, kind: str, present: np.ndarray | None) -> str:
    n = len(x)
    shape = "×".join(map(str, x.shape[1:]))
    parts = [f"{name}: {kind} {shape} ({x.dtype})"]
    flat = x.reshape(n, -1)
    lacking = np.zeros(n, bool) if present is None else ~present
    there = flat[~lacking] if lacking.any() else flat
    different = row_groups.codes(there).max(initial=-1) + 1
    parts.append(f"{different:,} different rows" if different < len(there) else "all rows differ")
    zero = int((~there.any(axis=1)).sum())
    if lacking.any():
        parts.append(f"{lacking.sum():,} rows missing")
    if zero:
        parts.append(f"{zero:,} rows all zero")
    if kind == "vector":
        parts += _columns(name, there[:: -(-len(there) // MOST)])
        if len(there) > MOST:
            parts[-1] += f" (of every {-(-len(there) // MOST)}th row)"
    if kind in ("sequence", "tokens"):
        ends = lengths(x[~lacking])
        parts.append(f"lengths {ends.min()} to {ends.max()}")
    return ", ".join(parts)


def _columns(name: str, x: np.ndarray) -> list[str]:
    """What standardising would meet: far values, constants, skewed counts."""
    parts = []
    farthest, constant, skewed = 0.0, 0, 0
    for first in range(0, x.shape[1], _COLUMNS):
        block = x[:, first : first + _COLUMNS].astype(np.float64)
        away = block - block.mean(axis=0)
        spread = np.sqrt((away**2).mean(axis=0))
        fixed = spread <= 1e-12 * np.abs(block).max(axis=0)
        constant += int(fixed.sum())
        away, block, spread = away[:, ~fixed], block[:, ~fixed], spread[~fixed]
        if not spread.size:
            continue
        z = away / spread
        farthest = max(farthest, float(np.abs(z).max()))
        counts = (block.min(axis=0) >= 0) & (block.max(axis=0) > 10)
        skewed += int((counts & ((z**3).mean(axis=0) > SKEWED)).sum())
    parts.append(f"largest z {farthest:.1f}")
    if constant:
        parts.append(f"{constant} constant columns")
    if skewed > x.shape[1] / 10:
        parts.append(f"{skewed} skewed columns of amounts: data.transform={name}=log1p?")
    return parts


def _paired(
    x: Mapping[str, np.ndarray],
    kinds: Mapping[str, str],
    rows: np.ndarray | None,
    present: Mapping[str, np.ndarray],
) -> str:
    """Whether rows go together better than shuffled ones, for every pair of modalities.

    `rows`: one of every group, as copies would pair with each other; None for all.
    """
    names = list(x)[:_MODALITIES]
    alone = []
    for a, b in itertools.combinations(names, 2):
        both = np.ones(len(x[a]), bool) if rows is None else np.isin(np.arange(len(x[a])), rows)
        for name in {a, b} & set(present):
            both &= present[name]
        some = _some(np.flatnonzero(both))
        left, right = x[a][some], x[b][some]
        p = pairing(features(left, kinds[a]), features(right, kinds[b]))
        if p > 0.01:
            alone.append(f"{a} and {b} (p = {p:.2f})")
    if not alone:
        return "rows look paired: more alike across modalities than shuffled rows (p ≤ .01)"
    return (
        f"rows of {', '.join(alone)} go together no better than shuffled ones: little in "
        "common, or not in one order? Ids join them"
    )


def features(x: np.ndarray, kind: str) -> np.ndarray:
    """(n, d) numbers that stand for an array in `pairing`."""
    if kind == "tokens":
        bag = np.zeros((len(x), _COLUMNS))
        np.add.at(bag, (np.arange(len(x))[:, None], x % _COLUMNS), x != 0)
        return bag
    if kind == "sequence":
        return x.sum(axis=1) / np.maximum(lengths(x), 1)[:, None]
    flat = x.reshape(len(x), -1)
    if flat.shape[1] > _COLUMNS:
        at = np.random.default_rng(0).choice(flat.shape[1], _COLUMNS, replace=False)
        flat = flat[:, np.sort(at)]
    return flat.astype(np.float64)


def pairing(a: np.ndarray, b: np.ndarray) -> float:
    """p-value of independence of the rows of two arrays, by permutation of HSIC.

        HSIC = mean_ij K_ij L_ij, K and L centred Gaussian kernels of standardised columns whose
        width is the median distance

    Gretton et al. 2005 (doi:10.1007/11564089_7); exact whatever the data, as rows are exchangeable
    under independence.

    Args:
      a, b: (n, d); at most `_ROWS` rows are looked at.

    Returns:
      In [1/(1+`_SHUFFLES`), 1].
    """
    rows, rng = _some(np.arange(len(a))), np.random.default_rng(0)
    if len(rows) < 5:
        return 1.0
    left, right = _kernel(a[rows]), _kernel(b[rows])
    found = [np.vdot(left, right)]
    for _ in range(_SHUFFLES):
        order = rng.permutation(len(rows))
        found.append(np.vdot(left, right[np.ix_(order, order)]))
    return float(np.mean(np.array(found) >= found[0] * (1 - 1e-9)))


def _some(rows: np.ndarray) -> np.ndarray:
    """At most `_ROWS` of them."""
    if len(rows) <= _ROWS:
        return rows
    return np.random.default_rng(1).choice(rows, _ROWS, replace=False)


def _kernel(x: np.ndarray) -> np.ndarray:
    spread = x.std(axis=0)
    z = ((x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)).clip(-5, 5)
    square = (z**2).sum(axis=1)
    distance = np.maximum(square[:, None] + square - 2 * z @ z.T, 0)
    width = np.median(distance[np.triu_indices(len(z), 1)]) or 1.0
    kernel = np.exp(-distance / width)
    kernel -= kernel.mean(axis=0)
    return kernel - kernel.mean(axis=1, keepdims=True)
