"""Rows that miss a modality, as people bring them: kept, counted, and masked."""

import numpy as np
import pandas as pd
import pytest
from ml_collections import ConfigDict

import redalign_jax as ra
from redalign_jax.advise import folds, held_out
from redalign_jax.data import notes, row_groups
from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError
from redalign_jax.task import lengths

N = 120
RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(N, 5)), RNG.normal(3, 2, size=(N, 4))
Y = np.arange(N) % 3
GONE = RNG.permutation(N)[:36]
HAS = ~np.isin(np.arange(N), GONE)
HOLED = np.where(HAS[:, None], B, np.nan)


@pytest.fixture(autouse=True)
def heard(caplog):
    notes.forget()
    return caplog


def task(data, seed=0, **fields):
    own = arrays.defaults()
    section = {n: v[0] if isinstance(v, tuple) else v for n, v in own.items()} | fields
    return arrays.task(data.ready, ConfigDict(section), seed, "arrays")


def parts(task):
    return task.train, task.valid, task.test


def same(one, two):
    for left, right in zip(parts(one), parts(two), strict=True):
        np.testing.assert_array_equal(left.y, right.y)
        np.testing.assert_array_equal(left.present, right.present)
        for a, b in zip(left.x, right.x, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_row_of_nan_is_missing_and_the_others_set_the_scale(heard):
    got = task(ra.arrays({"a": A, "b": HOLED}, Y))
    assert "rows that miss a modality: b 36 of 120; 84 rows have all 2" in heard.text
    seen, count = [], 0
    for part in parts(got):
        assert part.present.shape == (2, len(part.x[0])) and part.present[0].all()
        assert not part.x[1][~part.present[1]].any() and np.isfinite(part.x[1]).all()
        count += (~part.present[1]).sum()
        seen.append(part.x[1][part.present[1]])
    assert count == 36
    np.testing.assert_allclose(seen[0].mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(seen[0].std(axis=0), 1, atol=1e-5)
    back = np.concatenate(seen) * got.scales[1].spread + got.scales[1].mean
    np.testing.assert_allclose(np.sort(back, axis=0), np.sort(B[HAS], axis=0), atol=1e-4)
    # the splits, and what has all rows, are those of complete data
    whole = task(ra.arrays({"a": A, "b": B}, Y))
    for one, other in zip(parts(got), parts(whole), strict=True):
        np.testing.assert_array_equal(one.x[0], other.x[0])
        np.testing.assert_array_equal(one.y, other.y)
        assert other.present is None


def test_every_way_to_say_it_is_the_same():
    """NaN, a frame, None in a list, and ids that b does not have all of."""
    want = task(ra.arrays({"a": A, "b": HOLED}, Y))
    frame = pd.DataFrame(HOLED)
    rows = [row if own else None for row, own in zip(B, HAS, strict=True)]
    ids = np.array([f"s{i:03}" for i in range(N)])
    turned = RNG.permutation(np.flatnonzero(HAS))
    joined = {"a": ids, "b": ids[turned], "labels": ids}
    for b, how in ((frame, {}), (rows, {}), (B[turned], {"ids": joined})):
        same(task(ra.arrays({"a": A, "b": b}, Y, **how)), want)
    by_index = {"a": pd.DataFrame(A, ids), "b": pd.DataFrame(B[turned], ids[turned])}
    same(task(ra.arrays(by_index, pd.Series(Y, ids))), want)


def test_files_say_it_too(tmp_path):
    want = task(ra.arrays({"a": A, "b": HOLED}, Y))
    names = [f"{m}_{i}" for m, x in (("a", A), ("b", B)) for i in range(x.shape[1])]
    table = pd.DataFrame(np.hstack([A, HOLED]), columns=names).assign(label=Y)
    table.to_csv(tmp_path / "t.csv", index=False)
    table.to_parquet(tmp_path / "t.parquet")
    np.savez(tmp_path / "t.npz", a=A, b=HOLED, labels=Y)
    fields = {n: v[0] if isinstance(v, tuple) else v for n, v in arrays.defaults().items()}
    for name in ("t.csv", "t.parquet", "t.npz"):
        own = {
            "path": str(tmp_path / name),
            "modalities": "" if name[2:] == "npz" else "a=a_*,b=b_*",
        }
        same(arrays.load(ConfigDict({**fields, **own}), 0), want)


def test_ids_say_how_many_rows_have_what(heard):
    ids = np.arange(N)
    data = ra.arrays(
        {"a": A[:100], "b": B[20:]},
        Y[:80],
        ids={"a": ids[:100], "b": ids[20:], "labels": ids[:80]},
    )
    # labels 0–79: 0–19 have a alone; 80–99 are pairs without a label; 100–119 have b alone
    assert "joined by id: 60 rows are in all of a (100), b (100), labels (80)" in heard.text
    assert (
        "; 20 have a label and not all modalities; 20 are in all modalities and have no label"
        in (heard.text)
    )
    assert "20 are left out, as nothing goes with them" in heard.text
    got = task(data)
    assert sum(len(part.x[0]) for part in parts(got)) == 100
    assert sum((~part.present[1]).sum() for part in parts(got)) == 20
    assert sum(len(part.y) for part in parts(got)) == 80


def test_rows_that_are_good_for_nothing_are_dropped_and_said(heard):
    a, b, labels = A.copy(), HOLED.copy(), Y.astype(float)
    b[:10] = np.nan
    a[:4] = np.nan  # no modality
    labels[4:10] = np.nan  # one modality and no label
    got = task(ra.arrays({"a": a, "b": b}, labels, target="classes"))
    assert "10 are dropped: no modality, or one and no label" in heard.text
    assert sum(len(part.x[0]) for part in parts(got)) == N - 10
    groups, split = np.arange(N) // 2, np.arange(N) % 3
    ready = ra.arrays({"a": a, "b": b}, labels, groups=groups, split=split).ready
    assert np.array_equal(np.unique(ready.groups, return_inverse=True)[1], groups[10:] - 5)
    assert np.array_equal(ready.split, split[10:]) and len(ready.y) == len(ready.known) == N - 10


def test_texts_with_holes_stay_texts():
    texts = [RNG.integers(1, 50, size=3 + i % 5) for i in range(N)]
    holed = [None if i in GONE else [] if i == 0 else t for i, t in enumerate(texts)]
    data = ra.arrays({"a": A, "text": holed}, Y)
    assert data.ready.kinds["text"] == "tokens" and data.ready.x["text"].dtype == np.int32
    gone = np.isin(np.arange(N), [0, *GONE])
    assert np.array_equal(data.ready.present["text"], ~gone)
    ends = lengths(data.ready.x["text"])
    assert not ends[gone].any() and ends[~gone].tolist() == [
        3 + i % 5 for i in np.flatnonzero(~gone)
    ]
    assert task(data).kinds == ("vector", "tokens")


def test_sequences_and_levels_with_holes_keep_their_kind():
    steps = [None if i in GONE else RNG.normal(size=(2 + i % 4, 3)) for i in range(N)]
    levels = RNG.integers(0, 256, (N, 9, 9)).astype(float)
    levels[GONE] = np.nan
    data = ra.arrays({"steps": steps, "image": levels}, Y)
    assert data.ready.kinds == {"steps": "sequence", "image": "image"}
    assert data.ready.x["image"].dtype == np.uint8  # as without holes


def test_the_look_counts_them():
    said = ra.inspect(ra.arrays({"a": A, "b": HOLED}, Y))
    (line,) = [line for line in said.splitlines() if line.startswith("b: ")]
    assert "all rows differ" in line and "36 rows missing" in line and "all zero" not in line
    assert "rows that miss a modality: b 36 of 120" in said


def test_missing_rows_are_no_copies():
    x = {"a": A, "b": np.where(HAS[:, None], B, 0)}
    assert row_groups.numbers(x, None, {"b": HAS}) == (None, [])
    twice = {"a": A, "b": np.repeat(B[:60], 2, axis=0)}
    group, (line,) = row_groups.numbers(twice, None, {"b": np.arange(N) < 100})
    assert "50 different rows of 100 in 'b'" in line
    assert len(np.unique(group[:100])) == 50 and len(np.unique(group)) == 70


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"b": np.full_like(B, np.nan)}, ("'b'", "no row with numbers")),
        ({"b": np.where(np.arange(4) == 1, np.nan, HOLED)}, ("'b' holds nan in row", "missing")),
        ({"b": np.where(np.arange(N)[:, None] < 1, B, np.nan)}, ("'b' is missing in all", "split")),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(content, words):
    with pytest.raises(UserError) as caught:
        task(ra.arrays({"a": A, "b": B} | content, Y))
    assert all(word in str(caught.value) for word in words) and "\n" not in str(caught.value)


def test_ids_of_nothing_are_one_line():
    ids = np.arange(N)
    for name, other in (("a", "labels"), ("b", "b")):
        given = {"a": ids, "b": ids, "labels": ids} | {name: ids + 1000}
        with pytest.raises(UserError, match=rf"no id is in a_ids and {other}_ids alike"):
            ra.arrays({"a": A, "b": B}, Y, ids=given)


def test_folds_take_the_masks_along():
    got = task(ra.arrays({"a": A, "b": HOLED}, Y))
    assert held_out.units(got) == got.train.present[1].sum() < len(got.train.y)
    fold = folds.assign(got.train.y, 5, 0)
    for held in range(5):
        part = folds.split(got, fold, held)
        for split in (part.train, part.valid):
            there = split.x[1].any(axis=1)
            np.testing.assert_array_equal(split.present, np.stack([there | True, there]))
