"""Everything that is measured on a trained run, inside the compiled program."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array

from redalign_jax import alignment, probes, similarity
from redalign_jax.model import Hyper, Model, alignment_losses, embed, predict, task_losses
from redalign_jax.training import Data, State, layout, validate

Measured = dict[tuple[str, str], Array]


class Settings(NamedTuple):
    """Static numbers of measuring.

    Attributes:
      examples: test examples for similarity, at most.
      neighbours: k of the neighbour measures.
      probe_examples: labelled training examples a probe is fitted on, at most.
    """

    examples: int
    neighbours: int
    probe_examples: int


def quality(output: Array, y: Array, classes: int, prefix: str = "") -> dict[str, Array]:
    """How good predictions are.

    Args:
      output: (n, classes) logits, or (n,) predictions of a regression.
      y: (n,) labels.
      classes: number of classes, 0 for a regression.
      prefix: put before each metric's name.

    Returns:
      {"accuracy"}, or for a regression "mae", the mean absolute error in units of y, "corr",
      Pearson's correlation (0 for constant predictions), "sign_accuracy", how often the signs
      agree where y ≠ 0, and "sign_accuracy_zeros", how often output ≥ 0 agrees with y ≥ 0.
    """
    if classes:
        return {prefix + "accuracy": jnp.mean(jnp.argmax(output, axis=-1) == y)}
    a, b = output - jnp.mean(output), y - jnp.mean(y)
    norm = jnp.sqrt(jnp.sum(a * a) * jnp.sum(b * b))
    signed = y != 0
    agree = (output > 0) == (y > 0)
    return {
        prefix + "mae": jnp.mean(jnp.abs(output - y)),
        prefix + "corr": jnp.where(norm > 0, jnp.sum(a * b) / jnp.where(norm > 0, norm, 1), 0),
        prefix + "sign_accuracy": jnp.sum(agree & signed) / jnp.maximum(jnp.sum(signed), 1),
        prefix + "sign_accuracy_zeros": jnp.mean((output >= 0) == (y >= 0)),
    }


def measure(model: Model, settings: Settings, hyper: Hyper, data: Data, state: State) -> Measured:
    """All metrics of one run, by (subject, metric).

    Subjects are modalities ("vision"), pairs ("vision|text") and "fusion", all embeddings
    together. Accuracies and losses are of the test split; `early_*` are those of the parameters
    at each encoder's best validation score, `best_step` is when that was.

    Args:
      model: the choices.
      settings: static numbers.
      hyper: of the run.
      data: the task.
      state: of the trained run.

    Returns:
      Scalars.
    """
    read = layout(model, data.train.x)
    params, best = read.unravel(state.params), read.unravel(state.best)
    classes, labelled = model.classes, data.train.y[: settings.probe_examples]
    test = embed(model, params, data.test.x)
    train = embed(model, params, tuple(x[: labelled.shape[0]] for x in data.train.x))
    outputs = predict(model, params, test)
    early = predict(model, best, embed(model, best, data.test.x))
    losses = task_losses(model, outputs, data.test.y)
    valid = validate(model, params, data.valid)

    def probe(x: Array, x_test: Array) -> dict[str, Array]:
        if classes:
            found = probes.logistic(x, labelled, x_test, classes)
        else:
            found = probes.ridge(x, labelled, x_test)
        return quality(found, data.test.y, classes, "probe_")

    out: Measured = {}

    def add(subject: str, metrics: dict[str, Array]) -> None:
        out.update({(subject, name): value for name, value in metrics.items()})

    for m, name in enumerate(model.modalities):
        add(name, quality(outputs[m], data.test.y, classes))
        add(name, quality(early[m], data.test.y, classes, "early_"))
        add(name, probe(train[m], test[m]))
        add(name, {"task_loss": losses[m], "best_step": state.best_step[m]})
        add(name, {"valid_accuracy": valid[m]} if classes else {"valid_mae": -valid[m]})
    if len(model.modalities) > 1:
        add("fusion", probe(jnp.concatenate(train, axis=1), jnp.concatenate(test, axis=1)))
        sample = tuple(h[: settings.examples] for h in test)
        align = alignment_losses(model, params, hyper, sample, jnp.float32(0))
        for i, (a, b) in enumerate(alignment.pairs(len(test))):
            pair = f"{model.modalities[a]}|{model.modalities[b]}"
            add(pair, {"alignment_loss": align[i]})
            add(pair, similarity.similarities(sample[a], sample[b], settings.neighbours))
    return out
