"""What tasks are made of: found, drawn and exchanged."""

from itertools import combinations
from math import factorial

import numpy as np
import pandas as pd
import pytest

from redalign_jax.analysis import correlation, factors, permutation


def pairs(views="abcde", labels=(50,)):
    return pd.DataFrame(
        {"modalities": f"{a},{b}", "labels": n, "subject": s}
        for a, b in combinations(views, 2)
        for n in labels
        for s in (a, b)
    )


def test_views_are_one_factor_and_what_moves_no_information_is_none():
    keys = pairs(labels=(50, 100))
    known = keys["subject"].map({v: i for i, v in enumerate("abcde")}).to_numpy(float)
    (views,) = factors.find(keys, ["modalities", "labels"], known)
    assert views.levels == list("abcde")
    assert (views.holds.sum(axis=1) == 2).all()
    noisy = known + 0.1 * (keys["labels"] == 100)
    assert [f.name for f in factors.find(keys, ["modalities", "labels"], noisy)] == [
        "modalities",
        "labels",
    ]
    assert factors.drawn([views]) == ["modalities"]
    four = factors.find(pairs("abcd"), ["modalities"], np.zeros(12))
    assert factors.drawn(four) == []
    assert (factors.weights(four, 12, 3) == 1).all()


def test_a_pair_is_there_as_often_as_both_of_its_views():
    keys = pairs()
    (views,) = factors.find(keys, ["modalities"], np.zeros(len(keys)))
    times = factors.weights([views], len(keys), 400)
    # a multinomial of 5 over 5: E[m_a m_b] = 5 · 4 / 25
    assert times.mean() == pytest.approx(0.8, abs=0.1)
    both = times.reshape(400, -1, 2)
    assert (both[..., 0] == both[..., 1]).all()  # encoders of a pair stay together


def test_exchanged_views_keep_who_is_whose_partner():
    keys = pairs("abcd", labels=(50, 100))
    made_of = factors.find(keys, ["modalities", "labels"], np.zeros(len(keys)))
    moved = factors.exchanged(made_of, keys)
    assert len(moved) == factorial(4)
    assert (moved[0] == np.arange(len(keys))).all()
    assert all(sorted(row) == list(range(len(keys))) for row in moved)
    subject, task = keys["subject"].to_numpy(), keys["modalities"].to_numpy()
    for row in moved:
        to = dict(zip(subject, subject[row], strict=True))
        for i, j in enumerate(row):
            assert subject[j] == to[subject[i]]
            assert set(task[j].split(",")) == {to[v] for v in task[i].split(",")}
            assert keys["labels"][i] == keys["labels"][j]


def test_tasks_are_exchanged_whole_and_missing_points_are_left_out():
    keys = pd.DataFrame([{"redundancy": t, "subject": s} for t in range(3) for s in "ab"][:-1])
    made_of = factors.find(keys, ["redundancy"], np.arange(5.0))
    moved = factors.exchanged(made_of, keys)
    assert len(moved) == 6
    assert sorted(map(tuple, moved)) == sorted(
        [(0, 1, 2, 3, 4), (0, 1, 4, -1, 2), (2, 3, 0, 1, 4)]
        + [(2, 3, 4, -1, 0), (4, -1, 0, 1, 2), (4, -1, 2, 3, 0)]
    )


def test_p_values_of_a_family_are_those_of_the_largest():
    rng = np.random.default_rng(0)
    tests = rng.standard_normal((500, 4))
    tests[0] = [5, 0.1, -2.5, 0]
    p = permutation.adjusted(tests)
    assert p[0] == 1 / 500
    # step down: the second is compared without the first
    rest = np.abs(tests[:, 1:]).max(axis=1)
    assert p[2] == np.mean(rest >= 2.5)
    assert p[3] == 1
    alone = [np.mean(np.abs(t) >= abs(t[0])) for t in tests.T]
    assert (p >= np.array(alone) - 1e-12).all()


def test_a_best_strength_that_is_the_same_everywhere_is_not_shown_to_differ():
    rng = np.random.default_rng(0)
    own = np.array([0.0, 1.0, 4.0])

    def curve(means):
        return own, np.array(means) + 0.01 * rng.standard_normal((8, 3)) * [0, 1, 1]

    same = [curve([0, 0.1, -0.3]), curve([0, 0.05, 0.05]), curve([0, 0, 0])]
    assert correlation.constant(same) > 0.05
    assert correlation.constant([*same, curve([0, -0.1, -0.2])]) < 0.001
    assert correlation.constant([(own, c[:1]) for _, c in same]) == 1
