"""Everything that is measured on a trained run, inside the compiled program."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from redalign_jax import alignment
from redalign_jax.measures import probes, similarity
from redalign_jax.training.loop import Data, State, heads, layout, validate
from redalign_jax.training.model import (
    Hyper,
    ModelSpec,
    alignment_losses,
    embed,
    predict,
    task_losses,
)

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
    output: Array, y: Array, classes: int, prefix: str = "", zero: ArrayLike = 0
) -> dict[str, Array]:
    """How good predictions are.

    Args:
      output: (n, classes) logits, or (n,) predictions of a regression.
      y: (n,) labels.
      classes: number of classes, 0 for a regression.
      prefix: put before each metric's name.
      zero: of a regression: what its signs are of, a number on the scale of y.

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
            prefix + "accuracy": jnp.mean(found),
            prefix + "balanced_accuracy": _balanced(found, y, classes),
        }
    a, b = output - jnp.mean(output), y - jnp.mean(y)
    norm = jnp.sqrt(jnp.sum(a * a)) * jnp.sqrt(jnp.sum(b * b))
    signed = y != zero
    agree = (output > zero) == (y > zero)
    return {
        prefix + "mae": jnp.mean(jnp.abs(output - y)),
        prefix + "corr": jnp.where(norm > 0, jnp.sum(a * b) / jnp.where(norm > 0, norm, 1), 0),
        prefix + "sign_accuracy": jnp.sum(agree & signed) / jnp.maximum(jnp.sum(signed), 1),
        prefix + "sign_accuracy_zeros": jnp.mean((output >= zero) == (y >= zero)),
    }


def _balanced(found: Array, y: Array, classes: int) -> Array:
    """Mean over the classes among y of the share of each that was found."""
    member = y[:, None] == jnp.arange(classes)[None]
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
    product has float32 precision on every device, in the encoders too.

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
    test = embed(model, params, data.test.x)
    train = embed(model, params, tuple(x[: labelled.shape[0]] for x in data.train.x))
    outputs = predict(model, params, test)
    early = predict(model, best, embed(model, best, data.test.x))
    losses = task_losses(model, outputs, data.test.y)
    valid = validate(model, heads(model, params, data.valid), data.valid)
    zero = 0 if data.zero is None else data.zero

    def judged(output: Array, prefix: str = "") -> dict[str, Array]:
        return quality(output, data.test.y, classes, prefix, zero)

    def probe(x: Array, x_test: Array) -> dict[str, Array]:
        if classes:
            found = probes.logistic(x, labelled, x_test, classes)
        else:
            found = probes.ridge(x, labelled, x_test)
        return judged(found, "probe_")

    out: Measured = {}

    def add(subject: str, metrics: dict[str, Array]) -> None:
        out.update({(subject, name): value for name, value in metrics.items()})

    for m, name in enumerate(model.modalities):
        add(name, judged(outputs[m]))
        add(name, judged(early[m], "early_"))
        add(name, probe(train[m], test[m]))
        add(name, {"task_loss": losses[m], "best_step": state.best_step[m]})
        add(name, {"valid_accuracy": valid[m]} if classes else {"valid_mae": -valid[m]})
    if len(model.modalities) > 1:
        add("fusion", probe(jnp.concatenate(train, axis=1), jnp.concatenate(test, axis=1)))
        rows = _sample(key, len(data.test.y), settings.examples)
        sample = tuple(h[rows] for h in test)
        align = alignment_losses(
            model, params, hyper, sample, jnp.float32(0), evidence=state.evidence
        )
        for i, (a, b) in enumerate(alignment.pairs(len(test))):
            pair = f"{model.modalities[a]}|{model.modalities[b]}"
            add(pair, {"alignment_loss": align[i]})
            add(pair, similarity.similarities(sample[a], sample[b], settings.neighbours))
    return out
