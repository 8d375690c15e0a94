"""Class probabilities of every example from classifiers that never saw it."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import scipy
from jax import Array

from redalign_jax.encoders import MLP
from redalign_jax.errors import UserError
from redalign_jax.pid import groups
from redalign_jax.task import Split
from redalign_jax.training.data import Data
from redalign_jax.training.flat import layout
from redalign_jax.training.loop import TrainSpec, segment
from redalign_jax.training.model import Hyper, ModelSpec, embed, predict
from redalign_jax.training.start import State, start

AT_ONCE = 2**28  # bytes of training inputs that are gathered at a time
LOOKS = 10  # moments of training at which a classifier may be stopped


class Recipe(NamedTuple):
    """How the classifiers are trained.

    Attributes:
      folds: parts of the data; each is judged by classifiers trained on the others.
      ensemble_size: partitions and inits whose log-probabilities are averaged.
      hidden_sizes: hidden widths of the MLP.
      steps: optimiser steps of a classifier, rounded up to a multiple of 10; the best of the 10
        moments is kept.
      batch: examples per step.
      learning_rate: of Adam.
      weight_decay: decoupled, on kernels only.
    """

    folds: int = 5
    ensemble_size: int = 2
    hidden_sizes: tuple[int, ...] = (64,)
    steps: int = 400
    batch: int = 128
    learning_rate: float = 5e-3
    weight_decay: float = 0.5


def steps(recipe: Recipe) -> int:
    """Optimiser steps of the classifiers of one input, all folds and members."""
    return recipe.folds * recipe.ensemble_size * _rounded(recipe)


def _rounded(recipe: Recipe) -> int:
    return -(-recipe.steps // LOOKS) * LOOKS


class Partition(NamedTuple):
    """Folds of some rows: (folds, a) rows to train on, (folds, b) rows to judge, a training key.

    Every fold has as many rows as the largest, which the others reach by repeating a few.
    """

    train: np.ndarray
    judge: np.ndarray
    key: Array


def standardised(x: np.ndarray) -> np.ndarray:
    """(n, ...) → (n, d) float32, each column of mean 0 and deviation 1, a constant one 0."""
    x = x.reshape(len(x), -1).astype(np.float64)
    mean, std = x.mean(axis=0), x.std(axis=0)
    constant = std <= 1e-7 * np.abs(mean)
    return ((x - mean) / np.where(constant, np.inf, std)).astype(np.float32)


def partitions(
    rows: np.ndarray, y: np.ndarray, group: np.ndarray, recipe: Recipe, rng: np.random.Generator
) -> list[Partition]:
    """A partition per member, stratified by class, that leaves groups whole.

    Args:
      rows: of the data, to be divided; half of the groups or all.
      y: (n,) classes of all the data. Where every row is a group of its own, shapes follow from n:
        all choices of rows share a program. Larger groups are rounded up, to share one mostly.
      group: (n,) numbers of the rows' groups.
      recipe: `folds` and `ensemble_size` are read.
      rng: draws it all.

    Raises:
      UserError: there are fewer groups than folds.
    """
    there = len(np.unique(group[rows]))
    if there < recipe.folds:
        raise UserError(
            f"groups: {there} groups of rows that belong together are there to be divided, fewer "
            f"than folds={recipe.folds}"
        )
    n, largest = len(y), int(np.bincount(group).max())
    fair = -(-n // recipe.folds)
    found = []
    for _ in range(recipe.ensemble_size):
        order, fold = groups.deal(y, group, rows, recipe.folds, rng)
        most = int(np.bincount(fold).max())
        over = max(1, -(-(most - fair) // largest)) * largest if largest > 1 else 0
        room = min(n, fair + over)
        train, judge = [], []
        for f in range(recipe.folds):
            train.append(np.resize(rng.permutation(order[fold != f]), n - fair))
            judge.append(np.resize(order[fold == f], room))
        key = jax.random.key(rng.integers(2**32, dtype=np.uint32))
        found.append(Partition(np.stack(train), np.stack(judge), key))
    return found


@partial(jax.jit, static_argnums=(0, 1))
@jax.default_matmul_precision("highest")  # what is measured must not be rounded to bfloat16
def _train(
    model: ModelSpec, plan: TrainSpec, hyper: Hyper, x: Array, y: Array, fold: Partition
) -> Array:
    """Trains a classifier per fold; (folds, LOOKS, b, classes) log-probabilities of its rows.

    The inputs are (n, d), or (folds, n, d) where every fold has its own.
    """

    def one(at: tuple[Partition, Array | None]) -> Array:
        fold, own = at
        seen = x if own is None else own
        train, judge = (Split((seen[rows],), y[rows]) for rows in (fold.train, fold.judge))
        data = Data(train, judge, judge)
        read = layout(model, train.x)

        def look(state: State, first: Array) -> tuple[State, Array]:
            state, _ = segment(model, plan, hyper, fold.key, data, state, first)
            params = read.unravel(state.params)
            with jax.default_matmul_precision("highest"):  # training takes the device's own
                outputs = predict(model, params, embed(model, params, judge.x))
            return state, jax.nn.log_softmax(outputs[0])

        state = start(model, hyper, fold.key, data)
        return jax.lax.scan(look, state, jnp.arange(LOOKS) * (plan.steps // LOOKS))[1]

    folds, rows = fold.train.shape
    at_once = int(np.clip(AT_ONCE // (4 * rows * x.shape[-1]), 1, folds))
    return jax.lax.map(one, (fold, x if x.ndim == 3 else None), batch_size=at_once)


def classifier(classes: int, recipe: Recipe) -> tuple[ModelSpec, Hyper]:
    """What is trained, and how."""
    # no alignment: strength 0, and a single modality has nothing to be aligned with
    model = ModelSpec(
        modalities=("x",),
        classes=classes,
        encoders=(MLP(recipe.hidden_sizes, classes),),
        projector=None,
        objective="info_nce",
        schedule="constant",
        learned_temperature=False,
        bounded=True,
    )
    off = Hyper(*(jnp.float32(0) for _ in Hyper._fields))
    hyper = off._replace(
        strength=jnp.zeros(1),
        temperature=jnp.float32(1),
        learning_rate=jnp.float32(recipe.learning_rate),
        weight_decay=jnp.float32(recipe.weight_decay),
    )
    return model, hyper


def log_posteriors(
    x: Sequence[np.ndarray], y: np.ndarray, classes: int, parts: list[Partition], recipe: Recipe
) -> np.ndarray:
    """Calibrated log p(y | x_i) of every row in `parts`, from classifiers that never saw row i.

    The members' log-probabilities are averaged. Then two numbers are chosen by the mean
    log-probability of the labels: the moment of training, of LOOKS, and b ≥ 0 in
    p(y | x) ∝ π_y (p̂(y | x) / π_y)^b, π the class proportions. b undoes overconfidence; at b = 0
    nothing is known but π, so that what the classifier knows is never below 0.

    Args:
      x: inputs, whose columns are read side by side: (n, d) standardised, or (parts, folds, n, d)
        where every fold has its own, see `wide.reduced`.
      y: (n,) classes.
      classes: C.
      parts: from `partitions`; all of the same rows.
      recipe: of the classifiers.

    Returns:
      (n, C); NaN in rows that are not in `parts`.
    """
    model, hyper = classifier(classes, recipe)
    folds, rows = parts[0].train.shape
    plan = TrainSpec(_rounded(recipe), min(recipe.batch, rows), LOOKS)
    labels = jnp.asarray(y, jnp.int32)
    shared = all(one.ndim == 2 for one in x)
    inputs = jnp.asarray(np.concatenate(x, axis=1)) if shared else None
    total = np.zeros((LOOKS, len(y), classes))
    known = np.zeros(len(y), bool)
    for i, part in enumerate(parts):
        known[part.judge] = True
        if not shared:
            each = [one[i] if one.ndim == 4 else np.stack([one] * folds) for one in x]
            inputs = jnp.asarray(np.concatenate(each, axis=-1))
        keys = jax.random.split(part.key, folds)
        out = np.asarray(_train(model, plan, hyper, inputs, labels, part._replace(key=keys)))
        for rows, judged in zip(part.judge, out, strict=True):
            total[:, rows] += judged  # a repeated row is assigned once
    mean = total[:, known] / len(parts)
    result = np.full((len(y), classes), np.nan)
    result[known] = _calibrated(mean, y[known])
    return result


def _calibrated(log_p: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(looks, n, C) → (n, C): the best look, tempered; see `log_posteriors`."""
    counts = np.bincount(y, minlength=log_p.shape[-1])
    log_prior = np.log(np.maximum(counts, 1e-9) / len(y))
    evidence = log_p - log_prior

    def tempered(look: int, b: float) -> np.ndarray:
        z = b * evidence[look] + log_prior
        z = z - z.max(axis=-1, keepdims=True)
        return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))

    def loss(look: int, b: float) -> float:
        return -np.mean(tempered(look, b)[np.arange(len(y)), y])

    best = (loss(0, 0.0), 0, 0.0)
    for look in range(len(log_p)):
        found = scipy.optimize.minimize_scalar(partial(loss, look), bounds=(0, 4), method="bounded")
        best = min(best, (float(found.fun), look, float(found.x)))
    return tempered(*best[1:])
