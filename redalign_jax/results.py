"""The tidy table: one row per run × subject × metric."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from redalign_jax import workdir
from redalign_jax.errors import UserError

RESULTS, CURVES, DECOMPOSITION = "results", "curves", "decomposition"
BALANCED = "balanced"  # the column that marks runs of the balanced mechanism


def strength_columns(
    settings: Sequence[dict[str, Any]], modalities: Sequence[str]
) -> dict[str, list[float]]:
    """λ of every setting as columns.

    `strength` is the strength all encoders share, NaN where they differ; `strength_<modality>` are
    there once any setting gives encoders strengths of their own.
    """
    each = [
        s["strength"] if isinstance(s["strength"], tuple) else (s["strength"],) * len(modalities)
        for s in settings
    ]
    columns = {"strength": [float(v[0]) if len(set(v)) == 1 else np.nan for v in each]}
    if any(isinstance(s["strength"], tuple) for s in settings):
        for m, name in enumerate(modalities):
            columns[f"strength_{name}"] = [float(v[m]) for v in each]
    return columns


def tidy(
    runs: pd.DataFrame,
    measured: dict[tuple, np.ndarray],
    names: Sequence[str],
    diverged: Mapping[str, np.ndarray],
) -> pd.DataFrame:
    """Rows from columns.

    Args:
      runs: one row per run: its place in the grid, task axes, seed, hyperparameters.
      measured: {key: (runs,) values}; a key has one part per name.
      names: what the parts of a key are called, "subject" among them.
      diverged: {modality: (runs,)} whether its encoder diverged. A pair did if one of the two did,
        every other subject if any did.

    Returns:
      `runs` repeated per key, with the key's parts, `value` and `diverged`.
    """
    parts = []
    for key, values in measured.items():
        part = runs.copy()
        for name, k in zip(names, key, strict=True):
            part[name] = k
        subject = key[names.index("subject")]
        members = [name for name in subject.split("|") if name in diverged] or list(diverged)
        part["value"] = np.asarray(values, np.float64)
        part["diverged"] = np.any([diverged[name] for name in members], axis=0)
        parts.append(part)
    return pd.concat(parts, ignore_index=True)


def save(table: pd.DataFrame, folder: Path, name: str) -> None:
    """Writes `<name>.csv`, then the same rows as `<name>.parquet`, which says that all is there."""
    workdir.write(folder / f"{name}.csv", lambda p: table.to_csv(p, index=False))
    workdir.write(folder / f"{name}.parquet", lambda p: table.to_parquet(p, index=False))


def read(folder: Path, name: str = RESULTS) -> pd.DataFrame:
    """The table `name` of a workdir.

    Raises:
      UserError: there is none, or it cannot be read.
    """
    path = folder / f"{name}.parquet"
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise UserError(f"workdir: {folder} holds no {path.name}; run --job=sweep first") from None
    except Exception as error:  # pyarrow has many of its own
        raise UserError(f"workdir: {path} cannot be read: {error}".splitlines()[0]) from None
