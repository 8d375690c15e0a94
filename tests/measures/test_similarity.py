"""Similarity measures against float64 references, and the properties that give them meaning."""

import re
from functools import partial

import jax
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from redalign_jax.errors import UserError
from redalign_jax.measures import similarity

N, K = 40, 6  # most tests share the programs compiled for (N, 4), (N, 3)


@partial(jax.jit, static_argnums=2)
def _separately(x, y, k):
    return {
        "cka": similarity.cka(x, y),
        "unbiased_cka": similarity.unbiased_cka(x, y),
        "svcca": similarity.svcca(x, y),
        "mutual_knn": similarity.mutual_knn(x, y, k),
        "cknna": similarity.cknna(x, y, k),
    }


_cca = jax.jit(partial(similarity.svcca, variance=1))
_similarities = partial(jax.jit, static_argnums=2)(similarity.similarities)


def _measure(x, y):
    return {name: float(v) for name, v in _similarities(x, y, K).items()}


@partial(jax.jit, static_argnums=2)
@partial(jax.vmap, in_axes=(0, 0, None))
@partial(jax.vmap, in_axes=(0, 0, None))
def _many(x, y, k):
    return similarity.similarities(x, y, k)


# --- float64 references, in the form of the definitions -------------------------------------------


def _reference_cka(x, y):
    h = np.eye(len(x)) - 1 / len(x)
    kx, ky = h @ x @ x.T @ h, h @ y @ y.T @ h
    return np.trace(kx @ ky) / np.sqrt(np.trace(kx @ kx) * np.trace(ky @ ky))


def _reference_unbiased_cka(x, y):
    n, one = len(x), np.ones(len(x))

    def hsic(a, b):
        a, b = a - np.diag(np.diag(a)), b - np.diag(np.diag(b))
        return (
            np.trace(a @ b)
            + (one @ a @ one) * (one @ b @ one) / ((n - 1) * (n - 2))
            - 2 / (n - 2) * (one @ a @ b @ one)
        ) / (n * (n - 3))

    kx, ky = x @ x.T, y @ y.T
    return hsic(kx, ky) / np.sqrt(hsic(kx, kx) * hsic(ky, ky))


def _reference_svcca(x, y, variance=0.99):
    bases = []
    for a in (x, y):
        u, s, _ = np.linalg.svd(a - a.mean(0), full_matrices=False)
        share = np.cumsum(s**2) / np.sum(s**2)
        count = 1 + np.sum(share < variance)
        # Not on the edge of either threshold, where float32 may fall on the other side.
        assume(np.all(np.abs(share[: count + 1] - variance) > 1e-5) or variance == 1)
        assume(not np.any((s**2 > 1e-10 * s[0] ** 2) & (s**2 < 1e-3 * s[0] ** 2)))
        count = min(count, np.sum(s**2 > 1e-5 * s[0] ** 2))
        bases.append(np.linalg.qr((u * s)[:, :count])[0])
    return np.linalg.svd(bases[0].T @ bases[1], compute_uv=False).mean()


def _reference_rows(x, k):
    """Centred cosines (n, n), and memberships (n, n) by sorting each row."""
    norms = np.linalg.norm(x, axis=1)
    x = x / np.where(norms > 0, norms, 1)[:, None]
    cosines = x @ x.T
    centred, members = cosines - cosines.mean(1, keepdims=True), np.zeros_like(cosines)
    for i, row in enumerate(centred):
        others = [j for j in range(len(row)) if j != i]
        kth = sorted(row[others])[-k]
        reach = np.abs(row[others]).max()
        tie = {j: abs(row[j] - kth) <= 1e-12 for j in others}
        # Nothing that float32 may or may not tell from a tie.
        assume(all(tie[j] or abs(row[j] - kth) > 1e-5 * reach for j in others))
        nearer = [j for j in others if row[j] > kth and not tie[j]]
        members[i, nearer] = 1
        for j in others:
            if tie[j]:
                members[i, j] = (k - len(nearer)) / sum(tie.values())
    return centred, members


def _reference(x, y, k):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    (a, near_x), (b, near_y) = _reference_rows(x, k), _reference_rows(y, k)
    n, overlap, aligned = len(x), 0.0, np.zeros(3)
    for i in range(n):
        for j in range(n):
            u, v = near_x[i, j], near_y[i, j]
            overlap += u * v / (n * k)
            aligned += [u * v * a[i, j] * b[i, j], u * u * a[i, j] ** 2, v * v * b[i, j] ** 2]
    return {
        "cka": _reference_cka(x, y),
        "unbiased_cka": _reference_unbiased_cka(x, y),
        "svcca": _reference_svcca(x, y),
        "mutual_knn": overlap,
        "cknna": aligned[0] / np.sqrt(aligned[1] * aligned[2]),
    }


# --- data -----------------------------------------------------------------------------------------


def _independent(rng, n, d1, d2):
    return rng.normal(size=(n, d1)), rng.normal(size=(n, d2))


