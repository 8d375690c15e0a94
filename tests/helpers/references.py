"""Textbook formulas in float64, and inputs for them."""

import numpy as np


def projections(n, d, seed, count=2):
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((count, n, d))
    # related rows, so that positives stand out as they do after training
    z[1:] = z[:1] + rng.uniform(0.1, 2) * z[1:]
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def log_softmax64(s, axis):
    s = s - s.max(axis=axis, keepdims=True)
    return s - np.log(np.exp(s).sum(axis=axis, keepdims=True))


def info_nce64(a, b, t, weights=None):
    """Value and gradients, of a, b and log t, by the book: softmax minus identity, float64."""
    n = len(a)
    s = a @ b.T / t
    with np.errstate(divide="ignore"):  # a weight of 0 is a logit of -inf
        weighted = s + (0 if weights is None else np.log(weights))
    rows, columns = log_softmax64(weighted, 1), log_softmax64(weighted, 0)
    value = -(np.trace(rows) + np.trace(columns)) / (2 * n)
    g = (np.exp(rows) + np.exp(columns) - 2 * np.eye(n)) / (2 * n)
    return value, g @ b / t, g.T @ a / t, -np.sum(g * s)


def predictions(n, classes, seed):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.2), size=(2, n))
    p[:, : n // 3] = np.eye(classes)[rng.integers(classes, size=n // 3)]  # sure, and agreeing
    return p.astype(np.float32)
