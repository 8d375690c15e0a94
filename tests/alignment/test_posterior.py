"""Alignment of posteriors against float64 textbook formulas and independent optimisers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.runs import KEY, hyper, model, only
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax
from scipy.stats import norm

from redalign_jax.alignment import posterior
from redalign_jax.task import Split
from redalign_jax.training.data import Data, Order
from redalign_jax.training.flat import layout
from redalign_jax.training.loop import TrainSpec, segment
from redalign_jax.training.start import start
from redalign_jax.training.validate import heads, weigh

fit = jax.jit(posterior.fit, static_argnums=3)


def prior64(y, classes):
    counts = np.bincount(y, minlength=classes) + 0.5
    return np.log(counts / counts.sum())


def nll64(logits, y):
    return -log_softmax(logits, axis=1)[np.arange(len(y)), y]


def calibrated64(logits, t, log_prior):
    return log_softmax(logits / t + (1 - 1 / t) * log_prior, axis=1)


def fused64(own, partners, alpha, log_prior):
    told = sum(a * (p - log_prior) for a, p in zip(alpha, partners, strict=True))
    return log_softmax(own + told, axis=1)


def weights64(own, partners, y, log_prior):
    found = minimize(
        lambda a: nll64(fused64(own, partners, a, log_prior), y).mean(),
        np.full(len(partners), 0.5),
        bounds=[(0, 1.2)] * len(partners),
        method="L-BFGS-B",
        options={"ftol": 1e-14, "gtol": 1e-10},
    )
    return found.x, found.fun


def views(n, classes, modalities, seed, noise=1.0, skew=1.0):
    """Labels, and logits of encoders whose views are independent given the label: Bayes'."""
    rng = np.random.default_rng(seed)
    pi = rng.dirichlet(np.full(classes, 20 / skew))
    y = rng.choice(classes, n, p=pi)
    means = rng.standard_normal((modalities, classes, 3)) / noise
    x = means[:, y] + rng.standard_normal((modalities, n, 3))
    squares = ((x[:, :, None] - means[:, None]) ** 2).sum(-1)
    return y.astype(np.int32), -squares / 2 + np.log(pi)


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    st.sampled_from([(61, 3, 2), (80, 4, 3)]),
    st.floats(-2, 2.5).map(lambda e: 10.0**e),
    st.floats(0.3, 10),
    st.integers(0, 2**31),
)
def test_temperature_weights_and_gate_match_independent_optimisers(shape, scale, noise, seed):
    y, logits = views(*shape, seed, noise)
    logits *= scale
    classes = shape[1]
    log_prior = prior64(y, classes)
    before = posterior.prior(jnp.asarray(y), classes)
    np.testing.assert_allclose(before, log_prior, rtol=1e-5)
    found = fit(jnp.float32(logits), jnp.asarray(y), before, classes)
    t = np.float64(found.temperature)
    every = np.geomspace(0.5, 1000, 4001)
    for m, own in enumerate(logits):
        of = [nll64(calibrated64(own, u, log_prior), y).mean() for u in every]
        got = nll64(calibrated64(own, t[m], log_prior), y).mean()
        assert t[m] * (1 + 1e-6) >= 0.5 and t[m] <= 1000 * (1 + 1e-6)
        assert got <= min(of) + 1e-5 * (1 + min(of))
    calibrated = [calibrated64(own, u, log_prior) for own, u in zip(logits, t, strict=True)]
    for m, own in enumerate(calibrated):
        others = calibrated[:m] + calibrated[m + 1 :]
        _, least = weights64(own, others, y, log_prior)
        alpha = np.float64(found.weight[m])
        assert (alpha >= 0).all() and (alpha <= 1.2 + 1e-6).all()
        got = nll64(fused64(own, others, alpha, log_prior), y).mean()
        assert got <= least + 1e-5 * (1 + least)
        saved = []
        even, odd = slice(0, None, 2), slice(1, None, 2)
        for here, there in ((even, odd), (odd, even)):
            a, _ = weights64(own[here], [p[here] for p in others], y[here], log_prior)
            fused = fused64(own[there], [p[there] for p in others], a, log_prior)
            saved.append(nll64(own[there], y[there]) - nll64(fused, y[there]))
        saved = np.concatenate(saved)
        mean, error = saved.mean(), saved.std(ddof=1) / np.sqrt(len(saved))
        gate = max(0, 1 - (error / mean) ** 2) if mean > 0 else 0
        if abs(mean) > 1e-4:  # below, the optimisers' rounding decides
            assert found.gate[m] == pytest.approx(gate, abs=0.03)


