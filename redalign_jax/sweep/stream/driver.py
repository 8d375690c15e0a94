"""What the host does: gathers and sends the next window while the devices train."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from redalign_jax.data.rows import aligned
from redalign_jax.runtime import devices
from redalign_jax.sweep.stream.parts import Sizes, Streamed, reading
from redalign_jax.sweep.stream.programs import Compiled
from redalign_jax.task import Split
from redalign_jax.training.data import Data
from redalign_jax.training.loop import TrainMetrics, TrainSpec
from redalign_jax.training.model import Hyper
from redalign_jax.training.start import State


class Driver(NamedTuple):
    """The three steps of a block, with the arguments of those of a `Program` in memory.

    Attributes:
      compiled: what runs on the devices.
      size: how the block is cut.
      plan: static numbers of training.
      mesh: the devices.
      rows: of the block.
    """

    compiled: Compiled
    size: Sizes
    plan: TrainSpec
    mesh: Mesh
    rows: int

    def start(self, hyper: Hyper, seeds: Array, data: Streamed) -> State:
        """The runs before their first step."""
        return self.compiled.start(hyper, seeds, self._tiny(data))

    def segment(
        self, hyper: Hyper, seeds: Array, data: Streamed, state: State, first: Array
    ) -> tuple[State, TrainMetrics]:
        """Trains a segment; its last stretch has sent the next one's first window ahead."""
        begin, losses = int(jax.device_get(first)), []
        end = begin + self.plan.steps // self.plan.evaluations
        here = data.ahead.pop(begin, None) or self._stretch(data, self._drawn(seeds, begin))
        for at in range(begin, end, self.size.stretch):
            after = at + self.size.stretch
            last = after >= self.plan.steps
            drawn = None if last else self._drawn(seeds, after)  # before the device is busy
            state, loss = self.compiled.train(hyper, seeds, here, state, self._number(at))
            losses.append(loss)
            here = None if last else self._stretch(data, drawn)
        if here is not None:
            data.ahead[end] = here
        losses = jax.tree.map(lambda *one: _joined(one, end), *losses)
        (valid,) = self._embedded(data, "valid", state.params)
        now = (state, valid, losses)
        seen = self._tiny(data)._replace(valid=data.base.valid, order=data.base.order)
        return self.compiled.look(hyper, seeds, seen, now, self._number(end))

    def measure(self, hyper: Hyper, seeds: Array, data: Streamed, state: State) -> Any:
        """What the trained runs are worth."""
        rows = np.broadcast_to(np.arange(self.size.probes), (self.rows, self.size.probes))
        of = self._window(data, "train", data.base.train, [rows] * len(data.wholes))
        of = of._replace(valid=data.base.valid, test=data.base.test, zero=data.base.zero)
        (valid,) = self._embedded(data, "valid", state.params)
        test, best = self._embedded(data, "test", state.params, state.best)
        return self.compiled.measure(hyper, seeds, of, (state, valid, test, best))

    def _number(self, value: int) -> Array:
        return jax.device_put(np.array(value, np.int32), NamedSharding(self.mesh, P()))

    def _drawn(self, seeds: Array, first: int) -> tuple[np.ndarray, np.ndarray | None]:
        return jax.device_get(self.compiled.draw(seeds, self._number(first)))

    def _stretch(self, data: Streamed, drawn: tuple[np.ndarray, np.ndarray | None]) -> Data:
        """What a stretch of steps reads, sent; numbers of training rows lead to it."""
        labelled, paired = (None if d is None else d.reshape(self.rows, -1) for d in drawn)
        used = []
        for m in range(len(data.wholes)):
            own = labelled if paired is None else paired
            if data.partners is not None:
                own = np.take_along_axis(data.partners[:, m], own, axis=1)
            parts = [labelled] if own is labelled else [labelled, own]
            used.append(np.concatenate(parts, axis=1))
        return self._window(data, "train", data.base.train, used, True)._replace(
            order=data.base.order
        )

    def _window(
        self, data: Streamed, part: str, split: Split, used: list[np.ndarray], whole: bool = False
    ) -> Data:
        """Rows (R, k) of a split per modality, gathered and sent.

        `whole`: the index is of all rows of the split, else of the k.
        """
        by_row = NamedSharding(self.mesh, P(devices.RUNS))
        everywhere = NamedSharding(self.mesh, P())
        index, windows = [], []
        for values, own, rows in zip(data.wholes, data.index[part], used, strict=True):
            if values is None:
                index.append(None)
                windows.append(None)
                continue
            wanted = np.take_along_axis(own, rows, axis=1).ravel()
            order = np.argsort(wanted)  # as they lie in a file
            window = aligned((len(wanted), *values.shape[1:]), values.dtype)
            np.take(values, wanted[order], axis=0, out=window, mode="clip")
            places = np.empty(rows.size, np.int32)
            places[order] = np.arange(rows.size, dtype=np.int32)
            places = places.reshape(rows.shape)
            if whole:
                found = np.zeros(own.shape, np.int32)
                np.put_along_axis(found, rows, places, axis=1)
                places = found
            index.append(jax.device_put(places, by_row))
            windows.append(jax.device_put(window, everywhere))
        return reading(split, tuple(index), tuple(windows))

    def _embedded(self, data: Streamed, part: str, *flat: Array) -> list[tuple[Array | None, ...]]:
        """Of every one of these parameters, embeddings of all rows of a split.

        (R, S, n, d) per modality; None of those that are placed for good.
        """
        program = {"valid": self.compiled.embed_valid, "test": self.compiled.embed_test}[part]
        split, turn = getattr(data.base, part), self.size.turn[part]
        n, found = split.y.shape[1], []
        for first in range(0, n, turn):
            rows = np.minimum(np.arange(first, first + turn, dtype=np.int32), n - 1)
            used = [np.broadcast_to(rows, (self.rows, turn))] * len(data.wholes)
            of = self._window(data, part, split._replace(y=None), used)
            placed = jax.device_put(rows, NamedSharding(self.mesh, P()))
            found.append([program(one, of, placed) for one in flat])
        return jax.tree.map(lambda *one: _joined(one, n), *found)

    def _tiny(self, data: Streamed) -> Data:
        """A task of which only shapes and labels matter."""
        rows = np.zeros((self.rows, 1), np.int32)
        return self._window(data, "train", data.base.train, [rows] * len(data.wholes))


@partial(jax.jit, static_argnums=1)
def _joined(parts: tuple[Array, ...], most: int) -> Array:
    """(R, S, ...) pieces one behind the other, cut to `most`."""
    return jnp.concatenate(parts, axis=2)[:, :, :most]
