import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers.broja_reference import GATES, gate, random_table, union_information
from hypothesis import given, settings
from hypothesis import strategies as st

from redalign_jax import pid
from redalign_jax.data.sources import redundancy_bits
from redalign_jax.errors import UserError
from redalign_jax.pid import solver

SHAPE = (8, 8, 8)  # most tables are padded to it: one compiled program


def padded(p):
    return np.pad(p, [(0, max(0, have - n)) for have, n in zip(SHAPE, p.shape, strict=True)])


def decompose(p, **options):
    return pid.decompose(padded(p), **options)


def atoms(d):
    """(R, U1, U2, S)."""
    return np.concatenate([[d.redundancy], d.unique, [d.synergy]])


def information(p):
    """I(X;Y) in nats of (n, ny), from entropies."""

    def entropy(q):
        q = q[q > 0]
        return -np.sum(q * np.log(q))

    return entropy(p.sum(0)) + entropy(p.sum(1)) - entropy(p)


tables = st.builds(
    lambda seed, shape, alpha: random_table(np.random.default_rng(seed), shape, alpha),
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 8), st.integers(1, 8), st.integers(2, 8)),
    st.sampled_from([3.0, 1.0, 0.3, 0.03, 0.01]),
).filter(lambda p: np.sum(p.sum((0, 1)) > 0) > 1)


@pytest.mark.parametrize("name", GATES)
def test_gates_have_their_closed_forms(name):
    p, bits = GATES[name]
    d = decompose(p)
    np.testing.assert_allclose(atoms(d) / np.log(2), bits, rtol=0, atol=1e-9)
    assert d.gap <= 1e-10


@settings(max_examples=60, deadline=None)
@given(tables)
def test_atoms_obey_the_definition(p):
    # Small alpha spreads the entries over hundreds of orders of magnitude.
    d = decompose(p)
    r, u1, u2, s = atoms(d)
    assert d.gap <= 1e-9
    assert min(r, u1, u2, s) >= -1e-13
    np.testing.assert_allclose(r + u1, information(p.sum(1)), rtol=0, atol=1e-12)
    np.testing.assert_allclose(r + u2, information(p.sum(0)), rtol=0, atol=1e-12)
    both = information(p.reshape(-1, p.shape[-1]))
    np.testing.assert_allclose(r + u1 + u2 + s, both, rtol=0, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(tables, st.randoms())
def test_names_of_sources_and_values_do_not_matter(p, random):
    expected = decompose(p)
    for axis, n in enumerate(p.shape):
        p = np.take(p, random.sample(range(n), n), axis)
    shuffled = decompose(np.swapaxes(p, 0, 1))
    tolerance = expected.gap + shuffled.gap + 1e-13
    np.testing.assert_allclose(
        atoms(shuffled)[[0, 2, 1, 3]], atoms(expected), rtol=0, atol=tolerance
    )


@settings(max_examples=20, deadline=None)
@given(tables, st.integers(0, 2**32 - 1))
def test_a_garbled_copy_adds_nothing(p, seed):
    # Y - X1 - X2: then U2 = S = 0 and R = I(X2;Y), whatever the channel.
    channel = random_table(np.random.default_rng(seed), (p.shape[0], 6), 0.5)
    channel /= channel.sum(1, keepdims=True)
    d = decompose(p.sum(1)[:, None] * channel[..., None])
    np.testing.assert_allclose(atoms(d)[2:], 0, atol=1e-9)
    assert d.gap <= 1e-9


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(2, 4)),
    st.tuples(st.integers(1, 2), st.integers(1, 2), st.just(2)),
)
def test_independent_parts_add_up(seed, shape_p, shape_q):
    rng = np.random.default_rng(seed)
    p, q = random_table(rng, shape_p, 0.5), random_table(rng, shape_q, 0.5)
    both = np.einsum("ijy,klz->ikjlyz", p, q).reshape(np.multiply(shape_p, shape_q))
    total = atoms(decompose(p)) + atoms(decompose(q))
    np.testing.assert_allclose(atoms(decompose(both)), total, rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "alpha"),
    [((2, 2, 2), 0.3), ((3, 8, 5), 1.0), ((8, 6, 8), 0.3), ((8, 8, 8), 1.0), ((20, 20, 10), 1.0)],
)
def test_agrees_with_a_general_purpose_solver(shape, alpha):
    p = random_table(np.random.default_rng(sum(shape)), shape, alpha)
    d = decompose(p)
    union = information(p.sum(0)) + d.unique[0]
    np.testing.assert_allclose(union, union_information(p), rtol=0, atol=1e-6)
    assert d.gap <= 1e-10


