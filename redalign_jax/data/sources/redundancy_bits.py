"""`redundancy_bits`: paired bits whose redundancy is a dial, and everything exact about them.

    c   8 fair bits that both modalities see
    u₁  4 fair bits that only x1 sees, u₂ 4 that only x2 sees
    x1 = (c, u₁),  x2 = (c, u₂),  12 bits each
    y ~ softmax(Wᵀf / T + b), 4 classes

f collects 8 *relevant* bits: R of c, ⌊(8−R)/2⌋ of u₁, the rest of u₂. Rows of W (8×4) are
uniform(0,1) scaled to unit norm; b makes p(y) uniform. The assignment is nested: from R to R+1
exactly one relevant bit, with its row of W, moves from u₁ or u₂ (in turn) into c, and nothing else
changes, so redundancy cannot fall. All draws depend on the seed alone: neighbouring R share them.
"""

from functools import partial
from itertools import product
from typing import NamedTuple

import numpy as np
from ml_collections import ConfigDict

from redalign_jax.errors import UserError
from redalign_jax.task import Split, Task

SHARED, UNIQUE, RELEVANT, CLASSES = 8, 4, 8, 4
MODALITIES = ("x1", "x2")


class Process(NamedTuple):
    """How labels come about.

    Attributes:
      weights: (8, 4) W, one row per relevant bit.
      bias: (4,) b.
      temperature: T.
      part: (8,) where each relevant bit lives: 0 in c, 1 in u₁, 2 in u₂.
      bit: (8,) which bit of that part it is.
    """

    weights: np.ndarray
    bias: np.ndarray
    temperature: float
    part: np.ndarray
    bit: np.ndarray


def defaults() -> ConfigDict:
    """The fields of `config.data`; those given as tuples are axes of the sweep."""
    return ConfigDict(
        {
            "source": "redundancy_bits",
            "redundancy": (0, 1, 2, 3, 4, 5, 6, 7, 8),  # R, relevant bits that are shared
            "labels": (1000,),  # training examples with a label
            "pairs": (0,),  # training pairs, labelled or not; 0 means as many as labels
            "label_temperature": (0.05,),  # T, label noise
            "depth": (0,),  # tanh layers that modality x2 is seen through
            "valid": 1000,  # validation examples
            "test": 4096,  # test examples
        }
    )


def _log_softmax(s: np.ndarray) -> np.ndarray:
    s = s - s.max(axis=-1, keepdims=True)
    return s - np.log(np.exp(s).sum(axis=-1, keepdims=True))


def _states() -> np.ndarray:
    return np.array(list(product((0, 1), repeat=RELEVANT)), np.float64)


def process(redundancy: int, temperature: float, seed: int) -> Process:
    """The process at redundancy R ∈ 0..8 and label temperature T > 0; the seed draws W and bits."""
    rng = np.random.default_rng([seed, 0])
    weights = rng.uniform(size=(RELEVANT, CLASSES))
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    own = [rng.permutation(UNIQUE) for _ in MODALITIES]
    shared = rng.permutation(SHARED)
    part = np.repeat([1, 2], UNIQUE)
    bit = np.concatenate(own)
    for moved in range(redundancy):
        # moves 0, 2, 4, 6 take from u₁, the others from u₂
        feature = moved // 2 + UNIQUE * (moved % 2)
        part[feature], bit[feature] = 0, shared[moved]
    scores = _states() @ weights / temperature
    bias = np.zeros(CLASSES)
    for _ in range(10_000):  # matrix scaling: rows are distributions, column means become 1/4
        mean = np.exp(_log_softmax(scores + bias)).mean(axis=0)
        if np.abs(mean - 1 / CLASSES).max() < 1e-12:
            break
        bias -= np.log(mean * CLASSES)
    return Process(weights, bias, temperature, part, bit)


