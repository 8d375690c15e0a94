"""Encoders, as flax.linen modules that are only ever used through `init` and `apply`."""

from collections.abc import Sequence

import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from redalign_jax.encoders.bag import Bag
from redalign_jax.encoders.cnn import CNN
from redalign_jax.encoders.mlp import ACTIVATIONS, DTYPES, MLP
from redalign_jax.encoders.transformer import SequenceTransformer, ViT
from redalign_jax.errors import UserError

# What each reads, of `redalign_jax.kinds.KINDS`.
KINDS = {
    "mlp": ("vector", "image", "sequence"),
    "cnn": ("image", "sequence"),  # steps × features as a picture with one channel
    "vit": ("image",),
    "transformer": ("sequence", "tokens"),
    "bag": ("tokens",),
}
AUTO = {"vector": "mlp", "image": "cnn", "sequence": "transformer", "tokens": "bag"}

__all__ = ["ACTIVATIONS", "AUTO", "CNN", "DTYPES", "KINDS", "MLP", "Bag", "build", "kinds"]


def kinds(
    config: ConfigDict, inputs: dict[str, list[np.ndarray]], what: Sequence[str]
) -> tuple[str, ...]:
    """The kind of every modality's encoder.

    Args:
      config: the section `encoder`; its `kind` is one for all, one per modality between commas, or
        "auto", one that suits each input.
      inputs: name → the arrays of the splits.
      what: the kind of every modality, `Task.kinds`.

    Raises:
      UserError: a kind that cannot read the modality, or not one per modality.
    """
    named = config.kind.split(",")
    if len(named) not in (1, len(inputs)):
        raise UserError(
            f"encoder.kind: {config.kind!r} is not one for all or one for each of "
            f"{', '.join(inputs)}"
        )
    found = []
    for kind, (name, (x, *_)), form in zip(
        named * (len(inputs) // len(named)), inputs.items(), what, strict=True
    ):
        kind = AUTO[form] if kind == "auto" else kind
        if form not in KINDS[kind]:
            raise UserError(f"encoder.kind: {kind!r} does not read {name!r}, which is {form}")
        if kind == "cnn" and min(x.shape[1:3]) < 2 ** len(config.hidden_sizes):
            raise UserError(
                f"encoder.hidden_sizes: {len(config.hidden_sizes)} stages halve the images of "
                f"{name!r}, "
                f"{x.shape[1]}×{x.shape[2]}, to nothing"
            )
        found.append(kind)
    return tuple(found)


def build(
    config: ConfigDict, inputs: dict[str, list[np.ndarray]], what: Sequence[str], features: int
) -> tuple[nn.Module, ...]:
    """The encoder of every modality, (n, ...) → (n, features); arguments as for `kinds`."""
    return tuple(
        _module(kind, config, arrays, form == "tokens", features)
        for kind, arrays, form in zip(
            kinds(config, inputs, what), inputs.values(), what, strict=True
        )
    )


def _module(
    kind: str, config: ConfigDict, arrays: list[np.ndarray], text: bool, features: int
) -> nn.Module:
    widths = tuple(config.hidden_sizes)
    vocabulary = 1 + max(int(np.asarray(x).max()) for x in arrays) if text else 0
    blocks = {"depth": config.depth, "heads": config.heads, "dtype": config.dtype}
    if kind == "bag":
        return Bag(vocabulary, config.d_model, features)
    if kind == "transformer":
        return SequenceTransformer(
            config.d_model, features=features, vocabulary=vocabulary, **blocks
        )
    if kind == "vit":
        return ViT(config.patch_size, config.d_model, features=features, **blocks)
    module = CNN if kind == "cnn" else MLP
    return module(widths, features, config.activation, config.dtype)