def test_certifies_random_tables_of_all_small_sizes():
    rng = np.random.default_rng(0)
    for i in range(250):
        p = random_table(rng, rng.integers(2, 9, size=3), (1.0, 0.3)[i % 2])
        assert decompose(p).gap <= 1e-8


def test_the_gap_is_honest_wherever_the_solver_stops():
    rng = np.random.default_rng(1)
    for p in [random_table(rng, (4, 6, 5), 0.3), random_table(rng, (8, 8, 8), 0.02)]:
        true = atoms(decompose(p))
        gaps = []
        for steps in range(8):
            d = decompose(p, max_steps=steps)
            over = (atoms(d) - true) * [1, -1, -1, 1]
            assert np.all(over >= -1e-9) and np.all(over <= d.gap + 1e-9)
            gaps.append(float(d.gap))
        assert gaps[0] > 1e-3
        assert np.all(np.diff(gaps) <= 0)


def test_marginals_too_small_to_compute_with_are_certified_all_the_same():
    # Scales that meet in one cell: what is left out there must not touch the rest.
    p = np.zeros((2, 2, 2))
    p[0, 1] = 0.9959, 4.4e-5
    p[1, 1] = 1 - p.sum(), 3e-16
    p[0, 0, 1], p[1, 0, 0] = 9.5e-10, 1.8e-17
    assert decompose(p).gap <= 1e-9
    assert decompose(np.swapaxes(p, 0, 1)).gap <= 1e-9


feasible_primal, feasible_dual = map(jax.jit, (solver._feasible_primal, solver._feasible_dual))


