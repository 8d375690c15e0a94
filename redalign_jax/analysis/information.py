"""What is known about every encoder's information: how much of it the others have too."""

import numpy as np
import pandas as pd

from redalign_jax.analysis import differences

COLUMNS = ("shared_fraction", "shared_fraction_low", "shared_fraction_high", "redundancy_fraction")


def of_encoders(results: pd.DataFrame, decomposition: pd.DataFrame | None = None) -> pd.DataFrame:
    """Per task, seed and encoder, the information that its partners share.

    Exact columns of the results come first; else `decomposition.parquet`, where an "exact" row
    goes before an "estimate". An estimate is of the data, so it holds for every seed. With more
    than two modalities an encoder has several partners: the numbers are means over them.

    Args:
      results: the tidy table.
      decomposition: one row per task × pair; columns are task axes, `first`, `second`,
        `redundancy`, `unique_first`, `unique_second`, `synergy`, `shared_fraction_first`,
        `shared_fraction_second` (both with `_low`, `_high`) and `method`.

    Returns:
      Task axes (those that the source knows), `seed` if it differs by seed, `subject`,
      `shared_fraction` R / I(X_m;Y) with its interval (NaN if exact), `redundancy_fraction`
      R / (R+U₁+U₂+S), all in [0, 1], and `exact`. No rows where nothing is known.
    """
    role = differences.columns(results)
    encoders = pd.unique(results.loc[~results["subject"].str.contains("|", regex=False), "subject"])
    if {"pid_redundancy", "pid_synergy"} <= set(role.facts):
        return _exact(results, role, list(encoders))
    if decomposition is None or not len(decomposition):
        return pd.DataFrame(columns=["subject", *COLUMNS, "exact"])
    return _estimated(decomposition, [c for c in role.tasks if c in decomposition])


def _exact(results: pd.DataFrame, role: differences.Columns, encoders: list[str]) -> pd.DataFrame:
    tasks = results.drop_duplicates([*role.tasks, "seed"])
    unique = [c for c in role.facts if c.startswith("pid_unique_")]
    total = tasks[["pid_redundancy", *unique, "pid_synergy"]].sum(axis=1)
    parts = [
        tasks[[*role.tasks, "seed"]].assign(
            subject=name,
            shared_fraction=tasks[f"shared_fraction_{name}"],
            shared_fraction_low=np.nan,
            shared_fraction_high=np.nan,
            redundancy_fraction=tasks["pid_redundancy"] / total,
            exact=True,
        )
        for name in encoders
        if f"shared_fraction_{name}" in tasks
    ]
    return pd.concat(parts, ignore_index=True)


def _estimated(decomposition: pd.DataFrame, tasks: list[str]) -> pd.DataFrame:
    pairs = decomposition.assign(exact=decomposition["method"] == "exact")
    pairs = pairs.sort_values("exact", ascending=False, kind="stable")
    pairs = pairs.drop_duplicates([*tasks, "first", "second"])
    atoms = ["redundancy", "unique_first", "unique_second", "synergy"]
    # estimates can fall a little below 0
    total = pairs[atoms].clip(lower=0).sum(axis=1)
    parts = []
    for side in ("first", "second"):
        part = pairs[tasks].assign(
            subject=pairs[side],
            redundancy_fraction=pairs["redundancy"].clip(lower=0) / total,
            exact=pairs["exact"],
        )
        for end in ("", "_low", "_high"):
            part[f"shared_fraction{end}"] = pairs[f"shared_fraction_{side}{end}"].clip(0, 1)
        parts.append(part)
    both = pd.concat(parts)
    how = dict.fromkeys(COLUMNS, "mean") | {"exact": "all"}
    return both.groupby([*tasks, "subject"], sort=False, as_index=False).agg(how)
