"""The normal views against their own covariance."""

import math

import numpy as np
import pytest
from ml_collections import ConfigDict

from redalign_jax import sweep
from redalign_jax.config import base
from redalign_jax.data.sources import gaussian_views as views
from redalign_jax.errors import UserError
from redalign_jax.pid import gaussian


def config(**changes):
    one = {
        name: value[0] if isinstance(value, tuple) else value
        for name, value in views.defaults().items()
    }
    return ConfigDict(one | {"shared": 0.5} | changes)


def test_samples_follow_the_covariance():
    c = config(labels=40_000, shared=0.3, inputs=6, common=2, noise=0.6)
    task = views.load(c, 3)
    assert task.classes == 0
    z = np.column_stack([*task.train.x, task.train.y]).astype(float)
    exact = views.joint(c, 3)
    assert np.abs(z.T @ z / len(z) - exact.covariance).max() < 0.03
    assert np.linalg.eigvalsh(exact.covariance).min() > 0


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.7, 1.0])
def test_the_dial_moves_where_signal_is_and_nothing_else(rho):
    c = config(shared=rho, noise=0.55, correlation=0.8)
    sigma = views.joint(c, 1).covariance
    p, k = c.inputs, c.common
    for m in range(2):
        rows = slice(m * p, (m + 1) * p)
        np.testing.assert_allclose(sigma[rows, rows], np.eye(p), atol=1e-12)
        assert sigma[rows, -1] @ sigma[rows, -1] == pytest.approx(0.45)
    left, correlations, right = np.linalg.svd(sigma[:p, p : 2 * p])
    np.testing.assert_allclose(correlations, [0.8] * k + [0] * (p - k), atol=1e-12)
    for common, rows in ((left[:, :k], slice(p)), (right[:k].T, slice(p, 2 * p))):
        assert np.sum((sigma[rows, -1] @ common) ** 2) == pytest.approx(0.45 * rho)


def test_the_decomposition_does_not_see_the_dial():
    """Redundancy of information is not sharing of directions."""
    found = [gaussian.decompose(views.joint(config(shared=rho), 0)) for rho in (0.1, 0.4, 0.9)]
    for atoms in found:
        assert atoms.redundancy == pytest.approx(-0.5 * math.log(0.5))
        np.testing.assert_allclose(atoms.unique, 0, atol=1e-9)
    synergy = [atoms.synergy for atoms in found]
    assert synergy == sorted(synergy, reverse=True)


def test_known_is_what_the_best_predictor_does():
    c = config(test=100_000)
    task = views.load(c, 0)
    sigma = views.joint(c, 0).covariance
    for m, name in enumerate(task.modalities):
        rows = slice(m * c.inputs, (m + 1) * c.inputs)
        f = task.test.x[m] @ sigma[rows, -1]
        found = np.abs(task.test.y - f).mean()
        assert task.known[name, "bayes_mae"] == pytest.approx(found, rel=0.01)
        found = np.corrcoef(f, task.test.y)[0, 1]
        assert task.known[name, "bayes_corr"] == pytest.approx(found, rel=0.01)


def test_neighbours_share_what_they_can():
    few, many = views.load(config(pairs=200), 5), views.load(config(pairs=300), 5)
    np.testing.assert_array_equal(few.train.x[1], many.train.x[1][:200])
    np.testing.assert_array_equal(few.train.y, many.train.y)
    assert len(few.train.y) == 100
    other = views.load(config(pairs=200, shared=0.9), 5)
    np.testing.assert_array_equal(few.train.x[0], other.train.x[0])
    assert not np.array_equal(few.train.x[0], views.load(config(pairs=200), 6).train.x[0])


@pytest.mark.parametrize(
    "changes",
    [
        {"shared": 1.1},
        {"shared": 0.1, "noise": 0.3},
        {"shared": 0.0, "noise": 0.5},
        {"noise": 1.0},
        {"correlation": 1.0},
        {"common": 16},
        {"labels": 1},
        {"pairs": 50},
        {"test": 0},
    ],
)
def test_impossible(changes):
    with pytest.raises(UserError, match=f"data.({'|'.join(changes)}|labels)") as caught:
        views.load(config(**changes), 0)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_sweep_has_the_exact_columns(tmp_path):
    settings = base(views.defaults())
    settings.data.shared, settings.data.labels = (0.2, 0.8), (32,)
    settings.data.valid, settings.data.test = 20, 40
    settings.encoder.hidden_sizes, settings.encoder.embed_dim = (), (2,)
    settings.hyper.strength, settings.sweep.seeds = (0.0, 1.0), 2
    settings.train.steps = settings.train.evaluations = 4
    settings.train.batch, settings.measure.examples, settings.measure.neighbours = 16, 20, 5
    table = sweep.run(settings, tmp_path / "out", False, None)
    assert set(table["shared"]) == {0.2, 0.8}
    np.testing.assert_allclose(table["pid_redundancy"], -0.5 * math.log(0.5))
    np.testing.assert_allclose(table["shared_fraction_x2"], 1)
    best = table[table["metric"] == "bayes_mae"]["value"]
    np.testing.assert_allclose(best, math.sqrt(2 / math.pi * 0.5), rtol=1e-6)
