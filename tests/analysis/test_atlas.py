"""What the atlas says of a dataset that it does not have."""

from importlib import resources

import numpy as np
import pytest

import redalign_jax as ra
from redalign_jax.analysis import atlas


def rows():
    return atlas.table()


def test_it_is_small_and_complete():
    with resources.as_file(resources.files(atlas.__package__) / "atlas.parquet") as path:
        assert path.stat().st_size < 300_000
    encoders = rows()[["dataset", "pairing", "encoder", "partner"]].drop_duplicates()
    assert len(encoders) == 130 and encoders["dataset"].nunique() == 19
    assert np.isfinite(rows()[[f"early_{arm}" for arm in atlas.ARMS]].to_numpy()).all()


@pytest.mark.parametrize("moment", ["early", "last"])
def test_intervals_hold_datasets_that_had_no_part_in_them(moment):
    table, held = rows(), {arm: [] for arm in atlas.ARMS}
    for name in table["dataset"].unique():
        out = table["dataset"] == name
        of = atlas.encoders(table[out], moment)
        low, high = atlas.expected(of, rows=table[~out], moment=moment).ends()
        for k, arm in enumerate(atlas.ARMS):
            change = table.loc[out, f"{moment}_{arm}"].to_numpy()
            held[arm].append(np.mean((low[:, k] <= change) & (change <= high[:, k])))
    covered = {arm: np.mean(each) for arm, each in held.items()}
    assert all(0.9 <= share <= 0.98 for share in covered.values()), covered


def test_prediction_is_a_weighted_ridge_regression():
    """By least squares on rows that are added for the penalty, in float64."""
    table = rows()
    out = (table["dataset"] == "cora").to_numpy()
    known, new = atlas.encoders(table[~out]), atlas.encoders(table[out])
    size = table[~out].groupby("dataset")["dataset"].transform("size").to_numpy()
    x = np.column_stack([np.ones((~out).sum()), atlas.features(known)])
    added = np.sqrt(np.diag([1e-6, *[atlas.RIDGE] * 5]))
    weight = 1 / np.sqrt(size)
    full = np.concatenate([x * weight[:, None], added])
    y = np.concatenate([table.loc[~out, "early_1"] * weight, np.zeros(6)])
    slope = np.linalg.lstsq(full, y, rcond=None)[0]
    want = np.column_stack([np.ones(out.sum()), atlas.features(new)]) @ slope
    np.testing.assert_allclose(atlas.expected(new, ("1",), table[~out]).mean[:, 0], want, rtol=1e-9)
    np.testing.assert_allclose(atlas.left_out(table, ("1",))[out, 0], want, rtol=1e-9)


def test_a_dataset_left_out_says_nothing_about_itself():
    table, changed = rows(), rows().copy()
    out = (table["dataset"] == "mfeat").to_numpy()
    changed.loc[out, "early_posterior"] += 100
    before, after = (atlas.left_out(t, ("posterior",)) for t in (table, changed))
    np.testing.assert_array_equal(before[out], after[out])
    assert not np.allclose(before[~out], after[~out])


def test_a_closed_gate_changes_nothing_and_no_lead_is_better_than_behind():
    closed = ra.predict_gain(70, 85, labels=100, classes=10, gate=0)
    assert closed.loc["posterior", "expected"] == 0
    behind, ahead = (ra.predict_gain(70, p, labels=100, classes=10, gate=1) for p in (60, 90))
    assert ahead.loc["posterior", "expected"] > behind.loc["posterior", "expected"]
    narrow = ra.predict_gain(70, 60, labels=100, classes=10, gate=1, level=0.5)
    assert (narrow["low"] > behind["low"]).all() and (narrow["high"] < behind["high"]).all()
    assert (narrow["expected"] == behind["expected"]).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"score": 101},
        {"partner": float("nan")},
        {"labels": 0},
        {"classes": 1},
        {"pairs": 50},
        {"shared_fraction": -0.1},
        {"gate": 2},
        {"majority": -1},
        {"level": 95},
    ],
)
def test_a_number_that_cannot_be_is_named(changes):
    numbers = {"score": 70, "partner": 85, "labels": 100, "classes": 10} | changes
    with pytest.raises(ra.UserError, match=f"^{next(iter(changes))}: "):
        ra.predict_gain(**numbers)
