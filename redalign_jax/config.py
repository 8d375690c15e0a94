"""What an experiment can say: the fields, their defaults, and what is impossible.

A tuple in `config.data` or `config.hyper`, and `config.encoder.embedding`, is an axis of the sweep,
one value per point; every other field has one value for the whole sweep.
"""

import math
from itertools import product
from typing import Any

from ml_collections import ConfigDict

from redalign_jax.alignment import SCHEDULES
from redalign_jax.encoders import ACTIVATIONS, DTYPES, KINDS
from redalign_jax.errors import UserError

OBJECTIVES = ("info_nce", "siglip", "vicreg", "posterior")

# One setting for any task: encoders learn from each other's posteriors, as far as the validation
# split says that they gain by it.
BALANCED_OBJECTIVE = "posterior"
BALANCED = {"strength": 1.0, "align_until": 1.0, "debias": 0.0}

# What a pilot for advice tries: aligned hard and softly (τ = 1) for half of training, encoders
# share what they can; pairs of one class are no negatives; then each is let go.
ADVISED = {"strength": 16.0, "temperature": 1.0, "align_until": 0.5, "debias": 1.0}


def base(data: ConfigDict) -> ConfigDict:
    """An experiment on `data` (a source's `defaults()`), everything else at its default."""
    return ConfigDict(
        {
            "data": data,
            "encoder": {
                # mlp, cnn, vit, transformer, bag; one per modality between commas; auto
                "kind": "mlp",
                "embedding": (8,),  # its dimensions; every value is a program of its own
                "widths": (32,),  # hidden widths of an MLP; channels of a CNN's stages
                "activation": "relu",  # relu, gelu, silu, tanh
                "width": 64,  # of a Transformer, and of a bag's words
                "depth": 2,  # blocks of a Transformer
                "heads": 4,  # of its attention
                "patch": 8,  # pixels, of a ViT
                "dtype": "float32",  # or bfloat16: of an encoder's products, not of its parameters
            },
            "alignment": {
                "objective": "info_nce",  # info_nce, siglip, vicreg, posterior
                "projection": (),  # widths of the projection head, output last; () for none
                "block": 0,  # rows of the batch's similarity matrix at a time; 0 for all
                "schedule": "constant",  # or {linear,cosine}_{warmup,decay}
                "learned_temperature": False,  # hyper.temperature is then the initial value
            },
            "hyper": {  # traced: a tuple is swept without compiling again
                # λ; an entry may be a tuple, one λ per modality
                "strength": (0.0, 0.1, 0.3, 0.6, 1.0, 2.0, 4.0),
                "temperature": (0.2,),  # τ of the objective
                "learning_rate": (3e-3,),  # of Adam
                "weight_decay": (0.0,),  # decoupled, kernels only
                "align_until": (1.0,),  # part of training during which alignment is on
                "aligned_share": (1.0,),  # part of the embedding that is aligned
                "debias": (0.0,),  # κ: 1 takes pairs that share their label out of the negatives
            },
            "train": {
                "steps": 1000,  # optimiser steps
                "batch": 128,  # training pairs per step
                "evaluations": 10,  # points of the learning curves
            },
            "sweep": {
                "seeds": 16,  # each a task of its own and an init of its own
                "first_seed": 0,
                "balanced": False,  # also run the balanced mechanism, beside the grid
                "chunk": 0,  # runs per device at a time; 0 chooses
                "batch_devices": 1,  # that share the batch of every run; more for huge batches
                "save_every": 10.0,  # seconds between saves of what is in progress, at least
            },
            "measure": {
                "examples": 512,  # test examples for similarity
                "neighbours": 10,  # k of mutual k-NN and CKNNA
                "probe_examples": 4096,  # labelled examples a linear probe is fitted on, at most
            },
            "decompose": {  # of pid.estimate, see there
                "folds": 5,  # parts of the data, each judged by classifiers of the others
                "members": 2,  # classifiers that are averaged
                "widths": (64,),  # hidden widths of a classifier
                "steps": 400,  # of its training, the best of 10 moments is kept
                "batch": 128,  # examples per step
                "learning_rate": 5e-3,  # of Adam
                "weight_decay": 0.5,  # decoupled, kernels only
                "clusters": 0,  # values of a discretised modality; 0 chooses
                "bins": 4,  # of the target of a regression
                "resamples": 10,  # halves of the data for the intervals, each costs as much again
            },
            "log": {
                "tensorboard": False,  # learning curves and hparams as event files
                "profile": (),  # numbers of the segments to profile, from 0
            },
            "advise": {"minutes": 2.0},  # for the pilot's training
            "advice": "",  # an advice.json, whose strengths and schedule a sweep then takes
        }
    )


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


def settings(config: ConfigDict) -> list[dict[str, Any]]:
    """Every combination of the hyperparameters' values, then the balanced mechanism if asked for.

    The balanced mechanism takes what it does not set itself from the first values of the grid.
    """
    hyper = config.hyper
    grid = [dict(zip(hyper, values, strict=True)) for values in product(*hyper.values())]
    return [*grid, grid[0] | BALANCED] if config.sweep.balanced else grid


def swept(hyper: ConfigDict) -> list[str]:
    """Hyperparameters of several values, strength left aside: columns of the results."""
    return [name for name, values in hyper.items() if name != "strength" and len(values) > 1]


