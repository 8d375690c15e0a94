"""The contrastive module against float64 textbook formulas and its own promises."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.references import info_nce64, predictions, projections
from hypothesis import given, settings
from hypothesis import strategies as st

from redalign_jax import alignment

# Few shapes, so that few programs are compiled; values and temperatures vary freely.
SHAPES = [(2, 1), (7, 3), (32, 16), (128, 8)]
info_nce_grad = {
    bounded: jax.jit(
        jax.value_and_grad(
            lambda a, b, log_t, negatives=None, bounded=bounded: alignment.info_nce(
                a, b, jnp.exp(log_t), negatives, bounded=bounded
            ),
            argnums=(0, 1, 2),
        )
    )
    for bounded in (False, True)
}


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(SHAPES),
    st.floats(-2, 1).map(lambda e: 10.0**e),
    st.integers(0, 2**31),
)
def test_info_nce_and_gradients_match_float64(shape, temperature, seed):
    a, b = (z.astype(np.float32) for z in projections(*shape, seed))
    log_t = np.log(np.float32(temperature))
    expected = info_nce64(a.astype(float), b.astype(float), np.exp(float(log_t)))
    for bounded in {False, temperature >= 1.01 * alignment.BOUNDED_TEMPERATURE}:
        value, gradients = info_nce_grad[bounded](a, b, log_t)
        # a float32 inner product is off by about 1e-7, its logit by 1/t of that
        roundoff = 1e-5 * max(1, 0.1 / temperature)
        np.testing.assert_allclose(value, expected[0], rtol=1e-5, atol=roundoff)
        for got, want, size in zip(
            gradients, expected[1:], (1 / temperature,) * 2 + (1,), strict=True
        ):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=roundoff * size)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.sampled_from(SHAPES), st.sampled_from([0.0, 0.4, 1.0]), st.integers(0, 2**31))
def test_negatives_weigh_what_they_are_worth(shape, false_negative_weight, seed):
    n = shape[0]
    p_a, p_b = predictions(n, 4, seed)
    negatives = alignment.Negatives(p_a, p_b, np.float32(false_negative_weight))
    weights = np.asarray(alignment.negative_weights(negatives))
    expected = np.array(
        [
            [
                1.0 if i == j else 1 - false_negative_weight * float(p_a[i] @ p_b[j])
                for j in range(n)
            ]
            for i in range(n)
        ]
    )
    np.testing.assert_allclose(weights, expected, atol=1e-6)
    assert np.all(weights >= 0)

    a, b = (z.astype(np.float32) for z in projections(*shape, seed))
    log_t = np.log(np.float32(0.2))
    expected = info_nce64(a.astype(float), b.astype(float), np.exp(float(log_t)), weights)
    for bounded in (False, True):
        value, gradients = info_nce_grad[bounded](a, b, log_t, negatives)
        np.testing.assert_allclose(value, expected[0], rtol=1e-5, atol=1e-5)
        for got, want in zip(gradients, expected[1:], strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=5e-5)


def test_siglip_ignores_a_false_negative():
    a, b = (z.astype(np.float32) for z in projections(6, 4, 1))
    p = np.eye(6, dtype=np.float32)
    p[4] = p[1]  # examples 1 and 4 surely have the same label
    negatives = alignment.Negatives(p, p, 1.0)
    s = a.astype(float) @ b.astype(float).T / 0.3 - 2
    terms = np.logaddexp(0, np.where(np.eye(6, dtype=bool), -s, s))
    terms[1, 4] = terms[4, 1] = 0
    np.testing.assert_allclose(
        alignment.siglip(a, b, 0.3, -2.0, negatives), terms.sum() / 6, rtol=1e-5
    )


def test_no_gradient_passes_through_the_predictions():
    a, b = (z.astype(np.float32) for z in projections(7, 3, 0))
    p = predictions(7, 4, 0)

    def loss(p):
        return alignment.info_nce(a, b, 0.2, alignment.Negatives(p[0], p[1], 1.0))

    assert not np.any(jax.grad(loss)(p))
    assert np.any(loss(p) != loss(np.full_like(p, 0.25)))


def test_bounded_form_holds_down_to_its_limit():
    t = alignment.BOUNDED_TEMPERATURE
    a = projections(16, 4, 0)[0]
    # the hardest case: every negative is the exact opposite of its anchor
    a = np.concatenate([a[:1], -a[:1], a[1:2], -a[1:2]]).astype(np.float32)
    value, gradients = info_nce_grad[True](a, a, np.log(np.float32(t)))
    expected = info_nce64(a.astype(float), a.astype(float), t)
    np.testing.assert_allclose(value, expected[0], atol=1e-5)
    for got, want in zip(gradients, expected[1:], strict=True):
        np.testing.assert_allclose(got, want, atol=1e-4)


def test_info_nce_takes_unnormalised_vectors_in_the_two_pass_form():
    a, b = 100 * projections(8, 4, 1)
    value = alignment.info_nce(jnp.float32(a), jnp.float32(b), 0.01)
    np.testing.assert_allclose(value, info_nce64(a, b, 0.01)[0], rtol=1e-5)


def test_siglip_matches_float64():
    a, b = projections(12, 5, 2)
    t, bias = 0.1, -10.0
    s = a @ b.T / t + bias
    y = 2 * np.eye(12) - 1
    expected = np.sum(np.log1p(np.exp(-y * s))) / 12
    got = alignment.siglip(jnp.float32(a), jnp.float32(b), t, bias)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_vicreg_matches_float64():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((2, 20, 6)) * rng.uniform(0.1, 2, 6)
    expected = np.mean((a - b) ** 2)
    for z in (a, b):
        cov = np.cov(z.T)
        expected += np.mean(np.maximum(0, 1 - np.sqrt(np.diag(cov) + 1e-4)))
        expected += 0.04 * (np.sum(cov**2) - np.sum(np.diag(cov) ** 2)) / 6
    np.testing.assert_allclose(
        alignment.vicreg(jnp.float32(a), jnp.float32(b)), expected, rtol=1e-5
    )


@pytest.mark.parametrize("scale", [1e-30, 1e-6, 1e6, 1e30])
def test_normalise_ignores_the_scale(scale):
    x = np.random.default_rng(0).standard_normal((4, 6))
    w = np.random.default_rng(1).standard_normal((4, 6)).astype(np.float32)
    small = np.float32(x * scale)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(alignment.normalise(small), x / norm, rtol=1e-5)
    gradient = jax.grad(lambda x: jnp.sum(w * alignment.normalise(x)))(small)
    unit = x / norm
    expected = (w - unit * np.sum(w * unit, axis=1, keepdims=True)) / norm
    np.testing.assert_allclose(np.float64(gradient) * scale, expected, rtol=1e-3, atol=1e-5)


def test_normalise_survives_a_zero_row():
    value, gradient = jax.value_and_grad(lambda x: alignment.normalise(x).sum())(jnp.zeros((2, 3)))
    assert value == 0
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("scale", [0.0, 0.5, 3.0])
def test_scale_gradient_is_identity_forward(scale):
    x = jnp.float32(np.random.default_rng(4).standard_normal((5, 3)))
    value, gradient = jax.value_and_grad(
        lambda x: jnp.sum(alignment.scale_gradient(x, scale) ** 2)
    )(x)
    assert value == jnp.sum(x**2)
    np.testing.assert_allclose(gradient, scale * 2 * x, rtol=1e-6)


def test_aligned_dims_mask_is_continuous_in_the_share():
    np.testing.assert_allclose(alignment.aligned_dims_mask(4, 0.0), [0, 0, 0, 0])
    np.testing.assert_allclose(alignment.aligned_dims_mask(4, 0.625), [1, 1, 0.5, 0])
    np.testing.assert_allclose(alignment.aligned_dims_mask(4, 1.0), [1, 1, 1, 1])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("constant", [1, 1, 1, 0, 0]),
        ("linear_warmup", [0, 0.5, 0.9, 0, 0]),
        ("linear_decay", [1, 0.5, 0.1, 0, 0]),
        ("cosine_warmup", [0, 0.5, (1 - np.cos(0.9 * np.pi)) / 2, 0, 0]),
        ("cosine_decay", [1, 0.5, (1 + np.cos(0.9 * np.pi)) / 2, 0, 0]),
    ],
)
def test_schedules_end_where_they_are_told(name, values):
    progress = jnp.array([0, 0.25, 0.45, 0.5, 0.9])
    got = [alignment.schedule(name, p, 0.5) for p in progress]
    np.testing.assert_allclose(got, values, atol=1e-6)
    assert alignment.schedule(name, jnp.float32(0), 0.0) == 0


def test_all_pairs_of_three_are_the_three_pairs():
    z = [jnp.float32(p) for p in projections(6, 4, 5, count=3)]
    got = alignment.all_pairs(lambda a, b, *_: alignment.info_nce(a, b, 0.2), z)
    expected = [
        info_nce64(np.float64(z[a]), np.float64(z[b]), 0.2)[0] for a, b in ((0, 1), (0, 2), (1, 2))
    ]
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert alignment.all_pairs(lambda a, b, *_: 0.0, z[:1]).shape == (0,)
