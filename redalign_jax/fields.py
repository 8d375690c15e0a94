"""Every field of an experiment in one table: default, type, bounds, choices, and what it is.

`config.base` takes its defaults from here and `config.check` its rules; `--helpfull` prints it. The
fields of `data` belong to the source, and `of_source` reads their types from the source's defaults.
"""

import math
import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np

from redalign_jax.alignment import SCHEDULES
from redalign_jax.encoders import ACTIVATIONS, DTYPES, KINDS
from redalign_jax.errors import UserError

# Of the products of training: what the device takes unasked (float32 on a CPU, TF32 on an NVIDIA
# GPU, bfloat16 on a TPU), three or six passes of it, see `jax.default_matmul_precision`.
PRECISIONS = ("default", "high", "highest")
OBJECTIVES = ("info_nce", "siglip", "vicreg", "posterior")
LARGEST = 2**31 - 1  # int32, in which JAX counts
WIDEST = 1_000_000  # of a layer; memory ends long before
SEEDS = 2**32  # seeds are 0 .. 2³² − 1
HUGE, TINY = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)


@dataclass(frozen=True)
class Field:
    """One field.

    Attributes:
      default: its value; a tuple where several may be given.
      words: what it is, for people.
      kind: int, float, bool or str; of each value of a tuple.
      low, high: bounds, both allowed.
      above: `low` itself is not allowed.
      choices: the allowed texts; any where there are none.
      commas: several of the choices may stand in one text, between commas.
      empty: a tuple of no values is allowed.
      each: a value may itself be a tuple, one number per modality.
      distinct: values are an axis of the sweep, and none may stand twice.
    """

    default: Any
    words: str
    kind: type
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    choices: tuple[str, ...] = ()
    commas: bool = False
    empty: bool = False
    each: bool = False
    distinct: bool = False

    @property
    def many(self) -> bool:
        """Whether several values may be given."""
        return isinstance(self.default, tuple)


def _whole(default: Any, words: str, low: int = 1, high: int = LARGEST, **more: Any) -> Field:
    return Field(default, words, int, low, high, **more)


def _number(default: Any, words: str, low: float = 0, **more: Any) -> Field:
    return Field(default, words, float, low, **more)


def _traced(default: float, words: str, **more: Any) -> Field:
    return _number((default,), words, distinct=True, **more)


def _flag(words: str) -> Field:
    return Field(False, words, bool)


def _text(default: str, words: str, *choices: str, commas: bool = False) -> Field:
    return Field(default, words, str, choices=choices, commas=commas)


