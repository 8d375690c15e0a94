"""A sweep's own encoders, put where the atlas has those of other data.

The atlas trains InfoNCE at temperature .2 and the posterior mechanism at λ = 1, and reads encoders
at their best validation step; of a sweep that has one of these, the same numbers can stand beside.
"""

from typing import Any

import numpy as np
import pandas as pd

from redalign_jax.analysis import atlas, differences
from redalign_jax.analysis.differences import columns, mean_interval, settled, share
from redalign_jax.runtime.results import BALANCED

METRIC = "early_accuracy"
CONTRAST = "1"  # the arm of the atlas that is asked about, and its strength
TEMPERATURE = 0.2


def points(results: pd.DataFrame, config: dict[str, Any]) -> list[dict[str, Any]]:
    """Partner's lead and change of every encoder, in points of accuracy, read stopped early.

    Args:
      results: the tidy table of true pairs, with the column `BALANCED` if there is one.
      config: of the sweep.

    Returns:
      A row per task, encoder and arm ("1" or "posterior"): the task axes, `subject`, `arm`,
      `lead` (the best partner's accuracy at λ = 0 minus the encoder's), `change`, `change_low`,
      `change_high` (95 % over seeds, each for itself). Empty for a regression, for encoders without
      partners, and where neither arm was swept.
    """
    if not (results["metric"] == METRIC).any():
        return []
    mechanism = results[BALANCED].to_numpy(bool) if BALANCED in results else False
    plain = results.drop(columns=[BALANCED], errors="ignore")
    role = columns(plain)
    if role.others:
        return []  # which of the settings would be meant?
    rows = settled(plain.assign(_balanced=mechanism), METRIC)
    keys = [*role.tasks, "seed", "subject"]
    fixed = rows[~rows["_balanced"]].dropna(subset="strength")
    alone = fixed[fixed["strength"] == 0].set_index(keys)["value"]
    if not len(alone):
        return []  # all diverged
    lead = _lead(alone, [*role.tasks, "seed"])
    arms = {atlas.POSTERIOR: rows[rows["_balanced"]]}
    if _contrast(config):
        arms[CONTRAST] = fixed[fixed["strength"] == float(CONTRAST)]
    found = []
    for arm, own in arms.items():
        change = (own.set_index(keys)["value"] - alone).dropna()
        both = pd.DataFrame({"change": change, "lead": lead}).dropna().reset_index()
        for key, group in both.groupby([*role.tasks, "subject"], sort=False):
            ends = mean_interval(100 * group["change"].to_numpy(), share(rows))
            row = dict(zip([*role.tasks, "subject"], key, strict=True))
            row |= {"arm": arm, "lead": 100 * float(group["lead"].mean())}
            names = ("change", "change_low", "change_high")
            found.append(row | dict(zip(names, ends, strict=True)))
    return differences.records(pd.DataFrame(found)) if found else []


def _lead(alone: pd.Series, task: list[str]) -> pd.Series:
    """The best partner minus the encoder; NaN where it has none."""
    wide = alone.unstack("subject")
    best = pd.DataFrame({own: wide.drop(columns=own).max(axis=1) for own in wide})
    lead = (best - wide).rename_axis(columns="subject")
    return lead.stack().reorder_levels([*task, "subject"]).dropna()


def _contrast(config: dict[str, Any]) -> bool:
    """Whether the sweep aligns as the atlas does."""
    aligned, hyper = config.get("alignment", {}), config.get("hyper", {})
    return (
        aligned.get("objective") == "info_nce"
        and not aligned.get("learned_temperature", False)
        and np.all(np.equal(hyper.get("temperature", TEMPERATURE), TEMPERATURE))
    )