def _related(rng, n, d1, d2):
    x = rng.normal(size=(n, d1)) * np.geomspace(1, 0.1, d1)
    return x + 3, np.tanh(x @ rng.normal(size=(d1, d2))) + 0.3 * rng.normal(size=(n, d2))


def _bits(rng, n, d1, d2):
    """Duplicates, ties and rows of zeros; the two sides share a bit."""
    x, y = rng.integers(0, 2, (n, d1)), rng.integers(0, 2, (n, d2))
    y[:, 0] = x[:, 0]
    return x, y


def _low_rank(rng, n, d1, d2):
    """On one side redundant columns, and a constant one that is far from 0."""
    x, y = rng.normal(size=(n, 2)) @ rng.normal(size=(2, d1)), rng.normal(size=(n, d2))
    y[:, 0] = x[:, 0]
    x[:, -1] = 1.7
    return x, y


SOURCES = [_independent, _related, _bits, _low_rank]


def _draw(source, seed, n=N, d1=4, d2=3):
    return tuple(a.astype(np.float32) for a in source(np.random.default_rng(seed), n, d1, d2))


# --- tests ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n", "d1", "d2", "k", "measure"),
    [(N, 4, 3, K, _similarities), (17, 2, 8, 16, _separately)],
    ids=["all at once", "one by one"],
)
def test_values_match_float64_references(n, d1, d2, k, measure):
    @settings(max_examples=40, deadline=None)
    @given(st.sampled_from(SOURCES), st.integers(0, 2**32 - 1))
    def check(source, seed):
        x, y = _draw(source, seed, n, d1, d2)
        expected = _reference(x, y, k)
        values = {name: float(v) for name, v in measure(x, y, k).items()}
        assert values == pytest.approx(expected, abs=1e-5)

    check()


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(SOURCES), st.integers(0, 2**32 - 1))
def test_scale_and_order_of_examples_do_not_matter(source, seed):
    x, y = _draw(source, seed)
    order = np.random.default_rng(seed).permutation(N)
    expected = pytest.approx(_reference(x, y, K), abs=1e-5)
    assert _measure(x * np.float32(1e-18), y * np.float32(1e36)) == expected
    assert _measure(x[order], y[order]) == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_rotated_embedding_is_the_same_and_a_shifted_one_to_all_but_cosines(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 4)).astype(np.float32)
    _reference_rows(x, K)  # no near ties
    rotation = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    rotated = _measure(x, (x @ rotation).astype(np.float32))
    assert rotated == pytest.approx(dict.fromkeys(rotated, 1), abs=1e-5)
    assert rotated["svcca"] <= 1
    shifted = _measure(x, x + np.float32(100))
    for name in ("cka", "unbiased_cka", "svcca"):
        assert shifted[name] == pytest.approx(1, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(SOURCES), st.integers(0, 2**32 - 1))
def test_svcca_of_all_variance_is_cca_and_ignores_invertible_maps(source, seed):
    x, y = _draw(source, seed)
    rng = np.random.default_rng(seed)
    left, right = (np.linalg.qr(rng.normal(size=(4, 4)))[0] for _ in range(2))
    invertible = left @ np.diag([0.2, 0.5, 1, 2]) @ right
    mapped = (x @ invertible).astype(np.float32)
    expected = _reference_svcca(x.astype(np.float64), y.astype(np.float64), 1)
    # Both as well conditioned as float32 needs for this tolerance.
    _reference_svcca(mapped.astype(np.float64), y.astype(np.float64), 1)
    assert float(_cca(x, y)) == pytest.approx(expected, abs=3e-4)
    assert float(_cca(mapped, y)) == pytest.approx(expected, abs=3e-4)


def test_svcca_drops_the_directions_beyond_the_variance():
    u = np.linalg.qr(np.c_[np.ones(N), np.random.default_rng(0).normal(size=(N, 4))])[0][:, 1:]
    x = u[:, [0, 1]] * [10, 0.5]  # shares of variance .9975 and .0025
    y = u[:, [0, 2]]
    assert float(similarity.svcca(x, y)) == pytest.approx(1, abs=1e-5)
    assert float(similarity.svcca(x, y, 0.999)) == pytest.approx(0.5, abs=1e-5)


@pytest.mark.parametrize("coarse", [False, True], ids=["continuous", "ties"])
def test_independent_embeddings_sit_at_chance(coarse):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(16, 16, N, 4)), rng.normal(size=(16, 16, N, 3))
    if coarse:  # 2 and 4 distinct points
        x, y = np.where(x[..., :1] > 0, [1, 0, 0, 0], [0, 1, 0, 0]), np.sign(y) * [1, 1, 0]
    table = _many(x.astype(np.float32), y.astype(np.float32), K)
    values = {name: np.ravel(v) for name, v in table.items()}

    def mean_and_error(name):
        return values[name].mean(), values[name].std(ddof=1) / np.sqrt(values[name].size)

    overlap, error = mean_and_error("mutual_knn")
    assert error < 0.01
    assert abs(overlap - K / (N - 1)) < 4 * error
    unbiased, error = mean_and_error("unbiased_cka")
    assert error < 0.01
    assert abs(unbiased) < 4 * error
    assert values["unbiased_cka"].min() < 0
    biased, error = mean_and_error("cka")
    assert biased > 10 * error


