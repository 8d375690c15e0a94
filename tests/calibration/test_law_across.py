"""What is said of a law, and of a map of regimes, in worlds without one.

Points are drawn as experiments make them: what is particular about a task, or about a view and
shared by all of its pairs, moves both of its encoders; λ* is read off noisy curves on a grid; the
law stopped early belongs to the same tasks. A page says up to six correlations and twelve slopes.
"""

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from redalign_jax.analysis import across, correlation, factors, points, regimes, strengths

RESAMPLES = 100
PLACES = np.arange(5)
SEEDS = 6


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(points, "RESAMPLES", RESAMPLES)
    monkeypatch.setattr(factors, "EXCHANGES", 99)


def least(share, worlds):
    """Of `worlds`, what a true share of this leaves in 999 of 1,000 tests."""
    return stats.binom.ppf(0.001, worlds, share)


def most(share, worlds):
    return stats.binom.ppf(0.999, worlds, share)


def tasks(count):
    """Two encoders of every task; the task is what they share."""
    rows = [{"redundancy": t, "subject": s} for t in range(count) for s in "ab"]
    return pd.DataFrame(rows), [[t] for t in range(count) for _ in "ab"], [[0, 1]] * (2 * count)


def pairs(count):
    """Both encoders of every pair of views."""
    rows, own, other = [], [], []
    for pair in combinations(range(count), 2):
        for mine, partner in (pair, pair[::-1]):
            names = ",".join(f"v{v}" for v in pair)
            rows.append({"modalities": names, "subject": f"v{mine}"})
            own.append(mine)
            other.append(partner)
    return pd.DataFrame(rows), own, other


def effects_of(rng, world):
    """(points,) what is particular about tasks, or views as own and as partner, and a rest."""
    keys, own, other = world
    if "redundancy" in keys:
        shared = rng.standard_normal(keys["redundancy"].nunique())[keys["redundancy"]]
        return shared + 0.5 * rng.standard_normal(len(keys))
    mine, partners = rng.standard_normal((2, max(own) + 1))
    return mine[own] + partners[other] + 0.4 * rng.standard_normal(len(keys))


def measured(rng, keys, f, gap, peaks, heights, noise=0.004, seeds=SEEDS):
    """`Points` of curves with these best places, as `points.points` makes them."""
    true = 0.01 * heights[:, None] * (peaks[:, None] ** 2 - (PLACES - peaks[:, None]) ** 2) / 4
    changes = true[:, None] + noise * rng.standard_normal((len(keys), seeds, len(PLACES)))
    changes[..., 0] = 0
    times = np.vstack([np.ones(seeds), strengths.draws(seeds, RESAMPLES)])
    rows, curves = [], []
    for one, each, lead in zip(f, changes, gap, strict=True):
        answer = strengths.Response(
            {}, PLACES.astype(float), len(PLACES) - 1, np.arange(seeds), each, np.zeros(seeds)
        )
        known = dict.fromkeys(points.INFORMATION, np.full(len(times), one))
        rows.append(
            points._resampled(answer, times) | known | {points.GAP: np.full(len(times), lead)}
        )
        curves.append((answer.own, each))
    values = {name: np.stack([row[name] for row in rows], axis=1) for name in rows[0]}
    axes = [c for c in keys if c != "subject"]
    made_of = factors.find(keys, axes, f)
    drawn = np.vstack([np.ones(len(keys)), factors.weights(made_of, len(keys), RESAMPLES)])
    task = keys.groupby(axes, sort=False).ngroup().to_numpy()
    return points.Points(
        keys, task, task.max() + 1, seeds, 0.0, values, drawn, True, curves, made_of
    )


def best_places(f, own, follow):
    """λ* over all of the grid, with f as `follow` times as much of it as everything else."""
    return np.clip(2 + 1.2 * (follow * f + own) / np.hypot(follow, 1), 0, 4)


def law(rng, world, follow=0.0, constant=False):
    """The last step and early stopping: λ* follows f as far as it is told."""
    keys = world[0]
    f, gap = effects_of(rng, world), effects_of(rng, world)
    own, heights = effects_of(rng, world), np.exp(0.5 * effects_of(rng, world))
    both = []
    for _ in range(2):
        peaks = best_places(f, own + 0.3 * rng.standard_normal(len(keys)), follow)
        peaks = np.zeros(len(keys)) if constant else peaks
        both.append(measured(rng, keys, f, gap, peaks, heights))
    return across.tested(both)