def test_conditionally_independent_views_are_bayes_rule():
    y, logits = views(20_000, 4, 3, 0)
    found = fit(jnp.float32(logits), jnp.asarray(y), posterior.prior(jnp.asarray(y), 4), 4)
    np.testing.assert_allclose(found.temperature, 1, atol=0.06)
    np.testing.assert_allclose(found.weight, 1, atol=0.08)
    assert (found.gate > 0.99).all()


def test_a_partner_of_noise_and_a_copy_say_nothing():
    gates, weights = [], []
    for seed in range(60):
        y, logits = views(100, 4, 1, seed)
        noise = 3 * np.random.default_rng(seed).standard_normal((1, 100, 4))
        found = fit(
            jnp.float32(np.concatenate([logits, noise])),
            jnp.asarray(y),
            posterior.prior(jnp.asarray(y), 4),
            4,
        )
        gates.append(float(found.gate[0]))
        weights.append(float(found.gate[0] * found.weight[0, 0] / found.temperature[1]))
        copied = fit(
            jnp.float32(np.concatenate([logits, logits])),
            jnp.asarray(y),
            posterior.prior(jnp.asarray(y), 4),
            4,
        )
        assert copied.gate[0] * copied.weight[0, 0] < 0.1
    assert np.mean(np.array(gates) == 0) > 0.7
    assert np.mean(weights) < 0.01


def loss64(logits, t, alpha, log_prior):
    """Losses and their gradients by the book; `alpha` has a column per encoder."""
    values, gradients = [], []
    for m, own in enumerate(logits):
        told = sum(
            alpha[m, k] * (calibrated64(p, t[k], log_prior) - log_prior)
            for k, p in enumerate(logits)
        )
        q = softmax(log_softmax(own, axis=1) + told, axis=1)
        values.append(-(q * log_softmax(own, axis=1)).sum(axis=1).mean())
        gradients.append((softmax(own, axis=1) - q) / len(own))
    return np.array(values), np.array(gradients)


def random_evidence(modalities, log_prior, seed):
    rng = np.random.default_rng(seed)
    alpha = rng.uniform(0, 1.2, (modalities, modalities))
    np.fill_diagonal(alpha, 0)
    others = ~np.eye(modalities, dtype=bool)
    t = rng.uniform(0.5, 5, modalities)
    weight = alpha[others].reshape(modalities, -1)
    ones = np.ones(modalities)
    return (
        posterior.Evidence(*(jnp.float32(v) for v in (log_prior, t, ones, weight, ones))),
        t,
        alpha,
    )


@pytest.mark.parametrize("modalities", [2, 3])
def test_loss_and_gradient_match_float64(modalities):
    rng = np.random.default_rng(modalities)
    logits = 4 * rng.standard_normal((modalities, 20, 5))
    log_prior = log_softmax(rng.standard_normal(5))
    evidence, t, alpha = random_evidence(modalities, log_prior, 1)
    values, gradients = loss64(logits, t, alpha, log_prior)

    def loss(outputs):
        found = posterior.losses(outputs, evidence, 5)
        return jnp.sum(found), found

    (_, got), gradient = jax.value_and_grad(loss, has_aux=True)(jnp.float32(logits))
    np.testing.assert_allclose(got, values, rtol=1e-5)
    np.testing.assert_allclose(gradient, gradients, atol=1e-6)


@pytest.mark.parametrize("classes", [4, 0])
def test_modalities_can_be_permuted(classes):
    y, outputs = views(80, 4, 3, 5) if classes else gaussians(80, 3, 5)
    order = np.array([2, 0, 1])
    before = posterior.prior(jnp.asarray(y), classes)
    one = fit(jnp.float32(outputs), jnp.asarray(y), before, classes)
    two = fit(jnp.float32(outputs[order]), jnp.asarray(y), before, classes)
    for name in ("temperature", "variance", "gate"):
        np.testing.assert_allclose(
            getattr(two, name), getattr(one, name)[order], rtol=2e-3, atol=2e-3
        )

    def table(found):
        full = np.zeros((3, 3))
        full[np.arange(3)[:, None], posterior.partners(3)] = found.weight
        return full

    np.testing.assert_allclose(table(two), table(one)[np.ix_(order, order)], atol=5e-3)
    np.testing.assert_allclose(
        posterior.losses(jnp.float32(outputs[order]), two, classes),
        posterior.losses(jnp.float32(outputs), one, classes)[order],
        rtol=2e-3,
    )


