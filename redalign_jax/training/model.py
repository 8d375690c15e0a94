"""The network of one run: an encoder, a task head and a projection for every modality."""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import Array

from redalign_jax import alignment
from redalign_jax.alignment import Negatives, posterior
from redalign_jax.alignment.blocks import batch_size, number, total
from redalign_jax.alignment.posterior import Evidence
from redalign_jax.encoders import CNN, MLP, Bag

Params = dict[str, Any]

# Beyond it powers of what is not normalised overflow: VICReg's projections, a head's inputs.
LARGEST = 1e8


class Hyper(NamedTuple):
    """Everything a sweep varies without compiling again.

    Attributes:
      strength: (M,) λ_m ≥ 0, how strongly each encoder feels alignment.
      temperature: τ > 0 of the objective; where it is learned, its initial value.
      learning_rate: of Adam.
      weight_decay: decoupled, on kernels only.
      align_fraction: part of training, in [0, 1], during which alignment is on.
      aligned_share: part of the embedding's dimensions, in [0, 1], that is aligned.
      false_negative_weight: κ in [0, 1], how far pairs that probably share their label are taken
        out of the negatives; see `alignment.negative_weights`.
    """

    strength: Array
    temperature: Array
    learning_rate: Array
    weight_decay: Array
    align_fraction: Array
    aligned_share: Array
    false_negative_weight: Array


@dataclass(frozen=True)
class ModelSpec:
    """Every choice that needs a compilation of its own.

    Attributes:
      modalities: names, in the order of the inputs.
      classes: number of classes, or 0 for a regression.
      encoders: a module per modality, (n, ...) → (n, d).
      projector: the module of every projection head, (n, d) → (n, d'), or None to align the
        embedding itself.
      objective: a key of `config.OBJECTIVES`.
      schedule: a key of `alignment.SCHEDULES`.
      learned_temperature: whether τ is a parameter, log-scaled and kept ≥ 0.01 as in CLIP.
      bounded: whether InfoNCE may use one exponential; see `alignment.info_nce`.
      debiased: whether any run weighs its negatives.
      block: rows of a batch's similarity matrix that exist at a time, 0 for all.
    """

    modalities: tuple[str, ...]
    classes: int
    encoders: tuple[nn.Module, ...]
    projector: nn.Module | None
    objective: str
    schedule: str
    learned_temperature: bool
    bounded: bool
    debiased: bool = False
    block: int = 0

    @property
    def one_by_one(self) -> bool:
        """Whether a CPU trains runs one after another: a convolution's stay in its cache then."""
        return any(isinstance(module, CNN) for module in self.encoders)

    def heavy(self, m: int) -> bool:
        """Whether encoder m's activations are many times as large as its inputs."""
        return not isinstance(self.encoders[m], MLP | Bag)

    @property
    def head(self) -> nn.Module:
        """The linear task head of every encoder."""
        return MLP((), self.classes or 1)


def init(model: ModelSpec, hyper: Hyper, key: Array, inputs: tuple[Array, ...]) -> Params:
    """Initial parameters, drawn per modality *name*.

    An encoder therefore starts the same whichever partners it has, wherever it stands among them,
    and whatever the hyperparameters.

    Args:
      model: the choices.
      hyper: only `temperature` is read, where it is learned.
      key: of the run.
      inputs: one batch per modality; only shapes matter.

    Returns:
      {"encoders": tuple of {"encoder", "head"}, "projectors": tuple, "alignment": dict}.
    """
    encoders, projectors = [], []
    for name, module, x in zip(model.modalities, model.encoders, inputs, strict=True):
        keys = jax.random.split(jax.random.fold_in(key, zlib.crc32(name.encode())), 3)
        encoder = module.init(keys[0], x[:1])
        h = module.apply(encoder, x[:1])
        encoders.append({"encoder": encoder, "head": model.head.init(keys[1], h)})
        projectors.append(model.projector.init(keys[2], h) if model.projector else {})
    learned = {}
    if model.learned_temperature:
        learned["log_temperature"] = jnp.log(hyper.temperature)
    if model.objective == "siglip":
        learned["bias"] = jnp.float32(-10)
    return {
        "encoders": tuple(encoders),
        "projectors": tuple(projectors),
        "alignment": learned,
    }


