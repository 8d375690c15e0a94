"""A profile of the segments that were asked for, and of no other."""

import gzip
import json

import jax
import jax.numpy as jnp
import pytest

from redalign_jax.sweep.profiling import profiled

pytestmark = pytest.mark.slow


def test_wanted_segments_leave_traces_that_open(tmp_path):
    @jax.jit
    def named_step(x):
        return jnp.tanh(x @ x)

    x = jnp.ones((64, 64))
    for segment in range(4):
        with profiled(tmp_path / "profile", segment, (1, 3)):
            named_step(x).block_until_ready()
    assert sorted(p.name for p in (tmp_path / "profile").iterdir()) == ["segment_1", "segment_3"]
    for segment in (1, 3):
        folder = tmp_path / "profile" / f"segment_{segment}"
        (trace,) = folder.rglob("*.trace.json.gz")
        names = {
            e.get("name", "")
            for e in json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
        }
        assert any("named_step" in name for name in names)
        (profile,) = folder.rglob("*.xplane.pb")
        assert b"named_step" in profile.read_bytes()
