"""Data smaller than the defaults: cut to what is there, and said."""

import numpy as np
import pytest
from helpers.small import experiment

from redalign_jax.config import base
from redalign_jax.data import notes
from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError
from redalign_jax.sweep import grid

pytestmark = pytest.mark.slow


def config(path, n):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, n, 3)).astype(np.float32)
    np.savez(path, a=x[0], b=x[1], labels=np.arange(n) % 2)
    made = base(arrays.defaults())
    made.data.path = str(path)
    return made


@pytest.mark.parametrize(("n", "fits"), [(60, (42, 12, 10)), (40, (28, 8, 7)), (30, (21, 6, 5))])
def test_batch_and_neighbours_are_cut_to_small_data(tmp_path, caplog, n, fits):
    notes.forget()
    made = config(tmp_path / "mine.npz", n)
    (group,) = grid.groups(made)
    assert grid.fitted(made, group.example) == fits
    assert f"train.batch: 128 is cut to {fits[0]}" in caplog.text
    assert ("measure.neighbours" in caplog.text) == (fits[2] < 10)


def test_data_that_are_large_enough_are_trained_on_as_asked(caplog):
    notes.forget()
    made = experiment()
    group = grid.groups(made)[0]
    assert grid.fitted(made, group.example) == (32, 40, 5) and not caplog.messages


def test_a_test_split_that_cannot_be_compared_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"data\.test: the test split has 3 examples"):
        grid.groups(config(tmp_path / "mine.npz", 16))
