"""Does the best strength move along a numeric task axis?"""

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from redalign_jax.law import across, effects, strengths


def trend(results: pd.DataFrame, axis: str) -> dict[str, Any] | None:
    """Spearman's rank correlation of λ* and a numeric task axis, with its interval.

    λ* is that of the curve averaged over encoders and seeds, at every value of the axis. The
    interval is that of the law, `across.correlated`, over resampled seeds: it speaks of these
    values of the axis.

    Returns:
      {"axis", "values", "strength_star", "spearman", "spearman_low", "spearman_high"}; None where
      the axis is not numeric, has fewer than three values, or encoders had their own strengths.
    """
    metric, _ = effects.quality_metric(results)
    role = effects.columns(results)
    if len(role.strengths) > 1 or role.others or len(role.tasks) > 1:
        return None
    if not pd.api.types.is_numeric_dtype(results[axis]) or results[axis].nunique() < 3:
        return None
    rows = effects.differences(results, metric)
    share = effects.share(rows)
    mean = rows.groupby([axis, "seed", "strength"], as_index=False)["change"].mean()
    observed, resampled, values = [], [], []
    for value in np.sort(mean[axis].unique()):
        settings, changes = effects.matrix(mean[mean[axis] == value], ["strength"])
        if not len(changes):
            continue
        values.append(value.item())
        own, changes = settings["strength"].to_numpy(), changes.to_numpy()
        observed.append(own[np.argmax(changes.mean(axis=0))])
        means = strengths.resampled_means(changes, share)
        resampled.append(own[np.argmax(means, axis=1)])
    if len(values) < 3:
        return None

    def spearman(stars: np.ndarray) -> float:
        # a constant λ* has no rank correlation: no trend
        return 0.0 if len(set(stars)) == 1 else float(stats.spearmanr(values, stars).statistic)

    every = np.array([spearman(stars) for stars in (observed, *np.array(resampled).T)])
    return {
        "axis": axis,
        "values": values,
        "strength_star": [float(s) for s in observed],
        **across.correlated("spearman", every, len(values)),
    }
