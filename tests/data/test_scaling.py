"""Inputs ready for training: sequences keep their ends, given splits stay as they are."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redalign_jax.data import scaling, splits
from redalign_jax.data.task import lengths, to_float
from redalign_jax.errors import UserError


@given(n=st.integers(2, 12), t=st.integers(1, 7), d=st.integers(1, 4), seed=st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_sequences_are_standardised_over_their_real_steps(n, t, d, seed):
    rng = np.random.default_rng(seed)
    ends = rng.integers(1, t + 1, n)
    x = rng.normal(50, 3, (n, t, d)).astype(np.float32)  # what stands after the end is arbitrary
    train = rng.permutation(n)[: rng.integers(1, n + 1)]
    z = scaling.sequences(x, ends, train)
    real = [x[i, : ends[i]].astype(np.float64) for i in range(n)]
    steps = np.concatenate([real[i] for i in train])
    mean, std = steps.mean(axis=0), steps.std(axis=0)
    std = np.where(std > 1e-4, std, 1)
    for i in range(n):
        np.testing.assert_allclose(z[i, : ends[i]], (real[i] - mean) / std, rtol=1e-3, atol=1e-3)
        assert not z[i, ends[i] :].any()
    if len(steps) > 1:  # else everything is the mean, and zero
        assert np.array_equal(lengths(z), ends)


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
        ({"labels": 31}, "data.labels=31: here leaves only 30 training examples"),
        ({"labels": 3}, "data.labels=3 is below the 4 classes of here"),
        ({"labels": -1}, "data.labels=-1 must be a whole number"),
    ],
)
def test_bad_splits_are_one_line(fields, words):
    with pytest.raises(UserError) as caught:
        task(**fields)
    assert words in str(caught.value)
