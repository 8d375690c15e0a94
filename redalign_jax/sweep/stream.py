"""A block whose large arrays stay on the host: what a stretch of steps reads is sent ahead.

The programs are those of a block in memory, see `lower`. They read from a *window*, the rows of a
stretch of steps in the order of their use, by `Rows` whose numbers are places in it. Which rows
these are is known beforehand, so the next window is gathered and sent while the device trains.
Validation and test rows are embedded in windows as well.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from redalign_jax.data.rows import Rows
from redalign_jax.measures import evaluate
from redalign_jax.runtime import devices, processes
from redalign_jax.sweep import lower
from redalign_jax.sweep.shape import Shape
from redalign_jax.task import Split
from redalign_jax.training import batches, embedded, loop
from redalign_jax.training.data import Data, together
from redalign_jax.training.embedded import Embeddings
from redalign_jax.training.flat import layout
from redalign_jax.training.loop import TrainMetrics, TrainSpec
from redalign_jax.training.model import Hyper, ModelSpec
from redalign_jax.training.start import State, start

WINDOW = 2**28  # bytes of a window, about
SHARE = 0.4  # of an accelerator's memory, that arrays may fill which all tasks share

EMPTY = Split((), None)


def wanted(example: Data, mesh: Mesh) -> bool:
    """Whether the arrays that tasks share are too large for an accelerator.

    A CPU reads them where they are. Several processes keep them on their devices: windows would
    have to be the same on all.
    """
    if mesh.devices.flat[0].platform == "cpu" or jax.process_count() > 1:
        return False
    held = sum(a.nbytes for a in jax.tree.leaves(example.wholes))
    return held > SHARE * devices.memory_bound()


@dataclass
class Streamed:
    """A block's tasks, in the place of `Data`.

    Attributes:
      base: what is placed for good. Its `Rows` have no index, and there are no wholes.
      index: by "train", "valid", "test": per modality (R, n) rows of its whole, or None; on the
        host.
      partners: (R, M, n) of `Data.order`, on the host, or None.
      wholes: per modality, on the host.
      ahead: by its first step, what was sent for a stretch of steps.
    """

    base: Data
    index: dict[str, tuple[np.ndarray | None, ...]]
    partners: np.ndarray | None
    wholes: tuple[np.ndarray | None, ...]
    ahead: dict[int, Data] = field(default_factory=dict)


def load(local: dict[int, Data], rows: int, sharding: NamedSharding) -> Streamed:
    """Places all of the tasks but what they share; by row one of `grid.arrays`."""
    tasks, index = [local[row] for row in range(rows)], {}
    for part in ("train", "valid", "test"):
        index[part] = tuple(
            np.stack([getattr(task, part).x[m].index for task in tasks])
            if isinstance(one, Rows)
            else None
            for m, one in enumerate(getattr(tasks[0], part).x)
        )
    bare = [_indexed(task._replace(wholes=None), None) for task in tasks]
    base = processes.place_rows(sharding, len(tasks), dict(enumerate(bare)))
    partners = tasks[0].order and np.stack([task.order.train for task in tasks])
    return Streamed(base, index, partners, tasks[0].wholes)


def _indexed(data: Data, index: Any) -> Data:
    """`data` whose rows have all this index."""

    def split(of: Split) -> Split:
        x = (replace(one, index=index) if isinstance(one, Rows) else one for one in of.x)
        return of._replace(x=tuple(x))

    return data._replace(train=split(data.train), valid=split(data.valid), test=split(data.test))


class Sizes(NamedTuple):
    """Numbers of a block that is streamed.

    Attributes:
      stretch: steps of a window.
      probes: training rows that are embedded for probes.
      turn: by "valid" and "test" the rows that are embedded at a time.
    """

    stretch: int
    probes: int
    turn: dict[str, int]


def sizes(plan: TrainSpec, settings: evaluate.EvalSpec, shape: Shape, example: Data) -> Sizes:
    """How it is cut: windows of at most `WINDOW` bytes, or of one step."""
    steps, each = plan.steps // plan.evaluations, _drawn(plan, example)
    row = sum(w.size * w.dtype.itemsize // w.shape[0] for w in jax.tree.leaves(example.wholes))
    whole = [s for s in range(1, steps + 1) if not steps % s]
    fits = [s for s in whole if shape.rows * s * each * row <= WINDOW]
    turn = {part: min(embedded.TURN, len(getattr(example, part).y)) for part in ("valid", "test")}
    return Sizes(max(fits, default=1), min(settings.probe_examples, len(example.train.y)), turn)


def _drawn(plan: TrainSpec, example: Data) -> int:
    """Rows that a step reads."""
    labels, pairs = len(example.train.y), len(example.train.x[0])
    return min(plan.batch, labels) + plan.batch * (pairs > labels)


def _reading(split: Split, index: tuple, windows: tuple, **more: Any) -> Data:
    """A task whose training rows are places in windows; without other splits, or as `more` says."""
    pairs = zip(split.x, index, strict=True)
    x = tuple(replace(one, index=i) if isinstance(one, Rows) else one for one, i in pairs)
    splits = {"train": split._replace(x=x), "valid": EMPTY, "test": EMPTY}
    return Data(**{**splits, "wholes": windows, **more})


def _known(split: Split, found: tuple, best: tuple | None = None) -> Split:
    """A split whose rows were embedded."""
    triples = zip(split.x, found, best or (None,) * len(found), strict=True)
    x = (Embeddings(now, then) if isinstance(one, Rows) else one for one, now, then in triples)
    return split._replace(x=tuple(x))


class Lowered(NamedTuple):
    """What `program` compiles, see there."""

    start: jax.stages.Lowered
    draw: jax.stages.Lowered
    train: jax.stages.Lowered
    embed_valid: jax.stages.Lowered
    embed_test: jax.stages.Lowered
    look: jax.stages.Lowered
    measure: jax.stages.Lowered
    state: State
    curve: TrainMetrics


def lowered(
    model: ModelSpec,
    plan: TrainSpec,
    settings: evaluate.EvalSpec,
    mesh: Mesh,
    shape: Shape,
    example: Data,
) -> Lowered:
    """Traces for tasks shaped like `example`; arguments as of `lower.lower`."""
    runs, everywhere = P(devices.RUNS), P()
    size = sizes(plan, settings, shape, example)
    hyper, seeds = lower.arguments(model, mesh, shape)
    put = partial(lower.placed, mesh)
    wholes = example.wholes
    base = jax.tree.map(
        lambda a: put((shape.rows, *a.shape), a.dtype),
        _indexed(example._replace(wholes=None), None),
    )

    def index(count: int) -> tuple:
        one = put((shape.rows, count), np.int32)
        return tuple(None if w is None else one for w in wholes)

    def windows(rows: int) -> tuple:
        return tuple(
            None if w is None else put((rows, *w.shape[1:]), w.dtype, everywhere) for w in wholes
        )

    def embeddings(part: str) -> tuple:
        split, block = getattr(base, part), (shape.rows, shape.settings)
        count = len(getattr(example, part).y)
        return tuple(
            put((*block, count, module.features), np.float32) if isinstance(x, Rows) else None
            for module, x in zip(model.encoders, split.x, strict=True)
        )

    def over(f: Callable, rows: tuple, settings: tuple, specs: tuple, donate: tuple = ()) -> Any:
        return lower.over_devices(lower.over_grid(f, rows, settings), mesh, specs, donate)

    def start_one(hyper: Hyper, seed: Array, data: Data) -> State:
        return start(model, hyper, jax.random.key(seed), together(data))

    def train_one(hyper: Hyper, seed: Array, data: Data, state: State, first: Array) -> Any:
        key = jax.random.key(seed)
        return loop.train(model, plan, hyper, key, together(data), state, first, size.stretch)

    def embed_one(flat: Array, data: Data, rows: Array) -> tuple[Array | None, ...]:
        split = together(data).train
        params = layout(model, split.x).unravel(flat)
        found = []
        with jax.default_matmul_precision("highest"):
            for m, (module, x) in enumerate(zip(model.encoders, split.x, strict=True)):
                there = None if split.present is None else split.present[m : m + 1][:, rows]
                read = isinstance(x, Rows) and batches.cleared((x[:],), there)
                encoder = params["encoders"][m]["encoder"]
                found.append(module.apply(encoder, *read) if read else None)
        return tuple(found)

    def look_one(hyper: Hyper, seed: Array, data: Data, now: tuple, done: Array) -> Any:
        del hyper
        state, valid, losses = now
        data = data._replace(valid=_known(data.valid, valid))
        return loop.look(model, jax.random.key(seed), together(data), state, losses, done)

    def measure_one(hyper: Hyper, seed: Array, data: Data, now: tuple) -> Any:
        state, valid, test, best = now
        data = data._replace(valid=_known(data.valid, valid), test=_known(data.test, test, best))
        key = jax.random.key(seed)
        return evaluate.measure(model, settings, hyper, key, together(data), state)

    def draw_one(seed: Array, first: Array) -> tuple[Array, Array | None]:
        key, labels, pairs = jax.random.key(seed), len(example.train.y), len(example.train.x[0])
        return batches.drawn(key, labels, pairs, plan.batch, first, size.stretch)

    three, alone = (runs, runs, lower.BY_DEVICE), (0, None, None)
    first = put((), jnp.int32, everywhere)
    tiny = _reading(base.train, index(1), windows(shape.rows))
    start_all = over(start_one, (0, 0, lower.BY_ROW), alone, three)
    state = jax.tree.map(
        lambda a: put(a.shape, a.dtype), jax.eval_shape(start_all, hyper, seeds, tiny)
    )
    train_all = over(
        train_one,
        (0, 0, lower.BY_ROW, 0, None),
        (*alone, 0, None),
        (*three, runs, everywhere),
        (3,),
    )
    each = shape.rows * size.stretch * _drawn(plan, example)
    of_train = _reading(base.train, index(len(example.train.x[0])), windows(each), order=base.order)
    _, losses = jax.eval_shape(train_all, hyper, seeds, of_train, state, first)
    steps = plan.steps // plan.evaluations
    losses = jax.tree.map(lambda a: put((*a.shape[:2], steps, *a.shape[3:]), a.dtype), losses)
    embed_all = over(
        embed_one, (0, lower.BY_ROW, None), (0, None, None), (runs, lower.BY_DEVICE, everywhere)
    )
    embed = {}
    for part, turn in size.turn.items():
        split = getattr(base, part)._replace(y=None)
        of_part = _reading(split, index(turn), windows(shape.rows * turn))
        rows = put((turn,), np.int32, everywhere)
        embed[part] = embed_all.lower(state.params, of_part, rows)
    valid, test = embeddings("valid"), embeddings("test")
    of_look = tiny._replace(valid=base.valid, order=base.order)
    look_all = over(
        look_one,
        (0, 0, lower.BY_ROW, 0, None),
        (*alone, 0, None),
        (*three, runs, everywhere),
        (3,),
    )
    of_probes = _reading(base.train, index(size.probes), windows(shape.rows * size.probes))
    of_probes = of_probes._replace(valid=base.valid, test=base.test, zero=base.zero)
    measure_all = lower.over_devices(
        lower.measured_by_turns(measure_one, shape, mesh), mesh, (*three, runs)
    )
    _, curve = jax.eval_shape(look_all, hyper, seeds, of_look, (state, valid, losses), first)
    return Lowered(
        start_all.lower(hyper, seeds, tiny),
        jax.jit(jax.vmap(draw_one, in_axes=(0, None))).lower(seeds, first),
        train_all.lower(hyper, seeds, of_train, state, first),
        embed["valid"],
        embed["test"],
        look_all.lower(hyper, seeds, of_look, (state, valid, losses), first),
        measure_all.lower(hyper, seeds, of_probes, (state, valid, test, test)),
        state,
        curve,
    )


class Compiled(NamedTuple):
    """`Lowered`, compiled: called as `program` does."""

    start: jax.stages.Compiled
    draw: jax.stages.Compiled
    train: jax.stages.Compiled
    embed_valid: jax.stages.Compiled
    embed_test: jax.stages.Compiled
    look: jax.stages.Compiled
    measure: jax.stages.Compiled


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
        now = (state, self._embedded(data, "valid", state.params), losses)
        seen = self._tiny(data)._replace(valid=data.base.valid, order=data.base.order)
        return self.compiled.look(hyper, seeds, seen, now, self._number(end))

    def measure(self, hyper: Hyper, seeds: Array, data: Streamed, state: State) -> Any:
        """What the trained runs are worth."""
        rows = np.broadcast_to(np.arange(self.size.probes), (self.rows, self.size.probes))
        of = self._window(data, "train", data.base.train, [rows] * len(data.wholes))
        of = of._replace(valid=data.base.valid, test=data.base.test, zero=data.base.zero)
        valid = self._embedded(data, "valid", state.params)
        test, best = (self._embedded(data, "test", p) for p in (state.params, state.best))
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
            places = np.arange(rows.size, dtype=np.int32).reshape(rows.shape)
            if whole:
                found = np.zeros(own.shape, np.int32)
                np.put_along_axis(found, rows, places, axis=1)
                places = found
            wanted = np.take_along_axis(own, rows, axis=1).ravel()
            order = np.argsort(wanted)  # as they lie in a file
            window = np.empty((len(wanted), *values.shape[1:]), values.dtype)
            window[order] = values[wanted[order]]
            index.append(jax.device_put(places, by_row))
            windows.append(jax.device_put(window, everywhere))
        return _reading(split, tuple(index), tuple(windows))

    def _embedded(self, data: Streamed, part: str, flat: Array) -> tuple[Array | None, ...]:
        """Embeddings of all rows of a split, (R, S, n, d) per modality; None of dense ones."""
        program = {"valid": self.compiled.embed_valid, "test": self.compiled.embed_test}[part]
        split, turn = getattr(data.base, part), self.size.turn[part]
        n, found = split.y.shape[1], []
        for first in range(0, n, turn):
            rows = np.minimum(np.arange(first, first + turn, dtype=np.int32), n - 1)
            used = [np.broadcast_to(rows, (self.rows, turn))] * len(data.wholes)
            of = self._window(data, part, split._replace(y=None), used)
            placed = jax.device_put(rows, NamedSharding(self.mesh, P()))
            found.append(program(flat, of, placed))
        return jax.tree.map(lambda *one: _joined(one, n), *found)

    def _tiny(self, data: Streamed) -> Data:
        """A task of which only shapes and labels matter."""
        rows = np.zeros((self.rows, 1), np.int32)
        return self._window(data, "train", data.base.train, [rows] * len(data.wholes))


@partial(jax.jit, static_argnums=1)
def _joined(parts: tuple[Array, ...], most: int) -> Array:
    """(R, S, ...) pieces one behind the other, cut to `most`."""
    return jnp.concatenate(parts, axis=2)[:, :, :most]