def joint(p: Process) -> np.ndarray:
    """The exact p(x1, x2, y) over relevant bits only: the others drop out of every information.

    R counts bits, not information: at R = 0 the redundancy in nats is small but not 0, because y
    depends on the bits of u₁ and u₂ in much the same way. It cannot fall with R, and is I(X;Y) at
    R = 8.

    Returns:
      (2^k₁, 2^k₂, 4) with k_m the relevant bits that modality m sees; sums to 1.
    """
    states = _states()
    index = []
    for m in (1, 2):
        seen = states[:, (p.part == 0) | (p.part == m)]
        index.append((seen @ 2 ** np.arange(seen.shape[1])).astype(int))
    table = np.zeros((index[0].max() + 1, index[1].max() + 1, CLASSES))
    conditional = np.exp(_log_softmax(states @ p.weights / p.temperature + p.bias))
    np.add.at(table, tuple(index), conditional / len(states))
    return table


def bayes_accuracy(p: Process) -> dict[str, float]:
    """The best possible accuracy from x1, x2, both ("x1|x2"), and the bits of c ("shared")."""
    states = _states()
    conditional = np.exp(_log_softmax(states @ p.weights / p.temperature + p.bias))
    seen = {
        "x1": p.part != 2,
        "x2": p.part != 1,
        "x1|x2": p.part >= 0,
        "shared": p.part == 0,
    }
    best = {}
    for name, bits in seen.items():
        _, group = np.unique(states[:, bits], axis=0, return_inverse=True)
        mass = np.zeros((group.max() + 1, CLASSES))
        np.add.at(mass, group.ravel(), conditional / len(states))
        best[name] = float(mass.max(axis=1).sum())
    return best


def _through_network(bits: np.ndarray, depth: int, rng: np.random.Generator) -> np.ndarray:
    """`depth` layers x ← tanh(1.5 Qx), Q orthogonal: another look of the same information."""
    x = 2.0 * bits - 1
    for _ in range(depth):
        q, _ = np.linalg.qr(rng.standard_normal((x.shape[1], x.shape[1])))
        x = np.tanh(1.5 * x @ q)
    return x.astype(np.float32)


def _check(config: ConfigDict) -> None:
    if not 0 <= config.redundancy <= RELEVANT:
        raise UserError(f"data.redundancy: {config.redundancy} is not in 0..{RELEVANT}")
    if not config.label_temperature > 0:
        raise UserError(f"data.label_temperature: {config.label_temperature} is not above 0")
    if config.labels < CLASSES:
        raise UserError(f"data.labels: {config.labels} is below the {CLASSES} classes")
    if config.pairs and config.pairs < config.labels:
        raise UserError(
            f"data.labels: {config.labels} is above the training split's {config.pairs} pairs"
        )
    if config.depth < 0:
        raise UserError(f"data.depth: {config.depth} is negative")
    for field in ("valid", "test"):
        if config[field] < 1:
            raise UserError(f"data.{field}: {config[field]} examples are too few")


def load(config: ConfigDict, seed: int) -> Task:
    """Samples a task; `config` has the fields of `defaults` with one value each.

    Raises:
      UserError: a value that is out of range.
    """
    _check(config)
    p = process(config.redundancy, config.label_temperature, seed)
    sizes = [config.pairs or config.labels, config.valid, config.test]
    # Each split has a stream of its own, so that its size does not change the others.
    splits = []
    for number, n in enumerate(sizes):
        rng = np.random.default_rng([seed, 1, number])
        parts = [rng.integers(0, 2, (n, width), np.int8) for width in (SHARED, UNIQUE, UNIQUE)]
        f = np.stack([parts[a][:, b] for a, b in zip(p.part, p.bit, strict=True)], axis=1)
        noise = rng.gumbel(size=(n, CLASSES))
        y = np.argmax(f @ p.weights / p.temperature + p.bias + noise, axis=1).astype(np.int32)
        x1, x2 = (np.concatenate([parts[0], parts[m]], axis=1) for m in (1, 2))
        if config.depth:
            x2 = _through_network(x2, config.depth, np.random.default_rng([seed, 2]))
        splits.append(Split((x1, x2), y))
    train, valid, test = splits
    train = train._replace(y=train.y[: config.labels])
    known = {(name, "bayes_accuracy"): value for name, value in bayes_accuracy(p).items()}
    return Task(MODALITIES, CLASSES, train, valid, test, known, partial(joint, p))
