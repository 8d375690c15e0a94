"""Inputs ready for training: sequences keep their ends, given splits stay as they are."""

import tracemalloc

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redalign_jax.data import scaling, splits
from redalign_jax.errors import UserError
from redalign_jax.task import lengths, to_float


@given(n=st.integers(2, 12), t=st.integers(1, 7), d=st.integers(1, 4), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_sequences_are_standardised_over_their_real_steps(n, t, d, seed):
    rng = np.random.default_rng(seed)
    ends = rng.integers(1, t + 1, n)
    x = rng.normal(50, 3, (n, t, d)).astype(np.float32)  # what stands after the end is arbitrary
    train = rng.permutation(n)[: rng.integers(1, n + 1)]
    z, _ = scaling.sequences(x, ends, train)
    real = [x[i, : ends[i]].astype(np.float64) for i in range(n)]
    steps = np.concatenate([real[i] for i in train])
    mean, std = steps.mean(axis=0), steps.std(axis=0)
    constant = std < 1e-4
    for i in range(n):
        want = np.where(constant, 0, (real[i] - mean) / np.where(constant, 1, std))
        want = np.clip(want, -scaling.CLIP, scaling.CLIP)
        np.testing.assert_allclose(z[i, : ends[i]], want, rtol=1e-3, atol=1e-3)
        assert not z[i, ends[i] :].any()
    assert np.array_equal(lengths(z), ends)


@given(
    n=st.integers(16, 60),
    dtype=st.sampled_from([np.float16, np.float32, np.float64, np.int16, np.uint8]),
    scale=st.sampled_from([1e-6, 1.0, 1e4]),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=60, deadline=None)
def test_no_input_is_beyond_the_bound_whatever_is_held_out(n, dtype, scale, seed):
    """A column known only from the held-out rows, or from one training row, tells nothing."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, 4))
    x[:, 0] = rng.normal(size=n) * scale
    x[: n // 3, 1] = 200  # constant in training
    x[0, 2], x[-1, 2] = 100, 1e-3 if np.dtype(dtype).kind == "f" else 1  # one row of training
    x[:, 3] = rng.standard_cauchy(n)
    x = x.clip(
        *(
            (np.iinfo(dtype).min, np.iinfo(dtype).max)
            if np.dtype(dtype).kind in "iu"
            else (-6e4, 6e4)
        )
    ).astype(dtype)
    z, touched = scaling.standardise(x, "vector", np.arange(n // 3, n))
    assert z.dtype == np.float32 and np.isfinite(z).all() and np.abs(z).max() <= scaling.CLIP
    assert not z[:, 1:3].any() and touched.constant >= 2
    assert touched.clipped <= np.sum(np.abs(z) >= scaling.CLIP)


def test_heavy_tails_are_kept_as_they_are():
    x = np.random.default_rng(0).standard_t(3, (2000, 5))
    train = np.arange(1400)
    z, touched = scaling.standardise(x, "vector", train)
    want = (x - x[train].mean(axis=0)) / x[train].std(axis=0)
    assert touched == scaling.Touched(0, 0) and np.abs(want).max() > 10
    np.testing.assert_allclose(z, want, rtol=1e-5, atol=1e-6)


def test_images_are_levels_or_scaled_per_channel():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (40, 9, 8, 3)).astype(np.uint8)
    train = np.arange(25)
    same, _ = scaling.standardise(levels, "image", train)
    assert same is levels
    floats = levels * np.array([1.0, 2.0, 0.0]) + 5
    z, touched = scaling.standardise(floats, "image", train)
    seen = floats[train]
    mean, std = seen.mean(axis=(0, 1, 2)), seen.std(axis=(0, 1, 2))
    np.testing.assert_allclose(z[..., :2], (floats - mean)[..., :2] / std[:2], rtol=1e-5, atol=1e-5)
    assert touched.constant == 1 and not z[..., 2].any()


def test_large_arrays_are_scaled_block_by_block():
    """The float64 of a block at a time, and the same numbers as of the whole."""
    x = np.random.default_rng(0).normal(3, 2, (20_000, 120)).astype(np.float32)
    train = np.arange(0, 20_000, 2)
    tracemalloc.start()
    z, _ = scaling.standardise(x, "vector", train)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    whole = x[train].astype(np.float64)
    want = ((x - whole.mean(axis=0)) / whole.std(axis=0)).astype(np.float32)
    assert np.array_equal(z, want)
    assert peak < 4 * x.nbytes  # the result, the training rows, and blocks


def test_lengths_of_sequences_and_texts_in_numpy_and_jax():
    x = np.zeros((4, 5, 2), np.float32)
    x[0, 4, 1] = x[1, 0, 0] = x[2, 1, 1] = -1
    tokens = np.array([[3, 1, 0, 0], [0, 2, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], np.int32)
    for array in (np.asarray, jnp.asarray):
        assert lengths(array(x)).tolist() == [5, 1, 2, 0]
        assert lengths(array(tokens)).tolist() == [2, 2, 4, 0]


def test_levels_become_floats_on_the_device_and_nothing_else_changes():
    levels = np.arange(256, dtype=np.uint8)
    for array in (np.asarray, jnp.asarray):
        np.testing.assert_allclose(to_float(array(levels)), np.arange(256) / 255, rtol=1e-6)
        for other in (np.int8, np.int32, np.float32):
            got = to_float(array(np.array([0, 1, 100], other)))
            assert got.dtype == np.float32 and got.tolist() == [0, 1, 100]


Y = np.arange(40) % 4
PARTS = (np.arange(10, 40), np.arange(4, 10), np.arange(4))


def task(y=Y, parts=PARTS, **fields):
    x = {"row": np.arange(len(y))[:, None], "image": np.zeros((len(y), 2, 2, 3), np.uint8)}
    given = {"labels": 0, "seed": 0, "source": "here", **fields}
    return splits.make_split_task(x, y, parts, **given)


def test_given_splits_are_kept_and_inputs_taken_as_they_are():
    one, two = task(labels=8), task(labels=8, seed=1)
    for got in (one, two):
        assert got.train.x[1].dtype == np.uint8 and got.train.x[1].shape == (30, 2, 2, 3)
        for split, part in zip((got.train, got.valid, got.test), PARTS, strict=True):
            rows = split.x[0][:, 0]
            assert np.array_equal(np.sort(rows), part)
            assert np.array_equal(split.y, Y[rows[: len(split.y)]])
        assert np.bincount(got.train.y).tolist() == [2, 2, 2, 2]
    assert np.array_equal(one.test.x[0], two.test.x[0])
    assert set(one.train.x[0][:8, 0]) != set(two.train.x[0][:8, 0])
    regression = task(Y / 2)
    assert regression.classes == 0 and len(regression.test.y) == 4
    back = regression.test.y * regression.target_scale + regression.target_mean
    np.testing.assert_allclose(back, Y[:4] / 2, atol=1e-6)


@pytest.mark.parametrize(
    "fields, words",
    [
        ({"parts": (*PARTS[:2], np.arange(0))}, "here: no examples in its test split"),
        ({"parts": (*PARTS[:2], np.arange(3))}, "here: its test split has no example of class 3"),
        ({"labels": 3}, "data.labels=3 is below the 4 classes of here"),
        ({"labels": -1}, "data.labels=-1 must be a whole number"),
    ],
)
def test_bad_splits_are_one_line(fields, words):
    with pytest.raises(UserError) as caught:
        task(**fields)
    assert words in str(caught.value)
