"""One fitted encoder with its head, and all that a model is made of."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from redalign_jax.encoders import MLP
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


class Parts(NamedTuple):
    """What a `Model` is made of, and what its files hold; the attributes are those of `Model`."""

    encoders: Mapping[str, Encoder]
    class_names: np.ndarray | None
    target_mean: float
    target_scale: float
    about: Mapping[str, Any]
