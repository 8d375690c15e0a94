"""Best strengths: intervals of gain, harm and λ*, and the verdicts of a whole page."""

import numpy as np
import pandas as pd
import pytest
from helpers.simulated import fresh, resplit, responses

from redalign_jax.analysis import differences, simultaneous, strengths
from redalign_jax.analysis.trend import relation

TEST = 0.25
SHARE = TEST / (1 - TEST)


@pytest.fixture(autouse=True)
def fewer_draws(monkeypatch):
    """Fewer draws of the reference and of the bootstrap: the same in the mean, and faster."""
    monkeypatch.setattr(simultaneous, "TURNS", 2000)
    monkeypatch.setattr(strengths, "RESAMPLES", 400)
    simultaneous._turns.cache_clear()
    yield
    simultaneous._turns.cache_clear()


def judged(pages, share=0.0, tables=1):
    """Rows of `strengths.best` of every page, with the page's number."""
    found = [
        strengths.judged(responses(page, share), "accuracy", tables).assign(page=i)
        for i, page in enumerate(pages)
    ]
    return pd.concat(found, ignore_index=True)


def false(rows):
    """Per page, whether it says that anything helps or hurts."""
    return (
        rows["verdict"].isin(["helps", "hurts"]).groupby(rows["page"]).any()
        | (rows["change_at_max_p"] <= 0.05).groupby(rows["page"]).any()
    )


@pytest.mark.parametrize(
    ("seeds", "how"),
    [(4, {}), (6, {"noise": "heavy"}), (10, {"rows": 200}), (16, {})],
)
def test_a_page_without_effects_says_nothing(seeds, how, at_most):
    """8 encoders, 6 strengths: any false word on the page."""
    pages = fresh(np.random.default_rng(seeds), (150, 8, seeds, 6), **how)
    rows = judged(pages)
    at_most(false(rows), 0.05)


def test_a_page_of_splits_of_the_same_rows_says_nothing_either(at_most):
    pages = resplit(np.random.default_rng(0), (150, 3, 10, 3), test=TEST)
    at_most(false(judged(pages, SHARE)), 0.05)
    naive = judged(pages)
    assert false(naive).mean() > 0.1  # what taking splits for independent seeds would do


def test_harm_covers_over_fresh_draws_and_over_splits(covers):
    rng = np.random.default_rng(1)
    for changes, share in (
        (fresh(rng, (600, 1, 6, 1), truth=-1.0), 0.0),
        (resplit(rng, (600, 1, 10, 1), test=TEST), SHARE),
        (resplit(rng, (600, 1, 6, 1), test=0.4), 0.4 / 0.6),
    ):
        ends = [differences.mean_interval(page[0, :, 0], share) for page in changes]
        truth = -0.02 if share == 0 else 0.0
        _, low, high = np.array(ends).T
        covers(low, high, truth)
    naive = [differences.mean_interval(page[0, :, 0]) for page in changes]
    _, low, high = np.array(naive).T
    assert np.mean((low <= 0) & (high >= 0)) < 0.88


@pytest.mark.parametrize("truth", [np.zeros(6), np.full(6, 1.5), np.array([0, 0, 2, 0, -2, -4])])
def test_the_interval_of_the_gain_covers_the_best_strengths_true_gain(truth, covers):
    for seeds in (5, 12):
        pages = fresh(np.random.default_rng(seeds), (400, 1, seeds, 6), truth)
        found = [simultaneous.gain(page[0], 0.0, 0.01) for page in pages]
        covers([g.low for g in found], [g.high for g in found], 0.02 * truth.max())


def test_the_interval_of_the_gain_covers_over_splits(covers):
    pages = resplit(np.random.default_rng(2), (400, 1, 8, 4), test=TEST)
    found = [simultaneous.gain(page[0], SHARE, 0.01) for page in pages]
    low = np.array([g.low for g in found])
    assert np.mean(low > 0) <= 0.025 + 2 * np.sqrt(0.025 * 0.975 / len(low))


def test_true_gains_and_losses_are_found():
    """One strength gains three standard deviations of a seed in half of 20 encoders, one costs."""
    truth = np.zeros((20, 1, 6))
    truth[:10, :, 2], truth[:, :, 5] = 3.0, -3.0
    pages = fresh(np.random.default_rng(3), (8, 20, 12, 6), truth)
    rows = judged(pages, tables=3)
    gains = rows["subject"].astype(int) < 10
    assert (rows.loc[gains, "verdict"] == "helps").mean() > 0.9
    assert (rows.loc[~gains, "verdict"] == "hurts").mean() > 0.9
    split = resplit(np.random.default_rng(4), (20, 3, 16, 3), test=TEST) + 0.3
    assert (judged(split, SHARE)["verdict"] == "helps").mean() > 0.9


def test_neither_is_said_of_small_effects_alone(at_most):
    rng = np.random.default_rng(5)
    at_the_margin = fresh(rng, (100, 5, 10, 5), truth=0.0) * 0.1 + strengths.MARGIN
    rows = judged(at_the_margin)
    at_most((rows["verdict"] == "neither").groupby(rows["page"]).any(), 0.05)
    small = judged(fresh(rng, (10, 8, 10, 5)) * 0.1)
    assert (small["verdict"] == "neither").mean() > 0.9


def test_the_interval_of_the_best_strength_holds_it():
    """λ* is one of few settings, so its interval may hold it more often than 98 %."""
    truth = np.array([0.0, 0.6, 1.0, 0.5, -1.0])
    for seeds in (6, 16):
        rows = judged(fresh(np.random.default_rng(seeds), (150, 1, seeds, 5), truth))
        inside = rows["best_strength_low"].le(3) & rows["best_strength_high"].ge(3)
        assert inside.mean() >= 0.92


def test_cells_of_a_map_are_bold_together(at_most):
    changes = fresh(np.random.default_rng(6), (150, 1, 6, 30), rho=0.2)[:, 0]
    bold = []
    for page in changes:
        ends = np.array([differences.mean_interval(column) for column in page.T])
        curve = pd.DataFrame(ends, columns=["change", "change_low", "change_high"]).assign(seeds=6)
        wide = differences.widened(curve, len(curve))
        bold.append(((wide["change_low"] > 0) | (wide["change_high"] < 0)).any())
    at_most(bold, 0.05)


def test_a_trend_is_not_read_into_noise_but_found_where_it_is(at_most):
    """λ* along nine values of an axis: flat curves have no trend, a moving peak has."""
    own = np.array([0.0, 0.1, 0.3, 1.0, 3.0])
    rng = np.random.default_rng(7)

    def ends(truth):
        noise = fresh(rng, (9, 1, 10, 4))[:, 0]
        changes = np.concatenate([np.zeros((9, 10, 1)), noise + 0.02 * truth], axis=2)
        found = relation([(own, one) for one in changes], 0.0)
        return found["spearman_low"], found["spearman_high"]

    flat = np.array([ends(0.0) for _ in range(150)])
    at_most((flat[:, 0] > 0) | (flat[:, 1] < 0), 0.05)
    peak = np.abs(np.arange(1, 5) - 1 - np.arange(9)[:, None] / 3)[:, None]
    moving = np.array([ends(2 - 2 * peak) for _ in range(20)])
    assert (moving[:, 0] > 0).mean() > 0.9
