"""Wide inputs are read by few components, which know nothing of the rows that are judged."""

import jax
import numpy as np
import pytest

from redalign_jax import pid
from redalign_jax.pid import crossfit, wide

pytestmark = pytest.mark.slow

FAST = {"folds": 3, "ensemble_size": 1, "hidden_sizes": (16,), "steps": 60, "n_resamples": 0}
KEY = jax.random.key(0)
D = wide.WIDE + 76


def planted(n, seed=0):
    """(n, D) float32: 20 factors of unequal strength in noise."""
    rng = np.random.default_rng(seed)
    factors = rng.standard_normal((n, 20)) * np.linspace(3, 1, 20)
    return (factors @ rng.standard_normal((20, D)) + rng.standard_normal((n, D))).astype(np.float32)


def divided(n, folds=3):
    recipe = crossfit.Recipe(folds=folds, ensemble_size=2)
    rng = np.random.default_rng(0)
    return crossfit.partitions(np.arange(n), np.arange(n) % 2, np.arange(n), recipe, rng)


def test_scores_are_those_of_the_training_rows_principal_components():
    x, parts = planted(300), divided(300)
    found = wide.reduced(x, np.arange(300), parts, 1)
    for member, part in zip(found, parts, strict=True):
        for scores, train in zip(member, part.train, strict=True):
            centred = x - x[train].mean(axis=0, dtype=np.float64)
            _, s, axes = np.linalg.svd(centred[train], full_matrices=False)
            expected = centred @ axes[:20].T / np.sqrt(np.mean(s[: wide.KEPT] ** 2) / len(train))
            sign = np.sign(np.sum(scores[:, :20] * expected, axis=0))
            error = np.linalg.norm(scores[:, :20] * sign - expected) / np.linalg.norm(expected)
            assert error < 0.03
            np.testing.assert_allclose(scores[train].var(axis=0).mean(), 1, rtol=1e-3)


def test_rows_that_a_fold_judges_change_nothing_for_the_others():
    x, parts = planted(240), divided(240)
    before = wide.reduced(x, np.arange(240), parts, 1)
    for fold in range(3):
        judged = parts[0].judge[fold]
        changed = x.copy()
        changed[judged] = 50 * planted(240, seed=5)[judged]
        after = wide.reduced(changed, np.arange(240), parts, 1)
        train = parts[0].train[fold]
        np.testing.assert_array_equal(after[0, fold, train], before[0, fold, train])
        assert np.abs(after[0, fold, judged] - before[0, fold, judged]).max() > 1
        other = (fold + 1) % 3  # where they are trained on
        stay = np.intersect1d(train, parts[0].train[other])
        assert np.abs(after[0, other, stay] - before[0, other, stay]).max() > 0.1


def test_rows_outside_do_not_count_and_few_rows_have_few_directions():
    x, rows = planted(200), np.arange(0, 200, 4)
    recipe = crossfit.Recipe(folds=2, ensemble_size=1)
    rng = np.random.default_rng(0)
    parts = crossfit.partitions(rows, np.arange(200) % 2, np.arange(200), recipe, rng)
    found = wide.reduced(x, rows, parts, 1)
    changed = x.copy()
    changed[np.setdiff1d(np.arange(200), rows)] = np.nan
    np.testing.assert_array_equal(wide.reduced(changed, rows, parts, 1), found)
    assert found.any(axis=(0, 1, 2)).sum() == 24  # of 25 rows a fold
    assert not wide.reduced(np.ones_like(x), rows, parts, 1).any()


def test_thousands_of_columns_of_noise_tell_nothing():
    """A component that had seen the labels or the judged rows would."""
    rng = np.random.default_rng(0)
    x1, x2 = rng.standard_normal((2, 200, 3000))
    found = pid.estimate(x1, x2, np.arange(200) % 2, KEY, **FAST)
    assert found.redundancy < 0.01 and max(found.unique) < 0.01 and found.synergy < 0.01


def test_classifiers_of_wide_inputs_are_narrow_and_find_what_is_there(monkeypatch):
    """A shared bit, spread over all columns of one modality, and an own bit of the other."""
    rng = np.random.default_rng(0)
    shared, own = rng.integers(0, 2, (2, 900))
    seen = []
    train = crossfit._train
    monkeypatch.setattr(
        crossfit, "_train", lambda *a: seen.append(a[3].shape[-1]) or train(*a), raising=True
    )
    x1 = planted(900) + 2 * np.outer(2 * shared - 1, rng.standard_normal(D))
    x2 = np.stack([shared, own], axis=1)
    found = pid.estimate(x1, x2, 2 * shared + own, KEY, **FAST)
    assert sorted(set(seen)) == [2, wide.KEPT, wide.KEPT + 2]
    atoms = [found.redundancy, *found.unique, found.synergy]
    np.testing.assert_allclose(atoms, np.log(2) * np.array([1, 0, 1, 0]), atol=0.04)
    again = pid.estimate(x1, x2, 2 * shared + own, KEY, **FAST)
    assert again.redundancy == found.redundancy and again.synergy == found.synergy


def test_inputs_that_are_not_wide_are_read_as_they_are(monkeypatch):
    def never(*_):
        raise AssertionError("a narrow input was reduced")

    monkeypatch.setattr(wide, "reduced", never)
    x = np.random.default_rng(0).standard_normal((60, wide.WIDE))
    few = FAST | {"steps": 10, "hidden_sizes": (2,)}
    pid.estimate(x, x[:, :2], np.arange(60) % 2, KEY, **few)
    with pytest.raises(AssertionError, match="reduced"):
        pid.estimate(np.pad(x, [(0, 0), (0, 1)]), x[:, :2], np.arange(60) % 2, KEY, **few)
