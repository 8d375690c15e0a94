"""What encoders share: from exact columns, or from a table of pairs."""

import numpy as np
import pandas as pd
import pytest
from helpers import planted

from redalign_jax.analysis import differences, information


def pairs(method="estimate"):
    """A decomposition of tasks "a,b" and "a,b,c"."""
    rows = []
    for task in ("a,b", "a,b,c"):
        names = task.split(",")
        for i, first in enumerate(names):
            for second in names[i + 1 :]:
                atoms = {"redundancy": 1.0, "unique_first": 0.0, "unique_second": 1.0}
                rows.append(
                    {"modalities": task, "first": first, "second": second, **atoms}
                    | {"synergy": -0.1, "shared_fraction_first": 1.0, "method": method}
                    | {"shared_fraction_first_low": 0.9, "shared_fraction_first_high": 1.2}
                    | {"shared_fraction_second": 0.5, "shared_fraction_second_low": 0.4}
                    | {"shared_fraction_second_high": 0.6}
                )
    return pd.DataFrame(rows)


def plain(tasks=("a,b", "a,b,c")):
    rows = [
        (t, 0, strength, name, "accuracy", 0.5, False)
        for t in tasks
        for strength in (0.0, 1.0)
        for name in t.split(",")
    ]
    names = ["modalities", "seed", "strength", "subject", "metric", "value", "diverged"]
    return pd.DataFrame(rows, columns=names)


def test_exact_columns_are_facts_of_task_and_seed():
    table = planted.results([(0.2, 0.4), (0.6, 0.8)], seeds=3)
    role = differences.columns(table)
    assert role.tasks == ["redundancy"]
    assert len(role.facts) == 6
    assert role.strengths == ["strength"]
    assert role.others == []
    known = information.of_encoders(table, pairs())  # exact goes first
    assert len(known) == 2 * 3 * 2
    assert known["exact"].all()
    at = known.set_index(["redundancy", "subject", "seed"])
    assert at.loc[(1, "b", 2), "shared_fraction"] == 0.8
    total = 0.5 + (0.5 / 0.6 - 0.5) + (0.5 / 0.8 - 0.5) + 0.1
    assert at.loc[(1, "b", 2), "redundancy_fraction"] == pytest.approx(0.5 / total)


def test_pairs_are_averaged_over_partners():
    known = information.of_encoders(plain(), pairs()).set_index(["modalities", "subject"])
    assert not known["exact"].any()
    assert known.loc[("a,b", "a"), "shared_fraction"] == 1
    assert known.loc[("a,b", "a"), "shared_fraction_high"] == 1  # no fraction is above 1
    assert known.loc[("a,b,c", "a"), "shared_fraction"] == 1
    assert known.loc[("a,b,c", "b"), "shared_fraction"] == 0.75  # of a it shares half, of c all
    assert known.loc[("a,b,c", "c"), "shared_fraction"] == 0.5
    np.testing.assert_allclose(known["redundancy_fraction"], 0.5)


def test_exact_pairs_go_before_estimates():
    better = pairs("exact").assign(shared_fraction_second=0.7)
    both = pd.concat([pairs(), better], ignore_index=True)
    known = information.of_encoders(plain(), both).set_index(["modalities", "subject"])
    assert known["exact"].all()
    assert known.loc[("a,b", "b"), "shared_fraction"] == 0.7


def test_nothing_known_is_no_rows():
    assert not len(information.of_encoders(plain()))
    assert not len(information.of_encoders(plain(), pairs().iloc[:0]))
