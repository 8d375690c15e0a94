"""The atlas: what alignment did to encoders of real datasets, and what that says of a new one.

`atlas.parquet` has a row per encoder beside a partner: `experiments/atlas.py` made it, and says on
what. Scores and changes are points of test accuracy (of Pearson's r × 100 for the regressions);
`early` is at each encoder's best validation step, `last` at the last step.

  dataset, pairing, encoder, partner      what it is
  labels, classes, pairs, valid, test     of the task; 0 classes for a regression
  dim, partner_dim, majority              columns of the inputs; accuracy of a constant
  score_M, partner_M                      at λ = 0, at moment M, mean over 8 splits
  M_A, M_A_se                             change under arm A, its standard error over splits
  valid_A                                 change of the best validation score, points
  cka, mutual_knn                         of the two embeddings at λ = 0
  gate, weight, temperature               of the posterior mechanism, at the end
  own_information, partner_information, information, redundancy, synergy,
  shared_fraction, redundancy_fraction      nats and shares, of all labelled rows
"""

from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)
POSTERIOR = "posterior"
ARMS = (*(f"{s:g}" for s in STRENGTHS), POSTERIOR)
# A slope is believed as much as one dataset's worth of data asks for it.
RIDGE = 1.0
TYPICAL_GATE = 0.5


class Encoder(NamedTuple):
    """What is asked of an encoder, numbers or arrays of them.

    Attributes:
      score: its own at λ = 0, points.
      partner: its partner's.
      majority: of a constant prediction, points; 0 for a regression.
      labels: for training.
      pairs: for training, with labels or without.
      classes: 0 for a regression.
      shared_fraction: of what it tells about the label, the part that its partner tells too; NaN
        where that is not known.
      gate: of the posterior mechanism, where that has been tried; NaN where not.
    """

    score: np.ndarray
    partner: np.ndarray
    majority: np.ndarray
    labels: np.ndarray
    pairs: np.ndarray
    classes: np.ndarray
    shared_fraction: np.ndarray
    gate: np.ndarray


class Expected(NamedTuple):
    """Of a new encoder of another dataset, points.

    Attributes:
      mean: (..., K) change under each arm.
      covariance: (..., K, K) of what a dataset that was left out had beyond the mean.
      datasets: how many there are.
    """

    mean: np.ndarray
    covariance: np.ndarray
    datasets: int

    def ends(self, level: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
        """(..., K) prediction intervals, Student's t with a degree per dataset but two."""
        spread = np.sqrt(np.diagonal(self.covariance, axis1=-2, axis2=-1))
        half = stats.t.ppf((1 + level) / 2, self.datasets - 2) * spread
        return self.mean - half, self.mean + half


@cache
def table() -> pd.DataFrame:
    """The atlas."""
    with resources.as_file(resources.files(__package__) / "atlas.parquet") as path:
        return pd.read_parquet(path)


def encoders(rows: pd.DataFrame, moment: str = "early") -> Encoder:
    """Rows of the atlas as encoders."""
    columns = {"score": f"score_{moment}", "partner": f"partner_{moment}"}
    found = (rows[columns.get(name, name)].to_numpy(float) for name in Encoder._fields)
    return Encoder(*found)._replace(majority=rows["majority"].fillna(0).to_numpy(float))


def features(of: Encoder) -> np.ndarray:
    """(n, 5) numbers of order one: lead, own level, shared fraction, labels, pairs."""
    room = np.maximum(100 - of.majority, 1)
    per_class = of.labels / np.where(of.classes > 0, of.classes, 4)
    shared = np.where(np.isfinite(of.shared_fraction), of.shared_fraction, 0.5)
    return np.stack(
        [
            (of.partner - of.score) / 20,
            (of.score - of.majority) / room - 0.5,
            2 * shared - 1,
            np.log10(per_class / 20),
            np.log10(of.pairs / of.labels) - 0.5,
        ],
        axis=-1,
    )


def _design(of: Encoder, arm: str) -> np.ndarray:
    """(n, 6) columns of the regression, the constant first.

    The posterior mechanism cannot change what its gate leaves alone, so each of its columns is
    multiplied by the gate.
    """
    x = np.concatenate([np.ones((len(of.score), 1)), features(of)], axis=1)
    if arm == POSTERIOR:
        x = x * np.where(np.isfinite(of.gate), of.gate, TYPICAL_GATE)[:, None]
    return x


def _fitted(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Ridge regression that leaves the constant alone."""
    penalty = RIDGE * np.eye(x.shape[1])
    penalty[0, 0] = 1e-6
    weighed = x * weight[:, None]
    return np.linalg.solve(weighed.T @ x + penalty, weighed.T @ y)


def _weight(rows: pd.DataFrame) -> np.ndarray:
    """Every dataset counts as one."""
    return 1 / rows.groupby("dataset")["dataset"].transform("size").to_numpy(float)


def left_out(rows: pd.DataFrame, arms: tuple[str, ...] = ARMS, moment: str = "early") -> np.ndarray:
    """(n, K) change of every encoder as the other datasets predict it."""
    of, weight = encoders(rows, moment), _weight(rows)
    found = np.empty((len(rows), len(arms)))
    dataset = rows["dataset"].to_numpy()
    for k, arm in enumerate(arms):
        x, y = _design(of, arm), rows[f"{moment}_{arm}"].to_numpy(float)
        for name in np.unique(dataset):
            out = dataset == name
            found[out, k] = x[out] @ _fitted(x[~out], y[~out], weight[~out])
    return found


def expected(
    of: Encoder,
    arms: tuple[str, ...] = ARMS,
    rows: pd.DataFrame | None = None,
    moment: str = "early",
) -> Expected:
    """What alignment may do to encoders of a dataset that the atlas does not have.

    Args:
      of: the encoders, arrays (n,).
      arms: K of `ARMS`.
      rows: of the atlas; None for all.
      moment: "early" or "last".
    """
    rows = table() if rows is None else rows
    weight = _weight(rows)
    known = encoders(rows, moment)
    actual = np.stack([rows[f"{moment}_{arm}"].to_numpy(float) for arm in arms], axis=-1)
    mean = np.stack(
        [
            _design(of, arm) @ _fitted(_design(known, arm), actual[:, k], weight)
            for k, arm in enumerate(arms)
        ],
        axis=-1,
    )
    error = actual - left_out(rows, arms, moment)
    share = weight / weight.sum()
    covariance = np.broadcast_to((error * share[:, None]).T @ error, (*mean.shape, len(arms)))
    return Expected(mean, covariance, rows["dataset"].nunique())
