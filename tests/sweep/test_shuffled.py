"""The same grid with shuffled partners: what is then left of a change is no alignment."""

import numpy as np
import pandas as pd
import pytest
from helpers.small import experiment

from redalign_jax import report, sweep
from redalign_jax.analysis import shuffled
from redalign_jax.sweep import grid

pytestmark = pytest.mark.slow

CHANGES = {
    "data__redundancy": (0,),
    "data__valid": 200,
    "data__labels": (200,),
    "encoder__embed_dim": (8,),
    "hyper__strength": (0.0, 4.0),
    "hyper__learning_rate": (1e-2,),
    "train__steps": 100,
    "sweep__balanced": True,
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shuffled")
    both = sweep.run(experiment(**CHANGES, sweep__shuffled=True), folder / "both")
    return folder / "both", both


def test_true_pairs_do_not_notice(ran, tmp_path):
    plain = sweep.run(experiment(**CHANGES), tmp_path)
    true, _ = shuffled.split(ran[1])
    pd.testing.assert_frame_equal(true, plain)


def test_at_strength_0_nothing_is_different_and_above_it_something_is(ran):
    true, false = shuffled.split(ran[1])
    key = ["seed", "strength", "balanced", "subject", "metric"]
    values = pd.concat([t.set_index(key)["value"] for t in (true, false)], axis=1).dropna()
    own = values[~values.index.get_level_values("subject").str.contains("|", regex=False)]
    alone = own.xs(0.0, level="strength")
    np.testing.assert_allclose(alone.iloc[:, 0], alone.iloc[:, 1], rtol=1e-5)
    strong = own.xs(4.0, level="strength").xs("task_loss", level="metric")
    assert (strong.iloc[:, 0] != strong.iloc[:, 1]).all()


def test_only_true_partners_agree_and_only_they_are_listened_to(ran):
    curves = pd.read_parquet(ran[0] / "curves.parquet")
    last = curves[curves["step"] == 100].groupby(["metric", "shuffled", "balanced", "strength"])
    value = last["value"].mean()
    # both learn the labels they have; agreement beyond that is the pairs'
    assert value["alignment_loss", False, False, 4] < value["alignment_loss", True, False, 4] - 0.5
    assert value["gate", False, True, 1] > 0.5
    assert value["gate", True, True, 1] < 0.2


def test_orders_are_permutations_of_their_own(ran):
    task = grid.cells(experiment(**CHANGES))[0].load()
    order = grid.order(task, 3)
    for rows, n in ((order.train, 200), (order.valid, 200)):
        np.testing.assert_array_equal(np.sort(rows, axis=1), np.arange(n)[None].repeat(2, 0))
        assert np.mean(rows[0] == rows[1]) < 0.05


def test_the_report_says_what_is_alignment(ran):
    summary = report.make(ran[0])
    rows = {(r["subject"], r["setting"]): r for r in summary["shuffled"]["last"]}
    assert set(rows) == {(s, k) for s in ("all", "x1", "x2") for k in (4.0, "balanced")}
    row = rows["x1", 4.0]
    table = ran[1][(ran[1]["subject"] == "x1") & (ran[1]["metric"] == "accuracy")]
    mean = table[~table["balanced"]].groupby(["shuffled", "strength"])["value"].mean()
    assert row["change"] == pytest.approx(mean[False, 4] - mean[False, 0])
    assert row["shuffled"] == pytest.approx(mean[True, 4] - mean[True, 0])
    assert row["alignment"] == pytest.approx(row["change"] - row["shuffled"])
    page = (ran[0] / "report.html").read_text()
    assert 'id="shuffled"' in page and "shuffled" not in page.split('id="shuffled"')[0]
