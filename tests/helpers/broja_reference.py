"""Joint tables whose decomposition is known, and an independent solver for the others."""

from collections.abc import Callable
from itertools import product

import cvxpy as cp
import numpy as np
import scipy.sparse as sp


def gate(sizes: tuple[int, ...], sources: Callable) -> np.ndarray:
    """The table of (x1, x2, y) = sources(*bits) under independent uniform inputs."""
    outcomes = [sources(*bits) for bits in product(*(range(n) for n in sizes))]
    labels = [
        {v: i for i, v in enumerate(sorted(set(axis)))} for axis in zip(*outcomes, strict=True)
    ]
    p = np.zeros([len(axis) for axis in labels])
    for outcome in outcomes:
        p[tuple(axis[v] for axis, v in zip(labels, outcome, strict=True))] += 1 / len(outcomes)
    return p


_AND = 0.75 * np.log2(4 / 3)  # I(X1; X1 and X2), bits

# name: (table, (R, U1, U2, S) in bits)
GATES = {
    "and": (gate((2, 2), lambda a, b: (a, b, a & b)), (_AND, 0, 0, 0.5)),
    "or": (gate((2, 2), lambda a, b: (a, b, a | b)), (_AND, 0, 0, 0.5)),
    "xor": (gate((2, 2), lambda a, b: (a, b, a ^ b)), (0, 0, 0, 1)),
    "xor3": (gate((3, 3), lambda a, b: (a, b, (a + b) % 3)), (0, 0, 0, np.log2(3))),
    "sum": (gate((2, 2), lambda a, b: (a, b, a + b)), (0.5, 0, 0, 1)),
    "copy": (gate((2, 2), lambda a, b: (a, b, (a, b))), (0, 1, 1, 0)),
    "unique": (gate((2, 2), lambda a, b: (a, b, a)), (0, 1, 0, 0)),
    "redundant": (gate((2,), lambda a: (a, a, a)), (1, 0, 0, 0)),
    "rdn_xor": (gate((2,) * 3, lambda r, a, b: ((r, a), (r, b), (r, a ^ b))), (1, 0, 0, 1)),
    "rdn_unq": (gate((2,) * 3, lambda r, a, b: ((r, a), (r, b), (r, a, b))), (1, 1, 1, 0)),
    "xor_unq": (gate((2,) * 3, lambda u, a, b: ((u, a), b, (u, a ^ b))), (0, 1, 0, 1)),
    "rdn_unq_xor": (
        gate((2,) * 5, lambda r, u, v, a, b: ((r, u, a), (r, v, b), (r, u, v, a ^ b))),
        (1, 1, 1, 1),
    ),
    "xor_and": (gate((2, 2), lambda a, b: (a, b, (a ^ b, a & b))), (0.5, 0, 0, 1)),
}


def random_table(rng: np.random.Generator, shape: tuple[int, ...], alpha: float) -> np.ndarray:
    """A table drawn from a symmetric Dirichlet distribution."""
    return rng.dirichlet(np.full(np.prod(shape), alpha)).reshape(shape)


def union_problem(p: np.ndarray) -> cp.Problem:
    """min Σ q log q(y|x1,x2) over the q with the marginals of p, as one vectorised model."""
    n1, n2, ny = p.shape
    q = cp.Variable((n1 * n2, ny), nonneg=True)
    over_x2 = sp.kron(sp.eye_array(n1), np.ones((1, n2)))
    over_x1 = sp.kron(np.ones((1, n1)), sp.eye_array(n2))
    cells = cp.reshape(cp.sum(q, axis=1), (n1 * n2, 1), order="C") @ np.ones((1, ny))
    objective = cp.Minimize(cp.sum(cp.rel_entr(q, cells)))
    return cp.Problem(objective, [over_x2 @ q == p.sum(1), over_x1 @ q == p.sum(0)])


def union_information(p: np.ndarray) -> float:
    """I* = min I_q(X1,X2;Y), nats, by Clarabel."""
    p_y = p.sum((0, 1))
    return float(union_problem(p).solve(solver=cp.CLARABEL) - np.sum(p_y * np.log(p_y)))
