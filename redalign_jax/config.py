"""What an experiment can say: the fields, their defaults, and what is impossible.

A tuple in `config.data` or `config.hyper`, and `config.encoder.embed_dim`, is an axis of the sweep,
one value per point; every other field has one value for the whole sweep.
"""

import math
from collections.abc import Mapping
from functools import partial
from itertools import product
from typing import Any

from ml_collections import ConfigDict

from redalign_jax import data as sources
from redalign_jax import fields, renamed
from redalign_jax.errors import UserError
from redalign_jax.fields import FIELDS

MOST = 10_000_000  # runs of a grid; their places alone take a gigabyte

# One setting for any task: encoders learn from each other's posteriors, as far as the validation
# split says that they gain by it.
BALANCED_OBJECTIVE = "posterior"
BALANCED = {"strength": 1.0, "align_fraction": 1.0, "false_negative_weight": 0.0}


class Experiment(ConfigDict):
    """A ConfigDict that takes a single value where a tuple is meant, and numpy's numbers."""

    def __setitem__(self, key: str, value: Any) -> None:
        if hasattr(value, "item") and not getattr(value, "ndim", 1):
            value = value.item()
        held = self._fields.get(key)
        if isinstance(held, tuple) and isinstance(value, (bool, int, float, str)):
            value = (value,)
        if isinstance(held, Experiment) and isinstance(value, (ConfigDict, dict)):
            value = Experiment(value)
            if self.is_locked:
                value.lock()
        odd = isinstance(value, int) and (isinstance(value, bool) or abs(value) > fields.HUGE)
        if odd and type(held) is float:
            self._fields[key] = value  # float() would take it or fail; `check` names the field
            return
        super().__setitem__(key, value)


def base(data: ConfigDict) -> ConfigDict:
    """An experiment on `data` (a source's `defaults()`), everything else at its default.

    It is locked: a field that does not exist cannot be set.
    """
    sections: dict[str, Any] = {"data": Experiment(data)}
    for section, rows in FIELDS.items():
        values = {name: row.default for name, row in rows.items()}
        sections[section] = values[""] if "" in values else Experiment(values)
    return Experiment(sections).lock()


def data_points(data: ConfigDict) -> list[tuple[dict[str, Any], ConfigDict]]:
    """The task axis: every combination of the tuples in `data`.

    Returns:
      Per point: the values on axes of more than one value (columns of the results), and the
      `data` section with single values.
    """
    axes = {name: values for name, values in data.items() if isinstance(values, tuple)}
    points = []
    for values in product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        single = ConfigDict({name: point.get(name, data[name]) for name in data})
        points.append(({n: v for n, v in point.items() if len(axes[n]) > 1}, single))
    return points


def points(
    config: ConfigDict, load: sources.Load | None = None
) -> list[tuple[dict[str, Any], sources.Source]]:
    """The task axis as sources: per point its columns of the results, and seed → task.

    Args:
      config: the experiment.
      load: makes the tasks; None is `data.load`, which reads what `config.data` names.
    """
    load = load or sources.load
    return [(columns, partial(load, point)) for columns, point in data_points(config.data)]


def settings(config: ConfigDict) -> list[dict[str, Any]]:
    """Every combination of the hyperparameters' values, then the balanced mechanism if asked for.

    The balanced mechanism takes what it does not set itself from the first values of the grid.
    """
    hyper = config.hyper
    grid = [dict(zip(hyper, values, strict=True)) for values in product(*hyper.values())]
    return [*grid, grid[0] | BALANCED] if config.sweep.balanced else grid


def mechanism(config: ConfigDict) -> ConfigDict:
    """`config` with the balanced mechanism as its one setting, see `sweep.grid.groups`."""
    own = Experiment(config.to_dict())
    for name, value in BALANCED.items():
        own.hyper[name] = (value,)
    own.alignment.objective, own.alignment.schedule = BALANCED_OBJECTIVE, "constant"
    own.alignment.learned_temperature = False
    own.sweep.balanced = False
    return own.lock()


def swept(hyper: ConfigDict) -> list[str]:
    """Hyperparameters of several values, strength left aside: columns of the results."""
    return [name for name, values in hyper.items() if name != "strength" and len(values) > 1]


