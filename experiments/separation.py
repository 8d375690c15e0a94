"""A linear diagnosis to compare advice with: does alignment keep signal apart from nuisance?

After Kamai et al. 2026, "When to Align, When to Predict" (arXiv 2606.11190), from the paper's
description. Canonical correlations of the two modalities are split into signal and nuisance by how
well the pair of canonical scores predicts the label linearly (cross-validated R², an elbow in its
sorted curve); alignment recovers the signal if

    Δ = min correlation of a signal direction / max correlation of a nuisance direction > 1.

What is left out: the ratio for cross-modal *prediction*, which redalign does not train.
"""

import numpy as np


def canonical(x: np.ndarray, y: np.ndarray, ridge: float = 1e-3) -> tuple:
    """Canonical correlations (k,) and the two score matrices (n, k), columns whitened."""

    def whitened(z: np.ndarray) -> np.ndarray:
        u, s, _ = np.linalg.svd(z - z.mean(0), full_matrices=False)
        keep = s > 1e-8 * s[0]
        return u[:, keep] * (s[keep] / np.sqrt(s[keep] ** 2 + ridge * len(z)))

    a, b = whitened(x), whitened(y)
    left, correlations, right = np.linalg.svd(a.T @ b, full_matrices=False)
    return np.clip(correlations, 0, 1), a @ left, b @ right.T


def explained(scores: np.ndarray, labels: np.ndarray, folds: int = 5) -> float:
    """Cross-validated R² of one-hot labels on a few scores, summed over classes, at least 0."""
    targets = np.eye(labels.max() + 1)[labels]
    fold = np.random.default_rng(0).permutation(len(labels)) % folds
    off, total = np.zeros(targets.shape[1]), np.zeros(targets.shape[1])
    for k in range(folds):
        train, test = fold != k, fold == k
        x = np.column_stack([scores, np.ones(len(scores))])
        w = np.linalg.lstsq(x[train], targets[train], rcond=None)[0]
        off += ((targets[test] - x[test] @ w) ** 2).sum(0)
        total += ((targets[test] - targets[test].mean(0)) ** 2).sum(0)
    return float(np.maximum(1 - off / np.maximum(total, 1e-12), 0).sum())


def elbow(values: np.ndarray) -> np.ndarray:
    """Which values lie before the elbow of the sorted curve: the best fit by two lines."""
    order = np.argsort(values)[::-1]
    curve = values[order]

    def misfit(part: np.ndarray) -> float:
        if len(part) < 3:
            return 0.0
        at = np.arange(len(part))
        return float(np.sum((part - np.polyval(np.polyfit(at, part, 1), at)) ** 2))

    cuts = [misfit(curve[:k]) + misfit(curve[k:]) for k in range(1, len(curve))]
    signal = np.zeros(len(values), bool)
    signal[order[: 1 + int(np.argmin(cuts))]] = True
    return signal & (values > 0)


def ratio(x: np.ndarray, y: np.ndarray, labels: np.ndarray, most: int = 50) -> float:
    """Δ; the labels are those of the first rows."""
    correlations, a, b = canonical(x, y)
    count, n = min(most, len(correlations)), len(labels)
    worth = [explained(np.column_stack([a[:n, k], b[:n, k]]), labels) for k in range(count)]
    signal = elbow(np.array(worth))
    correlations = correlations[:count]
    if not signal.any():
        return 0.0
    if signal.all():
        return np.inf
    return float(correlations[signal].min() / max(correlations[~signal].max(), 1e-12))
