import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from redalign_jax.measures import probes


def standardised(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


@pytest.mark.parametrize(("n", "d", "classes"), [(400, 8, 4), (100, 30, 10)])
def test_logistic_is_scikit_learns(n, d, classes):
    rng = np.random.default_rng(n)
    x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    y = np.argmax(x @ rng.standard_normal((d, classes)) + 4 * rng.gumbel(size=(n, classes)), axis=1)
    reference = LogisticRegression(C=1 / (n * 1e-3), tol=1e-10, max_iter=10_000)
    expected = reference.fit(standardised(x), y).decision_function(standardised(x))
    got = np.float64(probes.logistic(jnp.float32(x), jnp.array(y), jnp.float32(x), classes))

    def objective(logits):
        design = np.column_stack([standardised(x), np.ones(n)])
        w = np.linalg.lstsq(design, logits, rcond=None)[0][:-1]
        top = logits.max(axis=1, keepdims=True)
        normaliser = top[:, 0] + np.log(np.exp(logits - top).sum(axis=1))
        return np.mean(normaliser - logits[np.arange(n), y]) + 1e-3 / 2 * np.sum(w**2)

    assert objective(got) == pytest.approx(objective(expected), rel=2e-3)
    assert np.mean(got.argmax(1) == expected.argmax(1)) >= 0.99


def test_constant_and_duplicate_columns_do_no_harm():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((300, 3)).astype(np.float32)
    y = (x[:, 0] > 0).astype(np.int32)
    wide = np.concatenate([x, x, np.full((300, 2), 7, np.float32)], axis=1)
    narrow, padded = (probes.logistic(a, y, a, 2) for a in (x, wide))
    assert np.isfinite(padded).all()
    assert np.mean(np.argmax(narrow, 1) == np.argmax(padded, 1)) > 0.99
    assert np.isfinite(probes.ridge(wide, x[:, 0], wide)).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 3e-4, 1e6, 1e30])
def test_the_scale_of_an_embedding_does_not_matter(scale):
    rng = np.random.default_rng(2)
    x = np.float32(rng.standard_normal((200, 5)) + [0, 0, 0, 3, 100])
    y = (x[:, 0] > 0).astype(np.int32)
    scaled = x * np.float32(scale)
    for fit in (
        lambda x: probes.logistic(x, y, x, 2),
        lambda a: probes.ridge(a, x[:, 1] - x[:, 2], a),
    ):
        np.testing.assert_allclose(fit(scaled), fit(x), rtol=2e-3, atol=2e-3)
    assert np.mean(np.argmax(probes.logistic(scaled, y, scaled, 2), 1) == y) > 0.97


def test_ridge_is_scikit_learns():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 6))
    y = x @ rng.standard_normal(6) + rng.standard_normal(200) + 5
    expected = Ridge(alpha=200 * 1e-3).fit(standardised(x), y).predict(standardised(x))
    got = probes.ridge(jnp.float32(x), jnp.float32(y), jnp.float32(x))
    np.testing.assert_allclose(got, expected, atol=1e-3)


@pytest.mark.slow
def test_vmapped_over_devices_and_runs_it_ends():
    """Batched factorisations once hung the CPU's thread pool."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("runs",))
    spec = jax.sharding.PartitionSpec("runs")
    x = jax.random.normal(jax.random.key(0), (16, 100, 48))
    y = jax.random.randint(jax.random.key(1), (16, 100), 0, 3)
    fit = jax.jit(
        jax.shard_map(
            jax.vmap(lambda x, y: probes.logistic(x, y, x, 3)),
            mesh=mesh,
            in_specs=(spec, spec),
            out_specs=spec,
            check_vma=False,
        )
    )
    for _ in range(5):
        batched = fit(x, y)
    np.testing.assert_allclose(batched[3], probes.logistic(x[3], y[3], x[3], 3), atol=1e-2)
