"""Data as people bring them: every property ends in the right result, or in one line."""

import logging

import numpy as np
import pytest
from ml_collections import ConfigDict
from scipy import sparse

from redalign_jax.data import notes
from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError
from redalign_jax.task import lengths

N = 120
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(N, 5)).astype(np.float32), RNG.normal(size=(N, 4)).astype(np.float32)
Y = np.arange(N) % 3


@pytest.fixture
def load(tmp_path, caplog):
    """Writes arrays, loads a task; what was said is `caplog.messages`."""
    notes.forget()
    caplog.set_level(logging.WARNING)

    def one(content, seed=0, **fields):
        path = tmp_path / "mine.npz"
        np.savez(path, **content)
        single = {n: v[0] if isinstance(v, tuple) else v for n, v in arrays.defaults().items()}
        return arrays.load(ConfigDict({**single, "path": str(path), **fields}), seed)

    return one


def plain(**changes):
    return {"a": A, "b": B, "labels": Y} | changes


def equal(one, other):
    for s, t in ((one.train, other.train), (one.valid, other.valid), (one.test, other.test)):
        assert np.array_equal(s.y, t.y)
        assert all(np.array_equal(x, y) for x, y in zip(s.x, t.x, strict=True))


def refused(load, content, *words, **fields):
    with pytest.raises(UserError) as caught:
        load(content, **fields)
    message = str(caught.value)
    assert "\n" not in message and all(word in message for word in words), message


def test_plain_data_load_without_a_word(load, caplog):
    task = load(plain())
    assert task.kinds == ("vector", "vector") and task.groups is None and not caplog.messages


@pytest.mark.parametrize("name", ["id", "ids", "index", "number", "c_ids"])
@pytest.mark.parametrize("values", [np.arange(N) + 5000, np.array([f"s{i}" for i in range(N)])])
def test_ids_are_no_modality(load, caplog, name, values):
    want = load(plain())
    equal(load({name: values, **plain()}), want)
    (line,) = caplog.messages
    assert repr(name) in line and "left out" in line and "data.modalities" in line


def test_whole_numbers_are_trained_on_when_they_are_asked_for(load, caplog):
    task = load(plain(age=np.arange(N)), modalities="a,age")
    assert task.modalities == ("a", "age") and not caplog.messages
    both = load({"x": np.arange(N), "y": np.arange(N) % 7, "labels": Y})  # nothing is wider
    assert both.modalities == ("x", "y")


