"""Fitted encoders: embeddings and predictions of new rows, one modality at a time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from redalign_jax.encoders import MLP
from redalign_jax.errors import UserError
from redalign_jax.fitted import architecture
from redalign_jax.fitted.inputs import Input, batches, count

ROWS = 1024  # that are computed at a time, at most
MEMORY = 2**28  # bytes that a batch may take in the device's memory


@dataclass(frozen=True, eq=False)
class Encoder:
    """An encoder and its head.

    Attributes:
      input: what it reads.
      module: the encoder's.
      outputs: of the head: classes, or 1 for a regression.
      params: {"encoder", "head"}.
    """

    input: Input
    module: nn.Module
    outputs: int
    params: Mapping[str, Any]

    def __getstate__(self) -> dict[str, Any]:
        """Without what is compiled or on a device: models are copied and sent to processes."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def head(self) -> nn.Module:
        """The linear head."""
        return MLP((), self.outputs)

    def apply(self, params: Mapping[str, Any], x: Array) -> tuple[Array, Array]:
        """Rows that are `inputs.ready` → embeddings (n, d), and logits or targets (n, outputs)."""
        with jax.default_matmul_precision("highest"):  # as a sweep measures
            h = self.module.apply(params["encoder"], x)
            return h, self.head.apply(params["head"], h)

    def run(self, name: str, x: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """`apply` on rows as a user gives them, batch by batch."""
        size = self._size(min(ROWS, max(1, count(name, x))))
        for rows in batches(self.input, name, x, size):
            padded = np.zeros((size, *self.input.shape), self.input.dtype)
            padded[: len(rows)] = rows
            h, out = jax.device_get(self._program(size)(self._placed, padded))
            yield h[: len(rows)], out[: len(rows)]

    def _size(self, rows: int) -> int:
        """A power of two that holds `rows`, or as many as fit in `MEMORY`."""
        size = 1 << (rows - 1).bit_length()
        while size > 1:
            memory = self._program(size).memory_analysis()
            if memory is None or memory.temp_size_in_bytes <= MEMORY:
                break
            size //= 2
        return size

    @cached_property
    def _placed(self) -> Any:
        return jax.tree.map(jnp.asarray, self.params)

    @cached_property
    def _program(self) -> Any:
        @cache
        def compiled(size: int) -> jax.stages.Compiled:
            x = jax.ShapeDtypeStruct((size, *self.input.shape), self.input.dtype)
            return jax.jit(self.apply).lower(self._placed, x).compile()

        return compiled


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
        from redalign_jax.fitted import files

        return files.save(self, Path(folder))

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

        return export.write(self, Path(path), modality, self._encoder(modality))

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
