"""A block of runs as three compiled functions, as large as fits in memory."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jax
from jax.sharding import Mesh

from redalign_jax.data import notes
from redalign_jax.errors import UserError
from redalign_jax.measures import evaluate
from redalign_jax.runtime import devices, mappings, processes
from redalign_jax.sweep import stream
from redalign_jax.sweep.lower import Evaluate, lower
from redalign_jax.sweep.shape import Shape, cut
from redalign_jax.training.data import Data
from redalign_jax.training.loop import TrainMetrics, TrainSpec
from redalign_jax.training.model import ModelSpec
from redalign_jax.training.start import State

# Runs per device at a time. A CPU wants a block that stays in its cache, an accelerator one that
# fills it.
RUNS_PER_CPU_DEVICE, RUNS_PER_ACCELERATOR = 16, 2048
# One run alone ends XLA's compiler for GPUs: it fuses a product with a scalar of shape (1, 1) and
# takes it for one of shape () (jax 0.10 to 0.11).
FEWEST_PER_GPU = 2
PROGRAMS = 8  # that are kept, the last ones used
# Settings of JAX that a program is traced under.
TRACED_UNDER = (
    "jax_enable_x64",
    "jax_default_matmul_precision",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_numpy_rank_promotion",
)


@dataclass(frozen=True)
class Program:
    """The three compiled steps of a block.

    Attributes:
      shape: of the block.
      start: (hyper, seeds, data) → State.
      segment: (hyper, seeds, data, state, first) → (State, TrainMetrics); donates the state.
      measure: (hyper, seeds, data, state) → metrics by (subject, metric), or what `evaluated` says.
      state: shapes and placement of the state.
      curve: shapes of what a segment shows.
      bytes: of the largest of the three, per device, arguments and outputs included.
      temporary: bytes of the largest of the three, per device, besides arguments and outputs.
      streamed: whether data are a `stream.Streamed`, in the place of `Data`.
    """

    shape: Shape
    start: Callable[..., State]
    segment: Callable[..., tuple[State, TrainMetrics]]
    measure: Callable[..., Any]
    state: State
    curve: TrainMetrics
    bytes: int
    temporary: int = 0
    streamed: bool = False

    @property
    def runs(self) -> int:
        """Runs of a block."""
        return self.shape.rows * self.shape.settings


def _bytes(compiled: jax.stages.Compiled) -> tuple[int, int]:
    """What a function takes in all, and what of it is temporary."""
    memory = compiled.memory_analysis()
    if memory is None:
        return 0, 0
    held = memory.argument_size_in_bytes + memory.output_size_in_bytes - memory.alias_size_in_bytes
    return held + memory.temp_size_in_bytes, memory.temp_size_in_bytes


def compile_block(
    model: ModelSpec,
    plan: TrainSpec,
    settings: evaluate.EvalSpec,
    mesh: Mesh,
    shape: Shape,
    example: Data,
    evaluated: Evaluate = evaluate.measure,
) -> Program:
    """Compiles for tasks shaped like `example` (one task's arrays on the host), once per process.

    Tracing takes longer than a small sweep: another sweep of the same shapes takes the program of
    the last one, as the many fits of a search do.
    """
    shapes = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), example)
    leaves, tree = jax.tree.flatten(shapes)
    how = tuple(getattr(jax.config, name) for name in TRACED_UNDER)
    streamed = evaluated is evaluate.measure and stream.wanted(example, mesh)
    if streamed:
        held = sum(a.nbytes for a in jax.tree.leaves(example.wholes))
        notes.once(
            f"{held / 1e9:.1f} GB of arrays stay on the host, too large for a device; "
            "what the next steps read is sent ahead"
        )
    tasks = (tuple(leaves), tree)
    return _compiled(model, plan, settings, mesh, shape, *tasks, evaluated, streamed, how)


@lru_cache(maxsize=PROGRAMS)
def _compiled(
    model: ModelSpec,
    plan: TrainSpec,
    settings: evaluate.EvalSpec,
    mesh: Mesh,
    shape: Shape,
    leaves: tuple[jax.ShapeDtypeStruct, ...],
    tree: jax.tree_util.PyTreeDef,
    evaluated: Evaluate,
    streamed: bool,
    _: tuple[Any, ...],
) -> Program:
    mappings.make_room(_compiled.cache_clear)
    example = jax.tree.unflatten(tree, leaves)
    how = (model, plan, settings, mesh, shape, example)
    *lowered, state, curve = stream.lowered(*how) if streamed else lower(*how, evaluated)
    with ThreadPoolExecutor() as threads:  # XLA compiles one program on one core
        compiled = tuple(threads.map(jax.stages.Lowered.compile, lowered))
    most, temporary = map(max, zip(*map(_bytes, compiled), strict=True))
    if streamed:
        size = stream.sizes(plan, settings, shape, example)
        driver = stream.Driver(stream.Compiled(*compiled), size, plan, mesh, shape.rows)
        compiled = (driver.start, driver.segment, driver.measure)
    return Program(shape, *compiled, state, curve, most, temporary, streamed)


def fit(
    model: ModelSpec,
    plan: TrainSpec,
    settings: evaluate.EvalSpec,
    mesh: Mesh,
    grid: tuple[int, int],
    example: Data,
    runs_per_device: int = 0,
    shape: Shape | None = None,
    evaluated: Evaluate = evaluate.measure,
) -> Program:
    """Compiles the largest block, at most `runs_per_device`, whose program fits in memory.

    Where what the runs hold fits and only what training them at once takes does not, the block
    stays as large and its rows are trained by turns, `Shape.turn`.

    Args:
      model: the choices.
      plan: static numbers of training.
      settings: static numbers of measuring.
      mesh: the devices.
      grid: (tasks × seeds, settings).
      example: one task's arrays.
      runs_per_device: by hand; 0 takes what suits the kind of device, made smaller until the
        compiled program's own memory analysis stays under `devices.memory_bound()`. Either is
        halved where memory runs out while compiling.
      shape: of the block, if it is known and suits the devices.
      evaluated: what a trained run is worth.

    Raises:
      UserError: memory does not suffice to compile for one run per device.
    """
    count = mesh.shape[devices.RUNS]
    bound = processes.least(devices.memory_bound())
    if mesh.devices.flat[0].platform == "cpu":  # what tasks share is in memory already
        bound += sum(a.nbytes for a in jax.tree.leaves(example.wholes))

    def compiled(shape: Shape) -> tuple[Program | None, str]:
        """The program, or why there is none: on any process, as all run the same."""
        program, reason = None, "another process has no memory left"
        try:
            with devices.memory_errors():
                program = compile_block(model, plan, settings, mesh, shape, example, evaluated)
        except MemoryError as error:
            reason = str(error)
        return (program if processes.all_of(program is not None) else None), reason

    platform = mesh.devices.flat[0].platform
    least = FEWEST_PER_GPU if platform == "gpu" else 1
    if shape and shape.rows % count == 0 and shape.rows // count * shape.settings >= least:
        program, _ = compiled(shape)
        if program and (program.bytes <= bound or runs_per_device):
            return program
    target = runs_per_device
    if not target:
        target = RUNS_PER_CPU_DEVICE if platform == "cpu" else RUNS_PER_ACCELERATOR
    while True:
        shape = cut(*grid, count, target, least)
        program, reason = compiled(shape)
        share = shape.rows * shape.settings // count
        if program and (program.bytes <= bound or runs_per_device or share <= least):
            return program
        turn = program and turned(program, bound, shape.rows // count, least)
        if turn:
            program, _ = compiled(shape._replace(turn=turn))
            if program and program.bytes <= bound:
                return program
        if share <= least:
            raise UserError(out_of_memory(share, f"while compiling, {reason}"))
        if not program:
            logging.warning("out of memory compiling %d runs per device, half is tried", share)
        target //= 2
        while target >= share:  # would be the same block again
            target //= 2


def turned(program: Program, bound: int, rows: int, least: int) -> int:
    """Rows of a device to train at a time so that a program takes at most `bound` bytes, about.

    Args:
      program: of the block as a whole.
      bound: bytes.
      rows: of a device.
      least: runs at a time, at least.

    Returns:
      0 where turns do not make it fit, or a sixteenth of the bound is not left for them.
    """
    # the states that come in and go out are there once more
    room = bound - 2 * (program.bytes - program.temporary)
    if program.streamed or room < bound / 16:
        return 0
    turn = int(0.9 * room * rows / program.temporary)
    return turn if turn < rows and turn * program.shape.settings >= least else 0


def out_of_memory(share: int, reason: str) -> str:
    """The line for users: what did not fit, and what makes it smaller."""
    runs = f"{share} run{'s' * (share > 1)} per device at a time"
    fields = "--config.sweep.runs_per_device and " * (share > 1) + "--config.alignment.block"
    return f"out of memory with {runs}, see {fields}: {reason}"
