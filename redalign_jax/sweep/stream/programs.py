"""What runs on the devices: steps, embeddings of a window, a look, measures."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from redalign_jax.data.rows import Rows
from redalign_jax.measures import evaluate
from redalign_jax.runtime import devices
from redalign_jax.sweep import lower
from redalign_jax.sweep.shape import Shape
from redalign_jax.sweep.stream.parts import indexed, known, per_step, reading, sizes
from redalign_jax.training import batches, loop
from redalign_jax.training.data import Data, together
from redalign_jax.training.flat import layout
from redalign_jax.training.loop import TrainMetrics, TrainSpec
from redalign_jax.training.model import Hyper, ModelSpec
from redalign_jax.training.start import State, start


class Lowered(NamedTuple):
    """What is compiled; arrays are those of a block, data are made by `parts.reading`.

    Attributes:
      start: (hyper, seeds, data) → State.
      draw: (seeds, first) → rows of a stretch of steps, see `batches.drawn`.
      train: (hyper, seeds, data, state, first) → (State, losses), of a stretch.
      embed_valid, embed_test: (flat parameters, data, rows) → embeddings of a window's rows, None
        of modalities that are placed for good.
      look: (hyper, seeds, data, (state, embeddings, losses), done) → (State, TrainMetrics).
      measure: (hyper, seeds, data, (state, and embeddings of the validation rows, of the test rows,
        of the test rows by the best parameters)) → metrics.
      state, curve: as of `lower.Lowered`.
    """

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
        indexed(example._replace(wholes=None), None),
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
        data = data._replace(valid=known(data.valid, valid))
        return loop.look(model, jax.random.key(seed), together(data), state, losses, done)

    def measure_one(hyper: Hyper, seed: Array, data: Data, now: tuple) -> Any:
        state, valid, test, best = now
        data = data._replace(valid=known(data.valid, valid), test=known(data.test, test, best))
        key = jax.random.key(seed)
        return evaluate.measure(model, settings, hyper, key, together(data), state)

    def draw_one(seed: Array, first: Array) -> tuple[Array, Array | None]:
        key, labels, pairs = jax.random.key(seed), len(example.train.y), len(example.train.x[0])
        return batches.drawn(key, labels, pairs, plan.batch, first, size.stretch)

    three, alone = (runs, runs, lower.BY_DEVICE), (0, None, None)
    first = put((), jnp.int32, everywhere)
    tiny = reading(base.train, index(1), windows(shape.rows))
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
    each = shape.rows * size.stretch * per_step(plan, example)
    of_train = reading(base.train, index(len(example.train.x[0])), windows(each), order=base.order)
    _, losses = jax.eval_shape(train_all, hyper, seeds, of_train, state, first)
    steps = plan.steps // plan.evaluations
    losses = jax.tree.map(lambda a: put((*a.shape[:2], steps, *a.shape[3:]), a.dtype), losses)
    embed_all = over(
        embed_one, (0, lower.BY_ROW, None), (0, None, None), (runs, lower.BY_DEVICE, everywhere)
    )
    embed = {}
    for part, turn in size.turn.items():
        split = getattr(base, part)._replace(y=None)
        of_part = reading(split, index(turn), windows(shape.rows * turn))
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
    of_probes = reading(base.train, index(size.probes), windows(shape.rows * size.probes))
    of_probes = of_probes._replace(valid=base.valid, test=base.test, zero=base.zero)
    measure_all = lower.over_devices(
        lower.runs_by_turns(measure_one, shape, mesh, lower.measured_rows(shape)),
        mesh,
        (*three, runs),
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
    """`Lowered`, compiled."""

    start: jax.stages.Compiled
    draw: jax.stages.Compiled
    train: jax.stages.Compiled
    embed_valid: jax.stages.Compiled
    embed_test: jax.stages.Compiled
    look: jax.stages.Compiled
    measure: jax.stages.Compiled