def embed(model: ModelSpec, params: Params, inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """Embeddings, one (n, d) per modality."""
    return tuple(
        module.apply(p["encoder"], x)
        for module, p, x in zip(model.encoders, params["encoders"], inputs, strict=True)
    )


def predict(model: ModelSpec, params: Params, embeddings: tuple[Array, ...]) -> tuple[Array, ...]:
    """What each encoder's own head says: (n, classes) logits, or (n,) for a regression."""
    outputs = [
        model.head.apply(p["head"], h) for p, h in zip(params["encoders"], embeddings, strict=True)
    ]
    return tuple(o if model.classes else o[:, 0] for o in outputs)


def task_losses(
    model: ModelSpec,
    outputs: tuple[Array, ...],
    y: Array,
    present: Array | None = None,
    axis: str | None = None,
) -> Array:
    """(M,) mean cross-entropy in nats, or mean absolute error for a regression, in units of y.

    Over the rows that an encoder has, `present` (M, n), 0 where it has none; None for all. Along
    the mesh axis `axis` every device returns its part of the mean.
    """
    if model.classes:
        losses = [optax.softmax_cross_entropy_with_integer_labels(o, y) for o in outputs]
    else:
        losses = [jnp.abs(o - y) for o in outputs]
    if present is not None:
        each = jnp.where(present, jnp.stack(losses), 0)
        return jnp.sum(each, axis=1) / number(present, axis)
    return jnp.stack([jnp.mean(loss) for loss in losses]) / batch_size(1, axis)


def _objective(
    model: ModelSpec, params: Params, hyper: Hyper, axis: str | None
) -> Callable[[Array, Array, Negatives | None, Array | None], Array]:
    # what is learned about the objective belongs to all pairs, and feels the mean of an encoder's
    partners = max(len(model.modalities) - 1, 1)
    learned = jax.tree.map(
        lambda one: alignment.scale_gradient(one, 1 / partners), params["alignment"]
    )
    temperature = hyper.temperature
    if model.learned_temperature:
        temperature = jnp.maximum(jnp.exp(learned["log_temperature"]), 0.01)
    if model.objective == "siglip":
        return lambda a, b, negatives, counted: alignment.siglip(
            a, b, temperature, learned["bias"], negatives, counted, block=model.block, axis=axis
        )
    if model.objective == "vicreg":
        return lambda a, b, _, counted: alignment.vicreg(a, b, counted=counted, axis=axis)
    return lambda a, b, negatives, counted: alignment.info_nce(
        a, b, temperature, negatives, counted, bounded=model.bounded, block=model.block, axis=axis
    )


def _negatives(
    model: ModelSpec, params: Params, hyper: Hyper, embeddings: tuple[Array, ...]
) -> Callable[[int, int], Negatives] | None:
    if not model.debiased:
        return None
    fixed = jax.lax.stop_gradient((params, embeddings))
    # an encoder that diverges must not reach its partners through their weights
    p = [jnp.nan_to_num(jax.nn.softmax(o)) for o in predict(model, *fixed)]
    return lambda a, b: Negatives(p[a], p[b], hyper.false_negative_weight)


def alignment_losses(
    model: ModelSpec,
    params: Params,
    hyper: Hyper,
    embeddings: tuple[Array, ...],
    on: Array,
    axis: str | None = None,
    diverged: Array | None = None,
    evidence: Evidence | None = None,
    present: Array | None = None,
) -> Array:
    """Alignment of every pair, with the gradient that each encoder's strength lets through.

    Encoder m feels λ_m times the gradient. The projections and whatever is learned about the
    objective belong to the alignment, not to an encoder: they feel the largest strength, so that a
    directed alignment still has a trained head on the side that is not moved.

    An encoder that has diverged, or whose projections are not finite, takes no part: its pairs have
    no loss and pull nobody.

    Args:
      model: the choices.
      params: of the run.
      hyper: strengths, temperature, aligned share and false_negative_weight are read.
      embeddings: M arrays (n, d).
      on: the schedule's factor, scalar.
      axis: mesh axis over which the batch is split; each device then returns its part of the sum.
      diverged: (M,) encoders that take no part; None for none.
      evidence: what the validation split says, for the objective "posterior" alone.
      present: (M, n) bool, the rows that every modality has; None for all. A pair is aligned on the
        rows that both have: nothing is felt on the others, and a pair without rows has loss 0.

    Returns:
      (pairs,) losses, unscaled; NaN where an encoder of the pair takes no part.
    """
    if model.objective == "posterior":
        return _posterior_losses(
            model, params, hyper, embeddings, on, axis, diverged, evidence, present
        )
    relative, common = alignment.felt(hyper.strength, on)
    apart = _apart(model, embeddings, axis)
    if diverged is not None:
        apart |= diverged
    z = []
    for m, h in enumerate(embeddings):
        h = jnp.where(apart[m], 0, h)
        # features × batch, as encoders compute: vector lanes run along the batch
        h = h.T * alignment.aligned_dims_mask(h.shape[1], hyper.aligned_share)[:, None]
        h = alignment.scale_gradient(h, relative[m])
        if model.projector:
            h = model.projector.apply(params["projectors"][m], h.T).T
        if model.objective != "vicreg":
            h = alignment.normalise(h, axis=0)
        z.append(alignment.scale_gradient(h, common).T)
    if model.projector:
        apart |= _apart(model, z, axis)
        z = [jnp.where(apart[m], 0, one) for m, one in enumerate(z)]
    losses = alignment.all_pairs(
        _objective(model, params, hyper, axis),
        z,
        _negatives(model, params, hyper, embeddings),
        present,
    )
    first, second = np.array(alignment.pairs(len(z)), int).reshape(-1, 2).T
    return jnp.where(apart[first] | apart[second], jnp.nan, losses)


def _posterior_losses(
    model: ModelSpec,
    params: Params,
    hyper: Hyper,
    embeddings: tuple[Array, ...],
    on: Array,
    axis: str | None,
    diverged: Array | None,
    evidence: Evidence,
    present: Array | None = None,
) -> Array:
    """(pairs,) the mean of both encoders' losses; each encoder's gradient is λ_m g_m times its own.

    Half of an encoder's loss stands in each of its M − 1 pairs, hence the factor 2.
    """
    outputs = predict(model, params, embeddings)
    apart = _apart(model, outputs, axis)
    if diverged is not None:
        apart |= diverged
    losses = posterior.losses(
        jnp.stack(outputs), evidence, model.classes, apart, present=present, axis=axis
    )
    own, common = alignment.felt(hyper.strength, on)
    losses = alignment.scale_gradient(losses, 2 * evidence.gate * own * common)
    first, second = np.array(alignment.pairs(len(losses)), int).reshape(-1, 2).T
    mean = (losses[first] + losses[second]) / 2
    return jnp.where(apart[first] | apart[second], jnp.nan, mean)


def _apart(model: ModelSpec, z: Sequence[Array], axis: str | None) -> Array:
    """(M,) whether an encoder's embeddings or projections cannot be compared with others'."""
    raw = model.projector or model.objective == "vicreg"
    bound = LARGEST if raw else jnp.inf
    apart = jnp.stack([~jnp.all(jnp.abs(one) < bound) for one in z])
    return apart if axis is None else total(apart.astype(jnp.int32), axis) > 0
