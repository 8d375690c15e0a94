"""Forty files of anything: what loads can be trained on, everything else is one line."""

import logging

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from ml_collections import ConfigDict

from redalign_jax import kinds
from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError

pytestmark = pytest.mark.slow

NAMES = ["a", "b", "x|y", "fusion", "groups", "split", "id", "ids", "a_ids", "labels_ids", "", "é"]
# fmt: off
DTYPES = ["f2", "f4", "f4", "f8", ">f8", "i1", "i4", ">i8", "u1", "u8", "?", "c8", "U3", "S3", "O",
          "M8[s]"]
LABELS = ["classes", "classes", "text", "bytes", "float", "two", "target", "column", "one-hot",
          "wide", "minus", "hole", "nan", "object", "date", "constant", "none"]
# fmt: on


def values(rng, dtype, shape):
    kind = np.dtype(dtype).kind
    if kind in "fc":
        scale = rng.choice([1e-300, 1e-3, 1, 1e3, 1e30])
        with np.errstate(over="ignore"):
            return (rng.standard_normal(shape) * scale).astype(dtype)
    if kind == "O":
        return rng.standard_normal(shape).astype(object)
    numbers = rng.integers(0, rng.choice([2, 5, 100]), shape)
    return numbers.astype("i8" if kind == "M" else "i4").astype(dtype)


def an_array(rng, dtype, n):
    tail = [(), (), (1,), (3,), (8, 8), (5, 3), (3, 5, 5), (2, 3, 1, 2), (0,)]
    shape = tail[rng.integers(len(tail))]
    rows = n if rng.random() < 0.9 else rng.integers(0, n + 1)
    x = values(rng, dtype, (rows, *shape))
    if rng.random() < 0.3 and x.size:
        x = x[rng.integers(0, len(x), len(x))]  # copies
    if x.dtype.kind == "f" and x.size and rng.random() < 0.1:
        x.reshape(-1)[rng.integers(x.size)] = rng.choice([np.nan, np.inf, -np.inf])
    if x.ndim > 1 and x.size and rng.random() < 0.3:
        x[:, -1] = x[:1, -1]  # constant, or padding
    return x


def some_labels(rng, kind, n):
    y = rng.integers(0, rng.choice([1, 2, 4]) + 1, n)
    return {
        "classes": y,
        "text": np.array(["u", "v", "w", "x", "y"])[y],
        "bytes": y.astype("S1"),
        "float": y * 1.0,
        "two": (y > 0) * 1.0,
        "target": rng.standard_normal(n) * 1e6,
        "column": y[:, None],
        "one-hot": np.eye(5)[y],
        "wide": rng.standard_normal((n, 3)),
        "minus": np.where(rng.random(n) < 0.4, -1, y),
        "hole": np.where(rng.random(n) < 0.2, np.nan, y),
        "nan": np.where(rng.random(n) < 0.2, "nan", y.astype(str)),
        "object": y.astype(object),
        "date": y.astype("M8[s]"),
        "constant": np.zeros(n, int),
        "none": np.zeros(()),
    }[kind]


@given(
    seed=st.integers(0, 2**32 - 1),
    names=st.lists(st.sampled_from(NAMES), max_size=1),
    dtypes=st.lists(st.sampled_from(DTYPES), min_size=3, max_size=3),
    label=st.sampled_from(LABELS),
    n=st.sampled_from([60, 90, 90, 9, 1, 0]),
    plain=st.sampled_from([True, True, False]),
    unlabelled=st.sampled_from(["", "", "", "missing", "-1"]),
    target=st.sampled_from(["", "", "", "classes", "regression"]),
    stated=st.sampled_from(["", "", "", "a=tokens", "b=sequence", "b=vector"]),
    cut=st.none() | st.none() | st.floats(0, 1),
)
@settings(
    max_examples=40,
    phases=(Phase.explicit, Phase.generate),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_file_loads_or_is_one_line(
    tmp_path, seed, names, dtypes, label, n, plain, unlabelled, target, stated, cut
):
    logging.disable(logging.WARNING)
    rng = np.random.default_rng(seed)
    members = {name: an_array(rng, t, n) for name, t in zip(names, dtypes, strict=False)}
    if plain:  # so that many files get far
        members |= {"a": rng.standard_normal((n, 3)), "b": rng.standard_normal((n, 8, 2))}
    path = tmp_path / "mine.npz"
    np.savez(path, labels=some_labels(rng, label, n), **members)
    content = bytearray(path.read_bytes())
    if cut is not None:  # torn, or one byte changed
        at = int(cut * (len(content) - 1))
        if seed % 2:
            content[at] ^= 0xFF
        else:
            del content[at:]
        path.write_bytes(content)
    fields = {name: v[0] if isinstance(v, tuple) else v for name, v in arrays.defaults().items()}
    fields |= {"path": str(path), "unlabelled": unlabelled, "target": target, "kinds": stated}
    try:
        task = arrays.load(ConfigDict(fields), seed % 7)
    except UserError as error:
        assert "\n" not in str(error) and len(str(error)) > 20
        return
    finally:
        logging.disable(logging.NOTSET)
    assert set(task.kinds) <= set(kinds.KINDS) and len(task.kinds) == len(task.modalities) >= 2
    parts = (task.train, task.valid, task.test)
    for part in parts:
        assert len({len(x) for x in part.x}) == 1
        assert np.isfinite(part.y).all() and len(part.y) <= len(part.x[0])
        for x in part.x:
            assert x.dtype in (np.float32, np.int32, np.uint8) and np.isfinite(x).all()
            assert x.dtype != np.float32 or np.abs(x).max(initial=0) <= 30
    assert sum(len(part.x[0]) for part in parts) <= n
    if task.groups is not None:
        train, valid, test = (set(group.tolist()) for group in task.groups)
        assert "split" in members or not (train & valid or train & test or valid & test)
