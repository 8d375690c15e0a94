"""Rows that belong together are found, joined, and never divided."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redalign_jax.errors import UserError
from redalign_jax.pid import groups

RNG = np.random.default_rng(0)
NOISE = RNG.standard_normal((150, 6))


def test_rows_that_repeat_beyond_chance_are_copies():
    number = groups.copies(np.repeat(NOISE, 2, axis=0))
    np.testing.assert_array_equal(number[::2], number[1::2])
    assert len(np.unique(number)) == 150
    pictures = RNG.integers(0, 256, (80, 64)).astype(np.uint8)
    assert len(np.unique(groups.copies(np.tile(pictures, (4, 1))))) == 80


@pytest.mark.parametrize(
    "x",
    [
        RNG.integers(0, 2, (300, 1)),  # a bit
        RNG.integers(0, 2, (2000, 12)),  # codes, 488 equal pairs by chance
        np.eye(10)[RNG.integers(0, 10, 300)],  # one-hot
        np.repeat(RNG.integers(0, 2, (300, 1)), 12, axis=1),  # one bit, twelve times
        NOISE,  # nothing is there twice
    ],
    ids=["bit", "codes", "one-hot", "alphabet", "different"],
)
def test_values_that_repeat_by_chance_are_not(x):
    assert groups.copies(x) is None


def test_ties_pass_on_and_a_line_says_which_modality_repeats(caplog):
    other = RNG.standard_normal((300, 3))
    given = np.arange(300) // 2  # ties 0-1, 2-3, …
    repeated = np.roll(np.repeat(NOISE, 2, axis=0), 1, axis=0)  # ties 1-2, 3-4, …, 299-0
    with caplog.at_level(logging.WARNING):
        assert len(np.unique(groups.of_rows([repeated, other], ["image", "text"]))) == 150
        assert "image: 150 different rows of 300" in caplog.text
        caplog.clear()
        # what the groups say already needs no line
        tied = groups.of_rows([np.repeat(NOISE, 2, axis=0), other], ["image", "text"], given)
        assert len(np.unique(tied)) == 150 and not caplog.text
    chain = groups.of_rows([repeated, other], ["image", "text"], given)
    assert set(chain) == {0}


@pytest.mark.parametrize("given", [np.zeros(3, int), np.zeros(150), np.zeros((150, 1), int)])
def test_groups_are_one_number_per_row(given):
    with pytest.raises(UserError, match="^groups: needs 150 whole numbers or strings"):
        groups.of_rows([NOISE], ["x"], given)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(10, 120), st.integers(2, 6))
def test_a_group_is_dealt_to_one_part(seed, n, parts):
    rng = np.random.default_rng(seed)
    group = rng.integers(0, n // 2, n)
    y = rng.integers(0, 3, n)
    order, part = groups.deal(y, group, np.arange(n), parts, rng)
    assert sorted(order) == list(range(n))
    for g in np.unique(group):
        assert len(set(part[group[order] == g])) == 1
    # equal groups of one class are dealt out evenly
    of_class = np.arange(n) % 3
    order, part = groups.deal(of_class, np.arange(n), np.arange(n), parts, rng)
    for c in range(3):
        counts = np.bincount(part[of_class[order] == c], minlength=parts)
        assert counts.max() - counts.min() <= 1


def test_a_group_has_its_most_frequent_class():
    y, group = np.array([2, 1, 1, 0, 0, 1]), np.array([0, 0, 0, 3, 3, 1])
    np.testing.assert_array_equal(groups.label(y, group), [1, 1, -1, 0])