def _numbers(field: str, values: Any, low: float, high: float, open_low: bool = False) -> None:
    if isinstance(values, tuple) and not values:
        raise UserError(f"{field}: no value")
    for value in values if isinstance(values, tuple) else (values,):
        if isinstance(value, tuple):
            _numbers(field, value, low, high, open_low)
        elif isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UserError(f"{field}: {value!r} is not a number")
        elif not math.isfinite(value) or not low <= value <= high or (open_low and value == low):
            bounds = f"{'above' if open_low else 'at least'} {low:g}"
            if high < math.inf:
                bounds += f" and at most {high:g}"
            raise UserError(f"{field}: {value:g} must be finite, {bounds}")


def _choice(field: str, value: str, choices: Any) -> None:
    if value not in choices:
        raise UserError(f"{field}: {value!r} is not one of {', '.join(choices)}")


def check(config: ConfigDict) -> None:
    """Refuses what cannot be trained, before anything is loaded or compiled.

    Raises:
      UserError: one line that names the field.
    """
    for field, open_low, high in (
        ("strength", False, math.inf),
        ("temperature", True, math.inf),
        ("learning_rate", True, math.inf),
        ("weight_decay", False, math.inf),
        ("align_until", False, 1),
        ("aligned_share", False, 1),
        ("debias", False, 1),
    ):
        _numbers(f"hyper.{field}", config.hyper[field], 0, high, open_low)
        values = config.hyper[field]
        if field != "strength" and any(isinstance(v, tuple) for v in values):
            raise UserError(f"hyper.{field}: one number per setting, only strength can be several")
        if len(set(values)) < len(values):
            raise UserError(f"hyper.{field}: a value stands twice in {values}")
    if len(set(config.encoder.embedding)) < len(config.encoder.embedding):
        raise UserError(f"encoder.embedding: a value stands twice in {config.encoder.embedding}")
    for name, values in config.data.items():
        if isinstance(values, tuple) and not values:
            raise UserError(f"data.{name}: no value")
    _numbers("encoder.widths", config.encoder.widths or (1,), 1, math.inf)
    _numbers("alignment.projection", config.alignment.projection or (1,), 1, math.inf)
    for kind in config.encoder.kind.split(","):
        _choice("encoder.kind", kind, ("auto", *KINDS))
    _choice("encoder.dtype", config.encoder.dtype, DTYPES)
    for name in ("width", "depth", "heads", "patch"):
        _numbers(f"encoder.{name}", config.encoder[name], 1, math.inf)
    if config.encoder.width % config.encoder.heads:
        raise UserError(
            f"encoder.heads: {config.encoder.heads} does not divide encoder.width, "
            f"{config.encoder.width}"
        )
    _choice("encoder.activation", config.encoder.activation, ACTIVATIONS)
    _choice("alignment.objective", config.alignment.objective, OBJECTIVES)
    _choice("alignment.schedule", config.alignment.schedule, SCHEDULES)
    if config.alignment.objective in ("vicreg", "posterior") and any(config.hyper.debias):
        raise UserError(f"hyper.debias: {config.alignment.objective} has no negatives")
    for field in (
        "encoder.embedding",
        "train.steps",
        "train.batch",
        "train.evaluations",
        "sweep.seeds",
        "measure.neighbours",
        "measure.probe_examples",
    ):
        section, name = field.split(".")
        _numbers(field, config[section][name], 1, math.inf)
    _numbers("sweep.first_seed", config.sweep.first_seed, 0, math.inf)
    _numbers("sweep.chunk", config.sweep.chunk, 0, math.inf)
    _numbers("sweep.batch_devices", config.sweep.batch_devices, 1, math.inf)
    _numbers("sweep.save_every", config.sweep.save_every, 0, math.inf)
    _numbers("alignment.block", config.alignment.block, 0, math.inf)
    _numbers("log.profile", config.log.profile or (0,), 0, math.inf)
    _numbers("advise.minutes", config.advise.minutes, 0, math.inf, open_low=True)
    _numbers("measure.examples", config.measure.examples, 4, math.inf)
    for name, least, open_low in (
        ("folds", 2, False),
        ("members", 1, False),
        ("widths", 1, False),
        ("steps", 1, False),
        ("batch", 1, False),
        ("learning_rate", 0, True),
        ("weight_decay", 0, False),
        ("clusters", 0, False),
        ("bins", 2, False),
        ("resamples", 0, False),
    ):
        values = config.decompose[name]
        _numbers(f"decompose.{name}", (1,) if values == () else values, least, math.inf, open_low)
    if config.measure.neighbours >= config.measure.examples:
        raise UserError(
            f"measure.neighbours: {config.measure.neighbours} must be below "
            f"measure.examples, {config.measure.examples}"
        )
    if config.train.steps % config.train.evaluations:
        raise UserError(
            f"train.evaluations: {config.train.evaluations} does not divide "
            f"train.steps, {config.train.steps}"
        )
    if config.train.evaluations < 2 and (
        config.alignment.objective == "posterior" or config.sweep.balanced
    ):
        raise UserError(
            "train.evaluations: posteriors are weighed at evaluations, and used after the first; "
            "take at least 2"
        )
    if config.train.batch < 2:
        raise UserError("train.batch: a batch of 1 aligns nothing; take at least 2 examples")
