"""Large arrays that all seeds share: the same numbers as an array of their own per seed."""

import os
import signal

import numpy as np
import pandas as pd
import pytest
from helpers.small import experiment
from hypothesis import given, settings
from hypothesis import strategies as st

from redalign_jax import sweep
from redalign_jax.advise import folds, held_out
from redalign_jax.config import base
from redalign_jax.data import notes, row_groups, rows, scaling
from redalign_jax.data.sources import arrays
from redalign_jax.fitted import train
from redalign_jax.runtime import preemption
from redalign_jax.sweep import block, grid, stream

N = 240
MIXED = 4 * N * 6  # bytes from which on: two of the three modalities


@pytest.fixture
def sharing(monkeypatch):
    """Says from how many bytes on arrays are shared."""

    def from_bytes(count):
        monkeypatch.setattr(rows, "SHARED", count)
        arrays._read.cache_clear()
        notes.forget()

    yield from_bytes
    arrays._read.cache_clear()


@given(
    n=st.integers(20, 90),
    dtype=st.sampled_from([np.float16, np.float32, np.float64, np.int16, np.int64, np.bool_]),
    offset=st.sampled_from([0.0, 7.0, 3e4]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_rows_are_what_standardising_in_float64_gives(n, dtype, offset, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)) * 10 ** rng.uniform(0, 2, 5) + offset
    x[:, 1] = 3  # constant
    x[: n // 2, 2] = 1  # constant in training
    x[0, 3], x[1:, 3] = 1, 0  # one row is all there is
    x[-1, 4] = 6e4  # far out
    x = np.clip(x, -6e4, 6e4) if np.dtype(dtype).kind == "f" else np.clip(x, -3e4, 3e4)
    x = x.astype(dtype)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "SHARED", 0)
        whole = rows.whole(x, "vector")
    own = rng.permutation(n // 2)
    found, scale, touched = scaling.shared(whole, own)
    want, dense = scaling.standardise(x.astype(np.float64), "vector", own)
    resolution = np.finfo(dtype).eps if np.dtype(dtype).kind == "f" else 0
    kept = scale.spread > 0
    assert not np.asarray(found)[:, ~kept].any() and not kept[1:4].any()
    np.testing.assert_allclose(found[:][:, kept], want[:, kept], rtol=3e-5, atol=3e-4)
    assert touched.clipped == dense.clipped or resolution
    some = rng.integers(0, n, 7)
    assert np.array_equal(found[some], np.asarray(found)[some]) and found.at(some).shape == (7, 5)
    again, _ = scaling.apply(x, "vector", scale)  # new rows, by the scale that encoders keep
    np.testing.assert_allclose(again, found[:], rtol=3e-5, atol=3e-4)


def test_only_large_vectors_are_shared_and_nothing_is_copied_that_lies_well():
    room = np.zeros(4 * 2**23 + 64, np.uint8)
    start = -room.ctypes.data % rows.ALIGNED
    x = room[start : start + 4 * 2**23].view(np.float32).reshape(-1, 64)
    assert rows.whole(x, "vector").values is x
    assert (
        rows.whole(x[:-1], "vector") is None and rows.whole(x.reshape(-1, 8, 8), "vector") is None
    )
    pictures = x.view(np.uint8).reshape(-1, 32, 32, 1)
    assert rows.whole(pictures, "image").values is pictures
    assert rows.whole(pictures[:-1], "image") is None
    texts = x.view(np.int32)
    assert rows.whole(texts, "tokens").values is texts and rows.whole(texts[1:], "tokens") is None
    moved = room[start + 4 : start + 4 + 4 * (2**23)].view(np.float32)[: 2**23].reshape(-1, 64)
    kept = rows.whole(moved, "vector").values
    assert kept.ctypes.data % rows.ALIGNED == 0 and np.array_equal(kept, moved)


def test_digests_find_the_copies_that_sorting_finds(monkeypatch):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (400, 4)).astype(np.float32)
    sorted_codes = row_groups.codes(x)
    monkeypatch.setattr(row_groups, "LARGE", 0)
    pairs = np.stack([sorted_codes, row_groups.codes(x)], axis=1)
    assert len(np.unique(pairs, axis=0)) == sorted_codes.max() + 1 == pairs[:, 1].max() + 1


def config(path, holes=0.0, given=False, pictures=False, dtype=np.float64, **changes):
    rng = np.random.default_rng(0)
    core = rng.normal(size=(N, 4))
    x = {
        name: (np.concatenate([core, rng.normal(size=(N, 3))], axis=1) * 9 + 50).astype(dtype)
        for name in "abc"
    }
    x["c"] = x["c"][:, :5]
    if pictures:
        x["c"] = rng.integers(0, 256, (N, 8, 8)).astype(np.uint8)
        ends = rng.integers(1, 7, N)  # beside texts of one to six tokens
        x["b"] = rng.integers(1, 20, (N, 6)) * (np.arange(6) < ends[:, None])
    if holes:
        x["b"][rng.random(N) < holes] = np.nan
    split = {"split": np.arange(N) % 4 % 3} if given else {}
    np.savez(path, **x, labels=np.argmax(core[:, :3], axis=1), **split)
    small = experiment(train__evaluations=2, **changes)
    made = base(arrays.defaults())
    made.data.path, made.data.labels = str(path), (100,)
    for name in ("encoder", "train", "sweep", "measure"):
        made[name] = small[name]
    made.hyper.strength = (0.0, 1.0)
    if pictures:
        made.encoder.kind = "mlp,bag,mlp"
    return made


@pytest.mark.slow
@pytest.mark.parametrize(
    "how",
    [
        {"holes": 0.3, "sweep__balanced": True, "sweep__batch_shards": 2, "dtype": np.float32},
        {"given": True, "pictures": True, "sweep__shuffled": True, "dtype": np.float16},
    ],
    ids=["missing", "given"],
)
def test_shared_rows_in_memory_or_streamed_are_the_sweep(tmp_path, sharing, monkeypatch, how):
    made = config(tmp_path / "x.npz", **how)
    made.train.steps = 12
    tables = []
    for count, streamed in ((2**25, False), (MIXED, False), (MIXED, True)):
        sharing(count)
        monkeypatch.setattr(stream, "wanted", lambda *_, streamed=streamed: streamed)
        monkeypatch.setattr(stream.parts, "WINDOW", 2**15)  # several in a segment
        tables.append(sweep.run(made, tmp_path / f"{count}{streamed}", progress=False))
    own, shared, streamed = tables
    # convolutions read other numbers of rows at a time: float32 in the last digit of numbers near 1
    pd.testing.assert_frame_equal(shared, streamed, rtol=1e-5, atol=1e-6)
    assert own.drop(columns="value").equals(shared.drop(columns="value"))
    # twelve steps from the same start: a tie of two logits is all that rounding could change
    off = (own["value"] - shared["value"]).abs()
    exact = ~own["metric"].str.contains("accuracy|knn|best_step")
    assert off[exact].max() < 2e-3 and off.median() < 1e-5


@pytest.mark.slow
def test_a_streamed_sweep_that_was_stopped_goes_on(tmp_path, sharing, monkeypatch, caplog):
    sharing(0)
    monkeypatch.setattr(stream, "wanted", lambda *_: True)
    made = config(tmp_path / "x.npz")
    made.train.steps = 8
    want = sweep.run(made, tmp_path / "whole", progress=False)
    assert "0.0 GB of arrays stay on the host" in caplog.text
    advance = block.advance

    def asked(*args):
        found = advance(*args)
        os.kill(os.getpid(), signal.SIGTERM)
        return found

    monkeypatch.setattr(block, "advance", asked)
    with pytest.raises(preemption.Stopped):
        sweep.run(made, tmp_path / "cut", progress=False)
    monkeypatch.setattr(block, "advance", advance)
    pd.testing.assert_frame_equal(sweep.run(made, tmp_path / "cut", progress=False), want)


@pytest.mark.slow
def test_seeds_share_memory_here_and_on_the_device(tmp_path, sharing):
    sharing(0)
    made = config(tmp_path / "x.npz", dtype=np.float32)
    (group,) = grid.groups(made)
    first, second = (cell.load() for cell in group.cells)
    assert first.train.x[0].values is second.test.x[0].values
    own, other = folds.split(first, folds.assign(first.train.y, 8, 0), 0), first
    assert own.train.x[1].values is other.train.x[1].values
    program = block.compiled(made, group, 2)
    (one,) = block.cut(made, group, [{**dict.fromkeys(grid.Hyper._fields, 1.0)}] * 2, program)
    data = block.load(one).data
    assert [w.shape for w in data.wholes] == [(N, 7), (N, 7), (N, 5)]
    assert data.train.x[0].values is None and data.train.x[0].index.shape[0] == 2


@pytest.mark.slow
def test_advice_and_encoders_of_shared_rows(tmp_path, sharing):
    made = config(tmp_path / "x.npz")
    made.hyper.strength, made.train.evaluations = (1.0,), 1
    found, scores = [], []
    for count in (2**25, 0):
        sharing(count)
        model = train.fit(made, tmp_path / f"fit{count}", progress=False)
        found.append(model.embed("b", np.load(tmp_path / "x.npz")["b"]))
        task = grid.groups(made)[0].cells[0].load()
        (tried,) = held_out.run(made, task, float("inf"), 0, 1, show=False)
        scores.append(tried.scores)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-3)
    np.testing.assert_array_equal(scores[0], scores[1])
