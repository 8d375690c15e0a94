"""Regimes in which a law was planted, left out, and turned."""

import pandas as pd
import pytest
from helpers import planted

from redalign_jax.analysis import points, regimes


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(points, "RESAMPLES", 300)


PEAKS = {100: lambda f: 4 * f, 1000: lambda f: 2.0, 9000: lambda f: 4 - 4 * f}


def table(seeds=6):
    fractions = [(0.1, 0.12), (0.5, 0.55), (0.9, 0.95)]
    parts = [
        planted.results(fractions, seeds=seeds, peak=peak, noise=0.001, labels=labels)
        for labels, peak in PEAKS.items()
    ]
    return pd.concat(parts, ignore_index=True)


def test_the_map_finds_where_the_law_holds_vanishes_and_turns():
    results = table()
    assert regimes.information_axis(results, None) == "redundancy"
    rows = {row["labels"]: row for row in regimes.regimes(results)}
    assert {labels: row["law"] for labels, row in rows.items()} == {
        100: "strong",
        1000: "not shown",
        9000: "turned",
    }
    strong = rows[100]
    assert strong["best_strength_least"] < 0.3 < strong["best_strength_most"]
    assert strong["shared_fraction_least"] == pytest.approx(0.11)
    # the strongest λ is 3.6 and 0.3 places from the best: mean over both encoders
    expected = [planted.peaked(4 * f)[-1] for f in (0.1, 0.12)]
    assert (
        strong["change_at_max_least_low"] < sum(expected) / 2 < strong["change_at_max_least_high"]
    )
    assert strong["change_at_max_least_high"] < 0 < strong["change_at_max_most_low"]

    seen = {row["value"]: row for row in regimes.overview(list(rows.values()))}
    assert seen[100]["strong"] == 1 and seen[100]["turned"] == 0
    assert seen[9000]["turned"] == 1 and seen[9000]["spearman"] < 0


def test_one_regime_is_no_map():
    assert regimes.regimes(planted.results(planted.spread(4), seeds=3)) == []
    assert regimes.overview([]) == []
    plain = table(seeds=2)
    plain = plain[[c for c in plain if not c.startswith(("pid_", "shared_"))]]
    assert regimes.regimes(plain) == []


def test_verdicts_by_interval():
    ends = [(0.6, 0.9), (0.2, 0.9), (-0.1, 0.9), (-0.9, -0.1), (0.0, 0.0)]
    found = [regimes.verdict(*e) for e in ends]
    assert found == ["strong", "weak", "not shown", "turned", "not shown"]
