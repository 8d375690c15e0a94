"""Texts as numbers: words or word pieces, and the tokens they become."""

import io
import re
from collections.abc import Sequence

import numpy as np

from redalign_jax.errors import UserError


def words(text: str) -> list[str]:
    """Lower-case runs of letters and digits."""
    return re.findall(r"[^\W_]+", text.lower())


def tokens(texts: Sequence[str], pieces: int = 0) -> np.ndarray:
    """Texts as (n, t) int32, zero after a text's end; t is the longest.

    A token is a word, numbered from 1 in sorted order, or a word piece. Either vocabulary is that
    of all `texts`, so that a number means the same in every split and for every seed.

    Args:
      texts: of one or more words.
      pieces: how many word pieces to learn; 0 for whole words.

    Raises:
      UserError: so many pieces cannot be learned from these texts.
    """
    found = _pieces(texts, pieces) if pieces else _whole(texts)
    rows = np.zeros((len(found), max(map(len, found))), np.int32)
    for row, text in zip(rows, found, strict=True):
        row[: len(text)] = text
    return rows


def _whole(texts: Sequence[str]) -> list[list[int]]:
    split = [words(text) for text in texts]
    number = {word: i + 1 for i, word in enumerate(sorted({w for text in split for w in text}))}
    return [[number[word] for word in text] for text in split]


def _pieces(texts: Sequence[str], count: int) -> list[list[int]]:
    """Of SentencePiece's unigram model: Kudo 2018 (arXiv 1804.10959); 0 is padding."""
    import sentencepiece

    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=model,
            vocab_size=count,
            pad_id=0,
            unk_id=1,
            bos_id=-1,
            eos_id=-1,
            num_threads=1,
            minloglevel=3,
        )
    except RuntimeError as error:
        reason = str(error).split("] ")[-1][:120] or "these texts have no such vocabulary"
        raise UserError(f"data.pieces={count}: {reason}") from None
    learned = sentencepiece.SentencePieceProcessor(model_proto=model.getvalue())
    return learned.encode(list(texts))
