"""Estimates from samples against exact values; the recipe is small, the claims are not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.extend.core import jaxprs_in_params
from ml_collections import ConfigDict

from redalign_jax import pid
from redalign_jax.data.sources import redundancy_bits
from redalign_jax.errors import UserError
from redalign_jax.pid import checks, crossfit, discretise, intervals

pytestmark = pytest.mark.slow

N = 1200
KEY = jax.random.key(0)
FAST = {
    "folds": 3,
    "ensemble_size": 1,
    "hidden_sizes": (16,),
    "steps": 100,
    "clusters": 12,
    "n_resamples": 0,
}
RNG = np.random.default_rng(0)
A, B, C = RNG.integers(0, 2, (3, N))


def seen(bit, seed):
    """(N, 2): a bit and a column of noise, so that all inputs here share a shape."""
    return np.stack([bit, np.random.default_rng(seed).standard_normal(N)], axis=1)


def atoms(d):
    return np.array([d.redundancy, *d.unique, d.synergy])


def flipped(bit, rate, seed):
    return bit ^ (np.random.default_rng(seed).random(N) < rate)


@pytest.mark.parametrize(
    ("first", "second", "y", "expected"),
    [
        (A, B, A ^ B, (0, 0, 0, 1)),
        (A, A, A, (1, 0, 0, 0)),
        (A, B, A, (0, 1, 0, 0)),
        (B, A, A, (0, 0, 1, 0)),
        (A, B, C, (0, 0, 0, 0)),
    ],
    ids=["xor", "copies", "first", "second", "nothing"],
)
def test_gates_from_samples(first, second, y, expected):
    d = pid.estimate(seen(first, 1), seen(second, 2), y, KEY, **FAST)
    np.testing.assert_allclose(atoms(d), np.log(2) * np.array(expected), atol=0.03)
    entropy = -np.sum([q * np.log(q) for q in np.bincount(y) / N])
    assert atoms(d).sum() <= entropy + 1e-9


def test_noisy_views_against_the_exact_decomposition():
    # x1 and x2 see y with 5 % and 20 % of mistakes, independently
    p = np.zeros((2, 2, 2))
    for x1, x2, y in np.ndindex(p.shape):
        p[x1, x2, y] = 0.5 * (0.95 if x1 == y else 0.05) * (0.8 if x2 == y else 0.2)
    exact = pid.decompose(p)
    x1, x2 = seen(flipped(A, 0.05, 3), 1), seen(flipped(A, 0.2, 4), 2)
    d = pid.estimate(x1, x2, A, KEY, **(FAST | {"n_resamples": 3}))
    # the standard error of these numbers is about 0.015 at N samples
    np.testing.assert_allclose(atoms(d), atoms(exact), atol=0.05)
    np.testing.assert_allclose(d.information, d.redundancy + d.unique)
    np.testing.assert_allclose(d.joint_information, atoms(d).sum())
    np.testing.assert_allclose(d.redundancy_fraction, d.redundancy / d.joint_information)
    np.testing.assert_allclose(d.shared_fraction, d.redundancy / d.information)
    for name, low in d.interval.low._asdict().items():
        high = getattr(d.interval.high, name)
        assert np.all(low <= getattr(d, name)) and np.all(getattr(d, name) <= high)
    low, high = (
        np.array([v.redundancy, v.unique[0], *v.information, v.joint_information])
        for v in d.interval
    )
    assert np.all(high - low > 0.005)
    assert np.all(high - low < 0.4)


@pytest.mark.parametrize("redundancy", [0, 8])
def test_samples_of_the_synthetic_task(redundancy):
    p = redundancy_bits.process(redundancy, 0.05, seed=1)
    exact = atoms(pid.decompose(redundancy_bits.joint(p)))
    fields = {"labels": 2000, "pairs": 0, "label_temperature": 0.05, "depth": 0}
    config = ConfigDict({"redundancy": redundancy, "valid": 1, "test": 1, **fields})
    train = redundancy_bits.load(config, 1).train
    found = atoms(pid.estimate(*train.x, train.y, KEY, n_resamples=0, ensemble_size=1))
    np.testing.assert_allclose(found[0] / found.sum(), exact[0] / exact.sum(), atol=0.06)


def test_what_a_label_is_called_does_not_matter_and_keys_repeat():
    x1, x2 = seen(flipped(A, 0.1, 3), 1), seen(flipped(A, 0.2, 4), 2)
    first = atoms(pid.estimate(x1, x2, A, KEY, **FAST))
    names = np.array(["no", "yes"])[A]
    for y in (A == 1, names, jnp.asarray(A, jnp.uint8), 7 * A - 3):
        np.testing.assert_array_equal(atoms(pid.estimate(x1, x2, y, KEY, **FAST)), first)
    inputs = jnp.asarray(x1, jnp.float32).reshape(N, 1, 2), jnp.asarray(x2, jnp.float32)
    np.testing.assert_allclose(atoms(pid.estimate(*inputs, A, KEY, **FAST)), first, atol=0.01)
    other = atoms(pid.estimate(x1, x2, A, jax.random.key(1), **FAST))
    assert np.any(other != first)
    np.testing.assert_allclose(other, first, atol=0.05)


def test_a_pair_does_not_depend_on_other_modalities():
    x = [seen(flipped(A, 0.1, 3), 1), seen(B, 5), seen(flipped(A, 0.2, 4), 2)]
    found = pid.estimate_pairs(x, A, KEY, **FAST)
    assert list(found) == [(0, 1), (0, 2), (1, 2)]
    np.testing.assert_allclose(
        atoms(found[0, 2]), atoms(pid.estimate(x[0], x[2], A, KEY, **FAST)), atol=1e-4
    )


def test_numbers_as_labels_are_cut_into_quantile_bins():
    y = A + 0.1 * np.random.default_rng(6).standard_normal(N)
    x1, x2 = seen(A, 1), seen(B, 2)
    d = pid.estimate(x1, x2, y, KEY, bins=2, **FAST)
    assert d.classes == 2
    np.testing.assert_allclose(d.bins, [np.median(y)])
    same = pid.estimate(x1, x2, (y >= d.bins[0]).astype(int), KEY, **FAST)
    np.testing.assert_array_equal(atoms(d), atoms(same))
    assert same.bins is None


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(2, 200),
    st.integers(2, 6),
    st.floats(-9, 9),
    st.floats(-1e3, 1e3),
)
def test_bins_do_not_depend_on_the_unit_of_a_target(seed, n, bins, power, shift):
    rng = np.random.default_rng(seed)
    y = np.round(rng.standard_normal(n), 2)  # some values are there more than once
    number, edges = checks.binned(y, bins)
    same, moved = checks.binned(10.0**power * (y + shift), bins)
    np.testing.assert_array_equal(same, number)
    np.testing.assert_allclose(moved, 10.0**power * (edges + shift), rtol=1e-9, atol=1e-300)
    for value in np.unique(y):
        assert len(set(number[y == value])) == 1
    distinct = len(np.unique(y)) == n
    if distinct:
        counts = np.bincount(number)
        assert len(counts) == min(bins, n) and counts.max() - counts.min() <= 1


def test_every_row_twice_tells_nothing_more():
    rng = np.random.default_rng(0)
    x1, x2 = (np.repeat(rng.standard_normal((150, 4)), 2, axis=0) for _ in range(2))
    y = np.repeat(rng.integers(0, 2, 150), 2)
    order = rng.permutation(300)
    for group in (None, order // 2):
        rows = order if group is None else np.argsort(order)
        d = pid.estimate(x1[rows], x2[rows], y[rows], KEY, **(FAST | {"n_resamples": 2}))
        assert np.all(atoms(d) < 0.05)


def test_rows_of_a_group_do_not_teach_about_each_other():
    # 80 pictures that cannot be told apart but by heart, each a little different four times
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(80), 4)
    picture = rng.standard_normal((80, 8))[group] + 0.01 * rng.standard_normal((320, 8))
    y = np.repeat(rng.permutation(80) % 2, 4)
    x2 = rng.standard_normal((320, 3))
    options = FAST | {"steps": 300, "weight_decay": 0.0, "hidden_sizes": (32,)}
    known = pid.estimate(picture, x2, y, KEY, **options)
    assert known.unique[0] > 0.3
    found = pid.estimate(picture, x2, y, KEY, groups=group.astype(str), **options)
    assert np.all(atoms(found) < 0.08)


def test_a_class_needs_as_many_groups_as_folds():
    group = np.where(A, np.arange(N), 0)
    with pytest.raises(UserError, match="^y: class 0 is in 1 groups .*, below 3 folds$"):
        pid.estimate(X, X, A, KEY, groups=group, **FAST)


def test_no_class_goes_without_a_cluster():
    # 40 classes that are known for certain: as many clusters hold all that is known
    rng = np.random.default_rng(0)
    y = np.arange(2000) % 40
    log_p = np.log(np.where(np.eye(40)[y] > 0, 0.9, 0.1 / 39))
    log_p += 1e-3 * rng.standard_normal(log_p.shape)
    cluster = discretise.clusters(log_p, 40, rng)
    assert discretise.information(discretise.counted(cluster, y, (40, 40))) == pytest.approx(
        np.log(40)
    )
    with pytest.raises(UserError, match="^clusters: 12 is below 40 classes"):
        pid.estimate(log_p, log_p, y, KEY, **FAST)
    with pytest.raises(UserError, match="^y: 100 classes; at most 64"):
        pid.estimate(log_p, log_p, np.arange(2000) % 100, KEY, **FAST)


def test_intervals_have_a_width_and_zero_has_a_bound():
    point = np.array(
        [[0.5, 0, 0, -0.1, 0.5, 0.5, 0.5, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, *[np.nan] * 3]]
    )
    least = intervals.resolution(500, 2)
    assert least == pytest.approx(5.0239 / 1000, rel=1e-4)
    low, high = intervals.ends(point, np.repeat(point[None], 5, axis=0), least, np.log(2))
    np.testing.assert_allclose(
        low[0], [0.5 - least, 0, 0, 0, *[0.5 - least] * 3, *[1 - 2 * least] * 3]
    )
    np.testing.assert_allclose(high[0], [0.5 + least, *[least] * 3, *[0.5 + least] * 3, 1, 1, 1])
    np.testing.assert_array_equal(low[1], 0)
    np.testing.assert_allclose(high[1], [least] * 7 + [1] * 3)


def test_what_is_measured_is_computed_in_full_precision():
    y = jnp.asarray(A[:60])
    x = jnp.asarray(X[:60], jnp.float32)
    recipe = crossfit.Recipe(folds=2, steps=10, hidden_sizes=(4,))
    parts = crossfit.partitions(np.arange(60), A[:60], np.arange(60), recipe, RNG)
    seen = []
    plan = crossfit.TrainSpec(10, 8, crossfit.LOOKS)
    model, hyper = crossfit.classifier(2, recipe)
    keys = jax.random.split(KEY, 2)

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name in ("dot_general", "conv_general_dilated"):
                seen.append(equation.params["precision"])
            for inner in jaxprs_in_params(equation.params):
                walk(inner)

    part = parts[0]._replace(key=keys)
    walk(
        jax.make_jaxpr(crossfit._train, static_argnums=(0, 1))(model, plan, hyper, x, y, part).jaxpr
    )
    assert len(seen) > 3
    assert all(set(precision) == {jax.lax.Precision.HIGHEST} for precision in seen)


def nan_in(x):
    x = x.copy()
    x[5, 1] = np.nan
    return x


X = seen(A, 1)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((X, X, np.ones(N, int)), {}, "y: only one class"),
        ((X, X, np.ones(N)), {}, "y: only one class"),
        ((X, X, np.arange(N) == 0), {}, "y: class True has 1 examples, below 3 folds"),
        ((X, nan_in(X), A), {}, "x2: needs finite"),
        ((X + np.inf, X, A), {}, "x1: needs finite"),
        ((X, X, np.where(A, np.nan, 1.0)), {}, "y: needs finite"),
        ((X[:-1], X, A), {}, f"x1: has {N - 1} rows, but there are {N} labels"),
        ((X.astype(str), X, A), {}, "x1: holds"),
        ((X, X[:, :0], A), {}, "x2: an array of shape"),
        ((X, X, A[:, None]), {}, "y: needs one label per example"),
        ((X, X, A.astype(object)), {}, "y: holds object"),
        ((X[:0], X[:0], A[:0]), {}, "y: only one class"),
        ((X, X, A), {"folds": 1}, "folds: 1"),
        ((X, X, A), {"n_resamples": -1}, "n_resamples: -1"),
        ((X, X, A), {"learning_rate": 0.0}, "learning_rate: 0.0"),
        ((X, X, A), {"groups": A[:-1]}, "groups: needs 1200 whole numbers"),
        ((X, X, A), {"clusters": 1}, "clusters: 1 is below 2 classes"),
    ],
)
def test_bad_input_is_one_line(arguments, options, message):
    with pytest.raises(UserError, match=f"^{message}") as raised:
        pid.estimate(*arguments, KEY, **(FAST | options))
    assert "\n" not in str(raised.value)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(20, 200), st.integers(2, 4), st.integers(2, 6))
def test_nobody_is_judged_by_a_classifier_that_saw_him(seed, n, classes, folds):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n)
    recipe = crossfit.Recipe(folds=folds, ensemble_size=2)
    for group in (np.arange(n), rng.integers(0, n // 4, n)):
        alone = len(np.unique(group)) == n
        for rows in (np.arange(n), np.flatnonzero(group % 2)):
            if len(np.unique(group[rows])) < folds:
                with pytest.raises(UserError, match="^groups: . groups .* fewer than folds"):
                    crossfit.partitions(rows, y, group, recipe, rng)
                continue
            for part in crossfit.partitions(rows, y, group, recipe, rng):
                assert set(part.judge.ravel()) == set(rows)
                assert not alone or part.train.shape[1] + part.judge.shape[1] == n
                for train, judge in zip(part.train, part.judge, strict=True):
                    assert not set(group[train]) & set(group[judge])
                    assert set(train) | set(judge) <= set(rows)
                    counts = np.bincount(y[np.unique(judge)], minlength=classes)
                    fair = np.bincount(y[rows], minlength=classes) / folds
                    assert not alone or np.all(np.abs(counts - fair) < 2)


@pytest.mark.parametrize(("classes", "alpha"), [(4, 0.5), (10, 0.05)], ids=["dense", "sparse"])
def test_the_bias_of_counts_is_taken_out(classes, alpha):
    rng = np.random.default_rng(0)
    n = 1000
    given = rng.dirichlet(np.full(classes, alpha), size=20)
    plain, corrected = [], []
    for _ in range(100):
        cluster = rng.integers(0, 20, n)
        y = np.sum(rng.random((n, 1)) > np.cumsum(given, axis=1)[cluster, :-1], axis=1)
        log_p = np.log(np.maximum(given, 1e-300))[cluster]
        table = discretise.table(log_p, y, np.arange(n), 20, rng)
        counts = np.histogram2d(cluster, y, bins=(np.arange(21), np.arange(classes + 1)))[0] / n
        np.testing.assert_allclose(table.sum(0), counts.sum(0), atol=1e-12)
        np.testing.assert_allclose(np.sort(table.sum(1)), np.sort(counts.sum(1)), atol=1e-12)
        plain.append(discretise.information(counts))
        corrected.append(discretise.information(table))
    true = discretise.information(given / 20)
    assert np.mean(plain) - true > 0.01
    assert abs(np.mean(corrected) - true) < 0.005