def gaussians(n, modalities, seed, noise=1.0):
    """Targets, and posterior means of encoders whose views are independent given the target."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal(n)
    x = y + noise * rng.standard_normal((modalities, n))
    return y.astype(np.float32), (x / (1 + noise**2)).astype(np.float32)


def test_regression_is_the_precision_weighted_product():
    y, outputs = gaussians(20_000, 2, 0)
    before = posterior.prior(jnp.asarray(y), 0)
    found = fit(jnp.asarray(outputs), jnp.asarray(y), before, 0)
    np.testing.assert_allclose(found.variance, 0.5, atol=0.02)
    np.testing.assert_allclose(found.temperature, 1, atol=0.05)
    np.testing.assert_allclose(found.weight, 1, atol=0.05)
    assert (found.gate > 0.99).all()
    evidence = found._replace(temperature=jnp.ones(2), weight=jnp.ones((2, 1)))
    v = np.float64(evidence.variance)
    mean0, v0 = y.mean(), y.var()
    precision = (1 / v).sum() - 1 / v0
    mean = ((outputs / v[:, None]).sum(0) - mean0 / v0) / precision
    some = slice(0, 50)
    got = posterior.losses(jnp.asarray(outputs[:, some]), evidence, 0)
    # the cross-entropy of two Gaussians, by quadrature
    grid = np.linspace(-8, 8, 4001)
    for m in range(2):
        q = norm.pdf(grid, mean[some, None], precision**-0.5)
        log_p = norm.logpdf(grid, outputs[m, some, None], v[m] ** 0.5)
        entropy = -(q * log_p).sum(axis=1).mean() * (grid[1] - grid[0])
        assert got[m] == pytest.approx(entropy * v[m] ** 0.5, rel=1e-3)


def test_a_regression_that_knows_nothing_is_the_prior():
    rng = np.random.default_rng(1)
    y, outputs = gaussians(400, 1, 0)
    outputs = np.float32(np.concatenate([outputs, 2 * rng.standard_normal((1, 400))]))
    before = posterior.prior(jnp.asarray(y), 0)
    found = fit(jnp.asarray(outputs), jnp.asarray(y), before, 0)
    assert found.gate[0] * found.weight[0, 0] / found.temperature[1] < 0.01
    assert found.gate[1] > 0.9


@pytest.mark.parametrize("classes", [4, 0])
def test_scarce_validation_leaves_the_encoders_alone(classes):
    y, outputs = views(10, 4, 2, 0) if classes else gaussians(10, 2, 0)
    before = posterior.prior(jnp.asarray(y), classes)
    found = fit(jnp.float32(outputs), jnp.asarray(y), before, classes)
    assert not found.gate.any()


@pytest.mark.slow
@pytest.mark.parametrize("classes", [4, 0])
def test_vmapped_runs_and_extreme_outputs_stay_finite(classes):
    y, outputs = views(40, 4, 2, 3) if classes else gaussians(40, 2, 3)
    before = posterior.prior(jnp.asarray(y), classes)
    runs = jnp.stack([jnp.float32(outputs) * s for s in (0.0, 1e-6, 1.0, 1e4)])
    found = jax.jit(jax.vmap(partial(posterior.fit, classes=classes), (0, None, None)))(
        runs, jnp.asarray(y), before
    )
    for leaf in found:
        assert np.isfinite(leaf).all()
    alone = fit(runs[2], jnp.asarray(y), before, classes)
    for one, every in zip(alone, found, strict=True):
        np.testing.assert_allclose(one, every[2], rtol=1e-3, atol=1e-3)
    gradient = jax.vmap(jax.grad(lambda o, f: jnp.sum(posterior.losses(o, f, classes))))(
        runs, found
    )
    assert np.isfinite(gradient).all()


def test_prior_counts_half_an_example_of_every_class():
    got = posterior.prior(jnp.array([0, 0, 2]), 4)
    np.testing.assert_allclose(np.exp(got), np.array([2.5, 0.5, 1.5, 0.5]) / 5, rtol=1e-6)


@pytest.mark.slow
def test_nothing_reaches_the_others_from_an_encoder_that_is_not_finite():
    y, outputs = views(80, 4, 3, 5)
    before = posterior.prior(jnp.asarray(y), 4)
    broken = jnp.float32(outputs).at[2, 7, 1].set(jnp.nan)
    with_it = fit(broken, jnp.asarray(y), before, 4)
    without = fit(broken[:2], jnp.asarray(y), before, 4)
    np.testing.assert_allclose(with_it.weight[:2, 0], without.weight[:, 0], rtol=1e-3)
    np.testing.assert_allclose(with_it.gate, [*without.gate, 0], rtol=1e-3)

    gradient = jax.grad(lambda o: jnp.sum(posterior.losses(o, with_it, 4)[:2]))(broken)
    assert not gradient[2].any()
    expected = jax.grad(lambda o: jnp.sum(posterior.losses(o, without, 4)))(broken[:2])
    np.testing.assert_allclose(gradient[:2], expected, rtol=1e-3, atol=1e-6)


@partial(jax.jit, static_argnums=0)
def trained(m, h, d):
    """200 steps with a look every tenth: the final state, and curves by segment."""
    plan = TrainSpec(200, 32, 20)

    def body(state, first):
        return segment(m, plan, h, KEY, d, state, first)

    return jax.lax.scan(body, start(m, h, KEY, d), 10 * jnp.arange(20))


def independent_views(valid=100, seed=0):
    """Two views that are independent given the label, 40 labelled pairs and 200 without."""
    rng = np.random.default_rng(seed)
    means = 1.5 * rng.standard_normal((2, 3, 5))

    def split(n, labelled):
        y = rng.integers(3, size=n).astype(np.int32)
        x = np.float32(means[:, y] + rng.standard_normal((2, n, 5)))
        return Split(tuple(x), y[:labelled])

    return Data(split(240, 40), split(valid, valid), split(30, 30))


@pytest.mark.slow
def test_strength_zero_is_training_alone_and_its_partner_learns():
    d = independent_views()
    fast = {"learning_rate": 1e-2}
    state, both = trained(model(objective="posterior"), hyper([1.0, 0.0], **fast), d)
    _, none = trained(model(objective="posterior"), hyper([0.0, 0.0], **fast), d)
    _, alone = trained(model(("b",)), hyper([0.0], **fast), only(d, 1))
    np.testing.assert_array_equal(both.task_loss[:, 1], none.task_loss[:, 1])
    np.testing.assert_allclose(both.task_loss[:, 1], alone.task_loss[:, 0], rtol=1e-5)
    assert both.evidence.gate[:, 0].max() > 0.5
    np.testing.assert_array_equal(state.evidence.gate, both.evidence.gate[-1])
    before = int(posterior.START * 20)
    np.testing.assert_array_equal(both.task_loss[:before, 0], none.task_loss[:before, 0])
    assert np.abs(both.task_loss[before:, 0] - none.task_loss[before:, 0]).max() > 1e-3
    # what the unlabelled pairs teach shows on the validation split
    gain = nll_of(state, d, 0) - nll_of(trained(model(), hyper([0.0, 0.0], **fast), d)[0], d, 0)
    assert gain < 0


def nll_of(state, d, m):
    """Mean log-loss of encoder m's head on the validation split."""
    params = layout(model(), d.train.x).unravel(state.params)
    return nll64(np.float64(heads(model(), params, d.valid)[m]), d.valid.y).mean()


