"""Advice: folds that do not leak, verdicts that follow the evidence, and a file a sweep accepts."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers.small import experiment
from hypothesis import given, settings
from hypothesis import strategies as st

from redalign_jax import advise, data, sweep
from redalign_jax import config as configs
from redalign_jax.advise import cross_validate, decide, folds
from redalign_jax.config import base
from redalign_jax.data.sources import av_digits
from redalign_jax.errors import UserError
from redalign_jax.report import advice
from redalign_jax.runtime import workdir
from redalign_jax.task import Split, Task

pytestmark = pytest.mark.slow

MODALITIES = ("a", "b")
OPTIONS = cross_validate.candidates(MODALITIES)
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
        noise = spread * rng.normal(size=(cross_validate.FOLDS, len(OPTIONS)))
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
    assert choice.gains[0].high < 0
    # the partner's gain is that of the trial in which only it was moved
    assert choice.gains[1].mean == pytest.approx(0.04)


def test_what_is_not_certain_is_undecided_at_strength_0():
    loses = np.array([0, -0.01, -0.01, -0.01, -0.01, 0.0, -0.01])
    alone = OPTIONS.index((0.0, 16.0))
    helps = HELPS.copy()
    helps[alone] = 0.05
    choice = decide.choose(gains((loses, helps), 0.02), MODALITIES, 1000)
    assert choice.verdicts == [decide.UNDECIDED, decide.ALIGN]
    assert choice.strengths == (0.0, 16.0)
    assert choice.gains[1].mean == pytest.approx(0.05)
    # in that trial nothing is certain: nobody is advised
    helps[alone] = 0.0
    choice = decide.choose(gains((loses, helps), 0.02), MODALITIES, 1000)
    assert choice.verdicts == [decide.UNDECIDED] * 2 and choice.strengths == (0.0, 0.0)
    noise = decide.choose(gains((HELPS / 10, HELPS / 10), 0.1), MODALITIES, 100)
    assert noise.verdicts == [decide.UNDECIDED] * 2 and noise.strengths == (0.0, 0.0)
    few = {name: rows.iloc[:3] for name, rows in gains((HELPS, HELPS), 0.01).items()}
    assert decide.choose(few, MODALITIES, 300).verdicts == [decide.UNDECIDED] * 2


def test_another_strength_must_be_clearly_better():
    far = HELPS.copy()
    far[OPTIONS.index((2.0, 2.0))] = 0.2
    assert decide.choose(gains((far, far), 0.01), MODALITIES, 1000).strengths == (2.0, 2.0)


def test_a_gain_is_that_of_folds_without_a_part_in_the_choice():
    # one lucky fold makes 8 the best of a mechanism that does nothing
    table = np.zeros((cross_validate.FOLDS, len(OPTIONS)))
    table[:, OPTIONS.index((8.0, 8.0))] = np.r_[0.5, np.full(9, 0.001)]
    table[:, 1:] += 1e-4 * np.random.default_rng(0).standard_normal((cross_validate.FOLDS, 6))
    found = {name: pd.DataFrame(table) for name in MODALITIES}
    choice = decide.choose(found, MODALITIES, 10_000)
    assert choice.gains[0].mean < table.mean(axis=0).max()


def rows(diverged):
    """Results of a pilot in which the runs that `diverged` names, (fold, candidate), diverged."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "fold": fold,
            "seed": 0,
            "candidate": c,
            "subject": name,
            "metric": "accuracy",
            "value": np.nan if (fold, c) in diverged else 0.7 + HELPS[c] + 0.01 * rng.normal(),
            "diverged": (fold, c) in diverged,
        }
        for fold in range(cross_validate.FOLDS)
        for c in range(len(OPTIONS))
        for name in MODALITIES
    )


@pytest.mark.parametrize(
    ("diverged", "strengths", "counts"),
    [
        ({(3, DEFAULT)}, {8, 32}, (0, 1)),
        ({(f, DEFAULT) for f in range(cross_validate.FOLDS)}, {8, 32}, (0, 10)),
        ({(3, 0)}, {0}, (1, 1)),
        ({(f, c) for f in range(cross_validate.FOLDS) for c in range(len(OPTIONS))}, {0}, (10, 10)),
    ],
    ids=["once", "always", "without alignment", "everything"],
)
def test_a_strength_that_diverged_is_not_advised(diverged, strengths, counts):
    choice = decide.choose(cross_validate.gains(rows(diverged), "accuracy"), MODALITIES, 10_000)
    assert set(choice.strengths) <= strengths
    assert choice.diverged == [counts] * 2
    verdict = decide.UNDECIDED if strengths == {0} else decide.ALIGN
    assert choice.verdicts == [verdict] * 2
    assert verdict == decide.UNDECIDED or np.isfinite(choice.gains[0].low)


def test_folds_and_what_they_train_on_share_no_group():
    rng = np.random.default_rng(0)
    n, labelled = 200, 120
    x = np.arange(n, dtype=np.float32)[:, None]
    group = rng.integers(0, 50, n).astype(np.int32)  # of unequal sizes, with and without labels
    train = Split((x, -x), rng.integers(0, 3, labelled))
    task = Task(MODALITIES, 3, train, train, train, groups=(group, group, group))
    fold = folds.assign(train.y, 10, 0, group[:labelled])
    assert set(fold) == set(range(10))
    parts = [folds.split(task, fold, k) for k in range(10)]
    assert len({(part.train.x[0].shape, part.test.x[0].shape) for part in parts}) == 1
    for k, part in enumerate(parts):
        seen, out = (s.x[0][:, 0].astype(int) for s in (part.train, part.test))
        assert not set(group[seen]) & set(group[out])
        assert set(out) <= set(np.flatnonzero(fold == k))
        np.testing.assert_array_equal(part.train.y, train.y[seen[: len(part.train.y)]])
        np.testing.assert_array_equal(part.groups[0], group[seen])
        np.testing.assert_array_equal(part.groups[2], group[out])


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
            "decompose__n_resamples": 4,
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
        if row["verdict"] != decide.ALIGN:
            assert row["strength"] == 0
            assert row["strength_interval"] is row["expected_gain_interval"] is None
    pilot = first["pilot"]
    for name, gains in pilot["gains"].items():  # what was tried is told of undecided ones too
        for gain, ends in zip(gains, pilot["gain_intervals"][name], strict=True):
            assert ends is None or ends[0] <= gain <= ends[1]
        assert pilot["gain_intervals"][name][0] == [0, 0]
        assert pilot["measured"][name] is None or len(pilot["measured"][name]) == 3

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
    page = advice.make(tmp_path / "a", workdir.read_config(tmp_path / "a"), first).read_text()
    if len(strengths) == 1:
        assert "Train without alignment" in page and "Expected change" not in page
    assert advised.hyper.false_negative_weight == (configs.ADVISED["false_negative_weight"],)
    table = sweep.run(advised, tmp_path / "sweep")
    assert table["strength"].nunique() == len(strengths)


def test_too_few_labels_is_an_answer(tmp_path):
    found = advise.advise(small(data__labels=(40,)), tmp_path)
    for row in found["encoders"].values():
        assert row["verdict"] == decide.UNDECIDED
        assert row["strength"] == 0 and row["expected_gain"] is None
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
    hyper = {
        "temperature": [1],
        "align_fraction": [1],
        "false_negative_weight": [0],
        "strength": [[0, 0], [2, 2]],
    }
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