def test_ties_are_shared():
    # Three equal points, one at a right angle to them, and its opposite; the nearest neighbour.
    x = np.array([[1, 0], [1, 0], [2, 0], [0, 1], [0, -1]], np.float32)
    # Each of the three: 1/2 on both others. The fourth and fifth: 1/3 on each of the three.
    itself = (3 * 2 / 4 + 2 * 3 / 9) / 5
    nearest = jax.jit(partial(similarity.mutual_knn, k=1))
    assert float(nearest(x, x)) == pytest.approx(itself, abs=1e-6)
    # Against points on a fan, the nearest of which are 1, 0, 1, 2, 3.
    angles = np.array([0, 0.1, 0.3, 0.7, 1.5])
    y = np.c_[np.cos(angles), np.sin(angles)].astype(np.float32)
    fan = (1 / 2 + 1 / 2 + 1 / 2 + 1 / 3 + 0) / 5
    assert float(nearest(x, y)) == pytest.approx(fan, abs=1e-6)


CONSTANT = {
    "zeros": np.zeros((N, 4)),
    "constant": np.tile([0.1, -3e4, 7, 0], (N, 1)),
    "up to roundoff": np.tile(np.float32([0.1, 3, 7, 2]), (N, 1))
    * (1 + 1e-7 * np.random.default_rng(0).integers(0, 2, (N, 4))),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_a_constant_embedding_resembles_nothing(name):
    x, y = CONSTANT[name].astype(np.float32), _draw(_independent, 0)[1]
    nothing = {"cka": 0, "unbiased_cka": 0, "svcca": 0, "mutual_knn": K / (N - 1), "cknna": 0}
    assert _measure(x, y) == pytest.approx(nothing, abs=1e-6)


def test_a_lone_outlier_leaves_nothing_for_the_unbiased_estimator():
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = np.tile(rng.normal(size=4), (N, 1)), rng.normal(size=(N, 3))
        x[rng.integers(N)] = rng.normal(size=4)
        values = _measure(x.astype(np.float32), y.astype(np.float32))
        assert values["unbiased_cka"] == 0
        assert values["cka"] > 0


def test_runs_do_not_disturb_each_other():
    draws = [_draw(source, seed) for source in SOURCES for seed in range(4)]
    x, y = (np.stack([np.stack(side)] * 16) for side in zip(*draws, strict=True))
    x[1, 0, 5, 2], y[3, 1, 0, 0] = np.nan, np.inf
    table = {name: np.asarray(v) for name, v in _many(x, y, K).items()}
    for at in np.ndindex(16, 16):
        values = {name: v[at] for name, v in table.items()}
        if at in {(1, 0), (3, 1)}:
            assert all(np.isnan(v) for v in values.values())
        else:
            assert values == pytest.approx(_measure(x[at], y[at]), abs=1e-5)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="LAPACK is the CPU's")
def test_vmap_does_not_batch_lapack_on_a_cpu():
    # Two batched LAPACK calls at a time can deadlock in jaxlib's thread pool.
    pairs = (
        jax.ShapeDtypeStruct((64, N, 4), np.float32),
        jax.ShapeDtypeStruct((64, N, 3), np.float32),
    )
    program = jax.jit(jax.vmap(similarity.svcca)).lower(*pairs).compile().as_text()
    calls = [line for line in program.splitlines() if '"lapack_' in line]
    assert len(calls) == 3
    assert not any(re.search(r"f32\[64,", line) for line in calls)


@pytest.mark.parametrize(
    ("call", "names"),
    [
        (lambda x: similarity.cka(x, x[1:]), r"\(9, 2\) and \(8, 2\)"),
        (lambda x: similarity.svcca(x, x[:, 0]), r"\(9, 2\) and \(9,\)"),
        (lambda x: similarity.cka(x[:, :0], x), r"\(9, 0\) and \(9, 2\)"),
        (lambda x: similarity.mutual_knn(x, x, 9), "neighbours = 9: 9 rows allow 1 to 8"),
        (lambda x: similarity.similarities(x, x, 0), "neighbours = 0"),
        (lambda x: similarity.unbiased_cka(x[:3], x[:3]), "3 rows: needs at least 4"),
        (lambda x: similarity.svcca(x, x, 1.5), "variance = 1.5"),
    ],
)
def test_unusable_input_is_one_clear_line(call, names):
    with pytest.raises(UserError, match=names) as raised:
        call(np.random.default_rng(0).normal(size=(9, 2)))
    assert "\n" not in str(raised.value)
