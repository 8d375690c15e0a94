"""How alike two embeddings are: CKA, unbiased CKA, SVCCA, mutual k-NN, CKNNA.

Pure functions (n, d1), (n, d2) -> scalar: row i of both embeddings describes the same example. They
compute in float32 whatever the input's type, ignore the scale of an embedding, and are written to
be vmapped over thousands of runs: nothing of size n x n is ever stored.

Degenerate inputs have defined values:
  - A column that does not vary beyond roundoff counts as constant: CKA and SVCCA ignore it.
  - A constant embedding (all zeros included) has similarity 0 to everything, and the chance level
    k/(n-1) by mutual k-NN: all its points are equally near.
  - A NaN or an infinity anywhere gives NaN.
"""

from functools import partial

import jax.numpy as jnp
from jax import Array, lax

from redalign_jax.errors import UserError
from redalign_jax.runtime.lapack import batch_safe

# Matrix units of GPUs and TPUs round float32 inputs to 10 or 7 bits unless told otherwise.
_matmul = partial(jnp.matmul, precision=lax.Precision.HIGHEST)
_EPSILON = float(jnp.finfo(jnp.float32).eps)
_HALVINGS = 21  # of a row's range of similarities: a float32 inner product is good to about 1e-6
_ROWS = 32  # query points compared at a time: bounds memory, and stays in a CPU's cache


def cka(x: Array, y: Array) -> Array:
    """Linear centred kernel alignment, |X'Y|² / (|X'X| |Y'Y|) with centred columns, in [0, 1].

    Equals the Gram form tr(KHLH) / √(tr(KHKH) tr(LHLH)) for K = XX', L = YY'. Biased upward: for
    independent embeddings it grows with d/n, see `unbiased_cka`.

    Args:
      x, y: embeddings, (n, d1) and (n, d2).

    Returns:
      A float32 scalar.

    Raises:
      UserError: the shapes do not pair.

    Source: Kornblith et al. 2019, "Similarity of Neural Network Representations Revisited".
    """
    x, y, finite = _checked(x, y)
    return jnp.where(finite, _cka(_centred(x), _centred(y)), jnp.nan)


def unbiased_cka(x: Array, y: Array) -> Array:
    """Linear CKA from the unbiased estimator of HSIC: near 0 for independent embeddings, ≤ 1.

    HSIC₁(K, L) = [tr(K̃L̃) + 1'K̃1 1'L̃1 / ((n-1)(n-2)) - 2/(n-2) 1'K̃L̃1] / (n(n-3)), where K̃, L̃
    are the Grams with zero diagonals; the result is HSIC₁(K, L) / √(HSIC₁(K, K) HSIC₁(L, L)) and
    may be negative. HSIC₁ does not change when columns are centred; then K1 = L1 = 0 and, with
    k_i = |x_i|² and l_i = |y_i|², all of it can be had from the features:
    n(n-3) HSIC₁ = |X'Y|² - n/(n-2) Σ k_i l_i + Σ k_i Σ l_i / ((n-1)(n-2)).

    Args:
      x, y: embeddings, (n, d1) and (n, d2), n ≥ 4.

    Returns:
      A float32 scalar; 0 where an embedding's HSIC₁(K, K) is 0 up to roundoff, as when all rows but
      one are equal.

    Raises:
      UserError: the shapes do not pair, or n < 4.

    Source: Song et al. 2012, "Feature Selection via Dependence Maximization", eq. 5; Nguyen et al.
    2021, "Do Wide and Deep Networks Learn the Same Things?".
    """
    x, y, finite = _checked(x, y)
    return jnp.where(finite, _unbiased_cka(_centred(x), _centred(y)), jnp.nan)