@settings(max_examples=40, deadline=None)
@given(tables, st.integers(0, 2**32 - 1))
def test_any_point_is_made_feasible(p, seed):
    # The certificate rests on this alone, so it must hold far from the solution too.
    rng = np.random.default_rng(seed)
    p = padded(p)
    p = p * (rng.random(p.shape) < 0.7)
    a, b = p.sum(1), p.sum(0)
    keep_a, keep_b = (a > 0) & (rng.random(a.shape) < 0.8), (b > 0) & (rng.random(b.shape) < 0.8)
    lam, mu = rng.normal(size=a.shape) * 5, rng.normal(size=b.shape) * 5
    q = p * rng.uniform(0, 2, p.shape)
    with jax.enable_x64(True):
        q = np.asarray(feasible_primal(q, a, b))
        lam, mu, value = map(np.asarray, feasible_dual(lam, mu, a, b, keep_a, keep_b))
    assert np.all(q >= 0)
    np.testing.assert_allclose(q.sum(1), a, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(q.sum(0), b, rtol=1e-12, atol=1e-15)
    lam, mu = np.where(a > 0, lam, -np.inf), np.where(b > 0, mu, -np.inf)
    assert np.all(np.exp(lam[:, None] + mu[None]).sum(-1) <= 1 + 1e-12)
    terms = np.concatenate([a[a > 0] * lam[a > 0], b[b > 0] * mu[b > 0]])
    np.testing.assert_allclose(value, terms.sum(), rtol=0, atol=1e-14 * np.abs(terms).sum())


@pytest.mark.parametrize("redundancy", [0, 1, 8])
def test_exact_joints_of_the_synthetic_task(redundancy):
    # Nearly deterministic, marginals down to 1e-17; R = 8 has 256 states in 256 x 256 cells.
    p = redundancy_bits.joint(redundancy_bits.process(redundancy, 0.05, seed=redundancy))
    d = pid.decompose(p)
    assert d.gap <= 1e-10
    if redundancy == 8:  # both sources see the same
        np.testing.assert_allclose(atoms(d), [information(p.sum(1)), 0, 0, 0], atol=1e-12)
    else:
        assert np.all(atoms(d) > 0.01)


def test_gradients_match_finite_differences():
    # Inside a float32 program, batched: the harder way to ask.
    rng = np.random.default_rng(2)
    p = np.stack([random_table(rng, (3, 4, 3), alpha) for alpha in (1.0, 0.5)])

    def traced_atoms(p):
        d = pid.decompose(p)
        return jnp.stack([d.redundancy, *d.unique, d.synergy])

    jacobians = np.asarray(jax.jit(jax.vmap(jax.jacrev(traced_atoms)))(p.astype(np.float32)))
    for q, jacobian in zip(p, jacobians, strict=True):
        for _ in range(5):
            step = 1e-4 * rng.normal(size=q.shape) * q
            step -= q * step.sum()
            change = atoms(decompose(q + step, tol=1e-12)) - atoms(decompose(q - step, tol=1e-12))
            slope = np.sum(jacobian * (2 * step), (1, 2, 3))
            np.testing.assert_allclose(slope / 1e-4, change / 1e-4, rtol=1e-4, atol=1e-6)


def test_second_derivatives_are_refused():
    p = random_table(np.random.default_rng(3), (2, 2, 2), 1.0)
    with pytest.raises(NotImplementedError, match="first derivatives"):
        jax.hessian(lambda p: pid.decompose(p).redundancy)(p)


@pytest.mark.slow
def test_batches_and_transformations_equal_the_loop():
    # float64 inside someone else's float32 program, and back.
    assert not jax.config.jax_enable_x64
    rng = np.random.default_rng(4)
    p = np.stack([random_table(rng, (3, 4, 3), alpha) for alpha in (3.0, 1.0, 0.3, 0.1)])
    loop = [pid.decompose(q) for q in p]
    loop = jax.tree.map(lambda *x: np.stack(x), *loop)
    assert loop.redundancy.dtype == np.float64
    assert loop.unique.shape == (4, 2)

    # Sums are as exact as the caller's rounding: the table is normalised.
    leading = pid.decompose((1 + 5e-6) * p.reshape(2, 2, 3, 4, 3))
    leading = jax.tree.map(lambda x: np.reshape(x, (4, *x.shape[2:])), leading)
    for field, expected in zip(leading, loop, strict=True):
        np.testing.assert_allclose(field, expected, rtol=0, atol=1e-10)

    single = p.astype(np.float32)
    mapped = jax.jit(jax.vmap(pid.decompose))(single)
    assert mapped.redundancy.dtype == np.float32
    assert np.all(mapped.gap <= 1e-10)
    for field, expected in zip(mapped, loop, strict=True):
        np.testing.assert_allclose(field, expected, rtol=0, atol=1e-6)


def test_float32_certifies_what_it_can():
    p = random_table(np.random.default_rng(5), SHAPE, 0.5)
    single, double = pid.decompose(p, dtype=np.float32), pid.decompose(p)
    assert double.gap < 1e-8 < single.gap <= 1e-5
    rounding = 2e-6
    np.testing.assert_allclose(atoms(single), atoms(double), rtol=0, atol=single.gap + rounding)


def test_mutual_information():
    p = random_table(np.random.default_rng(6), (5, 4, 3), 0.5)
    expected = [information(q) for q in p / p.sum((1, 2), keepdims=True)]
    got = pid.mutual_information(p / p.sum((1, 2), keepdims=True))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


UNIFORM = np.full((2, 2, 2), 1 / 8)


@pytest.mark.parametrize(
    ("p", "message"),
    [
        (UNIFORM[0], r"p: .*shape \(\.\.\., n1, n2, ny\).*\(2, 2\)"),
        (np.zeros((2, 0, 2)), r"p: .*no axis empty.*\(2, 0, 2\)"),
        (np.ones((2, 2, 2), int), "p: .*floating-point.*int64"),
        (np.array("table"), "p: .*floating-point"),
        (UNIFORM * np.nan, "p: .*finite"),
        (UNIFORM - 0.2 * np.eye(2), r"p: .*negative.*-0\.075"),
        (UNIFORM * 12, "p: .*sums to 1, this one to 12; divide counts"),
        (np.stack([UNIFORM, 2 * UNIFORM]), r"p\[1\]: .*sums to 1, this one to 2"),
        (gate((2, 2), lambda a, b: (a, b, 0)), "p: only one class"),
    ],
)
def test_bad_tables_are_one_clear_line(p, message):
    with pytest.raises(UserError, match=message) as error:
        pid.decompose(p)
    assert "\n" not in str(error.value)
