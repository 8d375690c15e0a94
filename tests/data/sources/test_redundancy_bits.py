"""The synthetic task against enumeration of all its states."""

from itertools import product

import numpy as np
import pytest
from helpers.exact import exact
from ml_collections import ConfigDict

from redalign_jax import pid
from redalign_jax.data.sources import redundancy_bits as bits


def config(**changes):
    one = {
        name: value[0] if isinstance(value, tuple) else value
        for name, value in bits.defaults().items()
    }
    return ConfigDict(one | {"redundancy": 4, "labels": 200} | changes)


def test_assignment_is_nested():
    for seed in range(5):
        steps = [bits.process(r, 0.05, seed) for r in range(9)]
        for r, p in enumerate(steps):
            counts = np.bincount(p.part, minlength=3)
            assert counts.tolist() == [r, (8 - r) // 2, 8 - r - (8 - r) // 2]
            for part in range(3):
                assert len(set(p.bit[p.part == part])) == counts[part]
        for before, after in zip(steps, steps[1:], strict=False):
            np.testing.assert_array_equal(before.weights, after.weights)
            np.testing.assert_array_equal(before.bias, after.bias)
            moved = (before.part != after.part) | (before.bit != after.bit)
            assert moved.sum() == 1
            assert after.part[moved] == 0
            assert before.part[moved] != 0


@pytest.mark.parametrize(("redundancy", "temperature"), [(0, 0.05), (3, 0.5), (8, 0.05)])
def test_joint_is_the_process(redundancy, temperature):
    p = bits.process(redundancy, temperature, 1)
    np.testing.assert_allclose(np.linalg.norm(p.weights, axis=1), 1)
    table = bits.joint(p)
    assert table.sum() == pytest.approx(1)
    np.testing.assert_allclose(table.sum(axis=(0, 1)), 0.25, atol=1e-10)
    # one state at a time, from the definition
    expected = {}
    for f in product((0, 1), repeat=8):
        scores = np.array(f) @ p.weights / temperature + p.bias
        y = np.exp(scores - scores.max())
        x = tuple(
            tuple(b for b, part in zip(f, p.part, strict=True) if part in (0, m)) for m in (1, 2)
        )
        expected[x] = expected.get(x, 0) + y / y.sum() / 256
    found = table.reshape(-1, 4)
    found = found[found.sum(axis=1) > 0]
    assert len(found) == len(expected)
    np.testing.assert_allclose(
        np.sort(found, axis=0), np.sort(np.array(list(expected.values())), axis=0), atol=1e-12
    )
    best = bits.bayes_accuracy(p)
    assert best["x1|x2"] == pytest.approx(sum(v.max() for v in expected.values()))
    assert best["x1"] == pytest.approx(table.sum(axis=1).max(axis=1).sum())
    assert best["x2"] == pytest.approx(table.sum(axis=0).max(axis=1).sum())
    assert 0.25 <= best["shared"] <= min(best["x1"], best["x2"]) + 1e-12
    if redundancy == 8:
        assert best["shared"] == pytest.approx(best["x1|x2"])


def test_samples_follow_the_joint():
    c = config(redundancy=2, labels=20_000, label_temperature=0.3)
    task = bits.load(c, 3)
    p = bits.process(2, 0.3, 3)
    x1, x2 = task.train.x
    assert x1.shape == x2.shape == (20_000, 12)
    np.testing.assert_array_equal(x1[:, :8], x2[:, :8])
    assert np.abs(np.corrcoef(np.concatenate([x1, x2[:, 8:]], axis=1).T) - np.eye(16)).max() < 0.04
    seen = np.flatnonzero((p.part == 0) | (p.part == 1))
    column = np.where(p.part == 0, p.bit, 8 + p.bit)
    state = x1[:, column[seen]] @ 2 ** np.arange(len(seen))
    counts = np.zeros((2 ** len(seen), 4))
    np.add.at(counts, (state, task.train.y), 1 / 20_000)
    assert np.abs(counts - bits.joint(p).sum(axis=1)).max() < 5 * np.sqrt(0.05 / 20_000)


def test_a_seed_decides_everything_and_splits_are_their_own():
    first, again, other = (bits.load(config(), seed) for seed in (1, 1, 2))
    for a, b in zip(first.train.x, again.train.x, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first.train.x[0] != other.train.x[0]).any()
    longer = bits.load(config(valid=10), 1)
    np.testing.assert_array_equal(longer.test.y, first.test.y)
    neighbour = bits.load(config(redundancy=5), 1)
    np.testing.assert_array_equal(neighbour.train.x[0], first.train.x[0])
    assert 0 < np.mean(neighbour.test.y != first.test.y) < 0.9


def test_more_pairs_than_labels_and_another_look():
    task = bits.load(config(pairs=500, depth=3), 0)
    assert task.train.x[0].shape == (500, 12)
    assert task.train.y.shape == (200,)
    x2, plain = task.train.x[1], bits.load(config(pairs=500), 0).train.x[1]
    assert x2.dtype == np.float32
    assert np.abs(x2).max() < 1
    # another look of the same information: equal inputs stay equal, different ones stay different
    assert len(np.unique(x2.round(5), axis=0)) == len(np.unique(plain, axis=0))


def information(p):
    """I(X1,X2;Y) in nats from the definition: H(Y) − H(Y|X), by enumeration of the 256 states."""
    scores = np.array(list(product((0, 1), repeat=8))) @ p.weights / p.temperature + p.bias
    y = np.exp(scores - scores.max(axis=1, keepdims=True))
    y /= y.sum(axis=1, keepdims=True)
    return np.log(4) + np.mean(np.sum(y * np.log(np.maximum(y, 1e-300)), axis=1))


@pytest.mark.slow
def test_redundancy_in_nats_cannot_fall_and_is_all_there_is_at_eight():
    for seed in range(3):
        found = [exact(r, 0.05, seed) for r in (0, 1, 2, 3, 8)]
        redundancy = [f["pid_redundancy"] for f in found]
        assert (np.diff(redundancy) > -1e-9).all()
        assert redundancy[0] > 0.02  # R = 0 is not zero redundancy
        whole = information(bits.process(0, 0.05, seed))
        for f in found:
            atoms = f["pid_unique_x1"], f["pid_unique_x2"], f["pid_synergy"]
            assert min(atoms) > -1e-9
            assert f["pid_redundancy"] + sum(atoms) == pytest.approx(whole, abs=1e-9)
            for m in ("x1", "x2"):
                shared = f["pid_redundancy"] / (f["pid_redundancy"] + f[f"pid_unique_{m}"])
                assert f[f"shared_fraction_{m}"] == pytest.approx(shared)
        assert redundancy[-1] == pytest.approx(whole, abs=1e-9)
        assert found[-1]["shared_fraction_x1"] == pytest.approx(1)
        assert found[-1]["shared_fraction_x2"] == pytest.approx(1)


def test_facts_of_a_task_are_those_of_its_process():
    task = bits.load(config(redundancy=3, label_temperature=0.2), 1)
    expected = exact(3, 0.2, 1)
    assert pid.columns(task.modalities, task.joint) == expected
    assert exact(3, 0.05, 1) != expected