def check(config: ConfigDict) -> ConfigDict:
    """Refuses what cannot be trained, before anything is loaded or compiled.

    Returns:
      The experiment as it is meant, locked: single values as tuples where several may be given,
      whole and floating-point numbers in Python's own types.

    Raises:
      UserError: one line that names the field.
    """
    _named(config, ("data", *FIELDS), "")
    found: dict[str, Any] = {"data": Experiment(_data(config["data"]))}
    for section, rows in FIELDS.items():
        if "" in rows:
            found[section] = fields.read(section, rows[""], config[section])
            continue
        held = config[section]
        _named(held, rows, f"{section}.")
        found[section] = Experiment(
            {name: fields.read(f"{section}.{name}", row, held[name]) for name, row in rows.items()}
        )
    checked = Experiment(found)
    _check_together(checked)
    _check_size(checked)
    return checked.lock()


def _named(held: Any, names: Any, prefix: str) -> None:
    """Refuses a section that lacks a field, or has one that nobody reads."""
    if not isinstance(held, (ConfigDict, Mapping)):
        raise UserError(f"{prefix[:-1] or 'config'}: {fields.shown(held)} is no section of fields")
    for name in held:
        if name not in names:
            also = renamed.hint(f"{prefix}{name}")
            raise UserError(f"unknown config field: config.{prefix}{name}{also}")
    for name in names:
        if name not in held:
            raise UserError(f"{prefix}{name}: is missing")


def _data(held: Any) -> dict[str, Any]:
    """The section `data`, by the types of its source's defaults; a tuple anywhere is an axis."""
    source = held.get("source", "") if isinstance(held, (ConfigDict, Mapping)) else ""
    if not isinstance(source, str):
        raise UserError(f"data.source: {fields.shown(source)} is not a text")
    defaults = sources.defaults(source) if source else {}
    _named(held, defaults or ("source",), "data.")
    found = {}
    for name in held:
        row, value = fields.of_source(defaults[name]), held[name]
        if isinstance(value, (tuple, list)) and not row.many:
            row = fields.of_source((defaults[name],))
        found[name] = fields.read(f"data.{name}", row, value)
        if row.many:
            fields.check_distinct(f"data.{name}", found[name])
    return found


def _check_together(config: ConfigDict) -> None:
    """What several fields have to do with each other."""
    encoder, train, measure = config.encoder, config.train, config.measure
    if encoder.d_model % encoder.heads:
        raise UserError(
            f"encoder.heads: {encoder.heads} does not divide encoder.d_model, {encoder.d_model}"
        )
    if config.alignment.objective in ("vicreg", "posterior") and any(
        config.hyper.false_negative_weight
    ):
        raise UserError(
            f"hyper.false_negative_weight: {config.alignment.objective} has no negatives"
        )
    if measure.neighbours >= measure.examples:
        raise UserError(
            f"measure.neighbours: {measure.neighbours} must be below "
            f"measure.examples, {measure.examples}"
        )
    if train.steps % train.evaluations:
        raise UserError(
            f"train.evaluations: {train.evaluations} does not divide train.steps, {train.steps}"
        )
    if train.evaluations < 2 and (
        config.alignment.objective == "posterior" or config.sweep.balanced
    ):
        raise UserError(
            "train.evaluations: posteriors are weighed at evaluations, and used after the first; "
            "take at least 2"
        )
    last = config.sweep.first_seed + config.sweep.seeds
    if last > fields.SEEDS:
        raise UserError(
            f"sweep.first_seed: with sweep.seeds={config.sweep.seeds} seeds go beyond 2^32 - 1; "
            f"at most {fields.SEEDS - config.sweep.seeds}"
        )


def _check_size(config: ConfigDict) -> None:
    axes = [v for v in config.data.values() if isinstance(v, tuple)]
    axes += [config.encoder.embed_dim, *config.hyper.values()]
    runs = math.prod(len(values) for values in axes) * config.sweep.seeds
    runs *= 1 + config.sweep.shuffled
    if runs > MOST:
        raise UserError(f"sweep.seeds: the grid has {runs:,} runs, above {MOST:,}")
