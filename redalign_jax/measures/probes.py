"""What an embedding is worth: a linear model fitted on it while it is frozen."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

from redalign_jax.alignment.blocks import number
from redalign_jax.runtime.lapack import batch_safe, power_of_two

# Matrix units of GPUs and TPUs round float32 inputs to 10 or 7 bits unless told otherwise.
_matmul = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
_EPSILON = float(jnp.finfo(jnp.float32).eps)


@batch_safe
def _inverse(a: Array) -> Array:
    """Of a symmetric positive definite matrix."""
    return jax.scipy.linalg.cho_solve(jax.scipy.linalg.cho_factor(a), jnp.eye(a.shape[0]))


def _standardised(
    train: Array, test: Array, counted: Array | None
) -> tuple[Array, Array, int | Array]:
    """Training mean 0 and deviation 1 per column, whatever its scale, and a column of 1.

    A column that does not vary beyond roundoff becomes 0, and a training row that does not count.
    The last is how many count.
    """
    n: int | Array = train.shape[0]
    if counted is not None:
        train, n = jnp.where(counted[:, None], train, 0), number(counted, None)
    unit = power_of_two(train, 0)
    train, test = train * unit, test * unit
    if counted is None:
        mean = jnp.mean(train, axis=0, keepdims=True)
        std = jnp.std(train, axis=0, keepdims=True)
    else:
        mean = jnp.sum(train, axis=0, keepdims=True) / n
        away = jnp.where(counted[:, None], train - mean, 0)
        std = jnp.sqrt(jnp.sum(away**2, axis=0, keepdims=True) / n)
    varies = std > 8 * _EPSILON * jnp.max(jnp.abs(train), axis=0, keepdims=True)
    scale = jnp.where(varies, 1 / jnp.where(varies, std, 1), 0)
    train, test = (
        jnp.concatenate([(x - mean) * scale, jnp.ones((x.shape[0], 1))], axis=1)
        for x in (train, test)
    )
    return train if counted is None else train * counted[:, None], test, n


def logistic(
    x: Array,
    y: Array,
    test: Array,
    classes: int,
    l2: float = 1e-3,
    steps: int = 100,
    counted: Array | None = None,
) -> Array:
    """Multinomial logistic regression on frozen embeddings.

        min_W  −(1/n) Σ_i log softmax(x_i W)_{y_i} + (l2/2) ‖W without intercept‖²

    The Hessian is at most ½ XᵀX/n for every class (Böhning 1992), so one inverse preconditions
    accelerated gradient steps, restarted where momentum points uphill (O'Donoghue & Candès 2015):
    no step size, the same program for every run.

    Args:
      x: (n, d) training embeddings; standardised here.
      y: (n,) class indices.
      test: (k, d) embeddings to predict.
      classes: number of classes.
      l2: ridge on standardised columns.
      steps: iterations.
      counted: (n,) bool, the rows that it is fitted on; None for all.

    Returns:
      (k, classes) logits.
    """
    x, test, n = _standardised(x, test, counted)
    d = x.shape[1]
    ridge = l2 * jnp.ones(d).at[-1].set(0)
    # the small multiple keeps constant columns (all zero) invertible; they stay at W = 0
    bound = _matmul(x.T, x) / (2 * n) + jnp.diag(ridge + 1e-6)
    inverse = _inverse(bound)
    target = jax.nn.one_hot(y, classes)

    def body(_: int, carry: tuple) -> tuple:
        w, ahead, t = carry
        missed = jax.nn.softmax(_matmul(x, ahead)) - target
        gradient = _matmul(x.T, missed) / n + ridge[:, None] * ahead
        new = ahead - _matmul(inverse, gradient)
        t = jnp.where(jnp.sum(gradient * (new - w)) > 0, 1.0, t)
        t_new = (1 + jnp.sqrt(1 + 4 * t * t)) / 2
        return new, new + (t - 1) / t_new * (new - w), t_new

    w = jnp.zeros((d, classes))
    w, _, _ = jax.lax.fori_loop(0, steps, body, (w, w, jnp.float32(1)))
    return _matmul(test, w)


def ridge(x: Array, y: Array, test: Array, l2: float = 1e-3, counted: Array | None = None) -> Array:
    """Ridge regression on frozen embeddings: min_w (1/n)‖xw − y‖² + l2 ‖w without intercept‖².

    Shapes: (n, d), (n,), (k, d) → (k,) predictions, in units of y; `counted` as of `logistic`.
    """
    x, test, n = _standardised(x, test, counted)
    d = x.shape[1]
    penalty = jnp.diag(l2 * jnp.ones(d).at[-1].set(0) + 1e-6)
    inverse = _inverse(_matmul(x.T, x) / n + penalty)
    return _matmul(test, _matmul(inverse, _matmul(x.T, y) / n))
