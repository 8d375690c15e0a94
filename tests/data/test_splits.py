"""Splits: who is where, who carries a label, what the inputs become, which input is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redalign_jax.data import notes, splits, strata
from redalign_jax.errors import UserError

FIELDS = {"labels": 0, "valid": 0.1, "test": 0.2, "seed": 0, "source": "mine.npz"}


def row(n):
    """A modality that tells rows apart after scaling: ten bits, ±1, of scattered numbers."""
    code = (np.arange(n) * 389 + 77) % 1021
    return 2.0 * ((code[:, None] >> np.arange(10)) & 1) - 1


def task(y, x=None, **fields):
    return splits.make_task(
        {"id": row(len(y))} if x is None else x, np.asarray(y), **{**FIELDS, **fields}
    )


def ids(split):
    """The original rows, from the modality `row`: a bit is 1 where it is above the mean."""
    code = ((split.x[0] > 0) << np.arange(10)).sum(axis=1)
    return (code - 77) * pow(389, -1, 1021) % 1021


@given(
    counts=st.lists(st.integers(10, 40), min_size=2, max_size=5),
    valid=st.sampled_from([0.1, 0.15, 0.25]),
    test=st.sampled_from([0.1, 0.2, 0.3]),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
@settings(max_examples=25, deadline=None)
def test_splits_are_disjoint_complete_and_stratified(counts, valid, test, seed, data):
    counts = [*counts, splits.FEW]  # enough rows to be split at random
    y = np.random.default_rng(seed + 1).permutation(np.repeat(np.arange(len(counts)), counts))
    n = len(y)
    n_train = n - round(valid * n) - round(test * n)
    labels = data.draw(st.integers(len(counts), n_train))
    got = task(y, labels=labels, valid=valid, test=test, seed=seed)

    assert got.resplit == len(got.test.y) / (n - len(got.test.y))
    assert not got.fixed_test
    rows = [ids(s) for s in (got.train, got.valid, got.test)]
    assert [len(r) for r in rows] == [n_train, round(valid * n), round(test * n)]
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(n))
    # Labels belong to the first rows; only the training split has fewer of them.
    for split, r in zip((got.train, got.valid, got.test), rows, strict=True):
        assert np.array_equal(split.y, y[r[: len(split.y)]])
    assert (len(got.train.y), len(got.valid.y), len(got.test.y)) == (
        labels,
        len(rows[1]),
        len(rows[2]),
    )
    # Every class gets its proportional share, up to the rounding to whole examples; where a share
    # is below one example, the class gets one all the same.
    pool = np.arange(n)
    for part in (rows[2], rows[1], rows[0][:labels]):
        share = np.bincount(y[pool]) * len(part) / len(pool)
        each = np.bincount(y[part], minlength=len(counts))
        assert each.min() >= 1
        assert share.min() < 1 or np.all(np.abs(each - share) < 1)
        pool = np.setdiff1d(pool, part)


def test_splits_depend_on_seed_and_labels_alone():
    y = np.arange(120) % 4
    eye = row(120)
    one = task(y, seed=3)
    noise = np.random.default_rng(0).normal(size=(120, 2))
    two = task(y, {"id": eye, "noise": noise}, seed=3)
    other = task(y, seed=4)
    for a, b in ((one.train, two.train), (one.valid, two.valid), (one.test, two.test)):
        assert np.array_equal(a.x[0], b.x[0]) and np.array_equal(a.y, b.y)
    assert set(ids(one.test)) != set(ids(other.test))


def test_fewer_labels_keep_every_pair_and_the_other_splits():
    y = np.arange(200) % 4
    full, few, more = (task(y, labels=labels) for labels in (0, 20, 40))
    assert np.array_equal(full.test.x[0], few.test.x[0])
    assert np.array_equal(full.valid.x[0], few.valid.x[0])
    assert set(ids(full.train)) == set(ids(few.train)) and len(ids(few.train)) == 140
    assert np.bincount(few.train.y).tolist() == [5, 5, 5, 5]
    # With balanced classes, a larger labelled set contains the smaller one.
    assert set(ids(few.train)[:20]) < set(ids(more.train)[:40])


def test_rare_classes_are_in_every_split():
    got = task(np.repeat([0, 1, 2, 3], [3, 3, 3, 150]), labels=4)
    for split in (got.train, got.valid, got.test):
        assert set(split.y) == {0, 1, 2, 3}


def test_standardisation_uses_the_training_pairs_only():
    rng = np.random.default_rng(1)
    y = np.arange(100) % 2
    dense = rng.normal(5.0, 3.0, size=(100, 3))
    image = rng.integers(0, 256, size=(100, 4, 2, 1)).astype(np.uint8)
    got = task(y, {"id": row(100), "dense": dense, "image": image}, labels=10)
    train = ids(got.train)
    assert len(train) == 70
    for index, x in ((1, dense), (2, image.astype(np.float64))):
        mean = x[train].sum(axis=0) / 70
        std = np.sqrt(((x[train] - mean) ** 2).sum(axis=0) / 70)
        for split in (got.train, got.valid, got.test):
            assert split.x[index].dtype == np.float32
            np.testing.assert_allclose(
                split.x[index], (x[ids(split)] - mean) / std, rtol=1e-5, atol=1e-6
            )
    # What is held out has no influence.
    held_out = np.setdiff1d(np.arange(100), train)
    dense[held_out] *= 2
    again = task(y, {"id": row(100), "dense": dense}, labels=10)
    assert np.array_equal(again.train.x[1], got.train.x[1])
    assert not np.allclose(again.test.x[1], got.test.x[1])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8, bool])
def test_a_constant_column_is_zero(dtype):
    y = np.arange(60) % 3
    constant = np.full(60, 0.1).astype(dtype)  # its mean over 42 rows is not exactly 0.1
    got = task(y, {"x": np.stack([constant, (np.arange(60) % 7).astype(dtype)], axis=1)})
    assert got.train.x[0].shape == (42, 2)
    assert not any(split.x[0][:, 0].any() for split in (got.train, got.valid, got.test))
    assert got.train.x[0][:, 1].std() == pytest.approx(1, abs=1e-3)


def test_small_spread_on_a_large_offset_is_not_constant():
    seconds = 1.7e9 + np.arange(60.0)
    got = task(np.arange(60) % 3, {"time": seconds})
    assert got.train.x[0].shape == (42, 1)  # one number per example is one column
    assert got.train.x[0].std() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(
    "names",
    [["no", "yes", "maybe"], [b"a", b"b", b"c"], [-5, 0, 7], [0, 200, 255]],
    ids=["str", "bytes", "int", "uint8"],
)
def test_classes_are_numbered_in_sorted_order(names):
    y = np.array(names, np.uint8 if names[-1] == 255 else None)[np.arange(90) % 3]
    got = task(y)
    assert got.classes == 3 and got.test.y.dtype == np.int32
    assert np.array_equal(np.array(sorted(names))[got.test.y], y[ids(got.test)])


def test_booleans_are_two_classes():
    assert task(np.arange(40) % 2 == 0).classes == 2


@pytest.mark.parametrize(("unit", "offset"), [(1, 0), (1e-12, 0), (1e9, 1e12), (10, 1.7e9)])
def test_regression_is_standardised_and_stratified_by_decile(unit, offset):
    y = np.random.default_rng(2).lognormal(size=200) * unit + offset
    got = task(y, labels=30)
    decile = y.argsort().argsort() // 20
    assert got.classes == 0 and got.train.y.dtype == np.float32
    for split in (got.train, got.valid, got.test):
        rows = ids(split)[: len(split.y)]
        mean, scale = y[ids(got.train)[:30]].mean(), y[ids(got.train)[:30]].std()
        np.testing.assert_allclose(split.y, (y[rows] - mean) / scale, rtol=1e-6, atol=1e-6)
        back = np.float64(split.y) * got.target_scale + got.target_mean
        np.testing.assert_allclose(back - offset, y[rows] - offset, rtol=1e-5, atol=1e-5 * unit)
    for rows, each in ((ids(got.train)[:30], 3), (ids(got.valid), 2), (ids(got.test), 4)):
        assert np.bincount(decile[rows], minlength=10).tolist() == [each] * 10


def test_tiny_regression_and_repeated_targets():
    got = task([0.0, 0.0, 0.0, 0.0, 0.0, 1.0], labels=1, valid=0.2, test=0.2)
    assert [len(s.x[0]) for s in (got.train, got.valid, got.test)] == [4, 1, 1]
    # all labelled targets are equal: the others tell the scale
    assert len(got.train.y) == 1 and got.train.y[0] == 0
    every = np.concatenate([s.y for s in (got.valid, got.test)])
    assert np.isfinite(every).all() and got.target_mean in (0, 1)
    assert got.target_scale == pytest.approx(np.sqrt((5 if got.target_mean else 1) / 6))


def test_the_largest_and_smallest_targets_are_standardised():
    for y in (np.linspace(-1, 1, 40) * 1.7e308, np.linspace(1, 2, 40) * 1e-300):
        y = np.random.default_rng(0).permutation(y)
        got = task(y)
        assert got.train.y.std() == pytest.approx(1, rel=1e-5)


Y = np.arange(30) % 3
X = np.ones((30, 2))


def with_value(value, dtype=np.float64):
    x = np.ones((30, 2), dtype)
    x[7, 1] = value
    return {"a": x}


@pytest.mark.parametrize(
    "y, x, fields, words",
    [
        (Y, {"a": X[:29]}, {}, "mine.npz: array 'a' has 29 rows, but there are 30 labels"),
        (Y, {"a": np.float64(1)}, {}, "array 'a' has no rows"),
        (Y, with_value(np.nan), {}, "array 'a' holds nan in row 7, column 1"),
        (
            Y,
            {"a": np.where(np.arange(30)[:, None] < 9, np.nan, X)},
            {},
            "'a': 9 of 30 rows are missing (nan throughout), 0 others have holes",
        ),
        (Y, {"a": X.T}, {}, "its 30 columns match them: transpose it, a.T"),
        (Y, {"fusion": X}, {}, "an array cannot be called 'fusion'"),
        (Y, {"a|b": X}, {}, "an array cannot be called 'a|b'"),
        (Y, with_value(-np.inf, np.float16), {}, "array 'a' holds -inf in row 7, column 1"),
        (Y, with_value(1e39), {}, "holds 1e+39 in row 7, column 1"),
        (Y, {"a": X[:, 0] * np.nan}, {}, "holds nan in row 0 (counted from 0)"),
        (Y, {"a": np.full((30, 2), "?")}, {}, "array 'a' holds <U1, not numbers"),
        (Y, {"a": X.astype(object)}, {}, "array 'a' holds object, not numbers"),
        (Y, {"a": X.astype(complex)}, {}, "array 'a' holds complex128, not numbers"),
        (Y, {"a": X[:, :0]}, {}, "array 'a' of shape (30, 0) is empty"),
        (Y[:0], {"a": X[:0]}, {}, "mine.npz: no examples"),
        (Y[:, None], None, {}, "the labels must be one per example, not of shape (30, 1)"),
        (np.where(Y, np.nan, 0.5), None, {}, "array 'labels' holds nan in row 1"),
        (Y * 0, None, {}, "every label is 0"),
        (Y * 0.0, None, {}, "every label is 0.0"),
        (Y.astype(object), None, {}, "labels of type object"),
        (Y.astype("M8[s]"), None, {}, "labels of type datetime64[s]"),
        (Y, None, {"labels": 2}, "data.labels=2 is below the 3 classes of mine.npz"),
        (Y, None, {"labels": -1}, "data.labels=-1 must be a whole number"),
        (Y, None, {"labels": 10.0}, "data.labels=10.0 must be a whole number"),
        (Y, None, {"valid": 0.0}, "data.valid=0.0 must lie between 0 and 1"),
        (Y, None, {"test": 1.0}, "data.test=1.0 must lie between 0 and 1"),
        (Y, None, {"test": float("nan")}, "data.test=nan must lie between 0 and 1"),
        (Y, None, {"valid": 0.5, "test": 0.5}, "into 0 train, 15 valid, 15 test"),
        (Y, None, {"valid": 0.9, "test": 0.9}, "into 0 train"),
        (Y * 0.1, None, {"valid": 0.01}, "0 valid, 6 test: each needs one"),
        (
            Y,
            None,
            {"valid": 0.05},
            "2 valid, 6 test: each needs one of every class, ",
        ),
        (np.minimum(np.arange(30), 2), None, {}, "class 0 has 1 of 30 examples, too few"),
        (np.repeat(["a", "b"], [28, 2]), None, {}, "class 'b' has 2 of 30 examples, too few"),
    ],
)
def test_bad_input_is_one_clear_line(y, x, fields, words):
    with pytest.raises(UserError) as caught:
        task(y, x, **fields)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_choose_keeps_the_order_asked_for():
    assert splits.choose("b, a", ["a", "b", "c"], "mine.npz") == ["b", "a"]
    assert splits.choose("", ["a", "b", "c"], "mine.npz") == ["a", "b", "c"]
    with pytest.raises(UserError, match="no 'd' in mine.npz; it has a, b, c"):
        splits.choose("a,d", ["a", "b", "c"], "mine.npz")
    with pytest.raises(UserError, match="names 'a' twice"):
        splits.choose("a,a", ["a", "b", "c"], "mine.npz")


def test_more_labels_than_there_are_is_all_of_them_and_said(caplog):
    notes.forget()
    assert len(task(Y, labels=22).train.y) == 21
    assert "data.labels=22: mine.npz leaves 21 training examples; all are taken" in caplog.text


def test_ties_between_strata_are_drawn():
    """Of a skewed target the mean of few labels is right over seeds, whatever their number.

    Ties given to the lowest stratum take the lowest three of ten deciles in every seed.
    """

    def mean(split, **options):
        """In the units of y: targets are standardised."""
        found = task(y, **options)
        return getattr(found, split).y.mean() * found.target_scale + found.target_mean

    y = np.sort(np.random.default_rng(0).exponential(size=300))
    for labels in (3, 15):
        means = [mean("train", labels=labels, seed=s) for s in range(300)]
        error = np.std(means, ddof=1) / np.sqrt(len(means))
        assert abs(np.mean(means) - y.mean()) < 4 * error
    # valid and test splits too: 12 of 10 deciles
    test = [mean("test", test=0.04, seed=s) for s in range(300)]
    assert abs(np.mean(test) - y.mean()) < 4 * np.std(test, ddof=1) / np.sqrt(300)


@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(lambda c: sum(c) > 0),
    least=st.integers(0, 1),
    part=st.floats(0, 1),
    seed=st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_seats_add_up_and_stay_within_one_of_their_share(counts, least, part, seed):
    counts = np.array(counts)
    least_total = int(np.minimum(least, counts).sum())
    total = least_total + round(part * (counts.sum() - least_total))
    seats = strata.quotas(counts, total, least, np.random.default_rng(seed))
    share = counts * total / counts.sum()
    assert seats.sum() == total and (seats >= np.minimum(least, counts)).all()
    if not least:
        assert (np.abs(seats - share) < 1).all()


def test_rows_without_a_label_are_training_pairs():
    y = np.arange(200) % 4
    known = np.random.default_rng(0).random(200) < 0.5
    got = splits.make_task({"id": row(200)}, y[known], known=known, **FIELDS)
    rows = [ids(s) for s in (got.train, got.valid, got.test)]
    assert np.array_equal(np.sort(np.concatenate(rows)), np.arange(200))
    for split, r in zip((got.train, got.valid, got.test), rows, strict=True):
        assert known[r[: len(split.y)]].all() and np.array_equal(split.y, y[r[: len(split.y)]])
    assert not known[rows[0][len(got.train.y) :]].any()
    assert len(got.valid.y) == len(rows[1]) and len(got.test.y) == len(rows[2])


@given(
    sizes=st.lists(st.integers(1, 12), min_size=40, max_size=60),
    some=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=25, deadline=None)
def test_groups_stay_whole_and_every_seed_has_the_same_sizes(sizes, some, seed):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    y = groups % 2
    known = rng.random(len(y)) < 0.7 if some else np.ones(len(y), bool)
    shapes, tested = set(), []
    for s in range(4):
        got = splits.make_task(
            {"id": row(len(y))}, y[known], **{**FIELDS, "seed": s}, groups=groups, known=known
        )
        parts = (got.train, got.valid, got.test)
        rows = [ids(part) for part in parts]
        assert len(np.unique(np.concatenate(rows))) == sum(map(len, rows))
        for part, r, group in zip(parts, rows, got.groups, strict=True):
            assert np.array_equal(group, groups[r])
            assert np.array_equal(part.y, y[r[: len(part.y)]])
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert not set(groups[rows[a]]) & set(groups[rows[b]])
        shapes.add(tuple((len(part.x[0]), len(part.y)) for part in parts))
        tested.append(frozenset(rows[2]))
    assert len(shapes) == 1 and len(set(tested)) > 1
    ((train, valid, test),) = shapes
    assert valid == (round(0.1 * known.sum()),) * 2 and test == (round(0.2 * known.sum()),) * 2
    assert train[1] >= 0.5 * known.sum()


def test_groups_that_make_no_splits_are_one_line():
    with pytest.raises(UserError, match="the 2 groups of mine.npz, whose rows belong together"):
        task(np.arange(60) % 2, groups=np.arange(60) // 30)


@given(
    counts=st.lists(st.integers(10, 24), min_size=2, max_size=4),
    test=st.sampled_from([0.2, 0.25, 0.3]),
    repeat=st.integers(0, 2**20),
)
@settings(max_examples=20, deadline=None)
def test_few_rows_are_tested_in_turn(counts, test, repeat):
    y = np.repeat(np.arange(len(counts)), counts)
    folds = int(1 / test)
    fields = {"valid": 0.2, "test": test, "source": "x"}

    def tested(repeat):
        seeds = range(repeat * folds, (repeat + 1) * folds)
        parts = [splits.stratified(y, seed=seed, **fields) for seed in seeds]
        for train, valid, held in parts:
            np.testing.assert_array_equal(np.sort([*train, *valid, *held]), np.arange(len(y)))
            assert len(held) == len(parts[0][2])
            assert all(set(y[part]) == set(y) for part in (train, valid, held))
        return [held for _, _, held in parts]

    one, other = tested(repeat), tested(repeat + 1)
    every = np.concatenate(one)
    assert len(set(every)) == len(every) > len(y) - max(folds, 0.15 * len(y))
    assert any(set(a) != set(b) for a, b in zip(one, other, strict=True))


def test_classes_too_rare_for_folds_and_groups_are_split_at_random(caplog):
    y = np.repeat([0, 1], [40, 4])
    parts = [splits.stratified(y, valid=0.1, test=0.2, seed=s, source="x")[2] for s in range(5)]
    assert len(set(np.concatenate(parts))) < len(np.concatenate(parts))
    assert "cross-validation" not in caplog.text
    splits.stratified(np.repeat([0, 1], 20), valid=0.1, test=0.2, seed=0, source="x")
    assert "x: 40 labelled rows, fewer than 100: every 5 seeds in turn test on" in caplog.text