@pytest.mark.slow
def test_a_validation_split_of_ten_does_no_harm():
    d = independent_views(valid=10)
    _, aligned = trained(model(objective="posterior"), hyper([1.0, 1.0]), d)
    _, alone = trained(model(objective="posterior"), hyper([0.0, 0.0]), d)
    np.testing.assert_array_equal(aligned.task_loss, alone.task_loss)


@pytest.mark.parametrize("shuffled", [False, True])
def test_evidence_is_of_512_rows_drawn_by_key_each_with_its_own_label(monkeypatch, shuffled):
    seen = []
    monkeypatch.setattr(posterior, "fit", lambda outputs, y, *_: seen.append((outputs, y)))
    n = posterior.MOST + 100
    number = jnp.arange(n, dtype=jnp.float32)
    valid = Split((number[:, None], number[:, None]), number)
    order = None
    if shuffled:
        rows = np.stack([np.random.default_rng(k).permutation(n) for k in range(2)])
        order = Order(rows, rows)
    d = Data(valid, valid, valid, order=order)
    m = model(classes=0, objective="posterior")
    state = start(m, hyper([1.0, 1.0]), KEY, d)
    for key in (KEY, KEY, jax.random.key(8)):
        weigh(m, key, d, state, jnp.stack([number, number]))
    outputs, y = seen[0]
    np.testing.assert_array_equal(outputs, y)
    assert [len(set(rows)) for rows in outputs.tolist()] == [posterior.MOST] * 2
    assert np.array_equal(outputs[0], outputs[1]) != shuffled
    np.testing.assert_array_equal(outputs, seen[1][0])
    assert not np.array_equal(outputs, seen[2][0])
