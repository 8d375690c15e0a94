"""Does the best strength move along a numeric task axis?"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from redalign_jax.analysis import correlation, differences, strengths


def trend(results: pd.DataFrame, axis: str) -> dict[str, Any] | None:
    """Spearman's rank correlation of λ* and a numeric task axis, with its interval.

    λ* is that of the curve averaged over encoders and seeds, at every value of the axis. The
    interval is that of the law, `correlation.over_seeds`: it speaks of new seeds at these values
    of the axis.

    Returns:
      {"axis", "values", "best_strength", "spearman", "spearman_low", "spearman_high"}; None where
      the axis is not numeric, has fewer than three values, or encoders had their own strengths.
    """
    metric, _ = differences.quality_metric(results)
    role = differences.columns(results)
    if len(role.strengths) > 1 or role.others or len(role.tasks) > 1:
        return None
    if not pd.api.types.is_numeric_dtype(results[axis]) or results[axis].nunique() < 3:
        return None
    rows = differences.differences(results, metric)
    share = differences.share(rows)
    mean = rows.groupby([axis, "seed", "strength"], as_index=False)["change"].mean()
    values, answers = [], []
    for value in np.sort(mean[axis].unique()):
        settings, changes = differences.matrix(mean[mean[axis] == value], ["strength"])
        if not len(changes):
            continue
        values.append(value.item())
        answers.append((settings["strength"].to_numpy(), changes.to_numpy()))
    return {"axis": axis, "values": values, **relation(answers, share)} if len(values) > 2 else None


def relation(answers: Sequence[tuple[np.ndarray, np.ndarray]], share: float) -> dict[str, Any]:
    """λ* of every value of the axis, in order, and its rank correlation with their order.

    Args:
      answers: per value, the strengths (settings,) and the changes (J, settings).
      share: see `differences.standard_error`.
    """
    seeds = min(len(changes) for _, changes in answers)
    stars = np.stack(
        [
            own[np.argmax(np.vstack([np.ones(len(changes)), drawn]) @ changes, axis=1)]
            for own, changes in answers
            for drawn in [strengths.draws(len(changes), strengths.RESAMPLES)]
        ],
        axis=1,
    )
    same = correlation.constant(answers, share)
    order = np.arange(len(answers))
    return {
        "best_strength": stars[0].tolist(),
        **correlation.over_seeds("spearman", order, stars, seeds, same, share),
    }
