"""A block of runs traced as three functions: vmap over runs, shard_map over devices."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from redalign_jax.measures import evaluate
from redalign_jax.runtime import devices
from redalign_jax.runtime.lapack import batch_safe
from redalign_jax.sweep.shape import Shape
from redalign_jax.training.data import Data, together
from redalign_jax.training.loop import TrainMetrics, TrainSpec, segment
from redalign_jax.training.model import Hyper, ModelSpec
from redalign_jax.training.start import State, start

# Measuring needs ten times the memory of training, and once: so many runs of a device at a time.
MEASURED_TOGETHER = 256

Evaluate = Callable[[ModelSpec, evaluate.EvalSpec, Hyper, Array, Data, State], Any]


BY_ROW = Data(*(0,) * (len(Data._fields) - 1), wholes=None)  # what a block's rows do not share
BY_DEVICE = Data(*(P(devices.RUNS),) * (len(Data._fields) - 1), wholes=P())


def over_grid(f: Callable, rows: tuple, settings: tuple) -> Callable:
    """vmap over settings inside vmap over rows."""
    return jax.vmap(jax.vmap(f, in_axes=settings), in_axes=rows)


def over_devices(f: Callable, mesh: Mesh, specs: tuple, donate: tuple = ()) -> jax.stages.Wrapped:
    """shard_map of `f`, whose results are all sharded along the rows."""
    mapped = jax.shard_map(f, mesh=mesh, in_specs=specs, out_specs=P(devices.RUNS), check_vma=False)
    return jax.jit(mapped, donate_argnums=donate)


def runs_by_turns(one: Callable, shape: Shape, mesh: Mesh, most: int) -> Callable:
    """`one`, (hyper, seed, data, state, ...) of a run, over a block's, `most` rows at a time.

    What follows the state is one for all.
    """

    def over(hyper: Hyper, seeds: Array, data: Data, state: State, *more: Array) -> Any:
        def some(hyper: Hyper, seeds: Array, own: Data, state: State) -> Any:
            shared = (None,) * len(more)
            f = over_grid(one, (0, 0, BY_ROW, 0, *shared), (0, None, None, 0, *shared))
            return f(hyper, seeds, own._replace(wholes=data.wholes), state, *more)

        share = shape.rows // mesh.shape[devices.RUNS]
        return by_turns(some, share, most)(hyper, seeds, data._replace(wholes=None), state)

    return over


def measured_rows(shape: Shape) -> int:
    """Rows of a device that are measured at a time."""
    return min(shape.turn or shape.rows, max(1, MEASURED_TOGETHER // shape.settings))


def by_turns(f: Callable, rows: int, most: int) -> Callable:
    """`f` of arrays with `rows` rows, computed for at most `most` rows at a time.

    Rows must not depend on each other. The last turn takes as many rows as the others, some of
    them again, so that there is one program and no row is copied to fill it.
    """
    turns = -(-rows // most)
    width = -(-rows // turns)
    if turns == 1:
        return f
    firsts = np.minimum(np.arange(turns) * width, rows - width)
    turn = np.arange(rows) // width
    place = turn * width + np.arange(rows) - firsts[turn]

    def mapped(*arrays: Any) -> Any:
        def one(first: Array) -> Any:
            cut = partial(jax.lax.dynamic_slice_in_dim, start_index=first, slice_size=width)
            return f(*jax.tree.map(cut, arrays))

        found = jax.lax.map(one, jnp.asarray(firsts))
        found = jax.tree.map(lambda a: a.reshape(-1, *a.shape[2:]), found)
        return found if rows % width == 0 else jax.tree.map(lambda a: a[place], found)

    return mapped


class Lowered(NamedTuple):
    """What `Program` holds, before XLA compiles it."""

    start: jax.stages.Lowered
    segment: jax.stages.Lowered
    measure: jax.stages.Lowered
    state: State
    curve: TrainMetrics


def lower(
    model: ModelSpec,
    plan: TrainSpec,
    settings: evaluate.EvalSpec,
    mesh: Mesh,
    shape: Shape,
    example: Data,
    evaluated: Evaluate = evaluate.measure,
) -> Lowered:
    """Traces for tasks shaped like `example` (one task's arrays); no device of `mesh` is needed.

    `evaluated` says what a trained run is worth.
    """
    runs, everywhere = P(devices.RUNS), P()
    put = partial(placed, mesh)
    hyper, seeds = arguments(model, mesh, shape)
    data = jax.tree.map(
        lambda a: put((shape.rows, *a.shape), a.dtype), example._replace(wholes=None)
    )
    wholes = jax.tree.map(lambda a: put(a.shape, a.dtype, everywhere), example.wholes)
    data = data._replace(wholes=wholes)
    first = put((), jnp.int32, everywhere)

    def start_one(hyper: Hyper, seed: Array, data: Data) -> State:
        return start(model, hyper, jax.random.key(seed), together(data))

    def segment_one(
        hyper: Hyper, seed: Array, data: Data, state: State, first: Array
    ) -> tuple[State, TrainMetrics]:
        return segment(model, plan, hyper, jax.random.key(seed), together(data), state, first)

    def measure_one(hyper: Hyper, seed: Array, data: Data, state: State) -> Any:
        return evaluated(model, settings, hyper, jax.random.key(seed), together(data), state)

    if model.one_by_one:
        segment_one, measure_one = batch_safe(segment_one), batch_safe(measure_one)
    start_all = over_devices(
        over_grid(start_one, (0, 0, BY_ROW), (0, None, None)), mesh, (runs, runs, BY_DEVICE)
    )
    state = jax.tree.map(
        lambda a: put(a.shape, a.dtype), jax.eval_shape(start_all, hyper, seeds, data)
    )
    at_once = shape.turn or shape.rows
    segment_all = over_devices(
        runs_by_turns(segment_one, shape, mesh, at_once),
        mesh,
        (runs, runs, BY_DEVICE, runs, everywhere),
        donate=(3,),
    )
    measure_all = over_devices(
        runs_by_turns(measure_one, shape, mesh, measured_rows(shape)),
        mesh,
        (runs, runs, BY_DEVICE, runs),
    )
    _, curve = jax.eval_shape(segment_all, hyper, seeds, data, state, first)
    return Lowered(
        start_all.lower(hyper, seeds, data),
        segment_all.lower(hyper, seeds, data, state, first),
        measure_all.lower(hyper, seeds, data, state),
        state,
        curve,
    )


def placed(
    mesh: Mesh, shape: tuple, dtype: np.dtype, spec: P | None = None
) -> jax.ShapeDtypeStruct:
    """An array that is not there yet; sharded along the rows, if not as `spec` says."""
    spec = P(devices.RUNS) if spec is None else spec
    return jax.ShapeDtypeStruct(shape, dtype, sharding=NamedSharding(mesh, spec))


def arguments(model: ModelSpec, mesh: Mesh, shape: Shape) -> tuple[Hyper, jax.ShapeDtypeStruct]:
    """Hyperparameters and seeds of a block, not there yet."""
    block = (shape.rows, shape.settings)
    scalars = {name: placed(mesh, block, jnp.float32) for name in Hyper._fields}
    scalars["strength"] = placed(mesh, (*block, len(model.modalities)), jnp.float32)
    return Hyper(**scalars), placed(mesh, (shape.rows,), jnp.uint32)
