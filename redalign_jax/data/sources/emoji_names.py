"""What an emoji is called, which group it belongs to, and which others are variants of it."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from redalign_jax.data import text

GROUPS = (
    "smileys-emotion",
    "people-body",
    "animals-nature",
    "food-drink",
    "travel-places",
    "activities",
    "objects",
    "symbols",
    "flags",
)
# The groups' own words, which would give the label away.
OWN = frozenset(
    text.words(
        "smiley smileys emotion emotions people body bodies animal animals nature food foods drink "
        "drinks travel travels place places activity activities object objects symbol symbols flag "
        "flags"
    )
)
# Words in which variants of one emoji differ: who, what hair, which colour, way, size, hour, phase.
_PEOPLE = frozenset(
    text.words(
        "man woman men women person people boy girl boys girls child adult old older mr mrs "
        "hair blond curly bald beard"
    )
)
_VARYING = _PEOPLE | frozenset(
    text.words(
        "and with without s red orange yellow green blue light purple brown black white grey pink "
        "up down left right facing pointing pointed upwards backhand "
        "small medium large big low high uppercase lowercase "
        "one two three four five six seven eight nine ten eleven twelve 1st 2nd 3rd "
        "waxing waning first last quarter crescent gibbous full new"
    )
)
# The same among code points: joiners, gender signs, a direction, hair and skin.
_MARKS = re.compile(r"FE0F|200D|2640|2642|27A1|1F9B[0-3]|1F3F[B-F]")
_PERSON = frozenset(("1F468", "1F469", "1F9D1"))


class Name(NamedTuple):
    """An emoji.

    Attributes:
      code: its code points, hexadecimal, joined by -, without the variation selector FE0F.
      name: in English.
      group: one of GROUPS.
    """

    code: str
    name: str
    group: str


def code(hexcode: str) -> str:
    """The code points in upper case and without -FE0F, by which sources are joined."""
    return "-".join(part for part in hexcode.upper().split("-") if part != "FE0F")


def parse(data: Any, groups: dict[str, str]) -> Iterator[Name]:
    """The emoji of emojibase's `data.json`, components and regional letters left out.

    Args:
      data: the list in the file.
      groups: number of a group → its name.
    """
    for row in data:
        group = groups.get(str(row.get("group")))
        if group in GROUPS:
            yield Name(code(row["hexcode"]), row["label"], group)


def without_own_words(name: str) -> str:
    """The words of a name that are no word of any group; the name in other words, as it were."""
    return " ".join(word for word in text.words(name) if word not in OWN)


def families(codes: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """(n,) numbers, equal for variants of one emoji, so that a split can keep them together.

    Two are variants if their names differ only in who, what hair, which colour, way, size, hour or
    phase, or their code points only in the marks for such; and so are variants of variants.
    """
    parent = list(range(len(codes)))

    def root(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    first: dict[Any, int] = {}
    for i, keys in enumerate(zip(map(_by_code, codes), map(_by_name, names), strict=True)):
        for key in keys:
            parent[root(i)] = root(first.setdefault(key, i))
    return np.unique([root(i) for i in range(len(codes))], return_inverse=True)[1]


def _by_code(hexcode: str) -> tuple[str, frozenset[str]]:
    points = [p for p in hexcode.split("-") if not _MARKS.fullmatch(p)]
    return "code", frozenset("person" if p in _PERSON else p for p in points)


def _by_name(name: str) -> tuple[str, frozenset[str]]:
    every = text.words(name.replace("-thirty", " o clock"))
    words = [w for w in every if w not in _VARYING and not w.isdigit()]
    if not words:
        words = ["person"] if _PEOPLE.intersection(every) else every
    return "name", frozenset(words)