def svcca(x: Array, y: Array, variance: float = 0.99) -> Array:
    """Mean canonical correlation of the leading principal components, in [0, 1].

    Of each centred embedding, keep the fewest principal components that hold `variance` of its
    variance, p and q of them; the mean is over the min(p, q) canonical correlations between the two
    kept subspaces (the variant of the original paper; columns are not standardised). Components
    under 1e-5 of the variance of the first count as roundoff and are never kept, so with
    `variance=1` the value is that of CCA and ignores any (reasonably conditioned) invertible map.

    Args:
      x, y: embeddings, (n, d1) and (n, d2). Where p + q ≥ n the subspaces must intersect and the
        value means little.
      variance: share of variance to keep, in (0, 1], a Python number.

    Returns:
      A float32 scalar.

    Raises:
      UserError: the shapes do not pair, or `variance` is not in (0, 1].

    Source: Raghu et al. 2017, "SVCCA: Singular Vector Canonical Correlation Analysis".
    """
    x, y, finite = _checked(x, y)
    if not 0 < variance <= 1:
        raise UserError(f"variance = {variance}: a share of variance is in (0, 1]")
    return jnp.where(finite, _svcca(_centred(x), _centred(y), variance), jnp.nan)


def mutual_knn(x: Array, y: Array, k: int) -> Array:
    """Mean overlap of the k-nearest-neighbour sets of the two embeddings, in [0, 1].

    1/n Σ_i |S_x(i) ∩ S_y(i)| / k, where S(i) are the k other points whose inner product with point
    i is largest, after each row is scaled to unit length (so: cosine similarity). A row of zeros is
    equally near to all.

    Ties: points that tie for the last places share them equally, s places among t points giving
    each a membership of s/t, and an overlap is the sum of products of memberships. This is the
    expected overlap when ties are broken at random, independently in x and y. A rule such as
    "lowest index first" would pick the same points on both sides and report similarity where there
    is none. Sharing keeps two properties: the order of the examples does not matter, and embeddings
    that are independent average k/(n-1) however many ties there are. The price is that an embedding
    with ties at the k-th place overlaps with itself by less than 1. Similarities closer than about
    1e-6 of the row's largest (centred) similarity are ties: float32 does not tell them apart.

    Args:
      x, y: embeddings, (n, d1) and (n, d2).
      k: number of neighbours, 1 ≤ k ≤ n-1, a Python number.

    Returns:
      A float32 scalar.

    Raises:
      UserError: the shapes do not pair, or k is out of range.

    Source: Huh et al. 2024, "The Platonic Representation Hypothesis", appendix A.
    """
    x, y, finite = _checked(x, y)
    return jnp.where(finite, _neighbour_alignment(x, y, k)[0], jnp.nan)


def cknna(x: Array, y: Array, k: int) -> Array:
    """Centred kernel nearest-neighbour alignment: CKA restricted to mutual neighbours, in [-1, 1].

    A(K, L) / √(A(K, K) A(L, L)), where
    A(K, L) = Σ_ij α(i, j) (K_ij - mean_l K_il) (L_ij - mean_l L_il),
    K and L hold inner products of unit-length rows, the means are over all n points, and α(i, j) is
    1 if j ≠ i is among the k nearest neighbours of i in both kernels that A compares, else 0.
    Neighbours and ties are those of `mutual_knn`: α is the product of the two memberships.

    This is the definition of the paper. The authors' code computes something else, an unbiased HSIC
    of Gram matrices set to 0 outside α, so its numbers are not comparable.

    Args:
      x, y: embeddings, (n, d1) and (n, d2).
      k: number of neighbours, 1 ≤ k ≤ n-1, a Python number.

    Returns:
      A float32 scalar.

    Raises:
      UserError: the shapes do not pair, or k is out of range.

    Source: Huh et al. 2024, "The Platonic Representation Hypothesis", appendix A.
    """
    x, y, finite = _checked(x, y)
    return jnp.where(finite, _neighbour_alignment(x, y, k)[1], jnp.nan)


def similarities(
    x: Array, y: Array, neighbours: int, counted: Array | None = None
) -> dict[str, Array]:
    """All measures of this file at once, for little more than the price of `mutual_knn`.

    Args:
      x, y: embeddings, (n, d1) and (n, d2), n ≥ 4.
      neighbours: k of `mutual_knn` and `cknna`, 1 ≤ k ≤ n-1, a Python number.
      counted: (n,) bool, the rows that are compared, as if there were no others; k is at most their
        number - 1. None for all.

    Returns:
      Float32 scalars `cka`, `unbiased_cka`, `svcca` (variance 0.99), `mutual_knn`, `cknna`; NaN
      where fewer than 4 rows are compared.

    Raises:
      UserError: the shapes do not pair, n < 4, or `neighbours` is out of range.
    """
    if counted is not None:
        x, y = (jnp.where(counted[:, None], one, 0) for one in (x, y))
    x, y, finite = _checked(x, y)
    n = None
    if counted is not None:
        n = jnp.sum(counted, dtype=jnp.float32)
        finite &= n >= 4
        n = jnp.maximum(n, 4)
    overlap, local = _neighbour_alignment(x, y, neighbours, counted, n)
    x, y = _centred(x, counted, n), _centred(y, counted, n)
    values = {
        "cka": _cka(x, y),
        "unbiased_cka": _unbiased_cka(x, y, n),
        "svcca": _svcca(x, y, 0.99),
        "mutual_knn": overlap,
        "cknna": local,
    }
    return {name: jnp.where(finite, value, jnp.nan) for name, value in values.items()}


