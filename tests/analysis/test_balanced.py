"""The balanced mechanism beside a grid, and its comparison with fixed strengths."""

import numpy as np
import pandas as pd
import pytest
from helpers.small import experiment

from redalign_jax import report, sweep
from redalign_jax.analysis import balanced
from redalign_jax.config import BALANCED, BALANCED_OBJECTIVE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("balanced")
    return folder, sweep.run(experiment(sweep__balanced=True), folder)


def test_the_grid_does_not_notice_and_the_mechanism_equals_its_own_settings(run, tmp_path):
    fixed, own = balanced.split(run[1])
    pd.testing.assert_frame_equal(fixed, sweep.run(experiment(), tmp_path / "plain"))
    spelled = experiment(
        alignment__objective=BALANCED_OBJECTIVE,
        **{f"hyper__{k}": (v,) for k, v in BALANCED.items()},
    )
    pd.testing.assert_frame_equal(own, sweep.run(spelled, tmp_path / "spelled"))


def test_the_report_has_its_section(run):
    summary = report.make(run[0])
    assert set(summary["balanced"]) == {"last", "stopped early", "fusion"}
    assert "balanced mechanism" in (run[0] / "report.html").read_text()


def table(values):
    """Rows from {(subject, strength or "balanced"): (seeds,)}."""
    rows = [
        {
            "seed": seed,
            "strength": 16.0 if setting == "balanced" else setting,
            "balanced": setting == "balanced",
            "subject": subject,
            "metric": "accuracy",
            "value": value,
            "diverged": False,
        }
        for (subject, setting), each in values.items()
        for seed, value in enumerate(each)
    ]
    return pd.DataFrame(rows)


def test_differences_are_paired_and_the_best_strength_is_held_out():
    rng = np.random.default_rng(0)
    seeds = 6
    base = {name: rng.normal(size=seeds) for name in "ab"}
    noise = {(m, s): rng.normal(size=seeds) for m in "ab" for s in (1.0, 4.0, "balanced")}
    changes = {(m, 0.0): np.zeros(seeds) for m in "ab"} | noise
    found = balanced.compare(
        table({key: base[key[0]] + change for key, change in changes.items()}), "accuracy"
    )
    rows = {row["setting"]: row for row in found["overall"]}

    mean = {s: (changes["a", s] + changes["b", s]) / 2 for s in (0.0, 1.0, 4.0, "balanced")}
    for setting, values in mean.items():
        assert rows[setting]["change"] == pytest.approx(values.mean())
        ahead = mean["balanced"] - values
        half = 2.570582 * ahead.std(ddof=1) / np.sqrt(seeds)
        assert rows[setting]["advantage"] == pytest.approx(ahead.mean())
        assert rows[setting]["advantage_high"] == pytest.approx(ahead.mean() + half, abs=1e-6)
        worst = min(changes["a", setting].mean(), changes["b", setting].mean())
        assert rows[setting]["worst"] == pytest.approx(worst)

    held_out = []
    for m in "ab":
        for seed in range(seeds):
            others = [np.delete(changes[m, s], seed).mean() for s in (0.0, 1.0, 4.0)]
            held_out.append(changes[m, (0.0, 1.0, 4.0)[int(np.argmax(others))]][seed])
    assert rows["best for each encoder"]["change"] == pytest.approx(np.mean(held_out))


def test_nothing_to_compare_is_none():
    values = {("a", 0.0): [0.5, 0.6], ("a", 1.0): [0.5, 0.7]}
    assert balanced.compare(table(values), "accuracy") is None
    assert balanced.comparisons(table(values).drop(columns="balanced")) == {}
