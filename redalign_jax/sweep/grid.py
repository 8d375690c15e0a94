"""The grid of a sweep: its tasks grouped by shape, its settings, and how they are cut up."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from redalign_jax import alignment, encoders
from redalign_jax import config as configs
from redalign_jax.alignment.posterior import SCARCE
from redalign_jax.data import Load, Source, identity, notes
from redalign_jax.encoders import MLP
from redalign_jax.errors import UserError
from redalign_jax.runtime import results
from redalign_jax.sweep.shape import Shape
from redalign_jax.task import Split, Task
from redalign_jax.training.data import Data, Order, apart
from redalign_jax.training.model import Hyper, ModelSpec

# columns of a cell that say nothing of its data
NO_AXIS = ("embed_dim", "seed", results.SHUFFLED)


@dataclass(frozen=True)
class Cell:
    """One task of the grid: a source with a seed, and an embedding's size.

    Attributes:
      place: its number in the grid.
      columns: task axes, `embed_dim` if it is swept, and seed, as columns of the results.
      source: gives the task, of the seed.
      seed: of samples, splits, init and batches.
      embedding: dimensions of the embedding.
      shuffled: whether its pairs are of rows that do not belong together.
    """

    place: int
    columns: dict[str, Any]
    source: Source
    seed: int
    embedding: int
    shuffled: bool = False

    def load(self) -> Task:
        """The task."""
        return self.source(self.seed)


@dataclass
class Group:
    """Tasks of equal shapes, which share a program.

    Attributes:
      model: the choices.
      example: one task's arrays.
      cells: the tasks.
      settings: numbers of its settings; None for all of the grid.
      shuffled: whether pairs are of rows that do not belong together.
    """

    model: ModelSpec
    example: Data
    cells: list[Cell] = field(default_factory=list)
    settings: list[int] | None = None
    shuffled: bool = False

    def arrays(self, cell: Cell, task: Task) -> Data:
        """What of a cell's task goes to the device."""
        return arrays(task, cell.seed if self.shuffled else None)

    def numbers(self, count: int) -> np.ndarray:
        """Its settings' numbers, of a grid of `count` settings."""
        return np.arange(count) if self.settings is None else np.array(self.settings)


def arrays(task: Task, shuffled: int | None = None) -> Data:
    """What of a task goes to the device; `shuffled` is the seed of its partners' order."""
    zero = None if task.classes else np.float32((0.0 - task.target_mean) / task.target_scale)
    own = None if shuffled is None else order(task, shuffled)
    return apart(Data(task.train, task.valid, task.test, zero, own))


def order(task: Task, seed: int) -> Order:
    """Rows of every modality in an order of its own, drawn by seed."""
    rng = np.random.default_rng([seed, 1])

    def permuted(split: Split) -> np.ndarray:
        n = len(split.x[0])
        return np.stack([rng.permutation(n) for _ in task.modalities]).astype(np.int32)

    return Order(permuted(task.train), permuted(task.valid))


def build_model(config: ConfigDict, task: Task, embedding: int) -> ModelSpec:
    """The network that `config` describes for this task, at one size of the embedding."""
    encoder = config.encoder
    splits = (task.train, task.valid, task.test)
    inputs = {name: [s.x[m] for s in splits] for m, name in enumerate(task.modalities)}
    projection = config.alignment.projection
    learned = config.alignment.learned_temperature
    objective = config.alignment.objective
    return ModelSpec(
        modalities=task.modalities,
        classes=task.classes,
        encoders=encoders.build(encoder, inputs, task.kinds, embedding),
        projector=MLP(tuple(projection[:-1]), projection[-1], encoder.activation)
        if projection and objective != "posterior"
        else None,
        objective=objective,
        schedule=config.alignment.schedule,
        learned_temperature=learned,
        bounded=not learned and min(config.hyper.temperature) >= alignment.BOUNDED_TEMPERATURE,
        debiased=bool(task.classes)
        and objective in ("info_nce", "siglip")
        and any(config.hyper.false_negative_weight),
        block=config.alignment.block,
    )


def fitted(config: ConfigDict, example: Data) -> tuple[int, int, int]:
    """What of a config is cut to the data: pairs per batch, examples compared, neighbours."""
    examples = min(config.measure.examples, len(example.test.y))
    return (
        min(config.train.batch, len(example.train.x[0])),
        examples,
        min(config.measure.neighbours, examples - 1),
    )


