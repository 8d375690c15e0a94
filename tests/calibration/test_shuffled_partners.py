"""What is alignment and what is regularisation: numbers and marks of the grid beside itself with
shuffled partners, where partners bring nothing and where they do."""

import re

import numpy as np
import pandas as pd
import pytest
from helpers.simulated import fresh, resplit

from redalign_jax.analysis import shuffled
from redalign_jax.report import control, facets

ENCODERS, SEEDS, STRENGTHS = 3, 6, 4
TEST = 0.25
SHARE = TEST / (1 - TEST)
COLUMNS = control.COLUMNS


def table(changes, stopped=None, share=0.0):
    """Results of (encoders, seeds, 2 × strengths) changes: of true partners, then of shuffled ones.

    At strength 0 the two grids are the same runs; seeds have most of their accuracy in common.
    """
    encoders, seeds, columns = changes.shape
    own = np.random.default_rng(9).normal(0.7, 0.03, (encoders, seeds))
    strengths = np.arange(columns // 2 + 1.0)
    frames = []
    for metric, each in (("accuracy", changes), ("early_accuracy", stopped)):
        if each is None:
            continue
        for grid, half in zip((False, True), np.split(each, 2, axis=2), strict=True):
            values = own[..., None] + np.concatenate([np.zeros((*own.shape, 1)), half], axis=2)
            who, seed, place = (a.ravel() for a in np.indices(values.shape))
            frames.append(
                pd.DataFrame(
                    {
                        "shuffled": grid,
                        "resplit": share,
                        "seed": seed,
                        "strength": strengths[place],
                        "subject": who.astype(str),
                        "metric": metric,
                        "value": values.ravel(),
                        "diverged": False,
                    }
                )
            )
    results = pd.concat(frames, ignore_index=True)
    return results[["shuffled", "seed", "resplit", *results.columns[3:]]]


def marks(results):
    """(▲, ▼) of the section as a page shows it; the terminal's lines have no others."""
    found = shuffled.comparisons(results)
    page = str(control.section(found, facets.layout(shuffled.split(results)[0])))
    drawn = [re.findall(f'"mark">{kind}<', page) for kind in "▲▼"]
    said = control.lines(found, 100).splitlines()[1:]
    assert len(said) == STRENGTHS
    assert all("".join(said).count(kind) <= len(d) for kind, d in zip("▲▼", drawn, strict=True))
    return tuple(map(len, drawn))


def two_readings(rng, pages, **how):
    """The last step and stopped early, which agree in part: (pages, 2, encoders, seeds, 2 × k)."""
    shape = (pages, ENCODERS, SEEDS, 2 * STRENGTHS)
    last, rest = fresh(rng, shape, **how), fresh(rng, shape, **how)
    return np.stack([last, 0.8 * last + 0.6 * rest], axis=1)


def test_a_section_without_effects_has_no_mark(at_most):
    rng = np.random.default_rng(0)
    pages = [page for noise in ("normal", "heavy") for page in two_readings(rng, 50, noise=noise)]
    at_most([sum(marks(table(*page))) > 0 for page in pages], 0.05)


def test_a_section_of_splits_of_the_same_rows_has_none_either(at_most):
    pages = resplit(np.random.default_rng(1), (60, ENCODERS, 8, 2 * STRENGTHS), test=TEST)
    at_most([sum(marks(table(page, share=SHARE))) > 0 for page in pages], 0.05)


def ends(changes, share=0.0):
    """{column: (low, high)} of every encoder at every strength."""
    rows = pd.DataFrame(shuffled.compare(table(changes, share=share), "accuracy"))
    rows = rows[rows["subject"] != shuffled.EVERY]
    return {c: (rows[f"{c}_low"].to_numpy(), rows[f"{c}_high"].to_numpy()) for c in COLUMNS}


@pytest.mark.parametrize("seeds", [3, 6, 12])
def test_every_interval_holds_what_it_is_of(seeds, covers):
    """True partners bring more than shuffled ones, which do harm."""
    truth = np.array([1.5, -0.5])
    changes = fresh(np.random.default_rng(seeds), (1, 800, seeds, 2), truth)[0]
    of = dict(zip(COLUMNS, 0.02 * np.array([*truth, truth[0] - truth[1]]), strict=True))
    for column, (low, high) in ends(changes).items():
        covers(low, high, of[column])


def test_every_interval_holds_over_splits_of_the_same_rows(covers):
    changes = resplit(np.random.default_rng(3), (500, 1, 10, 2), test=TEST)[:, 0]
    for low, high in ends(changes, SHARE).values():
        covers(low, high)


def test_the_mean_over_encoders_is_covered_although_they_share_their_seeds(covers):
    """Encoders of a seed have half of their change in common; one page after the other."""
    rng = np.random.default_rng(4)
    pages = fresh(rng, (150, ENCODERS, SEEDS, 2)) + fresh(rng, (150, 1, SEEDS, 2))
    found = [shuffled.compare(table(page), "accuracy")[0] for page in pages]
    assert {row["subject"] for row in found} == {shuffled.EVERY}
    for column in COLUMNS:
        covers(*(np.array([row[f"{column}_{end}"] for row in found]) for end in ("low", "high")))


def test_alignment_is_found_and_regularisation_is_not_taken_for_it():
    """Both grids lose three standard deviations of a seed; true partners win five at one λ."""
    effect = np.full(2 * STRENGTHS, -3.0)
    effect[1] = 5.0
    pages = fresh(np.random.default_rng(5), (20, ENCODERS, 10, 2 * STRENGTHS), effect)
    ahead, beside, lost = [], [], []
    for page in pages:
        for row in shuffled.comparisons(table(page))["last"]:
            (ahead if row["setting"] == 2 else beside).append(row["alignment_shown"])
            lost.append(row["shuffled_shown"])
    assert np.mean(np.array(ahead) == 1) > 0.9
    assert np.mean(np.array(lost) == -1) > 0.9
    assert np.mean(np.array(beside) != 0) < 0.02