def _checked(x: Array, y: Array) -> tuple[Array, Array, Array]:
    """float32 embeddings, and whether both are finite; zeros replace them where not."""
    x, y = jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32)
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or 0 in x.shape + y.shape:
        raise UserError(
            f"embeddings of shapes {x.shape} and {y.shape}: needs (n, d1) and (n, d2), paired rows"
        )
    finite = jnp.isfinite(x).all() & jnp.isfinite(y).all()
    return jnp.where(finite, x, 0), jnp.where(finite, y, 0), finite


def _ratio(a: Array, b: Array) -> Array:
    """a / b, and 0 where b is 0."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)


def _scaled(x: Array, axis: int | None = None) -> Array:
    """x with largest magnitude 1, so that fourth powers neither overflow nor vanish."""
    return _ratio(x, jnp.max(jnp.abs(x), axis, keepdims=True))


def _centred(x: Array, counted: Array | None = None, n: Array | None = None) -> Array:
    """Columns with mean 0, (n, d), up to a common scale; exact zeros where a column is constant.

    Zeros too in rows that do not count; `n` is the number of those that do.
    """
    x = _scaled(x)
    # Relative to the first row a constant column is exactly 0; a mean over many rows is not exact.
    if counted is None:
        offset = x - x[:1]
    else:
        offset = jnp.where(counted[:, None], x - x[jnp.argmax(counted)][None], 0)
    reach, largest = (jnp.max(jnp.abs(a), 0, keepdims=True) for a in (offset, x))
    if counted is None:
        mean = jnp.mean(offset, 0, keepdims=True)
    else:
        mean = jnp.where(counted[:, None], jnp.sum(offset, 0, keepdims=True) / n, 0)
    return jnp.where(reach > 8 * _EPSILON * largest, offset - mean, 0)


def _squared_norm(x: Array, y: Array) -> Array:
    """|X'Y|², the squared Frobenius norm."""
    return jnp.sum(_matmul(x.T, y) ** 2)


def _cka(x: Array, y: Array) -> Array:
    xx, yy = jnp.sqrt(_squared_norm(x, x)), jnp.sqrt(_squared_norm(y, y))
    return _ratio(_squared_norm(x, y), xx * yy)


def _unbiased_cka(x: Array, y: Array, n: Array | None = None) -> Array:
    if len(x) < 4:
        raise UserError(f"unbiased CKA of {len(x)} rows: needs at least 4")
    if n is None:
        n = len(x)

    def hsic(a: Array, b: Array) -> Array:
        k_ii, l_ii = jnp.sum(a**2, 1), jnp.sum(b**2, 1)
        both = jnp.sum(k_ii * l_ii)
        correction = n / (n - 2) * both - k_ii.sum() * l_ii.sum() / ((n - 1) * (n - 2))
        return _squared_norm(a, b) - correction

    def norm(a: Array) -> Array:
        # A difference of large terms: what is left may be roundoff.
        squared = hsic(a, a)
        return jnp.sqrt(jnp.where(squared > 1e-5 * _squared_norm(a, a), squared, 0))

    return _ratio(hsic(x, y), norm(x) * norm(y))


def _svcca(x: Array, y: Array, variance: float) -> Array:
    covariances = _matmul(x.T, x), _matmul(y.T, y), _matmul(x.T, y)
    return batch_safe(partial(_mean_correlation, variance=variance))(*covariances)


