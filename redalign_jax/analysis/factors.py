"""What tasks are made of, and what may be exchanged among them.

Tasks that share something are no independent sample: all pairs of a view carry what is particular
about it, and tasks that differ in the number of labels alone hold the same information. So what is
drawn, and what is exchanged, are the levels of factors: the views of a dataset, together in all
tasks that they are part of, and the values of every other axis that moves the information. Settings
within a level stay together. Drawn with replacement, independently for every factor, this is the
pigeonhole bootstrap (Owen 2007, Annals of Applied Statistics 1(2):386); a task counts as often as
the product of its levels. Exchanged, it is a permutation test, exact where levels are exchangeable.
"""

import math
from collections.abc import Hashable, Iterable, Iterator
from itertools import chain, permutations, product
from typing import NamedTuple

import numpy as np
import pandas as pd

VIEWS = "modalities"  # the axis whose values list views
LEVELS = 5  # fewer are no sample
EXCHANGES = 999
SAME = 1e-9


class Factor(NamedTuple):
    """One factor.

    Attributes:
      name: of its axis.
      levels: their names.
      holds: (points, levels) which of them each point is made of: both views of a pair.
    """

    name: str
    levels: list[Hashable]
    holds: np.ndarray


def find(keys: pd.DataFrame, axes: list[str], information: np.ndarray) -> list[Factor]:
    """The factors of a table of points.

    Args:
      keys: one row per point: task axes, `subject`, others.
      axes: the task axes among its columns.
      information: (points,) an axis along which it is everywhere the same is no factor.
    """
    found = []
    for axis in axes:
        if keys[axis].nunique() < 2:
            continue
        if axis == VIEWS:
            # nothing stands for all views
            every = keys.groupby(axis)["subject"].agg(lambda names: ",".join(sorted(set(names))))
            members = [_views(v or every[v]) for v in keys[axis]]
        elif _moves(keys, axis, information):
            members = [(v,) for v in keys[axis]]
        else:
            continue
        levels = list(dict.fromkeys(v for some in members for v in some))
        holds = np.array([[level in some for level in levels] for some in members])
        found.append(Factor(axis, levels, holds))
    return found


def _views(value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in str(value).split(","))


def _moves(keys: pd.DataFrame, axis: str, information: np.ndarray) -> bool:
    others = [c for c in keys if c != axis]
    groups = pd.Series(information).groupby([keys[c] for c in others], dropna=False)
    return bool((groups.max() - groups.min()).max() > SAME)


def drawn(factors: list[Factor]) -> list[str]:
    """The factors with levels enough to stand for others."""
    return [f.name for f in factors if len(f.levels) >= LEVELS]


def weights(factors: list[Factor], points: int, resamples: int) -> np.ndarray:
    """(resamples, points) how often each point is there when levels are drawn with replacement."""
    rng = np.random.default_rng(1)
    times = np.ones((resamples, points))
    for factor in factors:
        count = len(factor.levels)
        if count < LEVELS:
            continue
        draws = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
        times *= np.prod(np.where(factor.holds, draws[:, None, :], 1), axis=-1)
    return times


def exchanged(factors: list[Factor], keys: pd.DataFrame) -> np.ndarray:
    """Every exchange of levels, or `EXCHANGES` random ones, after the one that leaves all in place.

    Views change their name in `subject` too: what is known of the pair (a, b) goes to (c, d), what
    is known of its encoder a to the encoder c.

    Returns:
      (exchanges, points) the point whose place each point takes; −1 where there is none.
    """
    rest = keys.drop(columns=[f.name for f in factors if f.name != VIEWS])
    rest = rest.drop(columns=["subject", VIEWS], errors="ignore")
    rest = list(map(tuple, rest.to_numpy(object)))  # one of no column is a row all the same
    subjects = keys["subject"].tolist()
    members = [[[f.levels[j] for j in np.flatnonzero(row)] for row in f.holds] for f in factors]

    def places(maps: list[dict]) -> list[tuple]:
        moved = [
            [frozenset(to[v] for v in some) for some in each]
            for to, each in zip(maps, members, strict=True)
        ]
        renamed = next((to for f, to in zip(factors, maps, strict=True) if f.name == VIEWS), {})
        names = [renamed.get(name, name) for name in subjects]
        return list(zip(*moved, names, rest, strict=True))

    at = {place: i for i, place in enumerate(places([{v: v for v in f.levels} for f in factors]))}
    return np.array([[at.get(place, -1) for place in places(maps)] for maps in _maps(factors)])


def _maps(factors: list[Factor]) -> Iterator[list[dict]]:
    """From a level to the one whose place it takes; that which moves none comes first."""
    levels = [f.levels for f in factors]
    orders: Iterable[Iterable[Iterable]]
    if math.prod(math.factorial(len(some)) for some in levels) <= EXCHANGES + 1:
        orders = product(*map(permutations, levels))
    else:
        rng = np.random.default_rng(2)
        drawn = ([rng.permutation(len(some)) for some in levels] for _ in range(EXCHANGES))
        orders = (
            [[some[i] for i in order] for some, order in zip(levels, each, strict=True)]
            for each in drawn
        )
        orders = chain([levels], orders)
    for each in orders:
        yield [
            dict(zip(some, order, strict=True)) for some, order in zip(levels, each, strict=True)
        ]
