"""Advice: folds that do not leak, verdicts that follow the evidence, and a file a sweep accepts."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import experiment

from redalign_jax import advise, data, sweep
from redalign_jax import config as configs
from redalign_jax.advise import decide, folds, pilot
from redalign_jax.config import base
from redalign_jax.data import av_digits
from redalign_jax.data.task import Split, Task
from redalign_jax.errors import UserError

MODALITIES = ("a", "b")
OPTIONS = pilot.candidates(MODALITIES)
DEFAULT = OPTIONS.index((16.0, 16.0))


@settings(max_examples=30, deadline=None)
@given(st.integers(10, 80), st.integers(2, 10), st.integers(0, 40), st.integers(0, 2**31))
def test_folds_are_equal_stratified_and_never_trained_on(labelled, count, extra, seed):
    rng = np.random.default_rng(seed)
    rows = np.arange(labelled + extra, dtype=np.float32)[:, None]
    y = rng.integers(0, 3, labelled)
    train = Split((rows, -rows), y)
    task = Task(MODALITIES, 3, train, train, train)
    fold = folds.assign(y, count, seed)
    sizes = np.bincount(fold[fold >= 0], minlength=count)
    assert np.all(sizes == labelled // count)
    for c in range(3):
        of_class = np.bincount(fold[(y == c) & (fold >= 0)], minlength=count)
        assert of_class.max() - of_class.min() <= 2
    part = folds.split(task, fold, 1)
    out = set(part.test.x[0][:, 0])
    assert out == set(np.flatnonzero(fold == 1)) == set(-part.test.x[1][:, 0])
    assert not out & set(part.train.x[0][:, 0])
    assert len(part.train.x[0]) == labelled + extra - len(out)
    # labels still belong to the first rows
    np.testing.assert_array_equal(
        part.train.y, y[part.train.x[0][: len(part.train.y), 0].astype(int)]
    )


def gains(means, spread, seed=0):
    """Gains per encoder: folds × candidates with these means over folds."""
    rng = np.random.default_rng(seed)
    found = {}
    for name, mean in zip(MODALITIES, means, strict=True):
        noise = spread * rng.normal(size=(pilot.FOLDS, len(OPTIONS)))
        values = np.asarray(mean) + noise - noise.mean(axis=0)
        values[:, 0] = 0
        found[name] = pd.DataFrame(values)
    return found


#             λ = 0    2    8   16   32  (0, 16) (16, 0)
HELPS = np.array([0, 0.03, 0.05, 0.06, 0.05, 0.00, 0.05])


def test_clear_gains_are_advised_with_their_interval():
    choice = decide.choose(gains((HELPS, HELPS), 0.01), MODALITIES, 1000)
    assert choice.strengths == (16.0, 16.0)
    assert choice.verdicts == [decide.ALIGN] * 2
    for gain in choice.gains:
        assert gain.mean == pytest.approx(0.06)
        assert 0 < gain.low < 0.06 < gain.high


def test_an_encoder_that_loses_is_left_alone():
    loses = np.array([0, -0.02, -0.05, -0.08, -0.1, 0.0, -0.08])
    alone = OPTIONS.index((0.0, 16.0))
    helps = HELPS.copy()
    helps[alone] = 0.04
    choice = decide.choose(gains((loses, helps), 0.01), MODALITIES, 1000)
    assert choice.strengths == (0.0, 16.0)
    assert choice.verdicts == [decide.ALONE, decide.ALIGN]
    assert choice.refused[0].high < 0 and choice.refused[1] is None
    # the partner's gain is that of the trial in which only it was moved
    assert choice.gains[1].mean == pytest.approx(0.04)


def test_a_loss_that_is_not_certain_counts_where_nothing_is_shared():
    loses = np.array([0, -0.01, -0.01, -0.01, -0.01, 0.0, -0.01])
    table = gains((loses, HELPS), 0.05)
    for shared_most, alone in (((0.05, 1.0), True), ((0.5, 1.0), False), ((np.inf,) * 2, False)):
        choice = decide.choose(table, MODALITIES, 300, shared_most)
        assert (choice.strengths[0] == 0) == alone
        assert choice.verdicts[0] == (decide.ALONE if alone else decide.UNDECIDED)
        assert choice.strengths[1] == 16
    # nor is a gain refused because little is shared, nor anything judged by too few folds
    assert decide.choose(gains((HELPS, HELPS), 0.01), MODALITIES, 300, (0, 0)).strengths[0] == 16
    few = {name: rows.iloc[:3] for name, rows in table.items()}
    assert decide.choose(few, MODALITIES, 300, (0, 0)).verdicts == [decide.UNDECIDED] * 2


def test_noise_is_undecided_and_another_strength_must_be_clearly_better():
    choice = decide.choose(gains((HELPS / 10, HELPS / 10), 0.1), MODALITIES, 100)
    assert choice.verdicts == [decide.UNDECIDED] * 2
    far = HELPS.copy()
    far[OPTIONS.index((2.0, 2.0))] = 0.2
    assert decide.choose(gains((far, far), 0.01), MODALITIES, 1000).strengths == (2.0, 2.0)


def test_intervals_hold_what_they_promise():
    # folds of a true gain, with the correlation that shared training sets bring
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(500):
        folds_of = 0.03 + 0.02 * rng.normal() / np.sqrt(10) + 0.02 * rng.normal(size=10)
        found = decide.estimate(folds_of, 1000)
        inside += found.low <= 0.03 <= found.high
    assert inside / 500 >= 0.93


def small(**changes):
    return experiment(
        **{
            "data__redundancy": (8,),
            "data__labels": (60,),
            "advise__minutes": 0.001,
            "decompose__resamples": 4,
            "decompose__steps": 20,
            **changes,
        }
    )


def test_advice_never_sees_the_other_splits_and_a_sweep_accepts_it(tmp_path, monkeypatch):
    first = advise.advise(small(), tmp_path / "a")
    assert json.loads((tmp_path / "a" / "advice.json").read_text()) == first
    assert set(first) == {"encoders", "pid", "pilot", "config"}
    for row in first["encoders"].values():
        assert row["verdict"] in (decide.ALIGN, decide.ALONE, decide.UNDECIDED)
        assert set(row) == {
            "verdict",
            "strength",
            "strength_interval",
            "expected_gain",
            "expected_gain_interval",
            "reasons",
        }
        assert row["reasons"] and all("\n" not in reason for reason in row["reasons"])

    load = data.load

    def spoiled(config, seed):
        task = load(config, seed)
        wrong = Split(tuple(np.zeros_like(x) for x in task.test.x), np.zeros_like(task.test.y))
        return replace(task, test=wrong, valid=wrong)

    monkeypatch.setattr(data, "load", spoiled)
    assert advise.advise(small(), tmp_path / "b")["encoders"] == first["encoders"]
    monkeypatch.undo()

    advised = advise.apply(small(), tmp_path / "a" / "advice.json")
    strengths = advised.hyper.strength
    assert strengths[0] == (0.0, 0.0)
    assert strengths[-1] == tuple(e["strength"] for e in first["encoders"].values())
    assert advised.hyper.debias == (configs.ADVISED["debias"],)
    table = sweep.run(advised, tmp_path / "sweep")
    assert table["strength"].nunique() == len(strengths)


def test_too_few_labels_is_an_answer(tmp_path):
    found = advise.advise(small(data__labels=(40,)), tmp_path)
    for row in found["encoders"].values():
        assert row["verdict"] == decide.UNDECIDED
        assert row["expected_gain"] is None
        assert "40 labelled" in row["reasons"][0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"advice: .* cannot be read: No such file"),
        ("{", "is no advice.json"),
        ("[]", "is no advice.json"),
        ('{"config": {"modalities": ["x1", "x2"], "hyper": {"strength": 3}}}', "is no advice.json"),
    ],
)
def test_a_bad_advice_is_one_line(content, message, tmp_path):
    path = tmp_path / "advice.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=message):
        advise.apply(small(), path)


def test_advice_is_for_the_modalities_that_were_asked_for(tmp_path):
    """As the field names them: a source may call them otherwise (speech that is synthetic)."""
    hyper = {"temperature": [1], "align_until": [1], "debias": [0], "strength": [[0, 0], [2, 2]]}
    path = tmp_path / "advice.json"
    path.write_text(json.dumps({"config": {"modalities": ["image", "speech"], "hyper": hyper}}))
    config = base(av_digits.defaults())
    assert advise.apply(config, path).hyper.strength == ((0.0, 0.0), (2.0, 2.0))
    config.data.modalities = ("speech,image",)
    with pytest.raises(UserError, match="is for image, speech, not for speech, image"):
        advise.apply(config, path)


def test_advice_is_for_one_task(tmp_path):
    with pytest.raises(UserError, match=r"data\.redundancy: several values"):
        advise.advise(small(data__redundancy=(0, 8)), tmp_path / "new")
    assert not (tmp_path / "new").exists()
