"""What alignment did to encoders of other data."""

import numpy as np
import pandas as pd

from redalign_jax.errors import UserError


def predict_gain(
    score: float,
    partner: float,
    *,
    labels: int,
    classes: int,
    majority: float | None = None,
    pairs: int | None = None,
    shared_fraction: float | None = None,
    gate: float | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """What alignment may do to an encoder, by what it did to encoders of 19 other datasets.

    A ridge regression of the changes in the atlas on five numbers: how far the partner leads, how
    good the encoder is already, what is shared, labels per class, pairs per label. Every dataset
    counts as one. Nothing of your data is looked at: `advise` does that, and begins from here.

    Args:
      score: test accuracy of the encoder trained alone, percent.
      partner: of its partner, trained alone, percent.
      labels: labelled training examples.
      classes: of the label.
      majority: accuracy of the most frequent class, percent; None for classes of equal size.
      pairs: training pairs, with labels or without; None for `labels`.
      shared_fraction: of what the encoder tells about the label, the part that its partner tells
        too, see `decompose`; None if it is not known.
      gate: of the posterior mechanism, 0 to 1, where it was tried; None if it was not.
      level: of the intervals.

    Returns:
      A row per way to align, contrast (InfoNCE, temperature .2) at five strengths and the posterior
      mechanism: `expected` change in points of test accuracy, of an encoder stopped early, and the
      ends `low` and `high` of a prediction interval for one encoder of a new dataset.

    Raises:
      UserError: a number that cannot be.

    >>> found = predict_gain(70, 85, labels=100, classes=10, gate=0.9)
    >>> found.index.tolist()
    ['0.1', '0.3', '1', '3', '10', 'posterior']
    >>> bool(found.loc["posterior", "expected"] > found.loc["1", "expected"])
    True
    """
    from redalign_jax.analysis import atlas

    majority = 100 / max(classes, 1) if majority is None else majority
    pairs = labels if pairs is None else pairs
    percents = {"score": score, "partner": partner, "majority": majority}
    for name, value in percents.items():
        if not 0 <= value <= 100:
            raise UserError(f"{name}: {value} is not a percentage")
    for name, value, least in (("labels", labels, 1), ("classes", classes, 2)):
        if not np.isfinite(value) or value < least:
            raise UserError(f"{name}: {value}, at least {least} is needed")
    if not np.isfinite(pairs) or pairs < labels:
        raise UserError(f"pairs: {pairs}, at least as many as labels, {labels}, are needed")
    if not 0 < level < 1:
        raise UserError(f"level: {level} is not between 0 and 1")
    shares = {"shared_fraction": shared_fraction, "gate": gate}
    for name, value in shares.items():
        if value is not None and not 0 <= value <= 1:
            raise UserError(f"{name}: {value} is not between 0 and 1")
    numbers = percents | {"labels": labels, "pairs": pairs, "classes": classes} | shares
    one = {n: np.array([np.nan if v is None else v], float) for n, v in numbers.items()}
    found = atlas.expected(atlas.Encoder(**one))
    low, high = found.ends(level)
    columns = {"expected": found.mean[0], "low": low[0], "high": high[0]}
    return pd.DataFrame(columns, index=pd.Index(atlas.ARMS, name="way"))
