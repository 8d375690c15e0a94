"""Advice: folds that do not leak, verdicts that follow the evidence, and a file a sweep accepts."""

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from helpers.small import experiment
from hypothesis import given, settings
from hypothesis import strategies as st

from redalign_jax import advise, data, sweep
from redalign_jax import config as configs
from redalign_jax.advise import arms, decide, explain, folds, held_out, prior
from redalign_jax.config import base
from redalign_jax.data.sources import av_digits
from redalign_jax.errors import UserError
from redalign_jax.report import advice
from redalign_jax.runtime import workdir
from redalign_jax.task import Split, Task

pytestmark = pytest.mark.slow

MODALITIES = ("a", "b")


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


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_tasks_of_every_repeat_have_one_shape(seed):
    """Folds of whole groups differ in size, and from one draw to the next."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 14, 90)
    x, y = rng.normal(size=(90, 2)).astype(np.float32), rng.integers(0, 3, 60)
    train = Split((x, x), y)
    task = Task(MODALITIES, 3, train, train, train, groups=(group, group, group))
    every = [folds.assign(y, 4, s, group[:60]) for s in range(5)]
    sizes = folds.smallest(task, every)
    shapes = set()
    for fold in every:
        for k in range(4):
            part = folds.split(task, fold, k, sizes)
            shapes.add((part.train.x[0].shape, part.train.y.shape, part.test.y.shape))
            assert not set(part.groups[0]) & set(part.groups[2])
    assert shapes == {((sizes[0] + sizes[1], 2), (sizes[0],), (sizes[2],))}


def test_evidence_is_paired_and_knows_groups():
    rng = np.random.default_rng(0)
    n = 60
    scores = rng.random((3, n))
    scores[2] = scores[0]  # shows no difference
    scores[1, 7] = np.nan
    group = rng.integers(0, 20, n)
    here = np.arange(n) != 7
    d = 100 * (scores[1] - scores[0])[here]
    found = decide.evidence(scores)
    assert found.mean == pytest.approx([d.mean(), 0])
    se2 = 1.2**2 * d.var(ddof=1) / 59 + 2 * (100 / 59) ** 2
    assert found.covariance[0, 0] == pytest.approx(se2)
    assert found.covariance[1, 1] == pytest.approx(2 * (100 / 59) ** 2)  # yet may differ
    shut = decide.evidence(scores, None, np.array([True, True]))
    assert shut.covariance[1, 1] < 1e-5 and shut.covariance[0, 0] == found.covariance[0, 0]
    # as a mean of groups of unequal size, linearised
    sums = np.array([(d - d.mean())[group[here] == g].sum() for g in np.unique(group[here])])
    count = len(sums)
    grouped = decide.evidence(scores, group).covariance[0, 0]
    want = 1.2**2 * (sums**2).sum() / 59**2 * count / (count - 1) + 2 * (100 / 59) ** 2
    assert grouped == pytest.approx(want)


def test_what_was_known_is_weighed_with_what_was_measured():
    rng = np.random.default_rng(1)
    a, b = (rng.normal(size=(3, 3)) for _ in range(2))
    measured = decide.Normal(rng.normal(size=3), a @ a.T + np.eye(3))
    known = decide.Normal(rng.normal(size=3), b @ b.T + np.eye(3))
    both = decide.combined(measured, known)
    weights = [np.linalg.inv(one.covariance) for one in (measured, known)]
    covariance = np.linalg.inv(sum(weights))
    mean = covariance @ (weights[0] @ measured.mean + weights[1] @ known.mean)
    np.testing.assert_allclose(both.mean, mean, rtol=1e-9)
    np.testing.assert_allclose(both.covariance, covariance, rtol=1e-9)
    assert decide.combined(measured, None) is measured


def normal(mean, spread, correlation=0.0):
    spread = np.broadcast_to(spread, len(mean))
    shape = np.full((len(mean), len(mean)), correlation) + (1 - correlation) * np.eye(len(mean))
    return decide.Normal(np.array(mean, float), shape * np.outer(spread, spread))


def test_regret_is_what_another_choice_may_bring():
    said = normal([1.0, 4.0], [1.0, 2.0], 0.5)
    draws = np.random.default_rng(0).multivariate_normal(said.mean, said.covariance, 400_000)
    assert decide.regret(said, -1) == pytest.approx(np.quantile(draws[:, 1], 0.95), abs=0.03)
    ahead = np.quantile(draws[:, 1] - draws[:, 0], 0.95)
    assert decide.regret(said, 0) == pytest.approx(ahead, abs=0.03)
    assert decide.regret(normal([-9.0, -9.0], 1.0), -1) == 0


@pytest.mark.parametrize(
    ("mean", "spread", "known", "verdict"),
    [
        ([0.2, 0.1, -0.3], 0.5, False, decide.SAME),
        ([1.0, 2.0, 6.0], 1.0, False, decide.ALIGN_POSTERIORS),
        ([6.0, 2.0, 1.0], 1.0, False, decide.ALIGN_CONTRAST),
        ([-6.0, -5.0, -4.0], 1.5, False, decide.LEAVE),
        ([1.0, 1.0, 1.0], 4.0, False, decide.OPEN),
        ([0.0, 0.0, 1.5], 1.5, False, decide.OPEN),
        ([0.0, 0.0, 1.5], 1.5, True, decide.ALIGN_POSTERIORS),  # likely, and safe
        ([0.0, 0.0, 1.5], 3.0, True, decide.OPEN),  # not safe
        ([0.0, 0.0, 0.5], 1.2, True, decide.OPEN),  # not likely
    ],
)
def test_verdicts_follow_the_rule(mean, spread, known, verdict):
    one = decide.verdict(normal(mean, spread), int(np.argmax(mean)), 2, known)
    assert one.verdict == verdict
    assert (one.arm >= 0) == verdict.startswith("align")
    assert one.change[1] < one.change[0] < one.change[2]


def test_all_encoders_share_a_way_and_open_verdicts_say_what_would_settle_them():
    gains, loses = normal([2.0, 0.0, 6.0], 1.0), normal([-1.0, -6.0, -7.0], 1.0)
    arm, (first, second) = decide.verdicts([gains, loses], [None, None], 2)
    assert arm == 2 and (first.arm, second.arm) == (2, -1)
    assert second.verdict == decide.LEAVE
    far = normal([0.0, 0.0, 5.0], 4.0)
    (open_,) = decide.verdicts([far], [None], 2)[1]
    assert open_.verdict == decide.OPEN and not open_.prior and open_.settles > 2
    more = decide.Normal(far.mean, far.covariance / open_.settles)
    assert decide.verdicts([more], [None], 2)[1][0].verdict == decide.ALIGN_POSTERIORS
    (hangs,) = decide.verdicts([far], [normal([0.0, 0.0, 2.0], 0.8)], 2)[1]
    assert hangs.verdict == decide.ALIGN_POSTERIORS and hangs.prior


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


def small(**changes):
    return experiment(
        **{
            "data__redundancy": (8,),
            "data__labels": (60,),
            "advise__minutes": 5.0,
            "decompose__n_resamples": 4,
            "decompose__steps": 20,
            **changes,
        }
    )


def test_advice_never_sees_the_test_split_and_a_sweep_accepts_it(tmp_path, monkeypatch):
    first = advise.advise(small(), tmp_path / "a")
    assert json.loads((tmp_path / "a" / "advice.json").read_text()) == first
    assert set(first) == {"encoders", "pid", "trials", "config"}
    trials = first["trials"]
    assert trials["repeats"] >= 1 and 56 <= trials["judged"] <= 60  # 56 in equal folds, drawn anew
    assert trials["trainings"] == trials["repeats"] * 8 * 4
    for name, row in first["encoders"].items():
        assert row["verdict"] in (*decide.DECIDED, decide.OPEN)
        assert (row["strength"] > 0) == row["verdict"].startswith("align")
        assert row["reasons"] and all("\n" not in reason for reason in row["reasons"])
        for mean, low, high in trials["changes"][name] + trials["prior"][name]:
            assert low <= mean <= high
        assert 0 <= trials["gate"][name] <= 1 and len(trials["balanced_changes"][name]) == 3

    load = data.load

    def spoiled(config, seed):
        task = load(config, seed)
        wrong = Split(tuple(np.zeros_like(x) for x in task.test.x), np.zeros_like(task.test.y))
        return replace(task, test=wrong)

    monkeypatch.setattr(data, "load", spoiled)
    assert advise.advise(small(), tmp_path / "b")["encoders"] == first["encoders"]
    monkeypatch.undo()

    advised = advise.apply(small(), tmp_path / "a" / "advice.json")
    strengths = advised.hyper.strength
    assert strengths[0] == (0.0, 0.0)
    assert strengths[-1] == tuple(e["strength"] for e in first["encoders"].values())
    assert advised.alignment.objective == first["config"]["alignment"]["objective"]
    page = advice.make(tmp_path / "a", workdir.read_config(tmp_path / "a"), first).read_text()
    assert ("Train without alignment" in page) == (len(strengths) == 1)
    table = sweep.run(advised, tmp_path / "sweep")
    assert table["strength"].nunique() == len(strengths)


def test_scores_are_those_of_a_model_trained_on_the_other_folds():
    config = small(train__steps=200, train__evaluations=4, data__labels=(160,))
    task = data.load(configs.data_points(config.data)[0][1], 0)
    forever = time.monotonic() + 1e6
    (found,) = held_out.run(arms.contrastive(config), task, forever, 0, 1, show=False)
    assert found.scores.shape == (4, 2, 160) and found.repeats == 1
    assert np.isin(found.scores, (0, 1)).all()
    chance = 1 / task.classes
    assert chance + 0.2 < found.scores[0].mean() < 1  # learned, on examples not trained on
    y = np.random.default_rng(0).permutation(task.train.y)  # nothing to learn
    blind = replace(task, train=task.train._replace(y=y), valid=task.valid)
    (found,) = held_out.run(arms.contrastive(config), blind, forever, 0, 1, show=False)
    assert abs(found.scores.mean() - chance) < 0.1


def test_time_that_is_too_short_and_being_asked_to_stop_end_it():
    config = small()
    task = data.load(configs.data_points(config.data)[0][1], 0)
    own = arms.contrastive(config)
    assert not list(held_out.run(own, task, time.monotonic(), 0, 8, show=False))
    asked = iter([False] * 45 + [True] * 1000)
    rounds = list(held_out.run(own, task, time.monotonic() + 1e6, 0, 8, lambda: next(asked), False))
    assert 1 <= len(rounds) < 8


def test_too_few_labels_and_too_little_time_are_an_answer(tmp_path):
    few = advise.advise(small(data__labels=(39,)), tmp_path / "few")
    short = advise.advise(small(advise__minutes=0.001), tmp_path / "short")
    for found, words in ((few, "39 labelled"), (short, "advise.minutes")):
        for row in found["encoders"].values():
            assert row["verdict"] == decide.OPEN
            assert row["strength"] == 0 and row["expected_change"] is None
            assert words in row["reasons"][0]
        assert "without alignment" in explain.text(found)


def test_the_atlas_is_asked_about_the_encoders_as_they_are():
    config = small()
    task = data.load(configs.data_points(config.data)[0][1], 0)
    scores = np.zeros((4, 2, 60))
    scores[:, 0, :30], scores[:, 1, :45] = 1, 1
    trials = held_out.Trials(scores, np.array([0.9, 0.0]), 1, 32)
    row = {"first": "x1", "second": "x2", "shared_fraction_first": 0.3}
    weaker, better = prior.of(config, task, trials, [row | {"shared_fraction_second": None}])
    posterior = len(arms.of(config)) - 2
    assert weaker.mean[posterior] > better.mean[posterior]
    assert abs(better.mean[posterior]) < 1e-9  # a gate of 0 changes nothing
    config.alignment.objective = "vicreg"
    unknown = prior.of(config, task, trials, [])[0]
    assert unknown.covariance[0, 0] == prior.UNKNOWN**2 != unknown.covariance[posterior, posterior]
    assert prior.of(config, replace(task, classes=0), trials, []) is None


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