def _mean_correlation(xx: Array, yy: Array, xy: Array, variance: float) -> Array:
    """SVCCA from the (cross-)covariances (d1, d1), (d2, d2), (d1, d2)."""

    def principal(covariance: Array) -> tuple[Array, Array]:
        """Map to the kept components at unit variance, (d, d) with zeros for the rest; how many."""
        values, vectors = jnp.linalg.eigh(covariance)
        # Eigenvalues ascend: the sum up to component i is what dropping all up to i would lose.
        lost = jnp.cumsum(jnp.maximum(values, 0))
        kept = (lost > (1 - variance) * lost[-1]) & (values > 1e-5 * values[-1])
        unit = _ratio(kept, jnp.sqrt(jnp.where(kept, values, 0)))
        return vectors * unit[None], kept.sum()

    (to_x, p), (to_y, q) = principal(xx), principal(yy)
    correlations = jnp.linalg.svd(_matmul(_matmul(to_x.T, xy), to_y), compute_uv=False)
    return _ratio(jnp.minimum(correlations, 1).sum(), jnp.minimum(p, q))


def _neighbour_alignment(
    x: Array, y: Array, k: int, counted: Array | None = None, n: Array | None = None
) -> tuple[Array, Array]:
    """Mutual k-NN and CKNNA; of the `n` rows that count."""
    rows = len(x)
    if not 1 <= k <= rows - 1:
        raise UserError(f"neighbours = {k}: {rows} rows allow 1 to {rows - 1}")
    if counted is None:
        n = rows
    else:
        k = jnp.minimum(k, n - 1)
    masked = () if counted is None else (counted, k)

    def totals(x: Array, y: Array, x_centred: Array, y_centred: Array, *masked: Array) -> Array:
        there, nearest = masked or (None, k)

        def row(query: tuple[Array, Array, Array]) -> Array:
            # Centring one side shifts a whole row of the kernel: same neighbours, more digits.
            i, x_i, y_i = query
            in_x, in_y = _matmul(x_centred, x_i), _matmul(y_centred, y_i)
            near_x, near_y = (_membership(one, i, nearest, there) for one in (in_x, in_y))
            in_x, in_y = near_x * in_x, near_y * in_y
            pairs = (near_x, near_y), (in_x, in_y), (in_x, in_x), (in_y, in_y)
            return jnp.stack([jnp.sum(a * b) for a, b in pairs])

        each = lax.map(row, (jnp.arange(rows), x, y), batch_size=_ROWS)
        return jnp.sum(each if there is None else jnp.where(there[:, None], each, 0), 0)

    x, y = _directions(x), _directions(y)
    # Here for speed: on a CPU one pair of embeddings at a time fits the cache, many do not.
    centred = (_centred(one, counted, n) for one in (x, y))
    overlap, xy, xx, yy = batch_safe(totals)(x, y, *centred, *masked)
    return overlap / (n * k), _ratio(xy, jnp.sqrt(xx) * jnp.sqrt(yy))


def _directions(x: Array) -> Array:
    """Rows of unit length, (n, d); rows of zeros stay."""
    x = _scaled(x, 1)
    return _ratio(x, jnp.linalg.norm(x, axis=1, keepdims=True))


def _membership(similarity: Array, i: Array, k: int | Array, counted: Array | None = None) -> Array:
    """How much each point belongs to the k nearest of point i, (n,) -> (n,) in [0, 1] with sum k.

    Points that do not count are nobody's neighbours.

    The k-th largest value is found by bisection: at n = 512 on a CPU 15 times faster than
    `lax.top_k`, which sorts.
    """
    others = jnp.arange(len(similarity)) != i
    if counted is not None:
        others &= counted
    reach = jnp.max(jnp.where(others, jnp.abs(similarity), 0))
    similarity = jnp.where(others, similarity, -jnp.inf)

    def halve(_: int, bounds: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bounds  # at least k are ≥ low, fewer than k are > high
        middle = (low + high) / 2
        enough = jnp.sum(similarity >= middle, dtype=jnp.float32) >= k
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    low, high = lax.fori_loop(0, _HALVINGS, halve, (-reach, reach))
    width = high - low
    nearer = similarity > high + width
    tied = ~nearer & (similarity >= low - width)
    return jnp.where(nearer, 1, tied * _ratio(k - nearer.sum(), tied.sum()))
