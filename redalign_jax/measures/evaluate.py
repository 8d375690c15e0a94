"""Everything that is measured on a trained run, inside the compiled program."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from redalign_jax import alignment
from redalign_jax.alignment.blocks import number
from redalign_jax.measures import probes, similarity
from redalign_jax.task import Split
from redalign_jax.training.data import Data
from redalign_jax.training.embedded import embedded
from redalign_jax.training.flat import layout
from redalign_jax.training.model import (
    Hyper,
    ModelSpec,
    alignment_losses,
    predict,
    task_losses,
)
from redalign_jax.training.start import State
from redalign_jax.training.validate import heads, validate

Measured = dict[tuple[str, str], Array]


class EvalSpec(NamedTuple):
    """Static numbers of measuring.

    Attributes:
      examples: test examples for similarity, at most; drawn with the run's key.
      neighbours: k of the neighbour measures.
      probe_examples: labelled training examples a probe is fitted on, at most.
    """

    examples: int
    neighbours: int
    probe_examples: int


def quality(
    output: Array,
    y: Array,
    classes: int,
    prefix: str = "",
    zero: ArrayLike = 0,
    counted: Array | None = None,
) -> dict[str, Array]:
    """How good predictions are.

    Args:
      output: (n, classes) logits, or (n,) predictions of a regression.
      y: (n,) labels.
      classes: number of classes, 0 for a regression.
      prefix: put before each metric's name.
      zero: of a regression: what its signs are of, a number on the scale of y.
      counted: (n,) bool, the rows that are judged, one or more; None for all.

    Returns:
      {"accuracy", "balanced_accuracy"}, the latter the mean over the classes among y of the share
      of each that is found, or for a regression "mae", the mean absolute error in units of y,
      "corr", Pearson's correlation (0 for constant predictions), "sign_accuracy", how often output
      and y are on the same side of zero where y ≠ zero, and "sign_accuracy_zeros", how often
      output ≥ zero agrees with y ≥ zero.
    """
    if classes:
        found = jnp.argmax(output, axis=-1) == y
        return {
            prefix + "accuracy": _mean(found, counted),
            prefix + "balanced_accuracy": _balanced(found, y, classes, counted),
        }
    a, b = output - _mean(output, counted), y - _mean(y, counted)
    if counted is not None:
        a, b = jnp.where(counted, a, 0), jnp.where(counted, b, 0)
    norm = jnp.sqrt(jnp.sum(a * a)) * jnp.sqrt(jnp.sum(b * b))
    signed = y != zero if counted is None else (y != zero) & counted
    agree = (output > zero) == (y > zero)
    return {
        prefix + "mae": _mean(jnp.abs(output - y), counted),
        prefix + "corr": jnp.where(norm > 0, jnp.sum(a * b) / jnp.where(norm > 0, norm, 1), 0),
        prefix + "sign_accuracy": jnp.sum(agree & signed) / jnp.maximum(jnp.sum(signed), 1),
        prefix + "sign_accuracy_zeros": _mean((output >= zero) == (y >= zero), counted),
    }


def _mean(x: Array, counted: Array | None) -> Array:
    if counted is None:
        return jnp.mean(x)
    return jnp.sum(jnp.where(counted, x, 0)) / number(counted, None)


def _balanced(found: Array, y: Array, classes: int, counted: Array | None) -> Array:
    """Mean over the classes among y of the share of each that was found."""
    member = y[:, None] == jnp.arange(classes)[None]
    if counted is not None:
        member &= counted[:, None]
    size = jnp.sum(member, axis=0)
    share = jnp.sum(member & found[:, None], axis=0) / jnp.maximum(size, 1)
    return jnp.sum(share) / jnp.sum(size > 0)


def _sample(key: Array, rows: int, most: int) -> Array:
    """Row numbers of at most `most` rows, drawn; all, in order, where they are no more."""
    if rows <= most:
        return jnp.arange(rows)
    return jnp.sort(jax.random.permutation(jax.random.fold_in(key, 3), rows)[:most])


def measure(
    model: ModelSpec, settings: EvalSpec, hyper: Hyper, key: Array, data: Data, state: State
) -> Measured:
    """All metrics of one run, by (subject, metric).

    Subjects are modalities ("vision"), pairs ("vision|text") and "fusion", all embeddings
    together. Accuracies and losses are of the test split; `early_*` are those of the parameters
    at each encoder's best validation score, `best_step` is when that was. Errors and losses of a
    regression are on the scale of `data`, see `sweep.block.finish` for what the tables say. Every
    product has float32 precision on every device, in the encoders too. An encoder is judged on the
    rows that it has, a pair on those that both have, fusion on those that all have: NaN if none.

    Args:
      model: the choices.
      settings: static numbers.
      hyper: of the run.
      key: of the run; decides the test examples that are compared.
      data: the task.
      state: of the trained run.

    Returns:
      Scalars.
    """
    with jax.default_matmul_precision("highest"):
        return _measure(model, settings, hyper, key, data, state)


def _measure(
    model: ModelSpec, settings: EvalSpec, hyper: Hyper, key: Array, data: Data, state: State
) -> Measured:
    read = layout(model, data.train.x)
    params, best = read.unravel(state.params), read.unravel(state.best)
    classes, labelled = model.classes, data.train.y[: settings.probe_examples]
    count = labelled.shape[0]
    here, seen = data.test.present, data.train.present
    seen = None if seen is None else seen[:, :count]
    test = embedded(model, params, data.test)
    train = embedded(model, params, Split(tuple(x[:count] for x in data.train.x), labelled, seen))
    outputs = predict(model, params, test)
    early = predict(model, best, embedded(model, best, data.test, best=True))
    losses = task_losses(model, outputs, data.test.y, here)
    valid = validate(model, heads(model, params, data.valid), data.valid)
    zero = 0 if data.zero is None else data.zero

    def of(present: Array | None, m: int | None) -> Array | None:
        """The rows that modality m has, or all modalities have."""
        if present is None:
            return None
        return jnp.all(present, axis=0) if m is None else present[m]

    def judged(output: Array, m: int | None, prefix: str = "") -> dict[str, Array]:
        return quality(output, data.test.y, classes, prefix, zero, of(here, m))

    def probe(x: Array, x_test: Array, m: int | None) -> dict[str, Array]:
        on = of(seen, m)
        if classes:
            found = probes.logistic(x, labelled, x_test, classes, counted=on)
        else:
            found = probes.ridge(x, labelled, x_test, counted=on)
        metrics = judged(found, m, "probe_")
        if here is None:
            return metrics
        some = jnp.any(on) & jnp.any(of(here, m))  # else nothing is known
        return {name: jnp.where(some, value, jnp.nan) for name, value in metrics.items()}

    out: Measured = {}

    def add(subject: str, metrics: dict[str, Array]) -> None:
        out.update({(subject, name): value for name, value in metrics.items()})

    for m, name in enumerate(model.modalities):
        add(name, judged(outputs[m], m))
        add(name, judged(early[m], m, "early_"))
        add(name, probe(train[m], test[m], m))
        add(name, {"task_loss": losses[m], "best_step": state.best_step[m]})
        add(name, {"valid_accuracy": valid[m]} if classes else {"valid_mae": -valid[m]})
    if len(model.modalities) > 1:
        add("fusion", probe(jnp.concatenate(train, axis=1), jnp.concatenate(test, axis=1), None))
        rows = _sample(key, len(data.test.y), settings.examples)
        sample = tuple(h[rows] for h in test)
        there = None if here is None else here[:, rows]
        align = alignment_losses(
            model, params, hyper, sample, jnp.float32(0), evidence=state.evidence, present=there
        )
        for i, (a, b) in enumerate(alignment.pairs(len(test))):
            pair = f"{model.modalities[a]}|{model.modalities[b]}"
            add(pair, {"alignment_loss": align[i]})
            both = None if there is None else there[a] & there[b]
            add(pair, similarity.similarities(sample[a], sample[b], settings.neighbours, both))
    return out
