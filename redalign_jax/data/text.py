"""Texts as numbers: words, and the tokens they become."""

import re
from collections.abc import Sequence

import numpy as np


def words(text: str) -> list[str]:
    """Lower-case runs of letters and digits."""
    return re.findall(r"[^\W_]+", text.lower())


def tokens(texts: Sequence[str]) -> np.ndarray:
    """Texts as (n, t) int32, one token per word, zero after a text's end; t is the longest.

    Words are numbered from 1 in sorted order over all `texts`, so that a number means the same in
    every split and for every seed.
    """
    split = [words(text) for text in texts]
    number = {word: i + 1 for i, word in enumerate(sorted({w for text in split for w in text}))}
    found = np.zeros((len(split), max(map(len, split))), np.int32)
    for row, text in zip(found, split, strict=True):
        row[: len(text)] = [number[word] for word in text]
    return found