def claims(said):
    """Every correlation and slope that the page gives an interval without 0."""
    found = []
    for one in said:
        for row in one["relations"]:
            if row["predictor"] == "shared_fraction":
                found.append(row["spearman_low"] > 0 or row["spearman_high"] < 0)
        for row in one["together"]:
            for name in ("shared_fraction", "accuracy_gap"):
                found.append(row[f"{name}_low"] > 0 or row[f"{name}_high"] < 0)
    return found


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("make", [lambda: tasks(4), lambda: tasks(9), lambda: pairs(6)])
def test_pages_without_a_law_claim_none(make, constant):
    worlds = 40
    rng = np.random.default_rng(0)
    world = make()
    pages = [any(claims(law(rng, world, constant=constant))) for _ in range(worlds)]
    assert sum(pages) <= most(0.05, worlds)


@pytest.mark.parametrize("make", [tasks, pairs])
def test_the_correlation_of_many_tasks_is_covered(make):
    """Truth: what many more tasks or views have, without noise in λ*."""
    rng = np.random.default_rng(1)
    follow, worlds = 1.0, 40
    large = make(60 if make is pairs else 3000)
    f, own = effects_of(rng, large), effects_of(rng, large)
    stars = np.round(best_places(f, own + 0.3 * rng.standard_normal(len(f)), follow))
    truth = stats.spearmanr(f, stars).statistic
    inside, shown = 0, 0
    for _ in range(worlds):
        row = law(rng, make(7 if make is pairs else 12), follow)[0]["relations"][0]
        assert (row["outcome"], row["predictor"]) == ("best_strength", "shared_fraction")
        inside += row["spearman_low"] <= truth <= row["spearman_high"]
        shown += row["spearman_low"] > 0
    assert inside >= least(0.95, worlds)
    assert shown > 0.2 * worlds


@pytest.mark.parametrize("make", [lambda: tasks(9), lambda: pairs(6)])
def test_a_law_is_found(make):
    rng = np.random.default_rng(2)
    shown = [law(rng, make(), follow=6.0)[0]["relations"][0]["spearman_low"] > 0 for _ in range(12)]
    assert np.mean(shown) > 0.5


def test_four_tasks_show_no_law_whatever_they_do():
    rng = np.random.default_rng(0)
    for _ in range(10):
        said = law(rng, tasks(4), follow=9.0)
        assert not any(claims(said))
        assert said[0]["relations"][0]["these_tasks_low"] > -1


def regime(rng, peaks, heights, seeds, noise):
    """Three levels with two encoders each."""
    keys, *_ = tasks(3)
    f = np.repeat([0.4, 0.7, 0.95], 2) + np.tile([0, 0.02], 3)
    gap = rng.standard_normal(len(keys))
    return measured(rng, keys, f, gap, np.repeat(peaks, 2), np.repeat(heights, 2), noise, seeds)


@pytest.mark.parametrize("peak", [0.0, 1.5])
@pytest.mark.parametrize("seeds", [4, 8])
def test_maps_without_a_law_have_no_mark(peak, seeds):
    """λ* is the same everywhere; what strong alignment costs falls with what is shared."""
    rng = np.random.default_rng(seeds)
    maps, cells = 20, 18
    marked = 0
    for _ in range(maps):
        noise = np.geomspace(0.002, 0.05, cells)
        found = [regime(rng, np.full(3, peak), np.array([3, 1, 0.2]), seeds, n) for n in noise]
        marked += any(regimes._within(f, cells)["law"] != "not shown" for f in found)
    assert marked <= most(0.05, maps)


def test_a_map_marks_a_law_that_is_there():
    rng = np.random.default_rng(0)
    shown = [
        regimes._within(regime(rng, np.array([0, 2, 4.0]), np.ones(3), 8, 0.002), 18)["law"]
        for _ in range(10)
    ]
    assert np.mean([law == "not shown" for law in shown]) < 0.2


def test_a_task_per_pair_would_find_laws_that_views_explain():
    """Why views are exchanged: with pairs as tasks of their own, 3 of 10 pages find a law."""
    rng = np.random.default_rng(0)
    world = pairs(6)
    found = []
    for _ in range(60):
        f, y = effects_of(rng, world), effects_of(rng, world)
        each = [correlation.midranks(v, np.ones(len(v))) for v in (f, y)]
        rho = np.corrcoef(*each)[0, 1]
        moved = [np.corrcoef(each[0][rng.permutation(len(f))], each[1])[0, 1] for _ in range(99)]
        found.append((1 + sum(np.abs(moved) >= abs(rho))) / 100 <= 0.05)
    assert np.mean(found) > 0.1