# By section, in the order in which they are written; a section of one field called "" is a field.
FIELDS: dict[str, dict[str, Field]] = {
    "encoder": {
        "kind": _text(
            "mlp",
            "one for all, or one per modality between commas; auto suits each input",
            *("auto", *KINDS),
            commas=True,
        ),
        "embed_dim": _whole(
            (8,), "its dimensions; every value is a program of its own", 1, WIDEST, distinct=True
        ),
        "hidden_sizes": _whole(
            (32,), "hidden widths of an MLP; channels of a CNN's stages", 1, WIDEST, empty=True
        ),
        "activation": _text("relu", "between layers", *ACTIVATIONS),
        "d_model": _whole(64, "of a Transformer, and of a bag's words", 1, WIDEST),
        "depth": _whole(2, "blocks of a Transformer", 1, 1000),
        "heads": _whole(4, "of its attention", 1, WIDEST),
        "patch_size": _whole(8, "pixels, of a ViT", 1, WIDEST),
        "dtype": _text("float32", "of an encoder's products, not of its parameters", *DTYPES),
    },
    "alignment": {
        "objective": _text("info_nce", "the alignment loss", *OBJECTIVES),
        "projection": _whole(
            (), "widths of the projection head, output last; () for none", 1, WIDEST, empty=True
        ),
        "block": _whole(0, "rows of the batch's similarity matrix at a time; 0 for all", 0),
        "schedule": _text("constant", "of the strength over training", *SCHEDULES),
        "learned_temperature": _flag("hyper.temperature is then the initial value"),
    },
    "hyper": {  # traced: a tuple is swept without compiling again
        "strength": _number(
            (0.0, 0.1, 0.3, 0.6, 1.0, 2.0, 4.0),
            "λ; an entry may be a tuple, one λ per modality",
            each=True,
            distinct=True,
        ),
        "temperature": _traced(0.2, "τ of the objective", above=True),
        "learning_rate": _traced(3e-3, "of Adam", above=True),
        "weight_decay": _traced(0.0, "decoupled, kernels only"),
        "align_fraction": _traced(1.0, "part of training during which alignment is on", high=1),
        "aligned_share": _traced(1.0, "part of the embedding that is aligned", high=1),
        "false_negative_weight": _traced(
            0.0, "κ: 1 takes pairs that share their label out of the negatives", high=1
        ),
    },
    "train": {
        "steps": _whole(1000, "optimiser steps"),
        "batch": _whole(128, "training pairs per step; one alone has nothing to align with", 2),
        "evaluations": _whole(10, "points of the learning curves", 1, 100_000),
        "precision": _text(
            "default",
            "of float32 products in training; default is the device's own. Measures are highest",
            *PRECISIONS,
        ),
    },
    "sweep": {
        "seeds": _whole(16, "each a task of its own and an init of its own"),
        "first_seed": _whole(0, "the others follow it", 0, SEEDS - 1),
        "balanced": _flag("also run the balanced mechanism, beside the grid"),
        "shuffled": _flag(
            "also run the same grid with partners shuffled: what is then left is no alignment"
        ),
        "keep": _text(
            "",
            "best keeps, per task and setting, the encoders of the best seed in WORKDIR/models",
            "",
            "best",
        ),
        "runs_per_device": _whole(0, "runs per device at a time; 0 chooses", 0),
        "batch_shards": _whole(1, "that share the batch of every run; more for huge batches"),
        "checkpoint_seconds": _number(
            10.0, "seconds between saves of what is in progress, at least"
        ),
    },
    "measure": {
        "examples": _whole(512, "test examples for similarity", 4),
        "neighbours": _whole(10, "k of mutual k-NN and CKNNA"),
        "probe_examples": _whole(4096, "labelled examples a linear probe is fitted on, at most"),
    },
    "decompose": {  # of pid.estimate, see there
        "folds": _whole(5, "parts of the data, each judged by classifiers of the others", 2),
        "ensemble_size": _whole(2, "classifiers that are averaged"),
        "hidden_sizes": _whole((64,), "hidden widths of a classifier", 1, WIDEST, empty=True),
        "steps": _whole(400, "of its training, the best of 10 moments is kept"),
        "batch": _whole(128, "examples per step"),
        "learning_rate": _number(5e-3, "of Adam", above=True),
        "weight_decay": _number(0.5, "decoupled, kernels only"),
        "clusters": _whole(0, "values of a discretised modality; 0 chooses", 0),
        "bins": _whole(4, "of the target of a regression", 2),
        "n_resamples": _whole(
            10, "halves of the data for the intervals, each costs as much again", 0
        ),
    },
    "log": {
        "tensorboard": _flag("learning curves and hparams as event files"),
        "profile": _whole((), "numbers of the segments to profile, from 0", 0, empty=True),
    },
    "advise": {"minutes": _number(2.0, "for everything, compilation included", above=True)},
    "advice": {
        "": _text("", "an advice.json, whose objective and strengths a sweep or a fit then takes"),
    },
}


def of_source(default: Any) -> Field:
    """The field of a source's `data` section: the type of its default, the source's own bounds."""
    first = default[0] if isinstance(default, tuple) and default else default
    kind = type(first)
    low, high = (-LARGEST, LARGEST) if kind is int else (-math.inf, math.inf)
    return Field(default, "", kind, low, high)