def test_rows_are_joined_by_id(load, caplog):
    want = load(plain())
    turned = np.random.default_rng(1).permutation(N)
    ids = np.array([f"s{i:03}" for i in range(N)])
    given = plain(b=B[turned], a_ids=ids, b_ids=ids[turned], labels_ids=ids)
    equal(load(given), want)
    assert f"joined by id: {N} rows are in all of a ({N}), b ({N}), labels ({N})" in caplog.text
    fewer = given | {"b": B[turned[:90]], "b_ids": ids[turned[:90]], "groups": np.arange(N) // 2}
    task = load(fewer)
    parts = (task.train, task.valid, task.test)
    assert sum(len(s.x[0]) for s in parts) == N and sum(s.present[1].sum() for s in parts) == 90
    assert f"90 rows are in all of a ({N}), b (90), labels ({N})" in caplog.text
    refused(load, {k: v for k, v in given.items() if k != "labels_ids"}, "no labels_ids", "join")
    refused(load, given | {"b_ids": np.full(N, "s1")}, "b_ids holds 's1' twice")
    refused(load, given | {"b_ids": np.arange(N)}, "no id is in")
    refused(load, given | {"b_ids": ids[:9]}, "b_ids of shape (9,) is not one per row of 'b'")


def test_a_published_split_is_kept(load):
    split = np.array(["train"] * 80 + ["val"] * 20 + ["test"] * 20)
    for values in (split, np.array([0] * 80 + [1] * 20 + [2] * 20), split.astype("S")):
        task = load(plain(split=values), seed=3)
        assert task.modalities == ("a", "b")
        mean, std = A[:80].mean(axis=0), A[:80].std(axis=0)
        np.testing.assert_allclose(task.test.x[0], (A[100:] - mean) / std, atol=1e-5)
        assert np.array_equal(task.valid.y, Y[80:100]) and len(task.train.y) == 80
    refused(load, plain(split=np.arange(N)), "'split' must say train, valid or test")
    refused(load, plain(split=split[:9]), "array 'split' has 9 rows, not one per label")


def test_parts_that_a_split_lacks_are_drawn_from_training(load, caplog):
    given = np.array(["train"] * 90 + ["test"] * 30)
    one, other = (load(plain(split=given), seed=seed, valid=0.2) for seed in (0, 1))
    assert "names no valid, drawn from its training rows" in caplog.text
    for task in (one, other):
        assert task.fixed_test and np.array_equal(task.test.y, Y[90:])
        assert (len(task.train.x[0]), len(task.valid.y)) == (72, 18)
        at = [np.abs(A - row).max(axis=1).argmin() for row in _raw(task)]
        assert sorted(at) == list(range(90))
    assert not np.array_equal(one.valid.x[0], other.valid.x[0])
    task = load(plain(split=np.arange(N) // 80), valid=0.2, test=0.3)  # 0 and 1: train and valid
    assert len(task.valid.y) == 40 and len(task.test.y) == 24 and not task.fixed_test
    task = load(plain(split=given, groups=np.arange(N) // 2), valid=0.2)
    sets = [set(group.tolist()) for group in task.groups]
    assert sum(map(len, sets)) == len(set.union(*sets)) and len(sets[2]) == 15
    assert 16 <= len(task.valid.y) <= 20
    refused(load, plain(split=np.ones(N, int)), "no examples in its train split")
    refused(load, plain(split=given), "data.valid=0.001", "every class", valid=0.001)


def _raw(task):
    """The rows of train and valid in the units of the file."""
    scale = task.scales[0]
    return np.concatenate([task.train.x[0], task.valid.x[0]]) * scale.spread + scale.mean


@pytest.mark.parametrize("name", ["fusion", "a|b", "a,b", "a=b"])
def test_a_name_of_the_results_is_refused(load, name):
    refused(load, plain(**{name: A}), f"cannot be called {name!r}", "rename")


def test_groups_are_no_modality_and_stay_whole(load, caplog):
    groups = np.array([f"person {i}" for i in np.arange(N) // 4])
    y = np.arange(N) // 4 % 2
    for fields, content in (
        ({}, plain(groups=groups, labels=y)),
        ({"groups": "person"}, plain(person=groups, labels=y)),
        ({}, plain(groups=(np.arange(N) // 4)[:, None], labels=y)),
    ):
        task = load(content, **fields)
        assert task.modalities == ("a", "b")
        sets = [set(group.tolist()) for group in task.groups]
        assert sum(map(len, sets)) == len(set.union(*sets)) == 30
    refused(load, plain(), "data.groups='person': no such array", groups="person")
    refused(load, plain(groups=np.full(N, np.nan)), "'groups' holds nan")


def test_copies_stay_on_one_side_and_are_counted(load, caplog):
    """Captions of one picture, and whole rows that are there twice."""
    y = np.arange(N) // 4 % 2
    pictures = np.repeat(A[:30], 4, axis=0)
    for content, line in (
        (
            {"image": pictures, "text": B, "labels": y},
            "30 different rows of 120 in 'image'; copies stay",
        ),
        (
            {"a": np.repeat(A[:60], 2, 0), "b": np.repeat(B[:60], 2, 0), "labels": y},
            "60 different rows of 120 in 'b'; copies stay",
        ),
    ):
        for seed in range(5):
            task = load(content, seed=seed)
            rows = [{r.tobytes() for r in s.x[0]} for s in (task.train, task.valid, task.test)]
            assert not rows[0] & rows[1] and not rows[0] & rows[2] and not rows[1] & rows[2]
        assert line in caplog.text


def test_equal_rows_of_few_values_are_no_copies(load, caplog):
    """Discrete data repeat by chance: splits stay as they are, and the number is said."""
    bits = np.random.default_rng(2).integers(0, 2, (2, N, 4)).astype(np.float32)
    task = load({"a": bits[0], "b": bits[1], "labels": Y})
    assert task.groups is None
    assert "different rows of 120 in 'a', which may be in several splits" in caplog.text
    assert "--config.data.groups=a" in caplog.text
    assert load({"a": bits[0], "b": bits[1], "labels": Y}, groups="a").groups is not None


def test_rows_that_were_not_measured_are_no_copies_of_each_other(load):
    zeros = np.where(np.arange(N)[:, None] % 3 == 0, 0, B)
    assert load(plain(b=zeros)).groups is None


ONE_HOT = np.eye(3)[Y]


@pytest.mark.parametrize("labels", [Y[:, None], Y.astype(np.uint8), ONE_HOT, ONE_HOT.astype(bool)])
def test_labels_in_another_shape(load, labels):
    equal(load(plain(labels=labels)), load(plain()))


def test_labels_without_a_class(load, caplog):
    known = np.arange(N) % 5 > 1
    want = np.where(known, Y, -1)
    text = np.where(known, np.array(["x", "y", "z"])[Y], "nan")
    equal(load(plain(labels=want), unlabelled="-1"), load(plain(labels=text), unlabelled="missing"))
    task = load(plain(labels=want), unlabelled="-1")
    assert task.classes == 3 and len(task.train.x[0]) - len(task.train.y) == (~known).sum()
    assert f"{(~known).sum()} of {N} rows have no label" in caplog.text
    equal(load(plain(labels=np.where(known, text, ""))), task)
    for missing in ("nan", "None", "NaN", "<NA>"):
        values = np.where(known, text, missing)
        refused(load, plain(labels=values), f"{(~known).sum()} of {N}", "data.unlabelled=missing")
        refused(load, plain(labels=values.astype("S")), "data.unlabelled=missing")
        equal(load(plain(labels=values), unlabelled="missing"), task)
    holes = np.where(known, RNG.normal(size=N), np.nan)
    equal(load(plain(labels=holes)), load(plain(labels=holes), unlabelled="missing"))
    target = load(plain(labels=holes))
    assert target.classes == 0 and np.isfinite(target.train.y).all()
    refused(load, plain(), "data.unlabelled='7': no label", unlabelled="7")
    notes.forget(), caplog.clear()
    assert load(plain(labels=want)).classes == 4
    assert f"{(~known).sum()} of {N} labels are -1, taken as a class" in caplog.text
    notes.forget(), caplog.clear()
    assert load(plain(labels=np.where(Y, 1, -1))).classes == 2 and not caplog.messages


def test_holes_make_no_regression_of_whole_numbers(load, caplog):
    """A column of whole numbers with holes is floating point; one-hot rows may lack theirs."""
    known = np.arange(N) % 5 > 1
    task = load(plain(labels=np.where(known, Y, -1)), unlabelled="-1")
    equal(load(plain(labels=np.where(known, Y, np.nan))), task)
    assert "the labels are 0, 1 and 2, taken as 3 classes" in caplog.text
    assert load(plain(labels=np.where(known, Y, np.nan)), target="regression").classes == 0
    equal(load(plain(labels=np.where(known[:, None], ONE_HOT, np.nan))), task)


def test_several_labels_a_row_are_refused_by_name(load):
    refused(load, plain(labels=np.minimum(ONE_HOT + ONE_HOT[::-1], 1)), "multi-label", "one column")


def test_classes_or_a_regression(load, caplog):
    equal(load(plain(labels=(Y > 0) * 1.0)), load(plain(labels=(Y > 0) * 1)))
    assert "taken as two classes" in caplog.text
    assert load(plain(labels=(Y > 0) * 1.0), target="regression").classes == 0
    assert load(plain(labels=Y * 1.0)).classes == 0
    assert "3 values only, taken as a regression" in caplog.text
    equal(load(plain(labels=Y * 1.0), target="classes"), load(plain()))
    grades = np.random.default_rng(0).binomial(20, 0.5, N)
    refused(load, plain(labels=grades), "too few", "--config.data.target=regression")
    assert load(plain(labels=grades), target="regression").classes == 0
    refused(load, plain(), "data.target", target="both")
    refused(load, plain(labels=Y.astype(str)), "texts, no regression", target="regression")


def test_other_formats_say_what_to_write(load, tmp_path):
    refused(load, plain(a=A.T), "array 'a' has 5 rows", "transpose it")
    refused(load, plain(a=A.astype(object)), "array 'a'", "a.astype(float)")
    refused(load, plain(labels=Y.astype(object)), "array 'labels'", "factorize")
    hole = A.copy()
    hole[:9, 1] = np.nan
    refused(load, plain(a=hole), "'a' holds nan in row 0, column 1", "9 of 120 rows have such")
    path = tmp_path / "sparse.npz"
    sparse.save_npz(path, sparse.csr_array(A))
    refused(load, {}, "sparse matrix", "toarray()", path=str(path))


def padded(n, t, d):
    x = RNG.normal(5, 2, (n, t, d)).astype(np.float32)
    ends = RNG.integers(1, t + 1, n)
    x[np.arange(t) >= ends[:, None]] = 0
    return x, ends


def test_sequences_keep_their_lengths(load, caplog):
    x, ends = padded(N, 12, 3)
    task = load(plain(steps=x, row=ends[:, None] * 1.0))
    assert task.kinds == ("vector", "vector", "sequence", "vector")
    assert "steps is sequence 12×3" in caplog.text and "--config.data.kinds" in caplog.text
    for split in (task.train, task.valid, task.test):
        rank = np.unique(split.x[3], return_inverse=True)[1].ravel()
        assert np.array_equal(rank, np.unique(lengths(split.x[2]), return_inverse=True)[1])
    found = np.concatenate([lengths(s.x[2]) for s in (task.train, task.valid, task.test)])
    assert np.array_equal(np.sort(found), np.sort(ends))


def test_kinds_are_guessed_by_rules_and_can_be_said(load, caplog):
    texts = padded(N, 12, 1)[0][..., 0].round().clip(0, 30).astype(np.int64)
    texts[:, 0] = 7
    for i in range(N):  # zero only after the end
        texts[i, : 1 + np.flatnonzero(texts[i]).max()] += 1
    counts = RNG.poisson(1, (N, 12))
    levels = RNG.integers(0, 256, (N, 9, 8)).astype(np.uint8)
    squares = RNG.random((N, 8, 8)).astype(np.float32)
    first = RNG.random((N, 3, 9, 8))
    task = load({"t": texts, "c": counts, "l": levels, "s": squares, "f": first, "labels": Y})
    assert task.kinds == ("tokens", "vector", "image", "image", "image")
    shapes = [(x.shape[1:], x.dtype) for x in task.train.x]
    assert shapes == [
        ((12,), np.int32),
        ((12,), np.float32),
        ((9, 8, 1), np.uint8),
        ((8, 8, 1), np.float32),
        ((9, 8, 3), np.float32),
    ]
    said = "t=vector, c=tokens, s=sequence"
    task = load({"t": texts, "c": counts, "s": squares, "labels": Y}, kinds=said)
    assert task.kinds == ("vector", "tokens", "sequence")
    for field, word in (("a=film", "a=film"), ("z=vector", "z=vector"), ("a=image", "no image")):
        refused(load, plain(), "data.kinds", word, kinds=field)


def test_a_column_seen_once_cannot_blow_up(load, caplog):
    """Zeros, one 1e-6, one 3.2: wherever they fall, nothing is above the bound."""
    column = np.zeros((N, 1), np.float32)
    column[3], column[60] = 1e-6, 3.2
    for seed in range(12):
        task = load(plain(a=np.concatenate([A, column], axis=1)), seed=seed)
        assert max(np.abs(s.x[0]).max() for s in (task.train, task.valid, task.test)) < 31
    assert "columns of no known scale in training are set to 0" in caplog.text


def test_an_overwritten_file_is_read_again(load):
    one = load(plain())
    two = load(plain(a=A * A + A))
    assert not np.array_equal(one.train.x[0], two.train.x[0])
