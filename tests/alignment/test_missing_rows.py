"""Rows that miss a modality: an objective of a batch with such rows is that of the others alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.references import info_nce64, log_softmax64, predictions, projections
from jax.sharding import PartitionSpec as P

from redalign_jax import alignment
from redalign_jax.alignment import posterior
from redalign_jax.runtime import devices

N, T, BIAS = 16, 0.15, -2.0
COUNTED = np.arange(N) % 3 != 1  # 11 of 16, in both halves
SPLIT, WHOLE = P(devices.BATCH), P()


def siglip64(a, b, weights):
    s = a @ b.T / T + BIAS
    signed = np.where(np.eye(len(a), dtype=bool), s, -s)
    return np.sum(weights * np.logaddexp(0, -signed)) / len(a)


def vicreg64(a, b):
    def spread(z):
        cov = np.cov(z.T)
        var = np.diag(cov)
        hinge = np.maximum(0, 1 - np.sqrt(var + 1e-4)).mean()
        return hinge + 0.04 * (np.sum(cov**2) - np.sum(var**2)) / len(var)

    return np.mean((a - b) ** 2) + spread(a) + spread(b)


def info_nce(bounded):
    return lambda a, b, negatives, counted, **how: alignment.info_nce(
        a, b, T, negatives, counted, bounded=bounded, **how
    )


OBJECTIVES = {
    "one exponential": (info_nce(True), lambda a, b, w: info_nce64(a, b, T, w)[0]),
    "two exponentials": (info_nce(False), lambda a, b, w: info_nce64(a, b, T, w)[0]),
    "siglip": (
        lambda a, b, negatives, counted, **how: alignment.siglip(
            a, b, T, BIAS, negatives, counted, **how
        ),
        siglip64,
    ),
    "vicreg": (
        lambda a, b, _, counted, block=0, **how: alignment.vicreg(a, b, counted=counted, **how),
        lambda a, b, _: vicreg64(a, b),
    ),
}
FORMS = {"whole": {}, "blocks": {"block": 5}, "devices": {"axis": devices.BATCH, "block": 3}}


def with_gradients(objective, how):
    """(a, b, negatives, counted) → the loss and its gradients of a and b, over devices or not."""

    def one(a, b, negatives, counted):
        value, g = jax.value_and_grad(
            lambda a, b: objective(a, b, negatives, counted, **how), (0, 1)
        )(a, b)
        return (jax.lax.psum(value, devices.BATCH) if "axis" in how else value), *g

    if "axis" not in how:
        return jax.jit(one)
    specs = SPLIT, SPLIT, alignment.Negatives(SPLIT, SPLIT, WHOLE), SPLIT
    return jax.jit(
        jax.shard_map(
            one,
            mesh=devices.mesh(2),
            in_specs=specs,
            out_specs=(WHOLE, SPLIT, SPLIT),
            check_vma=False,
        )
    )


def inputs():
    a, b = (z.astype(np.float32) for z in projections(N, 6, 3))
    return a, b, alignment.Negatives(*predictions(N, 4, 1), np.float32(0.7))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_is_that_of_the_rows_that_count(name, form):
    objective, reference = OBJECTIVES[name]
    a, b, negatives = inputs()
    value, *gradients = with_gradients(objective, FORMS[form])(a, b, negatives, COUNTED)
    some = [z[COUNTED].astype(float) for z in (a, b)]
    weights = np.asarray(alignment.negative_weights(negatives), float)[COUNTED][:, COUNTED]
    assert value == pytest.approx(reference(*some, weights), rel=2e-5)
    own = alignment.Negatives(negatives.p_a[COUNTED], negatives.p_b[COUNTED], np.float32(0.7))
    _, *wanted = with_gradients(objective, {})(a[COUNTED], b[COUNTED], own, None)
    for got, want in zip(gradients, wanted, strict=True):
        assert not np.asarray(got)[~COUNTED].any()  # exactly
        np.testing.assert_allclose(got[COUNTED], want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", OBJECTIVES)
@pytest.mark.parametrize("zeros", [False, True])
def test_a_batch_without_a_pair_has_no_loss_and_no_gradient(name, form, zeros):
    a, b, negatives = inputs()
    if zeros:  # what a normalised projection of nothing is
        a, b = np.zeros_like(a), np.zeros_like(b)
    found = with_gradients(OBJECTIVES[name][0], FORMS[form])(a, b, negatives, np.zeros(N, bool))
    assert all(not np.asarray(one).any() for one in found)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_one_pair_is_finite(name):
    a, b, negatives = inputs()
    found = with_gradients(OBJECTIVES[name][0], {})(a, b, negatives, np.arange(N) == 4)
    assert all(np.isfinite(one).all() for one in found)


def test_all_rows_counted_is_no_mask():
    a, b, negatives = inputs()
    for objective, _ in OBJECTIVES.values():
        found = with_gradients(objective, {})
        for got, want in zip(
            found(a, b, negatives, np.ones(N, bool)), found(a, b, negatives, None), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


def three(seed=0, n=90, classes=4):
    """Logits of three encoders, labels, and which rows every encoder has; some have one alone."""
    rng = np.random.default_rng(seed)
    y = rng.integers(classes, size=n)
    logits = rng.normal(size=(3, n, classes)) + 2 * np.eye(classes)[y]
    present = rng.random((3, n)) < 0.6
    return logits.astype(np.float32), y.astype(np.int32), present


@pytest.mark.slow
def test_a_posterior_learns_from_those_who_have_the_row():
    logits, y, present = three()
    before = posterior.prior(jnp.asarray(y), 4)
    evidence = posterior.nothing(3, before)._replace(
        temperature=jnp.array([1.5, 0.7, 2.0]),
        weight=jnp.array([[0.4, 0.9], [1.1, 0.2], [0.6, 0.5]]),
    )

    def losses(o):
        return posterior.losses(o, evidence, 4, present=jnp.asarray(present))

    p = [log_softmax64(own.astype(float), 1) for own in logits]
    prior = np.float64(before)
    for m in range(3):
        others = [k for k in range(3) if k != m]
        rows = present[m] & (present[others].any(axis=0))
        told = sum(
            np.float64(evidence.weight[m, i])
            / np.float64(evidence.temperature[k])
            * np.where(present[k][:, None], logits[k].astype(float) - prior, 0)
            for i, k in enumerate(others)
        )
        q = np.exp(log_softmax64(logits[m] + told, 1))
        want = -np.sum(q * p[m], axis=1)[rows].mean()
        assert losses(jnp.asarray(logits))[m] == pytest.approx(want, rel=1e-5)
    g = np.asarray(jax.grad(lambda o: jnp.sum(losses(o)))(jnp.asarray(logits)))
    alone = ~present | (present.sum(axis=0) < 2)
    assert not g[alone].any() and g[~alone].any(axis=1).all()


@pytest.mark.slow
def test_evidence_is_of_the_rows_that_both_have():
    logits, y, present = three()
    before = posterior.prior(jnp.asarray(y), 4)
    both = present[0] & present[1]
    # garbage in a missing row is nothing to the evidence
    masked = np.where(present[:2, :, None], logits[:2], -7.0)
    got = posterior.fit(jnp.asarray(masked), jnp.asarray(y), before, 4, present=present[:2])
    want = posterior.fit(jnp.asarray(logits[:2, both]), jnp.asarray(y[both]), before, 4)
    for name in ("temperature", "weight", "gate"):
        np.testing.assert_allclose(
            getattr(got, name), getattr(want, name), rtol=2e-3, atol=2e-4, err_msg=name
        )
    assert (np.asarray(got.gate) > 0).any()


@pytest.mark.slow
def test_evidence_of_a_regression_is_of_the_rows_that_both_have():
    rng = np.random.default_rng(1)
    y = rng.normal(size=90).astype(np.float32)
    outputs = (y + rng.normal(size=(2, 90))).astype(np.float32)
    present = rng.random((2, 90)) < 0.7
    both = present.all(axis=0)
    before = posterior.prior(jnp.asarray(y), 0)
    got = posterior.fit(jnp.asarray(outputs), jnp.asarray(y), before, 0, present=present)
    want = posterior.fit(jnp.asarray(outputs[:, both]), jnp.asarray(y[both]), before, 0)
    for name in ("variance", "temperature", "weight", "gate"):
        np.testing.assert_allclose(
            getattr(got, name), getattr(want, name), rtol=5e-3, atol=5e-4, err_msg=name
        )


def test_too_few_rows_in_both_say_nothing():
    logits, y, present = three()
    present[1] = np.cumsum(present[0]) <= posterior.SCARCE - 1
    before = posterior.prior(jnp.asarray(y), 4)
    found = posterior.fit(jnp.asarray(logits[:2]), jnp.asarray(y), before, 4, present=present[:2])
    assert not np.asarray(found.gate).any()
    assert all(np.isfinite(one).all() for one in found)