def read(name: str, field: Field, value: Any) -> Any:
    """A value as it is meant: Python's own types, and a tuple where several may be given.

    Args:
      name: the dotted name, for the message of an error.
      field: its row of the table.
      value: as it was given; a single value stands for a tuple of one.

    Raises:
      UserError: one line that names the field and what it may be.
    """
    if not field.many:
        return _one(name, field, value)
    values = tuple(_either(name, field, v) for v in _listed(value))
    if not values and not field.empty:
        raise UserError(f"{name}: no value")
    if field.distinct:
        check_distinct(name, values)
    return values


def check_distinct(name: str, values: tuple) -> None:
    """Refuses an axis on which a value stands twice, in whatever spelling.

    Numbers are compared as float32, in which they are used; (1, 1) is 1 for all modalities.
    """
    first: dict[Any, int] = {}
    for k, value in enumerate(values):
        j = first.setdefault(_resolved(value), k)
        if j != k:
            raise UserError(
                f"{name}: a value stands twice, {values[j]!r} and {value!r} are the same"
            )


def shown(value: Any, length: int = 60) -> str:
    """A value on one line, for a message."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # whatever a foreign object, or an endless number, makes of it
        text = f"a {type(value).__name__}"
    return text if len(text) <= length else text[: length - 1] + "…"


def _resolved(value: Any) -> Any:
    if isinstance(value, tuple):
        each = tuple(_resolved(v) for v in value)
        return each[0] if len(set(each)) == 1 else each
    if isinstance(value, str):  # modalities in another order are the same ones
        return tuple(sorted(part.strip() for part in value.split(",")))
    return float(np.float32(value))


def _listed(value: Any) -> tuple:
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(value) if isinstance(value, (tuple, list, range)) else (value,)


def _either(name: str, field: Field, value: Any) -> Any:
    """One value of a tuple, where it may be a tuple itself."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (tuple, list)):
        return _one(name, field, value)
    if not field.each:
        raise UserError(f"{name}: {shown(value)} is not one value, only strength can be several")
    values = tuple(_one(name, field, v) for v in value)
    if not values:
        raise UserError(f"{name}: no value in ()")
    return values


def _one(name: str, field: Field, value: Any) -> Any:
    if isinstance(value, (np.generic, np.ndarray)) and not np.ndim(value):
        value = value.item()
    return READERS[field.kind](name, field, value) if field.kind in READERS else value


def _bool(name: str, field: Field, value: Any) -> bool:
    if not isinstance(value, bool):
        raise UserError(f"{name}: {shown(value)} is not true or false")
    return value


def _str(name: str, field: Field, value: Any) -> str:
    if not isinstance(value, str):
        raise UserError(f"{name}: {shown(value)} is not a text")
    for part in value.split(",") if field.commas else (value,):
        if field.choices and part not in field.choices:
            raise UserError(f"{name}: {shown(part)} is not one of {', '.join(field.choices)}")
    return value


def _int(name: str, field: Field, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise UserError(f"{name}: {shown(value)} is not a number")
    if not isinstance(value, numbers.Integral) and not float(value).is_integer():
        raise UserError(f"{name}: {shown(value)} is not a whole number")
    whole = int(value)
    if not field.low <= whole <= field.high:
        bounds = f"at least {field.low:,}"
        if whole > field.high:
            bounds += f" and at most {field.high:,}"
        raise UserError(f"{name}: {shown(whole)} must be {bounds}")
    return whole


def _float(name: str, field: Field, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise UserError(f"{name}: {shown(value)} is not a number")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    above = field.above and number == field.low
    if not math.isfinite(number) or not field.low <= number <= field.high or above:
        bounds = f"{'above' if field.above else 'at least'} {field.low:g}"
        if field.low == -math.inf:
            bounds = "a number"
        if field.high < math.inf:
            bounds += f" and at most {field.high:g}"
        raise UserError(f"{name}: {number:g} must be finite, {bounds}")
    if abs(number) > HUGE:
        raise UserError(f"{name}: {number:g} is beyond float32, whose largest is {HUGE:.2g}")
    if number and abs(number) < TINY:
        raise UserError(f"{name}: {number:g} is 0 in float32, whose smallest is {TINY:.2g}")
    return number


READERS = {bool: _bool, str: _str, int: _int, float: _float}
