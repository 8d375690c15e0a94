"""`gaussian_views`: two normal views of a number, with everything about them in closed form.

    c    K normal directions that both views see, each with noise of its own
    u_m  p − K normal directions that view m alone sees
    x_m  Q_m (√r c + √(1−r) e_m, u_m), white, Q_m a random rotation
    y    α aᵀc + γ (v_1ᵀu_1 + v_2ᵀu_2) + ε,   a, v_1, v_2 random unit vectors, Var y = 1

r is the canonical correlation of every common direction. Either view explains 1 − noise of y, the
part ρ of it through common directions: α² r = ρ (1 − noise), γ² = (1 − ρ)(1 − noise). The other
K − 1 common and p − K − 1 private directions are nuisance. ρ moves nothing else: not what a view
tells, nor how alike the views are.
"""

import math
from functools import partial

import numpy as np
from ml_collections import ConfigDict

from redalign_jax.errors import UserError
from redalign_jax.task import Normal, Split, Task

MODALITIES = ("x1", "x2")


def defaults() -> ConfigDict:
    """The fields of `config.data`; those given as tuples are axes of the sweep."""
    return ConfigDict(
        {
            "source": "gaussian_views",
            "shared": (0.1, 0.3, 0.5, 0.7, 0.9),  # ρ, part of what a view explains that is common
            "labels": (100,),  # training examples with a label
            "pairs": (0,),  # training pairs, labelled or not; 0 means as many as labels
            "noise": (0.5,),  # variance of the target, of 1, that one view does not explain
            "correlation": (0.9,),  # r, canonical, of every common direction
            "inputs": 16,  # p, of each view
            "common": 4,  # K, directions that both views see
            "valid": 1000,  # validation examples
            "test": 4096,  # test examples
        }
    )


def weights(config: ConfigDict) -> tuple[float, float, float]:
    """α, γ and the deviation of ε."""
    explained = 1 - config.noise
    alpha, gamma = config.shared * explained / config.correlation, (1 - config.shared) * explained
    return math.sqrt(alpha), math.sqrt(gamma), math.sqrt(1 - alpha - 2 * gamma)


def _drawn(config: ConfigDict, seed: int) -> tuple[np.ndarray, tuple, tuple]:
    """Directions a, (v_1, v_2) of the label and rotations (Q_1, Q_2), by the seed alone."""
    rng = np.random.default_rng([seed, 0])
    private = config.inputs - config.common

    def unit(n: int) -> np.ndarray:
        v = rng.standard_normal(n)
        return v / np.linalg.norm(v)

    label = unit(config.common)
    own = tuple(unit(private) for _ in MODALITIES)
    turns = tuple(
        np.linalg.qr(rng.standard_normal((config.inputs, config.inputs)))[0] for _ in MODALITIES
    )
    return label, own, turns


def joint(config: ConfigDict, seed: int) -> Normal:
    """The exact distribution of (x1, x2, y)."""
    alpha, gamma, _ = weights(config)
    label, own, turns = _drawn(config, seed)
    p, k, r = config.inputs, config.common, config.correlation
    sigma = np.eye(2 * p + 1)
    sigma[:p, p : 2 * p] = turns[0][:, :k] * r @ turns[1][:, :k].T
    sigma[p : 2 * p, :p] = sigma[:p, p : 2 * p].T
    for m, (v, turn) in enumerate(zip(own, turns, strict=True)):
        cross = turn @ np.concatenate([alpha * math.sqrt(r) * label, gamma * v])
        sigma[m * p : (m + 1) * p, -1] = sigma[-1, m * p : (m + 1) * p] = cross
    return Normal(sigma, (p, p))


def _check(config: ConfigDict) -> None:
    if not 0 <= config.shared <= 1:
        raise UserError(f"data.shared: {config.shared:g} is not in [0, 1]")
    for field in ("noise", "correlation"):
        if not 0 < config[field] < 1:
            raise UserError(f"data.{field}: {config[field]:g} is not between 0 and 1")
    if not 0 < config.common < config.inputs:
        raise UserError(
            f"data.common: {config.common} is not between 0 and data.inputs, {config.inputs}"
        )
    needed = config.shared / config.correlation + 2 * (1 - config.shared)
    if (1 - config.noise) * needed > 1 - 1e-9:
        raise UserError(
            f"data.noise: {config.noise:g} leaves more to explain than there is; with "
            f"data.shared={config.shared:g} above {1 - 1 / needed:.4g}"
        )
    if config.labels < 2:
        raise UserError(f"data.labels: {config.labels} are too few, at least 2")
    if config.pairs and config.pairs < config.labels:
        raise UserError(
            f"data.labels: {config.labels} is above the training split's {config.pairs} pairs"
        )
    for field in ("valid", "test"):
        if config[field] < 1:
            raise UserError(f"data.{field}: {config[field]} examples are too few")


def load(config: ConfigDict, seed: int) -> Task:
    """Samples a task, a regression; `config` has the fields of `defaults` with one value each.

    Raises:
      UserError: a value that is out of range.
    """
    _check(config)
    alpha, gamma, rest = weights(config)
    label, own, turns = _drawn(config, seed)
    r, private = config.correlation, config.inputs - config.common
    splits = []
    for number, n in enumerate([config.pairs or config.labels, config.valid, config.test]):
        # a stream of its own per split and part: more pairs change no label, ρ changes no input
        def normal(part: int, width: int, n: int = n, number: int = number) -> np.ndarray:
            return np.random.default_rng([seed, 1, number, part]).standard_normal((n, width))

        c = normal(0, config.common)
        y, x = alpha * c @ label + rest * normal(1, 1)[:, 0], []
        for m, (v, turn) in enumerate(zip(own, turns, strict=True)):
            u = normal(2 + 2 * m, private)
            seen = math.sqrt(r) * c + math.sqrt(1 - r) * normal(3 + 2 * m, config.common)
            y = y + gamma * u @ v
            x.append((np.concatenate([seen, u], axis=1) @ turn.T).astype(np.float32))
        splits.append(Split(tuple(x), y.astype(np.float32)))
    train, valid, test = splits
    train = train._replace(y=train.y[: config.labels])
    known = {}
    for name in MODALITIES:
        # of the conditional mean; its error is normal
        known[name, "bayes_mae"] = math.sqrt(2 / math.pi * config.noise)
        known[name, "bayes_corr"] = math.sqrt(1 - config.noise)
    return Task(
        MODALITIES,
        0,
        train,
        valid,
        test,
        known,
        partial(joint, config.copy_and_resolve_references(), seed),
    )
