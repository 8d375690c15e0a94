"""Many datasets in one process: compiled programs are let go before mappings run out."""

import mmap
from contextlib import ExitStack
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from redalign_jax import pid
from redalign_jax.runtime import mappings

LINUX = Path("/proc/sys/vm/max_map_count").exists()
pytestmark = pytest.mark.skipif(not LINUX, reason="mappings are counted on Linux")


@pytest.fixture
def taken():
    """Just more mappings than half of those allowed."""
    bound = int(Path("/proc/sys/vm/max_map_count").read_text())
    if bound > 200_000:
        pytest.skip("more mappings are allowed here than a test should take")
    with ExitStack() as stack:
        while not mappings.crowded():
            for _ in range(1000):  # shared ones are not merged by the kernel
                stack.enter_context(mmap.mmap(-1, mmap.PAGESIZE))
        yield


def test_programs_are_dropped_where_it_is_crowded_and_come_out_the_same(taken):
    f = jax.jit(lambda x: x + 1)
    f(jnp.ones(3))
    assert f._cache_size() == 1
    rng = np.random.default_rng(0)
    x1, x2, y = rng.normal(size=(60, 2)), rng.normal(size=(60, 2)), np.arange(60) % 2
    quick = {"n_resamples": 0, "steps": 10, "folds": 2, "ensemble_size": 1, "hidden_sizes": (2,)}
    before = pid.estimate(x1, x2, y, jax.random.key(0), **quick)
    assert f._cache_size() == 0  # what was compiled before has gone
    after = pid.estimate(x1, x2, y, jax.random.key(0), **quick)
    assert before.joint_information == after.joint_information
    assert f(jnp.ones(3))[0] == 2


def test_programs_stay_where_there_is_room():
    mappings.make_room()
    f = jax.jit(lambda x: x + 2)
    f(jnp.ones(3))
    mappings.make_room()
    assert f._cache_size() == 1
