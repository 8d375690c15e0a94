"""The summary of a sweep, and its shortest form."""

import json

import numpy as np
from helpers import planted
from helpers.planted import rising, table

from redalign_jax.analysis import conclusions


def test_diverged_runs_and_single_seeds():
    results = table(rising, axis=[0])
    broken = results["strength"] == 4.0
    results.loc[broken, ["value", "diverged"]] = np.nan, True
    summary = conclusions.summarise(results)
    assert summary["diverged"] == 12
    assert {row["strength"] for row in summary["curves"]} == {0.0, 0.3, 1.0, 4.0}
    assert {row["strongest"] for row in summary["best"]} == {4.0}
    one = conclusions.summarise(table(rising, seeds=1))
    assert one["best"][0]["held_out_gain_low"] is None
    assert "best" in conclusions.short_table(one)
    (row, _), text = summary["best"], conclusions.short_table(summary)
    shown = f"{100 * row['held_out_gain']:+.1f} [{100 * row['held_out_gain_low']:+.1f},"
    assert shown in text and row["verdict"] in text  # what is judged is what is shown
    assert "12 of 48 runs diverged, counted as the worst outcome" in text
    everything = table(rising, axis=[0]).assign(diverged=True)
    assert "every run diverged" in conclusions.short_table(conclusions.summarise(everything))


def test_the_summary_is_json_whatever_is_known():
    for results in (
        planted.results(planted.spread(6), seeds=3),
        planted.results(planted.spread(3), seeds=2, noise=0.0),
        planted.results(planted.spread(3), seeds=1),
        table(rising, axis=[0]),
    ):
        summary = conclusions.summarise(results)
        assert json.loads(json.dumps(summary, allow_nan=False)) == summary
        text = conclusions.short_table(summary)
        assert all(v in text for v in {row["verdict"] for row in summary["best"]})
    summary = conclusions.summarise(planted.results(planted.spread(6), seeds=3))
    assert len(summary["law"]) == 1
    assert np.isfinite([r["spearman"] for r in summary["law"][0]["relations"]]).all()