def _check_task(config: ConfigDict, task: Task) -> None:
    batch, examples, neighbours = fitted(config, arrays(task))
    if examples < 4:
        raise UserError(
            f"data.test: the test split has {examples} examples, too few to compare; 4 are needed"
        )
    for name, asked, got in (
        ("train.batch", config.train.batch, batch),
        ("measure.neighbours", config.measure.neighbours, neighbours),
    ):
        if got < asked:
            notes.once(f"{name}: {asked} is cut to {got}, what the data has")
    for name, size in (("train.batch", batch), ("data.labels", min(batch, len(task.train.y)))):
        if size % config.sweep.batch_shards:
            raise UserError(
                f"{name}: {size} examples in a batch cannot be split evenly over "
                f"sweep.batch_shards, {config.sweep.batch_shards}"
            )
    aware = config.sweep.balanced or config.alignment.objective == "posterior"
    valid = len(task.valid.y)
    if task.valid.present is not None:
        valid = int((task.valid.present.sum(axis=0) > 1).sum())
    if aware and valid < SCARCE:
        logging.warning(
            "%d validation labels are fewer than %d: they say too little about whose posterior to "
            "trust, and the encoders that should learn from posteriors are left alone",
            valid,
            SCARCE,
        )
    if any(config.hyper.false_negative_weight) and not task.classes:
        raise UserError(
            "hyper.false_negative_weight: needs classes, and the labels are those of a regression"
        )
    for strength in config.hyper.strength:
        if isinstance(strength, tuple) and len(strength) != len(task.modalities):
            raise UserError(
                f"hyper.strength: {strength} is not one number per modality, "
                f"{', '.join(task.modalities)}"
            )


def cells(config: ConfigDict, load: Load | None = None) -> list[Cell]:
    """All tasks of the grid, in the order of the results; shuffled ones after all others.

    `load` as of `config.points`.
    """
    seeds = range(config.sweep.first_seed, config.sweep.first_seed + config.sweep.seeds)
    sizes = config.encoder.embed_dim
    found = []
    kinds = (False, True) if config.sweep.shuffled else (False,)
    points = configs.points(config, load)
    for shuffled, (columns, source), size in product(kinds, points, sizes):
        own = {results.SHUFFLED: shuffled} if len(kinds) > 1 else {}
        own |= {**columns, **({"embed_dim": size} if len(sizes) > 1 else {})}
        for seed in seeds:
            found.append(Cell(len(found), {**own, "seed": seed}, source, seed, size, shuffled))
    return found


def groups(config: ConfigDict, load: Load | None = None) -> list[Group]:
    """The tasks by shape. The first task of every point is loaded, and checked, for it.

    Args:
      config: the experiment.
      load: as of `config.points`.

    Raises:
      UserError: a task that cannot be trained, or that stands twice on the task axis.
    """
    found: dict[Any, Group] = {}
    seen: dict[str, dict[str, Any]] = {}
    last: tuple | None = None
    key = None
    for cell in cells(config, load):
        what = (id(cell.source), cell.embedding, cell.shuffled)
        if what != last:
            last = what
            task = cell.load()
            _check_task(config, task)
            axes = {n: v for n, v in cell.columns.items() if n not in NO_AXIS}
            if not cell.shuffled:
                identity.check_new(seen, axes, task)
            model = build_model(config, task, cell.embedding)
            example = arrays(task, cell.seed if cell.shuffled else None)
            shapes = jax.tree.map(lambda a: (a.shape, a.dtype.str), example)
            key = (model, tuple(jax.tree.leaves(shapes)))
            found.setdefault(key, Group(model, example, shuffled=cell.shuffled))
        found[key].cells.append(cell)
    if not config.sweep.balanced:
        return list(found.values())
    own = len(configs.settings(config)) - 1
    return [part for group in found.values() for part in _balanced(group, own)]


def _balanced(group: Group, last: int) -> tuple[Group, Group]:
    """The group's fixed settings, and the last, the balanced mechanism, which has its own model."""
    model = replace(
        group.model,
        objective=configs.BALANCED_OBJECTIVE,
        projector=None,
        schedule="constant",
        learned_temperature=False,
        debiased=False,
    )
    fixed = replace(group, settings=list(range(last)))
    return fixed, replace(group, model=model, settings=[last])


def places(cell: Cell, settings: np.ndarray, count: int) -> np.ndarray:
    """Places in the grid of a task's runs at some of the `count` settings, by number."""
    return cell.place * count + settings


def hyper_arrays(settings: list[dict[str, Any]], modalities: int) -> Hyper:
    """The settings as arrays: strength (n, M), the others (n,)."""
    columns = {name: [s[name] for s in settings] for name in Hyper._fields}
    columns["strength"] = [np.broadcast_to(v, modalities) for v in columns["strength"]]
    return Hyper(**{name: np.asarray(v, np.float32) for name, v in columns.items()})


Unit = tuple[int, np.ndarray]


def units(cell_count: int, setting_count: int, shape: Shape) -> list[Unit]:
    """The rows of a grid's blocks: (number of the task, numbers of its settings).

    One short of settings reaches back.
    """
    starts = range(0, setting_count, shape.settings)
    blocks = [np.arange(shape.settings) + min(s, setting_count - shape.settings) for s in starts]
    return [(cell, block) for cell in range(cell_count) for block in blocks]


def chunks(work: list[Unit], shape: Shape) -> Iterator[list[Unit]]:
    """Units block by block; one short of rows repeats its last."""
    for first in range(0, len(work), shape.rows):
        chunk = work[first : first + shape.rows]
        yield chunk + chunk[-1:] * (shape.rows - len(chunk))
