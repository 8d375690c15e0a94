"""From class probabilities to a joint table of a discrete modality and y."""

import warnings

import numpy as np
import scipy

DRAWS = 20  # of labels, for the bias of counts


def clusters(log_p: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """k-means of the square roots of (n, C) probabilities, where distances are Hellinger's.

    The first C centres are the example surest of each class, so that none goes without a cluster;
    the others are drawn far from those there are (k-means++). `count` is at least C.
    """
    points = np.exp(log_p / 2)
    different, index = np.unique(np.round(points, 4), axis=0, return_inverse=True)
    if len(different) <= count:
        return index.ravel()
    centres = points[np.unique(log_p.argmax(axis=0))]
    nearest = np.full(len(points), np.inf)
    for centre in centres:
        nearest = np.minimum(nearest, np.sum((points - centre) ** 2, axis=1))
    while len(centres) < count:
        chosen = rng.choice(len(points), p=nearest / nearest.sum())
        centres = np.append(centres, points[[chosen]], axis=0)
        nearest = np.minimum(nearest, np.sum((points - points[chosen]) ** 2, axis=1))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="One of the clusters is empty")
        return scipy.cluster.vq.kmeans2(points, centres, iter=20, minit="matrix")[1]


def information(p: np.ndarray) -> float:
    """I of a joint table (k, C), nats."""
    product = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    seen = p > 0
    return float(np.sum(p[seen] * np.log(p[seen] / product[seen])))


def counted(cluster: np.ndarray, y: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The joint table (k, C) of cluster and y."""
    cells = np.bincount(cluster * shape[1] + y, minlength=shape[0] * shape[1])
    return cells.reshape(shape) / len(y)


def bias(
    cluster: np.ndarray,
    log_p: np.ndarray,
    unit: np.ndarray,
    clusters: int,
    rng: np.random.Generator,
) -> float:
    """How much counts overstate I(cluster;Y): the mean over labels drawn from (n, C) log p(y|x).

    Rows of one unit, (n,) numbers from 0, have one label and are drawn as one: copies do not make
    counts more certain.
    """
    n, classes = log_p.shape
    p = np.exp(log_p)
    truth = np.zeros((clusters, classes))
    np.add.at(truth, cluster, p / n)
    ladder = np.cumsum(p, axis=1)[:, :-1]
    drawn = []
    for _ in range(DRAWS):
        y = np.sum(rng.random(unit.max() + 1)[unit][:, None] > ladder, axis=1)
        drawn.append(information(counted(cluster, y, truth.shape)))
    return float(np.mean(drawn)) - information(truth)


def table(
    log_p: np.ndarray, y: np.ndarray, unit: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """The joint table (count, C) of y and clusters of log p(y|x), without what counts overstate.

    It is pulled toward independence until `bias` nats are gone.
    """
    cluster = clusters(log_p, count, rng)
    p = counted(cluster, y, (count, log_p.shape[1]))
    plain = information(p)
    target = plain - bias(cluster, log_p, unit, count, rng)
    independent = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    if target >= plain:
        return p
    low, high = 0.0, 1.0
    for _ in range(40):
        share = (low + high) / 2
        if information((1 - share) * p + share * independent) > target:
            low = share
        else:
            high = share
    return (1 - high) * p + high * independent
