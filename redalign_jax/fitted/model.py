"""Fitted encoders: embeddings and predictions of new rows, one modality at a time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from redalign_jax.errors import UserError
from redalign_jax.fitted import architecture, files
from redalign_jax.fitted.encoder import Encoder, Parts


class Model:
    """Fitted encoders, of `redalign_jax.fit` or `redalign_jax.load`.

    Attributes:
      encoders: by modality.
      class_names: what a prediction is one of; None for a regression.
      target_mean, target_scale: of a regression: a head's output times the scale, plus the mean, is
        in the user's units.
      about: what it was trained on and how, see docs/encoders.md.

    Every method takes one modality; the others need not be there. Rows are given as they were for
    training, in the user's units: numpy, JAX, pandas, scipy sparse, lists, memory maps. They are
    standardised as in training, and computed in batches, so that memory is bounded.
    """

    def __init__(
        self,
        encoders: Mapping[str, Encoder],
        class_names: np.ndarray | None,
        target_mean: float,
        target_scale: float,
        about: Mapping[str, Any],
    ) -> None:
        self.encoders, self.class_names, self.about = dict(encoders), class_names, dict(about)
        self.target_mean, self.target_scale = target_mean, target_scale

    def embed(self, modality: str, x: Any) -> np.ndarray:
        """Embeddings: (n, ...) rows → (n, d) float32.

        Raises:
          UserError: no such modality; rows of another shape or type; a number that is not finite.
        """
        encoder = self._encoder(modality)
        width = encoder.module.features
        parts = [h for h, _ in encoder.run(modality, x)]
        return np.concatenate([np.zeros((0, width), np.float32), *parts])

    def predict(self, modality: str, x: Any) -> np.ndarray:
        """What the encoder's own head says: (n,) class names as given, or targets in their units.

        Raises:
          UserError: as of `embed`.
        """
        outputs = self._outputs(modality, x)
        if self.class_names is None:
            return outputs[:, 0].astype(np.float64) * self.target_scale + self.target_mean
        return self.class_names[outputs.argmax(axis=1)]

    def predict_proba(self, modality: str, x: Any) -> np.ndarray:
        """Probabilities, (n, classes) float64, in the order of `class_names`.

        Raises:
          UserError: as of `embed`; the model is a regression.
        """
        if self.class_names is None:
            raise UserError(
                "predict_proba: the model is a regression, without classes; use predict"
            )
        return softmax(self._outputs(modality, x))

    def score(self, modality: str, x: Any, y: Any) -> float:
        """Accuracy, or for a regression R² = 1 − Σ (y − ŷ)² / Σ (y − ȳ)².

        Args:
          modality: of the rows.
          x: (n, ...) rows.
          y: (n,) labels as they were given for training.

        Raises:
          UserError: as of `embed`; labels of another number or kind, or no rows.
        """
        said, y = self.predict(modality, x), _labels(y)
        if y.shape != said.shape or not len(y):
            raise UserError(f"score: labels of shape {y.shape} for {len(said)} rows")
        if self.class_names is not None:
            if (y.dtype.kind in "US") != (self.class_names.dtype.kind in "US"):
                own = self.class_names.dtype
                raise UserError(f"score: labels are {y.dtype}, those of the training were {own}")
            return float(np.mean(said == y))
        if y.dtype.kind not in "biuf":
            raise UserError(f"score: labels are {y.dtype}, the model is a regression")
        y = y.astype(np.float64)
        spread = np.sum((y - y.mean()) ** 2)
        if not 0 < spread < np.inf:
            raise UserError("score: the labels are all equal or not finite; R² needs a spread")
        return float(1 - np.sum((y - said) ** 2) / spread)

    def save(self, folder: str | Path) -> Path:
        """Writes the model into a folder, whole or not at all, for `redalign_jax.load`.

        Args:
          folder: made if need be; a model that it holds is replaced.

        Returns:
          The folder.

        Raises:
          UserError: it cannot be written, or holds another program's model.
        """
        return files.save(self._parts, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> "Model":
        """The model that `save` wrote; nothing in the folder is run or unpickled.

        Raises:
          UserError: see `files.load`.
        """
        return cls(*files.load(Path(folder)))

    def export_stablehlo(self, path: str | Path, modality: str) -> Path:
        """Writes one encoder as StableHLO, to serve it without redalign; see `fitted.export`.

        Args:
          path: the file.
          modality: whose encoder.

        Returns:
          The path.

        Raises:
          UserError: no such modality, or the file cannot be written.
        """
        from redalign_jax.fitted import export

        self._encoder(modality)
        return export.write(self._parts, Path(path), modality)

    @property
    def _parts(self) -> Parts:
        return Parts(*(getattr(self, name) for name in Parts._fields))

    def _encoder(self, modality: str) -> Encoder:
        if modality not in self.encoders:
            raise UserError(f"no modality {modality!r}; there are {', '.join(self.encoders)}")
        return self.encoders[modality]

    def _outputs(self, modality: str, x: Any) -> np.ndarray:
        encoder = self._encoder(modality)
        parts = [out for _, out in encoder.run(modality, x)]
        return np.concatenate([np.zeros((0, encoder.outputs), np.float32), *parts])

    def __repr__(self) -> str:
        said = [
            f"{name}: {architecture.kind(e.module)}, {e.input.words} → {e.module.features}"
            for name, e in self.encoders.items()
        ]
        return "\n".join(["Model", *(f"  {line}" for line in said)])


def _labels(y: Any) -> np.ndarray:
    y = np.asarray(y)
    y = np.array(y.tolist()) if y.dtype.kind == "O" else y
    return y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y


def softmax(outputs: np.ndarray) -> np.ndarray:
    """(n, classes) logits → probabilities, float64."""
    z = outputs.astype(np.float64)
    p = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
    return p / p.sum(axis=1, keepdims=True)
