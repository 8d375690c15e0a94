import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redalign_jax.training import batches

KEY = jax.random.key(3)


@pytest.mark.parametrize(("examples", "batch"), [(10, 3), (64, 16), (7, 6), (5, 1)])
def test_epochs_are_permutations_cut_into_batches(examples, batch):
    per_epoch = examples // batch
    rows = np.asarray(batches.indices(KEY, examples, batch, 0, 3 * per_epoch))
    epochs = rows.reshape(3, per_epoch * batch)
    for epoch in epochs:
        assert len(set(epoch)) == per_epoch * batch
        assert set(epoch) <= set(range(examples))
    assert (epochs[0] != epochs[1]).any()


@pytest.mark.parametrize(("examples", "batch"), [(10, 3), (64, 16), (9, 9), (5, 3)])
def test_any_stretch_is_part_of_the_same_sequence(examples, batch):
    whole = np.asarray(batches.indices(KEY, examples, batch, 0, 23))
    stretch = jax.jit(batches.indices, static_argnums=(1, 2, 4))
    for start, steps in ((0, 1), (1, 1), (2, 5), (7, 16), (22, 1)):
        got = stretch(KEY, examples, batch, jnp.int32(start), steps)
        np.testing.assert_array_equal(got, whole[start : start + steps])


def test_a_batch_of_everything_is_everything_in_order():
    rows = batches.indices(KEY, 4, 4, jnp.int32(5), 2)
    np.testing.assert_array_equal(rows, [[0, 1, 2, 3]] * 2)
