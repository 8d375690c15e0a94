"""Aligned encoders in scikit-learn's manner; an extra: pip install 'redalign-jax[sklearn]'.

from redalign_jax.sklearn import AlignedEncoder

encoder = AlignedEncoder(modality=slice(0, 64), partner=slice(64, 304), strength=1.0)
make_pipeline(encoder, LogisticRegression()).fit(X, y)

`AlignedEncoder` learns classes, `AlignedRegressor` numbers.
"""

from typing import Any

import numpy as np

try:
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        RegressorMixin,
        TransformerMixin,
    )
    from sklearn.utils import Tags, check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError:
    raise ImportError(
        "redalign_jax.sklearn needs scikit-learn 1.6: pip install 'redalign-jax[sklearn]'"
    ) from None

from redalign_jax import config as configs
from redalign_jax.data import scaling, splits
from redalign_jax.data.sources import arrays
from redalign_jax.errors import UserError
from redalign_jax.fitted import single, train
from redalign_jax.sweep import grid
from redalign_jax.task import Split, Task

MODALITY, PARTNER = "modality", "partner"  # their names in `model_`
FEWEST = 4  # rows


class _Aligned(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """What both have in common: parameters, columns, and the embeddings of rows."""

    def __init__(
        self,
        modality: Any = None,
        partner: Any = None,
        *,
        strength: float | tuple[float, float] = 1.0,
        embed_dim: int = 32,
        hidden_sizes: tuple[int, ...] = (64,),
        learning_rate: float = 3e-3,
        weight_decay: float = 0.0,
        steps: int = 1000,
        batch_size: int = 128,
        valid: float = 0.1,
        random_state: Any = 0,
    ) -> None:
        self.modality, self.partner, self.strength = modality, partner, strength
        self.embed_dim, self.hidden_sizes = embed_dim, hidden_sizes
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.steps, self.batch_size, self.valid = steps, batch_size, valid
        self.random_state = random_state

    def _fit(self, X: np.ndarray, y: np.ndarray, classes: np.ndarray | None) -> None:  # noqa: N803
        """Trains on checked rows, and class numbers, or targets where there are no classes."""
        seed = int(check_random_state(self.random_state).randint(2**31))
        partner = self._columns(self.partner)
        self._own = self._columns(self.modality, without=partner)
        # a partner that is not there is of the same columns, and neither is pulled
        other = partner if len(partner) else self._own
        task = _task(X[:, self._own], X[:, other], y, classes, self.valid, seed)
        config = self._config(alone=not len(partner))
        best = single.train(config, task, seed)
        spec = grid.build_model(config, task, self.embed_dim)
        self.model_ = train.to_model(spec, config, task, best, {"seed": seed})

    def transform(self, X: Any) -> np.ndarray:  # noqa: N803
        """Embeddings of rows with all columns, (n, embed_dim) float32."""
        x = self._rows(X)
        return self.model_.embed(MODALITY, x)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Classes or numbers, (n,), as `fit` was given them."""
        x = self._rows(X)
        return self.model_.predict(MODALITY, x)

    @property
    def _n_features_out(self) -> int:
        return self.model_.encoders[MODALITY].module.features

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # embeddings are float32
        return tags

    @property
    def _called(self) -> str:
        return type(self).__name__

    def _rows(self, X: Any) -> np.ndarray:  # noqa: N803
        check_is_fitted(self, "model_")
        return validate_data(self, X, dtype=np.float64, reset=False)[:, self._own]

    def _columns(self, said: Any, without: np.ndarray | None = None) -> np.ndarray:
        """Column numbers."""
        every = np.arange(self.n_features_in_)
        if said is None and without is None:
            return every[:0]
        if said is None:
            said = np.setdiff1d(every, without)
        if not isinstance(said, slice):
            said = np.atleast_1d(np.asarray(said))
            if said.dtype.kind in "UO":
                names = list(getattr(self, "feature_names_in_", ()))
                unknown = [name for name in said if name not in names]
                if unknown:
                    raise UserError(
                        f"{type(self).__name__}: no column is called {str(unknown[0])!r}"
                    )
                said = np.array([names.index(name) for name in said], int)
        try:
            found = every[said]
        except IndexError:
            raise UserError(
                f"{self._called}: columns {said} are not of the {len(every)} of X"
            ) from None
        if not len(found):
            raise UserError(f"{self._called}: a modality has no columns")
        return found

    def _config(self, alone: bool) -> Any:
        config = configs.base(arrays.defaults())
        config.encoder.embed_dim = int(self.embed_dim)
        config.encoder.hidden_sizes = tuple(self.hidden_sizes)
        config.alignment.projection = (64, 16)
        config.hyper.strength = (0.0 if alone else self.strength,)
        config.hyper.learning_rate, config.hyper.weight_decay = (
            self.learning_rate,
            self.weight_decay,
        )
        config.train.steps, config.train.batch = int(self.steps), int(self.batch_size)
        config.train.evaluations = next(n for n in range(10, 0, -1) if int(self.steps) % n == 0)
        return train.check(config)


class AlignedEncoder(ClassifierMixin, _Aligned):
    """An MLP encoder of some columns, trained on classes and aligned with one of other columns.

    X is one array that holds both modalities side by side, so that it goes through pipelines,
    splits and grid searches as one; what is fitted on X needs X with all its columns again, and
    reads those of `modality` alone. Rows without a partner, or without scikit-learn, are for
    `model_.embed("modality", columns)`.

    Args:
      modality: columns to encode: a slice, numbers, a mask, or names where X is a frame; None takes
        all that `partner` does not.
      partner: columns of the modality to align with; None trains the encoder alone.
      strength: λ of InfoNCE; a pair for an own one of the partner's encoder.
      embed_dim: columns of what `transform` returns.
      hidden_sizes: of the MLP.
      learning_rate, weight_decay: of AdamW.
      steps: of training; the best of 10 moments is kept, by accuracy on rows held out.
      batch_size: rows per step.
      valid: share of every class that is held out for that.
      random_state: of the held out rows, init and batches.

    Attributes:
      classes_: (C,) sorted.
      model_: the `redalign_jax.Model` behind it, with `save` and `export_stablehlo`.
      n_features_in_, feature_names_in_: of X.
    """

    def fit(self, X: Any, y: Any) -> "AlignedEncoder":  # noqa: N803 scikit-learn's name
        """Trains on rows X (n, columns) of classes y (n,).

        Raises:
          ValueError: rows, classes or a parameter that cannot be used.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=FEWEST)  # noqa: N806
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, y = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("AlignedEncoder: y has one class only; two are needed")
        self._fit(X, y, self.classes_)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities, (n, C), in the order of `classes_`."""
        x = self._rows(X)
        return self.model_.predict_proba(MODALITY, x)


class AlignedRegressor(RegressorMixin, _Aligned):
    """An MLP encoder of some columns, trained on numbers and aligned with one of other columns.

    It predicts in the units of y, and `score` is R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)².

    Args:
      see `AlignedEncoder`; the best moment has the least absolute error on rows held out, which are
      a share `valid` of all.

    Attributes:
      model_, n_features_in_, feature_names_in_: see `AlignedEncoder`.
    """

    def fit(self, X: Any, y: Any) -> "AlignedRegressor":  # noqa: N803 scikit-learn's name
        """Trains on rows X (n, columns) of numbers y (n,).

        Raises:
          ValueError: rows, numbers or a parameter that cannot be used.
        """
        X, y = validate_data(  # noqa: N806
            self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=FEWEST
        )
        y = column_or_1d(y, dtype=np.float64, warn=True)
        if y.min() == y.max():
            raise ValueError("AlignedRegressor: y is one number only; two are needed")
        self._fit(X, y, None)
        return self


def _task(
    own: np.ndarray,
    other: np.ndarray,
    y: np.ndarray,
    classes: np.ndarray | None,
    share: float,
    seed: int,
) -> Task:
    """Rows in training and validation; of every class one or more in each, if it has two."""
    if not 0 < share < 1:
        raise UserError(f"valid={share} must lie between 0 and 1")
    rng = np.random.default_rng(seed)
    strata = np.zeros(len(y), int) if classes is None else y
    held = []
    for k in range(strata.max() + 1):
        rows = rng.permutation(np.flatnonzero(strata == k))
        held.append(rows[: min(len(rows) - 1, max(1, round(share * len(rows))))])
    out = np.sort(np.concatenate(held)) if any(map(len, held)) else np.arange(len(y))
    stay = np.setdiff1d(np.arange(len(y)), out) if len(out) < len(y) else out
    scales = tuple(scaling.measure(x, "vector", stay) for x in (own, other))
    x = [scaling.apply(v, "vector", s)[0] for v, s in zip((own, other), scales, strict=True)]
    mean, scale = 0.0, 1.0
    if classes is None:
        y, mean, scale = splits.standardised(y, stay)
    else:
        y = y.astype(np.int32)
    part = [Split(tuple(v[rows] for v in x), y[rows]) for rows in (stay, out)]
    return Task(
        (MODALITY, PARTNER),
        0 if classes is None else len(classes),
        *part,
        part[1],
        target_mean=mean,
        target_scale=scale,
        class_names=classes,
        scales=scales,
    )
